//! A MAPS of ClinicaDL 2.0: other folders, configuration objects, and no predictions.
//!
//! ```text
//! model.json, metrics.json          parameters    maps.json
//! training/data, test/group-*       data          groups/
//! training/split-*/models, logs     splits        split-*/
//! ```
//!
//! # Source
//! The layout of ClinicaDL 2.0.0, `clinicadl/io/maps/maps.py`. Epochs are counted from 1 there, from 0 here.

mod data;
mod parameters;
mod splits;

use std::collections::BTreeMap;

use serde_json::Value;

use super::ImportError;
use super::draft::Draft;
use crate::MapsError;
use crate::files::MapsJson;
use crate::layout::{ENVIRONMENT, INFORMATION_LOG, LEVELS, MAPS_JSON, split_of};

/// Where configuration objects that have no place are kept.
const KEPT: &str = "imported";

/// Files that are kept as they are.
const KEPT_FILES: [&str; 4] = [
    "model.json",
    "metrics.json",
    "callbacks.json",
    "training/optimization.json",
];

/// What is left out, and why.
const LEFT_OUT: [(&str, &str); 4] = [
    ("exec", "logs of the program that ran: left out"),
    ("nn_summary.txt", "follows from the network: left out"),
    ("prediction", "ClinicaDL 2.0 keeps no predictions: left out"),
    ("summary.log", "tells of the machine: left out"),
];

/// What the parts of an import have to know of each other.
struct Facts {
    /// The splits with a model, and their folders.
    splits: BTreeMap<usize, String>,
    /// What metrics are called here.
    names: BTreeMap<String, String>,
    /// What images are cut into, one of [`LEVELS`].
    level: &'static str,
    /// Key of the label in samples; none in a reconstruction.
    label: Option<String>,
    /// The labels that a class can have; none unless it is a classification.
    classes: Option<usize>,
    architecture: String,
}

/// Adds every file that has a place, and gives the parameters.
pub(super) fn fill(draft: &mut Draft) -> Result<MapsJson, ImportError> {
    let splits: BTreeMap<usize, String> = draft
        .names("training")
        .into_iter()
        .filter_map(|name| Some((split_of(&name)?, format!("training/{name}"))))
        .filter(|(_, folder)| draft.exists(&format!("{folder}/models")))
        .collect();
    let (mut params, facts) = parameters::read(draft, splits)?;
    params.selection_metrics = splits::write(draft, &facts)?;
    data::write(draft, &facts)?;
    for file in KEPT_FILES {
        if draft.exists(file) {
            draft.copy(file, &format!("{KEPT}/{file}"));
        }
    }
    for (path, why) in LEFT_OUT {
        if draft.exists(path) {
            draft.note(path, why);
        }
    }
    for (from, to) in [
        ("architecture.log", INFORMATION_LOG),
        ("env/environment.txt", ENVIRONMENT),
    ] {
        if draft.exists(from) {
            draft.copy(from, to);
        }
    }
    if draft.models == 0 {
        return Err(ImportError::NothingTrained(draft.source().to_owned()));
    }
    draft.note(
        "training",
        "ClinicaDL 2.0 keeps no predictions: `predict` makes them, with the imported MAPS as `model`",
    );
    let parameters = MapsJson::of_training(&params);
    draft.bytes(MAPS_JSON, parameters.to_bytes());
    Ok(parameters)
}

/// A JSON file; `None` where it is not there.
fn json(draft: &Draft, path: &str) -> Result<Option<Value>, MapsError> {
    if !draft.exists(path) {
        return Ok(None);
    }
    let parse = |bytes: &[u8], file: &str| {
        serde_json::from_slice(bytes).map_err(|error| MapsError::Json {
            file: file.to_owned(),
            reason: error.to_string(),
            line: error.line() as u64,
            column: error.column() as u64,
        })
    };
    draft.read(path, parse).map(Some)
}

/// The level of an extraction.
fn level_of(extraction: &str) -> &'static str {
    let name = extraction.to_ascii_lowercase();
    let found = LEVELS.into_iter().find(|level| *level == name);
    found.unwrap_or(crate::layout::IMAGE_LEVEL)
}
