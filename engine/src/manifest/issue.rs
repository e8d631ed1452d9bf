//! Problems of a manifest, with the place where each is.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use serde::Serialize;

/// One problem.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Issue {
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

/// All problems of a manifest; never empty.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", list(.0))]
pub struct Issues(pub Vec<Issue>);

impl Issues {
    pub(super) fn unreadable(path: &Path, error: &io::Error) -> Self {
        Self(vec![Issue {
            file: path.to_owned(),
            line: None,
            column: None,
            key: String::new(),
            message: format!("failed to read the manifest: {error}"),
            hint: None,
        }])
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
pub(crate) fn did_you_mean<'a>(
    wrong: &str,
    names: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
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

/// A hint for an unknown name: the close one, else the list of known ones.
pub(crate) fn suggest(wrong: &str, names: &[&str]) -> Option<String> {
    match did_you_mean(wrong, names.iter().copied()) {
        Some(name) => Some(format!("did you mean `{name}`?")),
        None if names.is_empty() => None,
        None => {
            let names: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
            Some(format!("known: {}", names.join(", ")))
        }
    }
}
