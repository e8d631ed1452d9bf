//! `groups/…/maps.json`: where the images of a data group came from.

use serde_json::{Value, json};

use crate::MapsError;

use super::maps_json::{parse_object, wrong_value};
use super::python::python_json;

/// The content of a group's `maps.json`.
///
/// We write no path: where a CAPS lies is a fact of one machine.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GroupJson {
    /// The CAPS folder, as it was typed.
    pub caps_directory: String,
    /// Whether it is a table of several CAPS.
    pub multi_cohort: bool,
}

impl GroupJson {
    /// Reads the file.
    ///
    /// # Errors
    /// It is no JSON object with these keys.
    pub fn read(bytes: &[u8], file: &str) -> Result<Self, MapsError> {
        let fields = parse_object(bytes, file)?;
        let get = |key: &str| {
            fields.get(key).ok_or_else(|| MapsError::MissingKey {
                file: file.to_owned(),
                key: key.to_owned(),
            })
        };
        let caps_directory = match get("caps_directory")? {
            Value::String(path) => path.clone(),
            other => return Err(wrong_value(file, "caps_directory", "a string", other)),
        };
        let multi_cohort = match get("multi_cohort")? {
            Value::Bool(value) => *value,
            other => return Err(wrong_value(file, "multi_cohort", "true or false", other)),
        };
        Ok(Self {
            caps_directory,
            multi_cohort,
        })
    }

    /// The bytes of the file.
    pub fn to_bytes(&self) -> Vec<u8> {
        python_json(&json!({
            "caps_directory": self.caps_directory,
            "multi_cohort": self.multi_cohort,
        }))
        .into_bytes()
    }
}
