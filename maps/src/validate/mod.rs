//! Checking a MAPS folder: everything that is wrong with it, at once.
//!
//! ```text
//! parameters  maps.json: keys, types, ranges      groups   data groups, and who is in them
//! results     weights, predictions, metrics       records  checksums, certificates, provenance
//! ```

mod attributions;
mod groups;
mod parameters;
mod records;
mod results;
mod saved;

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::MapsError;
use crate::files::MapsJson;
use crate::folder::{is_version_2, splits, subfolders};
use crate::layout::MAPS_JSON;

/// One thing that is wrong with a MAPS.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct MapsIssue {
    /// The file or folder, relative to the MAPS.
    pub path: String,
    /// The line of the file, counted from 1.
    pub line: Option<u64>,
    /// The column of the table by name, or the character of the line by number.
    pub column: Option<String>,
    /// A lower-case sentence without a full stop.
    pub message: String,
    /// What to do about it.
    pub hints: Vec<String>,
}

impl MapsIssue {
    /// An issue with a file or folder as a whole.
    pub fn new(path: &str, message: impl Into<String>) -> Self {
        Self {
            path: if path.is_empty() { "." } else { path }.to_owned(),
            line: None,
            column: None,
            message: message.into(),
            hints: Vec::new(),
        }
    }

    /// What is wrong with a file that was read.
    pub fn of_error(path: &str, error: &MapsError) -> Self {
        let (line, column) = error.place();
        Self {
            line,
            column,
            hints: error.hints(),
            ..Self::new(path, error.fact())
        }
    }

    /// The same in this line.
    #[must_use]
    pub fn at(self, line: Option<u64>) -> Self {
        Self { line, ..self }
    }

    /// The same in this column.
    #[must_use]
    pub fn in_column(self, column: &str) -> Self {
        Self {
            column: Some(column.to_owned()),
            ..self
        }
    }
}

impl fmt::Display for MapsIssue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.path)?;
        if let Some(line) = self.line {
            write!(f, ", line {line}")?;
        }
        if let Some(column) = &self.column {
            write!(f, ", column `{column}`")?;
        }
        write!(f, ": {}", self.message)
    }
}

/// Checks a MAPS folder, ours or one of ClinicaDL 1.6.1.
///
/// Parameters, data groups and their participants, weights, logs, predictions, metrics; and where they
/// are there, checksums, the certificate of leakage and the records of a run. Sorted by path; empty when
/// nothing is wrong.
///
/// ```
/// let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/reference/maps/peer");
/// assert!(maps::validate(folder.as_ref()).is_empty());
/// ```
pub fn validate(folder: &Path) -> Vec<MapsIssue> {
    let mut check = content(folder);
    records::check(&mut check);
    check.finish()
}

/// The same without what tells whether files were changed.
pub(crate) fn validate_content(folder: &Path) -> Vec<MapsIssue> {
    content(folder).finish()
}

fn content(folder: &Path) -> Check {
    let mut check = Check {
        folder: folder.to_owned(),
        issues: Vec::new(),
    };
    if !folder.is_dir() {
        check.report("", "is not a folder");
        return check;
    }
    if is_version_2(folder) {
        let error = MapsError::Version2(folder.to_owned());
        check.issues.push(MapsIssue {
            message: "is a MAPS of ClinicaDL 2.0".to_owned(),
            ..MapsIssue::of_error("", &error)
        });
        return check;
    }
    let parameters = check.read(MAPS_JSON, MapsJson::read);
    let facts = match &parameters {
        Some(parameters) => parameters::check(&mut check, parameters),
        None => Facts::default(),
    };
    match splits(folder) {
        Ok(splits) => {
            if splits.is_empty() {
                check.report(
                    "",
                    "has no folder `split-<i>`, expected one per trained split",
                );
            }
            let groups = groups::check(&mut check, &splits, &facts);
            results::check(&mut check, &splits, &facts, &groups);
            results::check_ensembles(&mut check, &facts, &groups);
        }
        Err(error) => check.report("", error.full_message()),
    }
    check
}

/// What `maps.json` says that other files have to agree with.
#[derive(Debug, Default)]
struct Facts {
    /// Whether `maps.json` could be read.
    is_known: bool,
    /// The columns of predictions; `None` in a classification, whose classes have one each.
    columns: Option<&'static [&'static str]>,
    /// Codes below this number are valid; 0 unless it is a classification.
    n_classes: usize,
    /// The code of each label, in a classification.
    label_code: indexmap::IndexMap<String, i64>,
    /// The column that was learnt.
    label: Option<String>,
    /// What images are cut into, one of [`crate::layout::LEVELS`].
    mode: String,
    /// The networks: one without a number, or one for each part of images; none where that is not known.
    networks: Vec<Option<usize>>,
    /// Whether there is a course of the training for each of two domains.
    has_two_domains: bool,
    /// Whether images of the training are drawn with replacement, so that some are there twice.
    is_drawn: bool,
    selection_metrics: Vec<String>,
    architecture: Option<String>,
}

/// The issues found so far, and how to read files while finding them.
struct Check {
    folder: PathBuf,
    issues: Vec<MapsIssue>,
}

impl Check {
    fn report(&mut self, path: &str, message: impl Into<String>) {
        self.issues.push(MapsIssue::new(path, message));
    }

    fn finish(mut self) -> Vec<MapsIssue> {
        self.issues.sort();
        self.issues.dedup();
        self.issues
    }

    fn exists(&self, path: &str) -> bool {
        self.folder.join(path).exists()
    }

    /// Reads a file that must be there.
    fn read<T>(
        &mut self,
        path: &str,
        parse: impl FnOnce(&[u8], &str) -> Result<T, MapsError>,
    ) -> Option<T> {
        let bytes = match fs::read(self.folder.join(path)) {
            Ok(bytes) => bytes,
            Err(error) => {
                self.report(path, format!("cannot be read: {error}"));
                return None;
            }
        };
        self.keep(path, parse(&bytes, path))
    }

    fn keep<T>(&mut self, path: &str, result: Result<T, MapsError>) -> Option<T> {
        match result {
            Ok(value) => Some(value),
            Err(error) => {
                self.issues.push(MapsIssue::of_error(path, &error));
                None
            }
        }
    }

    fn subfolders(&mut self, path: &str) -> Vec<String> {
        let listed = subfolders(&self.folder.join(path));
        self.keep(path, listed).unwrap_or_default()
    }
}

/// The first few names of a list, and how many more there are.
fn some<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    let names: Vec<String> = names.into_iter().map(|name| format!("`{name}`")).collect();
    match names.len() {
        count if count > 10 => format!("{} and {} more", names[..10].join(", "), count - 10),
        _ => names.join(", "),
    }
}
