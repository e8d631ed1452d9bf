//! Checking a MAPS folder: everything that is wrong with it, at once.

mod groups;
mod results;

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use crate::MapsError;
use crate::files::MapsJson;
use crate::files::{RECONSTRUCTION_COLUMNS, REGRESSION_COLUMNS};
use crate::folder::{splits, subfolders};
use crate::layout::MAPS_JSON;

/// One thing that is wrong with a MAPS.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct MapsIssue {
    /// The file or folder, relative to the MAPS.
    pub path: String,
    /// A lower-case sentence without a full stop.
    pub message: String,
}

impl fmt::Display for MapsIssue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path, self.message)
    }
}

/// Checks a MAPS folder, ours or one of ClinicaDL 1.6.1.
///
/// Parameters, data groups and their participants, weights, logs, predictions and metrics. Sorted by path;
/// empty when nothing is wrong.
pub fn validate(folder: &Path) -> Vec<MapsIssue> {
    let mut check = Check {
        folder: folder.to_owned(),
        issues: Vec::new(),
    };
    if !folder.is_dir() {
        check.report("", "is not a folder");
        return check.issues;
    }
    let parameters = check.read(MAPS_JSON, MapsJson::read);
    let facts = match &parameters {
        Some(parameters) => check.parameters(parameters),
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
        }
        Err(error) => check.report("", error.full_message()),
    }
    check.issues.sort();
    check.issues
}

/// What `maps.json` says that other files have to agree with.
#[derive(Debug, Default)]
struct Facts {
    /// The columns of predictions; `None` in a classification, whose classes have one each.
    columns: Option<&'static [&'static str]>,
    /// Codes below this number are valid; 0 unless it is a classification.
    n_classes: usize,
    /// The networks: one without a number, or one for each part of images; none where that is not known.
    networks: Vec<Option<usize>>,
    /// Whether there is a course of the training for each of two domains.
    has_two_domains: bool,
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
        self.issues.push(MapsIssue {
            path: if path.is_empty() { "." } else { path }.to_owned(),
            message: message.into(),
        });
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
                self.report(path, error.full_message());
                None
            }
        }
    }

    fn subfolders(&mut self, path: &str) -> Vec<String> {
        let listed = subfolders(&self.folder.join(path));
        self.keep(path, listed).unwrap_or_default()
    }

    fn parameters(&mut self, parameters: &MapsJson) -> Facts {
        let architecture = self
            .keep(MAPS_JSON, parameters.architecture())
            .map(str::to_owned);
        let task = self
            .keep(MAPS_JSON, parameters.network_task())
            .unwrap_or_default();
        self.keep(MAPS_JSON, parameters.mode());
        let networks = match self.keep(MAPS_JSON, parameters.networks()) {
            None => Vec::new(),
            Some(None) => vec![None],
            Some(Some(count)) => (0..count).map(Some).collect(),
        };
        let domains = self.keep(MAPS_JSON, parameters.switch("ssda_network"));
        self.keep(MAPS_JSON, parameters.label());
        self.keep(MAPS_JSON, parameters.input_size());
        let output_size = self.keep(MAPS_JSON, parameters.output_size());
        let selection_metrics = self.keep(MAPS_JSON, parameters.selection_metrics());
        let mut facts = Facts {
            columns: match task {
                "regression" => Some(&REGRESSION_COLUMNS),
                "reconstruction" => Some(&RECONSTRUCTION_COLUMNS),
                _ => None,
            },
            n_classes: 0,
            networks,
            has_two_domains: domains == Some(true),
            selection_metrics: selection_metrics.unwrap_or_default(),
            architecture,
        };
        if task == "classification" {
            let code = self
                .keep(MAPS_JSON, parameters.label_code())
                .unwrap_or_default();
            if code.is_empty() {
                self.report(MAPS_JSON, "has no labels in `label_code`");
            }
            facts.n_classes = output_size.unwrap_or(0);
            for (label, code) in code {
                if usize::try_from(code).map_or(true, |code| code >= facts.n_classes) {
                    let message = format!(
                        "code {code} of label `{label}` is beyond the {} outputs of the network",
                        facts.n_classes
                    );
                    self.report(MAPS_JSON, message);
                }
            }
        }
        facts
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
