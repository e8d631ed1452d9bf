//! A network that is a file: a module of TorchScript.

use engine::ParamIssue;

use super::super::names::Task;
use super::{Declaration, NetworkOptions, Options};

engine::params! {
    /// Options of a network that is a file; the file has all of them.
    pub struct TorchScriptOptions {}
}

impl NetworkOptions for TorchScriptOptions {
    fn problems(&self) -> Vec<ParamIssue> {
        Vec::new()
    }
}

/// A module of TorchScript, from input `network`.
pub static TORCH_SCRIPT: Declaration = Declaration {
    name: "TorchScript",
    summary: "a module of TorchScript, the file of input `network`",
    tasks: Task::ALL,
    axes: &[2, 3],
    room: "any size that the module takes",
    example: (&[], 0),
    options: Options::of::<TorchScriptOptions>(),
};
