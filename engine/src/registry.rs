//! The table of stages, with types erased so that the engine can hold them side by side.

use std::marker::PhantomData;

use serde::Deserialize;
use serde_json::{Map, Value};

use crate::context::Context;
use crate::error::StageError;
use crate::params::{Fields, semantic};
use crate::stage::{Config, Drawn, Imported, Need, ParamIssue, Ports, Run, RunsIn, Stage};

/// Decides which files of an input port are used: `(port, path)`.
pub type Selector = Box<dyn Fn(&str, &str) -> bool + Send + Sync>;

/// A stage seen by the engine: parameters are JSON values that passed the stage's schema.
///
/// Implemented by [`Declared`] and [`Native`] for every [`Stage`].
pub trait AnyStage: Send + Sync {
    /// [`Stage::ID`].
    fn id(&self) -> &'static str;
    /// [`Stage::VERSION`].
    fn version(&self) -> u32;
    /// [`Stage::SUMMARY`].
    fn summary(&self) -> &'static str;
    /// [`Stage::RUNS_IN`].
    fn runs_in(&self) -> RunsIn;
    /// [`Stage::needs`] for resolved parameters.
    fn needs(&self, params: &Value) -> Vec<Need>;
    /// [`Stage::RUNS_FOREIGN`].
    fn is_foreign(&self) -> bool;
    /// JSON Schema of the parameters.
    fn schema(&self) -> Value;
    /// Fills in every default.
    ///
    /// # Errors
    /// The value does not fit the parameters' type.
    fn resolve(&self, params: &Value) -> Result<Value, String>;
    /// [`Stage::is_seeded`] for resolved parameters.
    fn is_seeded(&self, params: &Value) -> bool;
    /// [`Stage::ports`] for resolved parameters.
    fn ports(&self, params: &Value) -> Ports;
    /// [`Stage::check`] for resolved parameters.
    fn check(&self, params: &Value) -> Vec<ParamIssue>;
    /// [`Stage::import`].
    ///
    /// # Errors
    /// Everything in it that has no meaning here.
    fn import(&self, config: &Config<'_>) -> Result<Imported, Vec<ParamIssue>>;
    /// [`Stage::space`].
    ///
    /// # Errors
    /// Everything that cannot be drawn from.
    fn space(&self, file: &Map<String, Value>) -> Result<Vec<Drawn>, Vec<ParamIssue>>;
    /// [`AnyStage::resolve`], [`AnyStage::check`] and [`AnyStage::ports`] at once.
    ///
    /// # Errors
    /// The value does not fit the parameters' type.
    fn prepare(&self, params: &Value) -> Result<Prepared, String> {
        let params = self.resolve(params)?;
        Ok(Prepared {
            issues: self.check(&params),
            ports: self.ports(&params),
            is_seeded: self.is_seeded(&params),
            params,
        })
    }
    /// [`Stage::selects`] for resolved parameters.
    fn selector(&self, params: &Value) -> Selector;
    /// The part of resolved parameters that belongs to the key.
    fn semantic(&self, params: &Value) -> Value;
    /// Runs an action.
    ///
    /// # Errors
    /// Those of the stage; a stage that is only declared cannot run here.
    fn run(&self, params: &Value, context: &Context) -> Result<(), StageError>;
}

/// Everything that a manifest needs to know about the parameters of a stage.
#[derive(Debug)]
pub struct Prepared {
    /// With every default.
    pub params: Value,
    /// Problems across parameters.
    pub issues: Vec<ParamIssue>,
    /// The ports that they give the stage.
    pub ports: Ports,
    /// Whether the stage draws from the experiment's seed.
    pub is_seeded: bool,
}

/// A stage whose implementation is in another program.
#[derive(Debug)]
pub struct Declared<S>(PhantomData<fn() -> S>);

/// A stage together with its implementation.
#[derive(Debug)]
pub struct Native<S>(PhantomData<fn() -> S>);

impl<S> Declared<S> {
    /// A table entry.
    #[expect(
        clippy::new_without_default,
        reason = "only used to fill static tables"
    )]
    pub const fn new() -> Self {
        Self(PhantomData)
    }
}

