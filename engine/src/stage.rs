//! The one trait that stage authors implement, and the ports by which stages connect.

use std::borrow::Cow;

use serde_json::{Map, Value};

use crate::context::Context;
use crate::error::StageError;
use crate::params::StageParams;

/// A kind of work: what it is called, which parameters it takes, what goes in and comes out.
///
/// A declaration needs no libtorch and touches no file, so that a manifest can be checked and planned
/// anywhere. What the stage does is [`Run`], possibly implemented in another crate.
pub trait Stage: Send + Sync + 'static {
    /// Kebab-case name used by manifests.
    const ID: &'static str;
    /// Raised by hand whenever equal inputs and parameters would give different bytes.
    const VERSION: u32;
    /// One sentence for listings.
    const SUMMARY: &'static str;
    /// Where its actions execute.
    const RUNS_IN: RunsIn = RunsIn::Engine;
    /// Whether it runs programs that the manifest names: `verify --untrusted` refuses it then.
    const RUNS_FOREIGN: bool = false;
    /// Typed parameters, declared with [`crate::params!`].
    type Params: StageParams;

    /// The named inputs and outputs.
    fn ports(params: &Self::Params) -> Ports;

    /// Whether the stage draws from the experiment's seed; only then is the seed in its key.
    fn is_seeded(params: &Self::Params) -> bool {
        let _ = params;
        false
    }

    /// Problems across parameters that their schema cannot express. No I/O.
    fn check(params: &Self::Params) -> Vec<ParamIssue> {
        let _ = params;
        Vec::new()
    }

    /// The parameters that a file of another format means, beside those `with` which it is given; no file is
    /// one unless a stage says so.
    ///
    /// # Errors
    /// Everything in it that has no meaning here, by its path in the file.
    fn import(
        config: &Map<String, Value>,
        with: &Value,
    ) -> Result<Map<String, Value>, Vec<ParamIssue>> {
        let _ = (config, with);
        let message = format!("stage `{}` reads no `config`", Self::ID);
        Err(vec![ParamIssue::new("", message)])
    }

    /// What of the machine can change its result besides inputs and parameters.
    fn needs(params: &Self::Params) -> Vec<Need> {
        let _ = params;
        Vec::new()
    }

    /// Whether the file at `path` (`/`-separated, relative to the input's root) is used.
    ///
    /// Only selected files are hashed and visible: a neighbour's change then re-runs nothing.
    fn selects(params: &Self::Params, port: &str, path: &str) -> bool {
        let _ = (params, port, path);
        true
    }
}

/// What a stage does.
pub trait Run: Stage {
    /// Computes the outputs from the inputs.
    ///
    /// The context is the stage's whole world: no clock, environment, working directory or network.
    ///
    /// # Errors
    /// One message that names the file or the participant and session, and says what was expected.
    fn run(params: &Self::Params, context: &Context) -> Result<(), StageError>;
}

/// Where a stage's actions execute.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum RunsIn {
    /// On a thread of the engine.
    Engine,
    /// In a process of its own that loads libtorch.
    Worker,
}

/// Something of the machine that belongs to the key of a stage's actions.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Need {
    /// A program on PATH, or at an absolute path: its file by content.
    Program(String),
    /// An environment variable: its value.
    Variable(String),
}

/// A problem with the parameters of a stage.
#[derive(Debug, Clone)]
pub struct ParamIssue {
    /// The path of the field below `with`, such as `optimizer.learning_rate`.
    pub field: String,
    /// A lower-case sentence without a full stop.
    pub message: String,
}

impl ParamIssue {
    /// A problem of `field`.
    pub fn new(field: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            field: field.into(),
            message: message.into(),
        }
    }
}

/// The inputs and outputs of a stage.
#[derive(Debug, Clone, Default)]
pub struct Ports {
    /// What it reads.
    pub inputs: Vec<InputPort>,
    /// What it writes.
    pub outputs: Vec<OutputPort>,
}

/// A name of a port or a kind of artifact: a constant of a stage, or written in a manifest.
pub type Name = Cow<'static, str>;

/// A named input.
#[derive(Debug, Clone)]
pub struct InputPort {
    /// The name used under `inputs:` of a stage.
    pub name: Name,
    /// The kinds of artifact it accepts; empty for any kind.
    pub kinds: &'static [&'static str],
    /// Whether the manifest may leave it out.
    pub optional: bool,
    /// Whether the stage runs once per split of what is connected here.
    pub per_split: bool,
    /// Whether one action sees all splits of what is connected here, each in a folder `split-<i>`.
    pub all_splits: bool,
    /// One sentence for listings.
    pub summary: &'static str,
}

impl InputPort {
    /// A required input that every action of the stage sees whole.
    pub fn new(
        name: impl Into<Name>,
        kinds: &'static [&'static str],
        summary: &'static str,
    ) -> Self {
        Self {
            name: name.into(),
            kinds,
            optional: false,
            per_split: false,
            all_splits: false,
            summary,
        }
    }

    /// The manifest may leave it out.
    #[must_use]
    pub fn optional(mut self) -> Self {
        self.optional = true;
        self
    }

    /// One action per split, each seeing its own.
    #[must_use]
    pub fn per_split(mut self) -> Self {
        self.per_split = true;
        self
    }

    /// One action that sees all splits, as an external folder has them: `split-0/…`, `split-1/…`.
    #[must_use]
    pub fn all_splits(mut self) -> Self {
        self.all_splits = true;
        self
    }

    /// Whether an artifact of this kind can be connected.
    pub fn accepts(&self, kind: &str) -> bool {
        self.kinds.is_empty() || self.kinds.contains(&kind)
    }

    /// The accepted kinds, for messages.
    pub fn expected(&self) -> String {
        match self.kinds {
            [] => "any artifact".to_owned(),
            kinds => kinds.join(" or "),
        }
    }
}

/// A named output: a folder of files of one kind.
#[derive(Debug, Clone)]
pub struct OutputPort {
    /// The name used in references: `stage.port`.
    pub name: Name,
    /// The kind of artifact.
    pub kind: Name,
    /// The number of splits it holds, each in a folder `split-<i>`; `None` for an output without.
    pub splits: Option<usize>,
    /// One sentence for listings.
    pub summary: &'static str,
}

impl OutputPort {
    /// An output that is one artifact.
    pub fn new(name: impl Into<Name>, kind: impl Into<Name>, summary: &'static str) -> Self {
        Self {
            name: name.into(),
            kind: kind.into(),
            splits: None,
            summary,
        }
    }

    /// An output of `count` artifacts, written to `split-0`, `split-1`, …
    #[must_use]
    pub fn splits(mut self, count: usize) -> Self {
        self.splits = Some(count);
        self
    }
}
