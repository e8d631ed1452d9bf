//! The lock as text: writing it, and reading it with everything that merges and editors do to it.

use std::collections::BTreeMap;
use std::fmt::{self, Write};
use std::io;
use std::marker::PhantomData;
use std::path::{Path, PathBuf};

use serde::de::{DeserializeOwned, Error as _, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Value, json};

use super::{LOCK_FORMAT, Lock, LockedAction, LockedFiles, LockedInput};
use crate::digest::Digest;
use crate::key::{ActionKey, KEY_FORMAT, KeyDocument};

/// A lock of ten thousand actions has some 20 MB.
const LARGEST: u64 = 256 << 20;

/// Why a lock cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LockError {
    /// The file cannot be read.
    #[error("failed to read `{}`: {source}", path.display())]
    Io {
        /// The lock.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A merge left its markers.
    #[error("`{}` has an unresolved merge conflict in line {line}", path.display())]
    Conflict {
        /// The lock.
        path: PathBuf,
        /// The first marker.
        line: usize,
    },
    /// The file ends too early.
    #[error("`{}` is cut off in line {line}", path.display())]
    Truncated {
        /// The lock.
        path: PathBuf,
        /// The last line.
        line: usize,
    },
    /// The file is no lock.
    #[error("`{}` is not a lock file: {message}", path.display())]
    Malformed {
        /// The lock.
        path: PathBuf,
        /// What is wrong, with its place.
        message: String,
    },
    /// Another version of the program wrote it.
    #[error("`{}` has lock format {found}, this version reads format {LOCK_FORMAT}", path.display())]
    Format {
        /// The lock.
        path: PathBuf,
        /// The format found.
        found: u64,
    },
}

impl LockError {
    /// What the user can do.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Io { .. } => "check that it is a readable file",
            Self::Conflict { .. } => {
                "take either side of the conflict; `clinicadl run` then brings the lock up to date"
            }
            Self::Format { .. } => {
                "use the version of clinicadl that wrote it, or write it anew with `clinicadl run`"
            }
            Self::Truncated { .. } | Self::Malformed { .. } => {
                "restore it from version control, or write it anew with `clinicadl run`"
            }
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ActionLine {
    document: KeyDocument,
    from: BTreeMap<String, String>,
    key: ActionKey,
    #[serde(default)]
    numerics: Option<String>,
    outputs: BTreeMap<String, Vec<Digest>>,
}

#[derive(Serialize)]
struct WrittenAction<'a> {
    document: &'a KeyDocument,
    from: &'a BTreeMap<String, String>,
    key: ActionKey,
    #[serde(skip_serializing_if = "Option::is_none")]
    numerics: Option<&'a String>,
    outputs: &'a BTreeMap<String, Vec<Digest>>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct InputLine {
    bytes: u64,
    digest: Digest,
    files: u64,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct FilesLine {
    digest: Digest,
    files: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    certificate: Option<Digest>,
}

#[derive(Deserialize)]
struct Head {
    lock_format: u64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wire {
    #[serde(rename = "lock_format")]
    _format: u64,
    experiment: String,
    manifest: Digest,
    #[serde(deserialize_with = "each_once")]
    made_with: BTreeMap<String, String>,
    #[serde(deserialize_with = "each_once")]
    inputs: BTreeMap<String, InputLine>,
    #[serde(deserialize_with = "each_once")]
    numerics: BTreeMap<String, Value>,
    #[serde(deserialize_with = "each_once")]
    actions: BTreeMap<String, ActionLine>,
    #[serde(deserialize_with = "each_once")]
    metrics: BTreeMap<String, Option<f64>>,
    published: Option<FilesLine>,
}

impl Lock {
    /// Reads the lock of a manifest; `None` when there is none.
    ///
    /// # Errors
    /// The file is unreadable, damaged, in conflict, or of another format.
    pub fn read(path: &Path) -> Result<Option<Self>, LockError> {
        let failed = |source| LockError::Io {
            path: path.to_owned(),
            source,
        };
        match std::fs::metadata(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(failed(error)),
            Ok(metadata) if metadata.len() > LARGEST => {
                return Err(LockError::Malformed {
                    path: path.to_owned(),
                    message: format!("it has {} bytes", metadata.len()),
                });
            }
            Ok(_) => {}
        }
        let bytes = std::fs::read(path).map_err(failed)?;
        Self::parse(path, &bytes).map(Some)
    }

    /// Reads the bytes of a lock; `path` is what messages call it.
    ///
    /// # Errors
    /// They are damaged, in conflict, or of another format.
    pub fn parse(path: &Path, bytes: &[u8]) -> Result<Self, LockError> {
        let path = || path.to_owned();
        let malformed = |message: String| LockError::Malformed {
            path: path(),
            message,
        };
        let text =
            std::str::from_utf8(bytes).map_err(|_| malformed("it is not text".to_owned()))?;
        if let Some(line) = conflict_marker(text) {
            return Err(LockError::Conflict { path: path(), line });
        }
        let wrong = |error: serde_json::Error| match error.classify() {
            serde_json::error::Category::Eof => LockError::Truncated {
                path: path(),
                line: error.line(),
            },
            _ => malformed(error.to_string()),
        };
        let head: Head = serde_json::from_str(text).map_err(wrong)?;
        if head.lock_format != u64::from(LOCK_FORMAT) {
            let found = head.lock_format;
            return Err(LockError::Format {
                path: path(),
                found,
            });
        }
        let wire: Wire = serde_json::from_str(text).map_err(wrong)?;
        wire.into_lock().map_err(malformed)
    }

