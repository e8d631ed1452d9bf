//! `leakage.json`: what was compared between those who were trained on and those who were tested.
//!
//! The certificates of the stages are files of their splits; this one holds all of them, what was
//! allowed in spite of a leak, and how many models were tested on each data group.

use std::collections::BTreeMap;

use engine::Digest;
use serde_json::{Map, Value, json};

use super::maps_json::{parse_object, wrong_value};
use crate::MapsError;

const DIGEST: &str = "digest";
const FORMAT: u64 = 1;

/// The content of `leakage.json`.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct LeakageJson {
    /// Leaks that were allowed, by the file of their certificate, each with its reason.
    pub allowed: Map<String, Value>,
    /// Models that were tested on each data group.
    pub models_tested_on: BTreeMap<String, u64>,
    /// The certificates, by their file.
    pub checked: Map<String, Value>,
}

impl LeakageJson {
    /// Whether anything leaks.
    pub fn leaks(&self) -> bool {
        !self.allowed.is_empty()
    }

    /// Reads the file, and compares it with the digest that it holds.
    ///
    /// # Errors
    /// It is no JSON object with these keys, or was changed after it was written.
    pub fn read(bytes: &[u8], file: &str) -> Result<Self, MapsError> {
        let mut fields = parse_object(bytes, file)?;
        let wrong = |key: &str, expected, got: &Value| wrong_value(file, key, expected, got);
        let missing = |key: &str| MapsError::MissingKey {
            file: file.to_owned(),
            key: key.to_owned(),
        };
        let expected = match fields.shift_remove(DIGEST) {
            Some(Value::String(digest)) => digest,
            Some(other) => return Err(wrong(DIGEST, "a digest", &other)),
            None => return Err(missing(DIGEST)),
        };
        let got = digest_of(&fields);
        if got != expected {
            return Err(MapsError::Digest {
                file: file.to_owned(),
                expected,
                got,
            });
        }
        match fields.get("format") {
            Some(format) if format.as_u64() == Some(FORMAT) => {}
            Some(other) => return Err(wrong("format", "1", other)),
            None => return Err(missing("format")),
        }
        let mut object = |key: &str| match fields.shift_remove(key) {
            Some(Value::Object(object)) => Ok(object),
            Some(other) => Err(wrong(key, "an object", &other)),
            None => Err(missing(key)),
        };
        let [allowed, models, checked] = [
            object("allowed")?,
            object("models_tested_on")?,
            object("checked")?,
        ];
        let models = models
            .into_iter()
            .map(|(group, count)| match count.as_u64() {
                Some(number) => Ok((group, number)),
                None => Err(wrong(
                    &format!("models_tested_on.{group}"),
                    "a count",
                    &count,
                )),
            });
        let certificate = Self {
            allowed,
            models_tested_on: models.collect::<Result<_, _>>()?,
            checked,
        };
        match fields.get("leaks") {
            Some(Value::Bool(leaks)) if *leaks == certificate.leaks() => Ok(certificate),
            Some(other) => Err(wrong("leaks", "whether anything is in `allowed`", other)),
            None => Err(missing("leaks")),
        }
    }

    /// The bytes of the file, its digest the last key.
    pub fn to_bytes(&self) -> Vec<u8> {
        let document = json!({
            "format": FORMAT,
            "leaks": self.leaks(),
            "allowed": self.allowed,
            "models_tested_on": self.models_tested_on,
            "checked": self.checked,
        });
        match document {
            Value::Object(document) => Self::sealed(document),
            _ => Vec::new(),
        }
    }

    /// The bytes of a document with the digest of what it says.
    pub(crate) fn sealed(mut document: Map<String, Value>) -> Vec<u8> {
        document.shift_remove(DIGEST);
        let digest = digest_of(&document);
        document.insert(DIGEST.to_owned(), digest.into());
        format!("{:#}\n", Value::Object(document)).into_bytes()
    }
}

fn digest_of(document: &Map<String, Value>) -> String {
    let text = Value::Object(document.clone()).to_string();
    Digest::of(text.as_bytes()).to_string()
}
