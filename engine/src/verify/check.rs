//! One thing that was looked at, and how it turned out.

use std::fmt;

use serde::Serialize;

/// What kind of thing a check looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Section {
    /// The manifest against the lock.
    Manifest,
    /// An external input.
    Input,
    /// The key of an action.
    Action,
    /// A stored result.
    Store,
    /// A published file.
    Published,
    /// The class of hardware and libraries.
    Numerics,
    /// A result of a second run.
    Rerun,
    /// A metric of a second run.
    Metric,
    /// A bound that the manifest expects.
    Expect,
}

impl fmt::Display for Section {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Manifest => "manifest",
            Self::Input => "input",
            Self::Action => "action",
            Self::Store => "store",
            Self::Published => "published",
            Self::Numerics => "numerics",
            Self::Rerun => "rerun",
            Self::Metric => "metric",
            Self::Expect => "expect",
        })
    }
}

/// What is wrong: each has an exit code of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fault {
    /// The manifest or the program changed since the lock was written.
    NotUpToDate,
    /// The content of an input changed.
    InputChanged,
    /// A stored or published output changed or is missing.
    OutputChanged,
    /// A metric is outside its bounds, its tolerance or the spread of seeds.
    MetricOutside,
    /// This machine computes with another numerics class than the lock's.
    OtherNumerics,
    /// The same action gave other bytes.
    NotReproducible,
    /// An action of the second run failed.
    RunFailed,
}

/// How a check turned out.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "outcome", rename_all = "kebab-case")]
pub enum Outcome {
    /// As it should be.
    Passed,
    /// Not as it should be.
    Failed {
        /// What kind of fault it is.
        fault: Fault,
    },
    /// There was nothing to look at.
    Skipped,
}

/// One check.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Check {
    /// What kind of thing it looked at.
    pub section: Section,
    /// Which one.
    pub name: String,
    /// How it turned out.
    #[serde(flatten)]
    pub outcome: Outcome,
    /// What was found: a lower-case sentence; may be empty when all is well.
    pub message: String,
    /// More, one line each.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub details: Vec<String>,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

impl Check {
    /// All is well.
    pub fn passed(section: Section, name: impl Into<String>, message: impl Into<String>) -> Self {
        Self::new(section, name.into(), Outcome::Passed, message.into())
    }

    /// Something is wrong.
    pub fn failed(
        section: Section,
        name: impl Into<String>,
        fault: Fault,
        message: impl Into<String>,
    ) -> Self {
        let outcome = Outcome::Failed { fault };
        Self::new(section, name.into(), outcome, message.into())
    }

    /// There was nothing to look at.
    pub fn skipped(section: Section, name: impl Into<String>, message: impl Into<String>) -> Self {
        Self::new(section, name.into(), Outcome::Skipped, message.into())
    }

    fn new(section: Section, name: String, outcome: Outcome, message: String) -> Self {
        Self {
            section,
            name,
            outcome,
            message,
            details: Vec::new(),
            hint: None,
        }
    }

    /// Adds lines.
    #[must_use]
    pub fn details(mut self, lines: impl IntoIterator<Item = String>) -> Self {
        self.details.extend(lines);
        self
    }

    /// Adds advice.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Whether all is well.
    pub fn is_passed(&self) -> bool {
        self.outcome == Outcome::Passed
    }

    /// What is wrong, if anything.
    pub fn fault(&self) -> Option<Fault> {
        match self.outcome {
            Outcome::Failed { fault } => Some(fault),
            _ => None,
        }
    }
}
