//! What was checked, in words that a reviewer can read and a program can compare.

use engine::{Digest, Output, StageError};
use maps::layout::LEAKAGE;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Version of the format.
const FORMAT: u32 = 1;

/// One comparison of two data groups.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Check {
    /// What was compared: participants, sources of synthetic participants, images.
    pub what: String,
    /// The groups.
    pub between: [String; 2],
    /// Participants of each.
    pub participants: [usize; 2],
    /// Sessions of each.
    pub sessions: [usize; 2],
    /// How many both have; 0 where nothing leaks.
    pub shared: usize,
}

/// What was checked about an action's data.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub struct Certificate {
    /// The comparisons.
    pub checks: Vec<Check>,
    /// The scenarios that are allowed, with the reason.
    allowed: Vec<Allowance>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Allowance {
    scenarios: Vec<String>,
    reason: String,
}

impl Certificate {
    /// Where it is in an artifact.
    pub fn path(name: &str) -> String {
        format!("{LEAKAGE}/{name}.json")
    }

    /// Notes that a leak is known.
    pub(super) fn allow(&mut self, reason: &str, scenarios: &[&str]) {
        self.allowed.push(Allowance {
            scenarios: scenarios.iter().map(|&name| name.to_owned()).collect(),
            reason: reason.to_owned(),
        });
    }

    /// What every table says of data that leak: the scenarios and the reason. None where nothing does.
    pub fn watermark(&self) -> Option<String> {
        let each = self.allowed.iter().map(|allowance| {
            let scenarios = allowance.scenarios.join(", ");
            format!("{scenarios}: {}", allowance.reason)
        });
        let text = each.collect::<Vec<_>>().join("; ");
        (!text.is_empty()).then_some(text)
    }

    /// The document, with the digest of what it says.
    ///
    /// # Errors
    /// Never for these types.
    pub fn document(&self) -> Result<Value, StageError> {
        let mut document = serde_json::json!({
            "format": FORMAT,
            "checks": self.checks,
            "allowed": self.allowed,
        });
        let digest = Digest::of(document.to_string().as_bytes());
        document["digest"] = digest.to_string().into();
        Ok(document)
    }

    /// Reads a certificate that an action wrote.
    ///
    /// # Errors
    /// It is not what [`Certificate::document`] makes.
    pub fn read(bytes: &[u8], shown: &str) -> Result<Self, StageError> {
        serde_json::from_slice(bytes)
            .map_err(|e| StageError::new(format!("`{shown}` is no certificate: {e}")))
    }

    /// What leaks of the data that a certified model was made from leaks from its results too.
    pub fn inherit(&mut self, model: &Self) {
        self.allowed.extend(model.allowed.iter().cloned());
    }

    /// The same of one of several models that may say the same.
    pub fn inherit_once(&mut self, model: &Self) {
        for allowance in &model.allowed {
            if !self.allowed.contains(allowance) {
                self.allowed.push(allowance.clone());
            }
        }
    }

    /// Writes it among an action's outputs: `training` for a model, else the data group.
    ///
    /// # Errors
    /// Any I/O error, naming the file.
    pub fn write(&self, output: &Output, name: &str) -> Result<(), StageError> {
        self.write_to(output, &Self::path(name))
    }

    /// The same to a path.
    ///
    /// # Errors
    /// Any I/O error, naming the file.
    pub fn write_to(&self, output: &Output, path: &str) -> Result<(), StageError> {
        let text = serde_json::to_string_pretty(&self.document()?).map_err(StageError::internal)?;
        output.write(path, (text + "\n").as_bytes())
    }
}
