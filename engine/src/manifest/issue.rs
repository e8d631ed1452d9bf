//! Problems of a manifest, with the place where each is.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use serde::Serialize;

/// How bad a problem is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Severity {
    /// The manifest cannot be used.
    Error,
    /// It can, but may not say what was meant.
    Warning,
}

/// One problem.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Issue {
    /// How bad it is.
    pub severity: Severity,
    /// The file.
    pub file: PathBuf,
    /// Line, from 1, where known.
    pub line: Option<usize>,
    /// Column in characters, from 1, where known.
    pub column: Option<usize>,
    /// The key path: `stages.train.with.epochs`; empty for the whole file.
    pub key: String,
    /// A lower-case sentence without a full stop.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
}

impl fmt::Display for Issue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file.display())?;
        if let (Some(line), Some(column)) = (self.line, self.column) {
            write!(f, ":{line}:{column}")?;
        }
        if !self.key.is_empty() {
            write!(f, ": `{}`", self.key)?;
        }
        write!(f, ": {}", self.message)
    }
}

/// Every reason for which a manifest cannot be used; never empty.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", list(.0))]
pub struct Issues(pub Vec<Issue>);

impl Issues {
    pub(super) fn of_file(path: &Path, message: String, hint: Option<String>) -> Self {
        Self(vec![Issue {
            severity: Severity::Error,
            file: path.to_owned(),
            line: None,
            column: None,
            key: String::new(),
            message,
            hint,
        }])
    }

    /// A wrong argument of a command line.
    pub fn of_argument(name: &str, message: String) -> Self {
        Self::of_file(Path::new(name), message, None)
    }

    pub(super) fn unreadable(path: &Path, error: &io::Error) -> Self {
        let message = format!("failed to read the manifest: {error}");
        Self::of_file(path, message, None)
    }
}

fn list(issues: &[Issue]) -> String {
    issues
        .iter()
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join("\n")
}

/// The name that was probably meant, if one is close enough.
pub fn did_you_mean<'a>(wrong: &str, names: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    names
        .into_iter()
        .map(|name| {
            (
                strsim::damerau_levenshtein(&wrong.to_lowercase(), &name.to_lowercase()),
                name,
            )
        })
        .filter(|&(distance, name)| distance <= 1 + wrong.len().max(name.len()) / 4)
        .min_by_key(|&(distance, _)| distance)
        .map(|(_, name)| name)
}

/// Names that a hint lists at most.
const LISTED: usize = 20;

/// A hint for an unknown name: the close one, else the list of known ones.
pub(crate) fn suggest(wrong: &str, names: &[&str]) -> Option<String> {
    match did_you_mean(wrong, names.iter().copied()) {
        Some(name) => Some(format!("did you mean `{name}`?")),
        None if names.is_empty() => None,
        None => {
            let mut listed: Vec<String> = names
                .iter()
                .take(LISTED)
                .map(|name| format!("`{name}`"))
                .collect();
            if names.len() > LISTED {
                listed.push(format!("and {} others", names.len() - LISTED));
            }
            Some(format!("known: {}", listed.join(", ")))
        }
    }
}
