//! A declared stage, made a type of this crate so that it can be implemented here.

use std::marker::PhantomData;

use engine::{ParamIssue, Ports, RunsIn, Stage};

/// The stage `S` as this crate runs it.
pub(crate) struct Implemented<S>(PhantomData<fn() -> S>);

impl<S: Stage> Stage for Implemented<S> {
    const ID: &'static str = S::ID;
    const VERSION: u32 = S::VERSION;
    const SUMMARY: &'static str = S::SUMMARY;
    const RUNS_IN: RunsIn = S::RUNS_IN;
    type Params = S::Params;

    fn ports(params: &S::Params) -> Ports {
        S::ports(params)
    }

    fn is_seeded(params: &S::Params) -> bool {
        S::is_seeded(params)
    }

    fn check(params: &S::Params) -> Vec<ParamIssue> {
        S::check(params)
    }

    fn selects(params: &S::Params, port: &str, path: &str) -> bool {
        S::selects(params, port, path)
    }
}