impl<S> Native<S> {
    /// A table entry.
    #[expect(
        clippy::new_without_default,
        reason = "only used to fill static tables"
    )]
    pub const fn new() -> Self {
        Self(PhantomData)
    }
}

/// Parameters that were resolved before; wrong ones were refused then.
fn typed<S: Stage>(params: &Value) -> S::Params {
    serde_json::from_value(params.clone()).unwrap_or_default()
}

macro_rules! erase {
    () => {
        fn id(&self) -> &'static str {
            S::ID
        }
        fn version(&self) -> u32 {
            S::VERSION
        }
        fn summary(&self) -> &'static str {
            S::SUMMARY
        }
        fn is_seeded(&self, params: &Value) -> bool {
            S::is_seeded(&typed::<S>(params))
        }
        fn runs_in(&self) -> RunsIn {
            S::RUNS_IN
        }
        fn needs(&self, params: &Value) -> Vec<Need> {
            S::needs(&typed::<S>(params))
        }
        fn is_foreign(&self) -> bool {
            S::RUNS_FOREIGN
        }
        fn schema(&self) -> Value {
            schemars::schema_for!(S::Params).to_value()
        }
        fn resolve(&self, params: &Value) -> Result<Value, String> {
            let typed: S::Params =
                serde_json::from_value(params.clone()).map_err(|e| e.to_string())?;
            serde_json::to_value(typed).map_err(|e| e.to_string())
        }
        fn ports(&self, params: &Value) -> Ports {
            S::ports(&typed::<S>(params))
        }
        fn check(&self, params: &Value) -> Vec<ParamIssue> {
            S::check(&typed::<S>(params))
        }
        fn import(&self, config: &Config<'_>) -> Result<Imported, Vec<ParamIssue>> {
            S::import(config)
        }
        fn space(&self, file: &Map<String, Value>) -> Result<Vec<Drawn>, Vec<ParamIssue>> {
            S::space(file)
        }
        fn prepare(&self, params: &Value) -> Result<Prepared, String> {
            let typed = S::Params::deserialize(params).map_err(|e| e.to_string())?;
            Ok(Prepared {
                issues: S::check(&typed),
                ports: S::ports(&typed),
                is_seeded: S::is_seeded(&typed),
                params: serde_json::to_value(typed).map_err(|e| e.to_string())?,
            })
        }
        fn selector(&self, params: &Value) -> Selector {
            let params = typed::<S>(params);
            Box::new(move |port, path| S::selects(&params, port, path))
        }
        fn semantic(&self, params: &Value) -> Value {
            semantic(params, <S::Params as Fields>::FIELDS)
        }
    };
}

impl<S: Stage> AnyStage for Declared<S> {
    erase!();
    fn run(&self, _: &Value, _: &Context) -> Result<(), StageError> {
        Err(StageError::internal(format!(
            "stage `{}` runs in the worker",
            S::ID
        )))
    }
}

impl<S: Run> AnyStage for Native<S> {
    erase!();
    fn run(&self, params: &Value, context: &Context) -> Result<(), StageError> {
        let params = serde_json::from_value(params.clone())
            .map_err(|e| StageError::internal(format!("parameters of `{}`: {e}", S::ID)))?;
        S::run(&params, context)
    }
}

/// A table of stages, sorted by ID.
#[derive(Clone, Copy)]
pub struct Registry {
    stages: &'static [&'static dyn AnyStage],
}

impl Registry {
    /// A registry over a static table.
    pub const fn new(stages: &'static [&'static dyn AnyStage]) -> Self {
        Self { stages }
    }

    /// The stage named `id`.
    pub fn find(&self, id: &str) -> Option<&'static dyn AnyStage> {
        self.stages.iter().copied().find(|stage| stage.id() == id)
    }

    /// Every stage in table order.
    pub fn iter(&self) -> impl Iterator<Item = &'static dyn AnyStage> {
        self.stages.iter().copied()
    }
}

impl std::fmt::Debug for Registry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list()
            .entries(self.stages.iter().map(|stage| stage.id()))
            .finish()
    }
}
