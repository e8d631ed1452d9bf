//! Records: what an action made, with the document that names it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::digest::Digest;
use crate::key::ActionKey;

/// Version of the record's format.
const RECORD_FORMAT: u32 = 2;

/// Length of the seal that heads a record, with its line end.
const SEAL: usize = 65;

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
///
/// The file is one line with the digest of the rest, then JSON: a damaged or truncated record is
/// noticed before it is believed.
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
        }
    }

    /// The bytes of the record's file.
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let text = serde_json::to_vec(self).expect("a record has string keys only");
        let mut bytes = Digest::of(&text).to_string().into_bytes();
        bytes.push(b'\n');
        bytes.extend(text);
        bytes
    }

    /// Reads a record; `None` when it is damaged or of another format: unknown is never fresh.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (seal, text) = bytes.split_at_checked(SEAL)?;
        let sealed: Digest = std::str::from_utf8(seal).ok()?.trim_end().parse().ok()?;
        if Digest::of(text) != sealed {
            return None;
        }
        let record: Self = serde_json::from_slice(text).ok()?;
        (record.record_format == RECORD_FORMAT).then_some(record)
    }
}
