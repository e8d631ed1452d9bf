//! Records: what an action made, with the document that names it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::digest::Digest;
use crate::key::{ActionKey, canonical};

/// Version of the record's format.
const RECORD_FORMAT: u32 = 1;

/// An artifact: what an output port holds after an action.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Artifact {
    /// The kind, as declared by the port.
    pub kind: String,
    /// Digest of its tree.
    pub digest: Digest,
    /// Bytes of all its files.
    pub size: u64,
}

/// The stored result of an action.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ActionRecord {
    record_format: u32,
    /// The action.
    pub key: ActionKey,
    /// The document whose digest the key is, kept so that reasons are a structural difference.
    pub document: Value,
    /// Artifacts by output port: one, or one per split.
    pub outputs: BTreeMap<String, Vec<Artifact>>,
    /// The class of hardware and libraries that computed it, where that can change low bits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub numerics: Option<Value>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    self_digest: Option<Digest>,
}

impl ActionRecord {
    /// A record without a numerics class.
    pub fn new(key: ActionKey, document: Value, outputs: BTreeMap<String, Vec<Artifact>>) -> Self {
        Self {
            record_format: RECORD_FORMAT,
            key,
            document,
            outputs,
            numerics: None,
            self_digest: None,
        }
    }

    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let mut sealed = self.clone();
        sealed.self_digest = None;
        sealed.self_digest = Some(Digest::of(sealed.text().as_bytes()));
        sealed.text().into_bytes()
    }

    /// Reads a record; `None` when it is damaged or of another format: unknown is never fresh.
    pub(super) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let mut record: Self = serde_json::from_slice(bytes).ok()?;
        let seal = record.self_digest.take()?;
        let intact =
            record.record_format == RECORD_FORMAT && Digest::of(record.text().as_bytes()) == seal;
        intact.then_some(record)
    }

    fn text(&self) -> String {
        let value = serde_json::to_value(self).expect("a record has string keys only");
        canonical(&value)
    }
}
