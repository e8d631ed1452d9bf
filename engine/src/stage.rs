//! The one trait that stage authors implement, and the ports by which stages connect.

use std::borrow::Cow;

use serde_json::{Map, Value, json};

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

    /// What a file of another format means; no file is one unless a stage says so.
    ///
    /// # Errors
    /// Everything in it that has no meaning here, by its path in the file.
    fn import(config: &Config<'_>) -> Result<Imported, Vec<ParamIssue>> {
        let _ = config;
        let message = format!("stage `{}` reads no `config`", Self::ID);
        Err(vec![ParamIssue::new("", message)])
    }

    /// What such a file leaves to a search, if the manifest has one.
    ///
    /// # Errors
    /// Everything that cannot be drawn from, by its path in the file.
    fn space(file: &Map<String, Value>) -> Result<Vec<Drawn>, Vec<ParamIssue>> {
        let _ = file;
        Ok(Vec::new())
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

/// A file of another format that gives parameters.
#[derive(Debug)]
pub struct Config<'a> {
    /// What it says; in a search with the drawn values in it.
    pub file: &'a Map<String, Value>,
    /// The parameters beside it, which win.
    pub with: &'a Value,
    /// Whether the manifest has a search.
    pub is_search: bool,
}

/// What such a file means.
#[derive(Debug, Default)]
pub struct Imported {
    /// Parameters.
    pub with: Map<String, Value>,
    /// The splits to run, if it tells.
    pub splits: Option<Vec<usize>>,
}

/// A part of such a file that is drawn.
#[derive(Debug, Clone, PartialEq)]
pub struct Drawn {
    /// Its path in the file.
    pub field: String,
    /// What takes its place, with references such as `${params.dropout}`.
    pub value: Value,
    /// The params that are referred to, and what each is drawn from.
    pub params: Vec<(String, DrawnFrom)>,
}

/// What a param is drawn from.
#[derive(Debug, Clone, PartialEq)]
pub enum DrawnFrom {
    /// One of these, at least one.
    Choice(Vec<Value>),
    /// An integer, both ends included.
    Integer(i64, i64),
    /// A number between two.
    Uniform(f64, f64),
    /// The same for its logarithm.
    LogUniform(f64, f64),
}

impl DrawnFrom {
    /// As the `search` of a manifest writes it.
    pub fn to_value(&self) -> Value {
        match self {
            Self::Choice(values) => json!({ "choice": values }),
            Self::Integer(least, most) => json!({ "integer": [least, most] }),
            Self::Uniform(least, most) => json!({ "uniform": [least, most] }),
            Self::LogUniform(least, most) => json!({ "log_uniform": [least, most] }),
        }
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
    /// Why nothing can be connected with these parameters; `None` where something can.
    pub closed: Option<&'static str>,
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
            closed: None,
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

    /// With these parameters nothing can be connected, for a reason such as `only a … takes it`.
    #[must_use]
    pub fn closed(mut self, why: &'static str) -> Self {
        self.optional = true;
        self.closed = Some(why);
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
