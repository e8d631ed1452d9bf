//! One file, redacted.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use engine::manifest::Redaction;
use engine::provenance::without_places;
use serde_json::{Map, Value};

use super::tables::Table;
use super::{ExportError, Names, place};
use crate::MapsError;
use crate::files::{EVENT_FILE, LeakageJson, python_json};
use crate::layout::{LEAKAGE_JSON, MAPS_JSON};

/// Arrays and weights; every other file is text, but for event files, which hold numbers and names of
/// metrics.
const BINARY: [&str; 11] = [
    "gz",
    "h5",
    "nii",
    "npy",
    "npz",
    "png",
    "pt",
    "pth",
    "safetensors",
    "tar",
    "zip",
];

/// What a file of the export holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Body {
    /// What this file holds.
    Copy(PathBuf),
    /// These bytes.
    Bytes(Vec<u8>),
}

/// Whether a file is text, by its name.
pub(super) fn is_text(path: &str) -> bool {
    let extension = path.rsplit('.').next().unwrap_or_default();
    !BINARY.contains(&extension.to_ascii_lowercase().as_str()) && !path.ends_with(EVENT_FILE)
}

/// The text of a file.
pub(super) fn text_of<'a>(path: &str, bytes: &'a [u8]) -> Result<&'a str, MapsError> {
    std::str::from_utf8(bytes).map_err(|_| MapsError::NotText {
        file: path.to_owned(),
    })
}

/// Redacts files one after the other.
pub(super) struct Redactor<'a> {
    names: &'a Names,
    policy: &'a Redaction,
    label: Option<String>,
    columns_left_out: BTreeSet<String>,
}

impl<'a> Redactor<'a> {
    pub(super) fn new(names: &'a Names, policy: &'a Redaction, label: Option<String>) -> Self {
        Self {
            names,
            policy,
            label,
            columns_left_out: BTreeSet::new(),
        }
    }

    pub(super) fn into_columns_left_out(self) -> BTreeSet<String> {
        self.columns_left_out
    }

    /// What the export holds of a file.
    pub(super) fn redact(&mut self, source: &Path, path: &str) -> Result<Body, ExportError> {
        let file = place(source, path);
        if !is_text(path) {
            return Ok(Body::Copy(file));
        }
        let bytes = fs::read(&file).map_err(ExportError::io("read", &file))?;
        let text = text_of(path, &bytes)?;
        let redacted = if path.ends_with(".json") {
            redact_json(path, text, self.names)
        } else if let Some(mut table) = Table::read(path, text)? {
            table.keep_columns(
                self.policy,
                self.label.as_deref(),
                &mut self.columns_left_out,
            );
            table.redact_cells(self.names);
            table.to_bytes()
        } else {
            redact_text(text, self.names).into_bytes()
        };
        Ok(Body::Bytes(redacted))
    }
}

fn redact_text(text: &str, names: &Names) -> String {
    without_places(&names.replace(text)).into_owned()
}

/// JSON is redacted string by string, keys included; what Python wrote without being JSON is text.
fn redact_json(path: &str, text: &str, names: &Names) -> Vec<u8> {
    let Ok(value) = serde_json::from_str::<Value>(text) else {
        return redact_text(text, names).into_bytes();
    };
    let redacted = redact_value(&value, names);
    if redacted == value {
        return text.as_bytes().to_vec();
    }
    if path == LEAKAGE_JSON
        && let Value::Object(fields) = redacted
    {
        return LeakageJson::sealed(fields);
    }
    json_bytes(path, &redacted)
}

/// The value in the style of the file: ClinicaDL's own or this program's.
pub(super) fn json_bytes(path: &str, value: &Value) -> Vec<u8> {
    if path.rsplit('/').next() == Some(MAPS_JSON) {
        return python_json(value).into_bytes();
    }
    format!("{value:#}\n").into_bytes()
}

pub(super) fn redact_value(value: &Value, names: &Names) -> Value {
    match value {
        Value::String(text) => Value::String(redact_text(text, names)),
        Value::Array(items) => items.iter().map(|item| redact_value(item, names)).collect(),
        Value::Object(fields) => {
            let fields: Map<String, Value> = fields
                .iter()
                .map(|(key, value)| (redact_text(key, names), redact_value(value, names)))
                .collect();
            Value::Object(fields)
        }
        other => other.clone(),
    }
}
