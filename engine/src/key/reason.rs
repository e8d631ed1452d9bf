//! Why an action has to run, as a structural difference of key documents.

use std::collections::BTreeSet;
use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::KeyDocument;
use crate::inputs::ONLY_FILE;
use crate::store::Tree;

/// Why an action runs. The list is closed: whatever makes an action run has a name here.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "reason", rename_all = "kebab-case")]
pub enum Reason {
    /// No earlier run of this manifest had this action.
    New,
    /// The action ran before with another key.
    Changed {
        /// Every difference, most telling first.
        changes: Vec<Change>,
    },
    /// It ran before with this key, but no usable record is left.
    RecordMissing,
    /// A stored output is gone or its bytes no longer fit its digest.
    OutputLost {
        /// The output port.
        port: String,
    },
    /// An earlier action will run; this one is skipped if that one's output stays the same.
    UpstreamWillRun {
        /// The earlier action.
        action: String,
        /// What changed besides.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        besides: Vec<Change>,
    },
    /// Its result was computed by another class of hardware and libraries, and only results of the
    /// same class are reused (`--reuse same-class`).
    NumericsClass {
        /// The class of the stored result.
        stored: Value,
        /// The class here.
        now: Value,
    },
    /// Asked for with `--force`.
    Forced,
}

/// One difference between two key documents.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "change", rename_all = "kebab-case")]
pub enum Change {
    /// The stage's implementation changed.
    Version {
        /// Before.
        old: u32,
        /// Now.
        new: u32,
    },
    /// A parameter changed.
    Param {
        /// Path below `with`.
        field: String,
        /// Before; `null` when it did not exist.
        old: Value,
        /// Now; `null` when it no longer exists.
        new: Value,
    },
    /// The content of an input changed, or an input was connected or disconnected.
    Input {
        /// The input port.
        port: String,
        /// Digest before.
        old: Option<String>,
        /// Digest now.
        new: Option<String>,
        /// Which files, where the old content is still known.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        files: Option<FileChanges>,
    },
    /// The experiment's seed changed.
    Seed {
        /// Before.
        old: Option<String>,
        /// Now.
        new: Option<String>,
    },
    /// Another stage under this name.
    Stage {
        /// Stage ID before.
        old: String,
        /// Stage ID now.
        new: String,
    },
    /// Another program, or another value of a variable that a program sees.
    Surroundings {
        /// `program sh`, `variable SUBJECTS_DIR`.
        name: String,
        /// Before: a digest.
        old: Option<String>,
        /// Now.
        new: Option<String>,
    },
    /// Another set of outputs of an unchanged stage.
    Outputs,
    /// The rules that make keys changed, which invalidates everything once.
    KeyFormat,
}

/// The files by which two contents of an input differ, sorted by path.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileChanges {
    /// Files that are new.
    pub added: Vec<String>,
    /// Files that are gone.
    pub removed: Vec<String>,
    /// Files with other bytes.
    pub changed: Vec<String>,
}

impl FileChanges {
    /// Whether the input is one file, whose name says nothing.
    fn is_one_file(&self) -> bool {
        self.changed == [ONLY_FILE]
    }

    /// What differs from `old` to `new`.
    pub fn between(old: &Tree, new: &Tree) -> Self {
        let mut changes = Self::default();
        for (path, file) in &new.files {
            match old.files.get(path) {
                None => changes.added.push(path.clone()),
                Some(before) if before.digest != file.digest => changes.changed.push(path.clone()),
                Some(_) => {}
            }
        }
        let gone = old
            .files
            .keys()
            .filter(|path| !new.files.contains_key(*path));
        changes.removed.extend(gone.cloned());
        changes
    }
}

/// Files named in a line for people; all of them are in the JSON.
const NAMED: usize = 3;

impl fmt::Display for FileChanges {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lists = [
            ("changed", &self.changed),
            ("added", &self.added),
            ("removed", &self.removed),
        ];
        let parts: Vec<String> = lists
            .into_iter()
            .filter(|(_, files)| !files.is_empty())
            .map(|(word, files)| {
                let named: Vec<String> = files
                    .iter()
                    .take(NAMED)
                    .map(|file| format!("`{file}`"))
                    .collect();
                let more = match files.len().saturating_sub(NAMED) {
                    0 => String::new(),
                    more => format!(" and {more} more"),
                };
                format!("{} {word}: {}{more}", files.len(), named.join(", "))
            })
            .collect();
        f.write_str(&parts.join("; "))
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::New => f.write_str("never ran"),
            Self::Changed { changes } => f.write_str(&listed(changes)),
            Self::RecordMissing => f.write_str("its record is missing or damaged"),
            Self::OutputLost { port } => write!(f, "stored output `{port}` is missing or damaged"),
            Self::UpstreamWillRun { action, besides } if besides.is_empty() => {
                write!(
                    f,
                    "`{action}` runs first; skipped if its output stays the same"
                )
            }
            Self::UpstreamWillRun { action, besides } => {
                write!(f, "`{action}` runs first; besides, {}", listed(besides))
            }
            Self::NumericsClass { stored, now } => {
                f.write_str("its result was computed with ")?;
                let names = now.as_object().into_iter().flatten().map(|(name, _)| name);
                let differing: Vec<String> = names
                    .filter(|name| stored[name.as_str()] != now[name.as_str()])
                    .map(|name| format!("{name} {} (here {})", stored[name], now[name]))
                    .collect();
                f.write_str(&differing.join(", "))
            }
            Self::Forced => f.write_str("forced"),
        }
    }
}

