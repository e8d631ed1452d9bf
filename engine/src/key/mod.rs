//! What identifies a computation.
//!
//! The key of an action is the BLAKE3 digest (with a derivation context of its own) of one canonical
//! document: RFC 8785 JSON, so that a reviewer can recompute it in a few lines of any language.
//!
//! | in the document | why |
//! |---|---|
//! | `key_format` | a change of these rules misses everything, deliberately |
//! | stage ID and hand-raised version | another computation |
//! | semantic parameters, defaults made explicit | they change the result |
//! | inputs by port: kind and content digest | the data; never where it is or who made it |
//! | outputs by port: kind | what is asked for |
//! | seed, only of a stage that draws numbers; as text, since JSON numbers end at 2⁵³ | |
//! | split | which part of a partition |
//! | of a foreign program: its file, its tools and variables | they change what it does |
//!
//! | not in the document | why |
//! |---|---|
//! | paths, names of stages in the manifest, comments, order of keys | renaming must hit |
//! | time, host, user, worker count, executor | they must not change a result |
//! | crate version | most releases change no result; a stage whose bytes change raises its version |
//! | hardware, libtorch version, threads | the *numerics class*, an attribute of the stored result |

mod reason;

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

pub use reason::{Change, FileChanges, Reason, diff};

use crate::digest::{Digest, ParseDigestError};

/// Version of the rules above.
pub const KEY_FORMAT: u32 = 1;

/// Separates action keys from every other use of BLAKE3.
const CONTEXT: &str = "clinicadl 2026 action-key v1";

/// The name of a computation. Not a content digest: see [`Digest`] for those.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ActionKey(Digest);

impl ActionKey {
    /// The key of a document.
    pub fn of_document(document: &impl Serialize) -> Self {
        let hash = blake3::derive_key(CONTEXT, canonical(document).as_bytes());
        Self(Digest::from_bytes(hash))
    }

    /// All of its digits.
    pub(crate) fn digits(&self) -> Digest {
        self.0
    }

    /// The first twelve digits.
    pub fn short(&self) -> String {
        self.0.short()
    }
}

impl fmt::Display for ActionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for ActionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ActionKey({})", self.short())
    }
}

impl FromStr for ActionKey {
    type Err = ParseDigestError;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse().map(Self)
    }
}

impl Serialize for ActionKey {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for ActionKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Digest::deserialize(deserializer).map(Self)
    }
}

/// The canonical text (RFC 8785) of a JSON value, or of what is made of JSON values, text and integers.
///
/// # Panics
/// Never for those: what canonical JSON cannot express (numbers that are not finite) a [`Value`] cannot
/// hold.
pub fn canonical(value: &impl Serialize) -> String {
    serde_json_canonicalizer::to_string(value).expect("a JSON value holds finite numbers only")
}

/// Everything that decides an action's result.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct KeyDocument {
    /// [`KEY_FORMAT`].
    pub key_format: u32,
    /// Stage ID.
    pub stage: String,
    /// The stage's version.
    pub version: u32,
    /// Semantic parameters with every default.
    pub params: Value,
    /// What is connected to each input port.
    pub inputs: BTreeMap<String, KeyInput>,
    /// Kind by output port.
    pub outputs: BTreeMap<String, String>,
    /// The experiment's seed, in decimal.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seed: Option<String>,
    /// The split.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub split: Option<usize>,
    /// Programs by content and variables by value, of a stage that runs foreign programs.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub surroundings: BTreeMap<String, String>,
}

/// An input in a [`KeyDocument`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyInput {
    /// Kind of artifact.
    pub kind: String,
    /// Content digest.
    pub digest: Digest,
}

impl KeyDocument {
    /// The document as a JSON value.
    ///
    /// # Panics
    /// Never: every field has a JSON form.
    pub fn to_value(&self) -> Value {
        serde_json::to_value(self).expect("a key document has string keys only")
    }

    /// The key.
    pub fn key(&self) -> ActionKey {
        ActionKey::of_document(self)
    }

    /// The document together with its key, which takes time to compute.
    pub fn keyed(self) -> Keyed {
        Keyed {
            key: self.key(),
            document: self,
        }
    }
}

/// A document with its key.
#[derive(Debug, Clone, PartialEq)]
pub struct Keyed {
    /// The key.
    pub key: ActionKey,
    /// The document that it names.
    pub document: KeyDocument,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn document() -> KeyDocument {
        KeyDocument {
            key_format: KEY_FORMAT,
            stage: "train".into(),
            version: 3,
            params: json!({ "learning_rate": 1e-4, "epochs": 20 }),
            inputs: [(
                "images".into(),
                KeyInput {
                    kind: "tensors".into(),
                    digest: Digest::of(b"x"),
                },
            )]
            .into(),
            outputs: [("model".into(), "model".into())].into(),
            seed: Some("42".into()),
            split: Some(0),
            surroundings: BTreeMap::new(),
        }
    }

    #[test]
    fn the_key_of_a_fixed_document_never_changes() {
        // Raise KEY_FORMAT when this vector has to change.
        assert_eq!(
            document().key().to_string(),
            "a4e74a819b89b4a53791cd78e9f3375c8e11c9eaccfa18f48d8bf97103c3e23e"
        );
    }

    #[test]
    fn each_field_of_the_document_changes_the_key() {
        let key = document().key();
        let mut others = vec![document(); 7];
        others[0].stage = "predict".into();
        others[1].version = 4;
        others[2].params["epochs"] = json!(21);
        others[3].inputs.get_mut("images").unwrap().digest = Digest::of(b"y");
        others[4].seed = None;
        others[5].split = Some(1);
        others[6]
            .surroundings
            .insert("program sh".into(), "x".into());
        for other in others {
            assert_ne!(other.key(), key);
        }
    }

    proptest! {
        #[test]
        fn order_of_parameters_does_not_matter(names in proptest::collection::btree_set("[a-z]{1,8}", 1..8)) {
            let forward: serde_json::Map<_, _> =
                names.iter().map(|n| (n.clone(), json!(n.len()))).collect();
            let backward: serde_json::Map<_, _> =
                names.iter().rev().map(|n| (n.clone(), json!(n.len()))).collect();
            prop_assert_eq!(
                ActionKey::of_document(&Value::Object(forward)),
                ActionKey::of_document(&Value::Object(backward))
            );
        }
    }
}