    /// The text: JSON, one line per entry, entries sorted by name, a newline at the end.
    ///
    /// # Panics
    /// Never: what JSON cannot express is not in a lock.
    pub fn text(&self) -> String {
        let mut text = format!("{{\n  \"lock_format\": {LOCK_FORMAT},\n");
        let mut head = |name: &str, value: Value| {
            // Writing to a String cannot fail, here and below.
            let _ = writeln!(text, "  \"{name}\": {},", line(&value));
        };
        head("experiment", json!(self.experiment));
        head("manifest", json!(self.manifest));
        head("made_with", json!(self.made_with));
        section(&mut text, "inputs", &self.inputs, |input| {
            line(&InputLine {
                bytes: input.bytes,
                digest: input.digest,
                files: input.files,
            })
        });
        section(&mut text, "numerics", &self.numerics, line);
        section(&mut text, "actions", &self.actions, |action| {
            line(&WrittenAction {
                document: &action.document,
                from: &action.from,
                key: action.key,
                numerics: action.numerics.as_ref(),
                outputs: &action.outputs,
            })
        });
        section(&mut text, "metrics", &self.metrics, |value| {
            line(&value.is_finite().then_some(*value))
        });
        let published = self.published.as_ref().map(|files| FilesLine {
            digest: files.digest,
            files: files.files,
            certificate: files.certificate,
        });
        let _ = writeln!(text, "  \"published\": {}\n}}", line(&published));
        text
    }
}

impl Wire {
    fn into_lock(self) -> Result<Lock, String> {
        let mut actions = BTreeMap::new();
        for (name, action) in self.actions {
            if action.document.key_format != KEY_FORMAT {
                let found = action.document.key_format;
                return Err(format!(
                    "`{name}` has key format {found}, this version computes format {KEY_FORMAT}"
                ));
            }
            if action.document.key() != action.key {
                return Err(format!(
                    "the key of `{name}` does not belong to the rest of its line"
                ));
            }
            if let Some(class) = action.numerics.as_ref()
                && !self.numerics.contains_key(class)
            {
                return Err(format!("numerics class `{class}` of `{name}` is missing"));
            }
            let action = LockedAction {
                key: action.key,
                document: action.document,
                from: action.from,
                outputs: action.outputs,
                numerics: action.numerics,
            };
            actions.insert(name, action);
        }
        let inputs = self.inputs.into_iter().map(|(name, input)| {
            let input = LockedInput {
                digest: input.digest,
                files: input.files,
                bytes: input.bytes,
            };
            (name, input)
        });
        Ok(Lock {
            experiment: self.experiment,
            manifest: self.manifest,
            made_with: self.made_with,
            inputs: inputs.collect(),
            numerics: self.numerics,
            actions,
            metrics: self
                .metrics
                .into_iter()
                .map(|(name, value)| (name, value.unwrap_or(f64::NAN)))
                .collect(),
            published: self.published.map(|files| LockedFiles {
                digest: files.digest,
                files: files.files,
                certificate: files.certificate,
            }),
        })
    }
}

fn section<T>(
    text: &mut String,
    name: &str,
    entries: &BTreeMap<String, T>,
    show: impl Fn(&T) -> String,
) {
    let _ = write!(text, "  \"{name}\": {{");
    for (i, (name, entry)) in entries.iter().enumerate() {
        let comma = if i == 0 { "" } else { "," };
        let _ = write!(text, "{comma}\n    {}: {}", json!(name), show(entry));
    }
    text.push_str(if entries.is_empty() {
        "},\n"
    } else {
        "\n  },\n"
    });
}

fn line(entry: &impl Serialize) -> String {
    serde_json_canonicalizer::to_string(entry)
        .expect("an entry has string keys and finite numbers only")
}

/// The line of the first conflict marker of git.
fn conflict_marker(text: &str) -> Option<usize> {
    let markers = ["<<<<<<<", "=======", ">>>>>>>", "|||||||"];
    let at = text
        .lines()
        .position(|line| markers.iter().any(|marker| line.starts_with(marker)))?;
    Some(at + 1)
}

/// A mapping whose keys must be distinct: a merge that kept both sides of a line is an error.
fn each_once<'de, D: Deserializer<'de>, T: DeserializeOwned>(
    deserializer: D,
) -> Result<BTreeMap<String, T>, D::Error> {
    struct Unique<T>(PhantomData<T>);
    impl<'de, T: DeserializeOwned> Visitor<'de> for Unique<T> {
        type Value = BTreeMap<String, T>;
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a mapping")
        }
        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            let mut entries = BTreeMap::new();
            while let Some((name, entry)) = map.next_entry::<String, T>()? {
                if entries.contains_key(&name) {
                    return Err(A::Error::custom(format!("`{name}` is there twice")));
                }
                entries.insert(name, entry);
            }
            Ok(entries)
        }
    }
    deserializer.deserialize_map(Unique(PhantomData))
}
