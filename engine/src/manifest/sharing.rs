//! The share policy: `redact:` of a manifest, or a file of its own.

use std::path::Path;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::issue::{Issue, Issues, Severity};
use super::node::{Node, Place, key_path};
use super::schema::Validator;
use super::source;

/// What of a published folder may be shared. The default shares the least.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Redaction {
    /// What becomes of participant IDs.
    pub participants: Participants,
    /// Columns of tables about participants that may be shared, besides those without which the tables
    /// cannot be read: IDs, the label of the experiment, and predictions.
    pub columns: Vec<String>,
    /// What becomes of images of single participants.
    pub images: Images,
}

/// What becomes of participant IDs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Participants {
    /// Each is replaced, everywhere, by `sub-` and digits that depend on it and on a secret salt.
    #[default]
    Salted,
    /// They stay.
    Keep,
}

/// What becomes of images of single participants.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Images {
    /// They are left out.
    #[default]
    Drop,
    /// They stay.
    Keep,
}

impl Redaction {
    /// Reads a policy file, YAML or TOML.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn of_policy(path: &Path, text: &str) -> Result<Self, Issues> {
        let node = parsed(path, text)?;
        Self::read(path, &node, "")
    }

    /// Reads `redact:` of a manifest, if it is there.
    ///
    /// # Errors
    /// The text is no manifest's, or the policy is wrong.
    pub fn of_manifest(path: &Path, text: &str) -> Result<Option<Self>, Issues> {
        let node = parsed(path, text)?;
        match node.get("redact") {
            None => Ok(None),
            Some(node) if node.to_value().is_null() => Ok(None),
            Some(node) => Self::read(path, node, "redact").map(Some),
        }
    }

    fn read(path: &Path, node: &Node, key: &str) -> Result<Self, Issues> {
        // An empty file is the default policy.
        let value = match node.to_value() {
            Value::Null => Value::Object(serde_json::Map::new()),
            value => value,
        };
        let findings = Validator::of::<Self>().findings(&value);
        if findings.is_empty() {
            return serde_json::from_value(value)
                .map_err(|e| Issues(vec![issue(path, node.place, key, e.to_string(), None)]));
        }
        let issues = findings.into_iter().map(|found| {
            let place = node.nearest(&found.pointer).0.place;
            let key = key_path(key, &found.pointer);
            issue(path, place, &key, found.message, found.hint)
        });
        Err(Issues(issues.collect()))
    }
}

fn parsed(path: &Path, text: &str) -> Result<Node, Issues> {
    source::parse(0, path, text).map_err(|refusal| {
        let source::Refusal {
            place,
            message,
            hint,
        } = refusal;
        Issues(vec![issue(path, place, "", message, hint)])
    })
}

fn issue(path: &Path, place: Place, key: &str, message: String, hint: Option<String>) -> Issue {
    Issue {
        severity: Severity::Error,
        file: path.to_owned(),
        line: (place.line > 0).then_some(place.line as usize),
        column: (place.line > 0).then_some(place.column as usize),
        key: key.to_owned(),
        message,
        hint,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_policy_shares_no_more_than_it_says() {
        let read = |text| Redaction::of_policy(Path::new("p.yaml"), text).unwrap();
        assert_eq!(read(""), Redaction::default());
        assert_eq!(read("columns: [age]").participants, Participants::Salted);
        assert_eq!(read("images: keep").images, Images::Keep);
    }

    #[test]
    fn a_wrong_policy_is_refused_with_its_place() {
        let text = "participants: keep\ncolums: [age]\n";
        let error = Redaction::of_policy(Path::new("p.yaml"), text).unwrap_err();
        assert!(error.to_string().contains("p.yaml:2:1"), "{error}");
        assert!(error.to_string().contains("colums"), "{error}");
    }

    #[test]
    fn the_policy_of_a_manifest_is_read_from_its_text() {
        let path = Path::new("e.toml");
        let text = "clinicadl = 1\n[redact]\nparticipants = \"keep\"\n";
        let found = Redaction::of_manifest(path, text).unwrap().unwrap();
        assert_eq!(found.participants, Participants::Keep);
        assert_eq!(
            Redaction::of_manifest(path, "clinicadl = 1\n").unwrap(),
            None
        );
        assert!(Redaction::of_manifest(path, "redact = 3\n").is_err());
    }
}