fn listed(changes: &[Change]) -> String {
    let texts: Vec<String> = changes.iter().map(ToString::to_string).collect();
    texts.join("; ")
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Version { old, new } => write!(f, "stage version changed from {old} to {new}"),
            Self::Param { field, old, new } => {
                write!(f, "parameter `{field}` changed from {old} to {new}")
            }
            Self::Input {
                port,
                old: Some(_),
                new: Some(_),
                files,
            } => match files {
                Some(files) if !files.is_one_file() => {
                    write!(f, "content of input `{port}` changed ({files})")
                }
                _ => write!(f, "content of input `{port}` changed"),
            },
            Self::Input {
                port, old: None, ..
            } => write!(f, "input `{port}` was connected"),
            Self::Input { port, .. } => write!(f, "input `{port}` was disconnected"),
            Self::Seed { old, new } => {
                let show = |seed: &Option<String>| seed.clone().unwrap_or_else(|| "none".into());
                write!(f, "seed changed from {} to {}", show(old), show(new))
            }
            Self::Surroundings { name, .. } => {
                let (kind, name) = name.split_once(' ').unwrap_or(("", name));
                write!(f, "{kind} `{name}` changed")
            }
            Self::Outputs => f.write_str("the set of outputs changed"),
            Self::Stage { old, new } => write!(f, "stage changed from `{old}` to `{new}`"),
            Self::KeyFormat => f.write_str("this version makes keys by other rules"),
        }
    }
}

/// Every difference from `old` to `new`, parameters before inputs.
pub fn diff(old: &KeyDocument, new: &KeyDocument) -> Vec<Change> {
    let mut changes = Vec::new();
    if old.key_format != new.key_format {
        changes.push(Change::KeyFormat);
    }
    if old.stage != new.stage {
        changes.push(Change::Stage {
            old: old.stage.clone(),
            new: new.stage.clone(),
        });
    }
    if old.stage == new.stage && old.version != new.version {
        changes.push(Change::Version {
            old: old.version,
            new: new.version,
        });
    }
    diff_values("", &old.params, &new.params, &mut changes);
    if old.stage == new.stage && old.params == new.params && old.outputs != new.outputs {
        changes.push(Change::Outputs);
    }
    if old.seed != new.seed {
        changes.push(Change::Seed {
            old: old.seed.clone(),
            new: new.seed.clone(),
        });
    }
    let names: BTreeSet<_> = old
        .surroundings
        .keys()
        .chain(new.surroundings.keys())
        .collect();
    for name in names {
        let (before, now) = (old.surroundings.get(name), new.surroundings.get(name));
        if before != now {
            changes.push(Change::Surroundings {
                name: name.clone(),
                old: before.cloned(),
                new: now.cloned(),
            });
        }
    }
    let ports: BTreeSet<_> = old.inputs.keys().chain(new.inputs.keys()).collect();
    for port in ports {
        let digest =
            |document: &KeyDocument| document.inputs.get(port).map(|i| i.digest.to_string());
        if old.inputs.get(port) != new.inputs.get(port) {
            changes.push(Change::Input {
                port: port.clone(),
                old: digest(old),
                new: digest(new),
                files: None,
            });
        }
    }
    changes
}

fn diff_values(path: &str, old: &Value, new: &Value, changes: &mut Vec<Change>) {
    if let (Value::Object(old), Value::Object(new)) = (old, new) {
        let names: BTreeSet<_> = old.keys().chain(new.keys()).collect();
        for name in names {
            let below = if path.is_empty() {
                name.clone()
            } else {
                format!("{path}.{name}")
            };
            let at = |fields: &serde_json::Map<String, Value>| {
                fields.get(name).cloned().unwrap_or(Value::Null)
            };
            diff_values(&below, &at(old), &at(new), changes);
        }
    } else if old != new {
        let field = path.to_owned();
        changes.push(Change::Param {
            field,
            old: old.clone(),
            new: new.clone(),
        });
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::json;

    use super::*;
    use crate::digest::Digest;
    use crate::key::KeyInput;

    #[test]
    fn a_changed_parameter_is_named_with_both_values() {
        let old = KeyDocument {
            key_format: 1,
            stage: "train".into(),
            version: 1,
            params: json!({ "optimizer": { "learning_rate": 0.001 }, "epochs": 2 }),
            inputs: [(
                "images".into(),
                KeyInput {
                    kind: "t".into(),
                    digest: Digest::of(b"a"),
                },
            )]
            .into(),
            outputs: [].into(),
            seed: None,
            split: None,
            surroundings: BTreeMap::new(),
        };
        let mut new = old.clone();
        new.params["optimizer"]["learning_rate"] = json!(0.0003);
        new.inputs.clear();
        let reason = Reason::Changed {
            changes: diff(&old, &new),
        };
        assert_eq!(
            reason.to_string(),
            "parameter `optimizer.learning_rate` changed from 0.001 to 0.0003; input `images` was \
             disconnected"
        );
    }

    #[test]
    fn changed_files_are_named_and_long_lists_are_cut() {
        let tree = |files: &[(&str, &str)]| Tree {
            files: files
                .iter()
                .map(|(path, content)| {
                    let file = crate::store::TreeFile {
                        digest: Digest::of(content.as_bytes()),
                        size: 1,
                    };
                    ((*path).to_owned(), file)
                })
                .collect(),
        };
        let old = tree(&[("a", "1"), ("b", "2"), ("gone", "3")]);
        let new = tree(&[
            ("a", "1"),
            ("b", "9"),
            ("n1", ""),
            ("n2", ""),
            ("n3", ""),
            ("n4", ""),
        ]);
        assert_eq!(
            FileChanges::between(&old, &new).to_string(),
            "1 changed: `b`; 4 added: `n1`, `n2`, `n3` and 1 more; 1 removed: `gone`"
        );
    }
}
