//! A complete run in the form that its records need: who read what, who made what.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use serde_json::Value;

use super::account::{Account, Computed};
use super::places::scrubbed;
use crate::digest::Digest;
use crate::exec::{ActionOutcome, ActionReport};
use crate::key::KeyDocument;
use crate::manifest::{ResolvedStage, Source};
use crate::plan::PlannedInput;
use crate::publish::{Content, PublishedFile};
use crate::store::ActionRecord;

/// A complete run.
pub(super) struct History<'a> {
    pub(super) account: &'a Account<'a>,
    /// In order of the plan.
    pub(super) actions: Vec<Done<'a>>,
    /// What was read from outside, in order of the plan.
    pub(super) inputs: Vec<ExternalInput>,
    /// Artifacts by digest.
    pub(super) artifacts: BTreeMap<Digest, ArtifactFacts>,
}

/// A finished action.
pub(super) struct Done<'a> {
    pub(super) report: &'a ActionReport,
    pub(super) document: &'a KeyDocument,
    pub(super) record: &'a ActionRecord,
    pub(super) stage: &'a ResolvedStage,
    /// What is connected to each port.
    pub(super) inputs: BTreeMap<String, Used>,
    pub(super) computed: Option<Computed>,
    /// The action's name as part of an identifier.
    pub(super) slug: String,
}

impl Done<'_> {
    /// Whether this run computed it.
    pub(super) fn ran(&self) -> bool {
        matches!(self.report.outcome, ActionOutcome::Ran { .. })
    }
}

/// What an action read.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Used {
    pub(super) kind: String,
    pub(super) digest: Digest,
    /// The manifest's name of an external input, or `stage.port`.
    pub(super) from: String,
    /// Whether it came from outside.
    #[serde(skip)]
    pub(super) external: bool,
}

/// What was read from outside, as one stage saw it. It is told by content; where it lay is not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct ExternalInput {
    /// The name under `inputs:` of the manifest.
    pub(super) name: String,
    pub(super) kind: String,
    pub(super) digest: Digest,
    /// The number of files that were read.
    pub(super) files: usize,
    pub(super) bytes: u64,
}

/// An artifact that an action made.
pub(super) struct ArtifactFacts {
    /// `stage.port` of its first maker.
    pub(super) name: String,
    pub(super) kind: String,
    pub(super) bytes: u64,
}

/// Which artifact a published file is from: `(action, artifact)`, by path. Files that were made while
/// publishing have none.
pub(super) type Origins = BTreeMap<String, (usize, Digest)>;

impl<'a> History<'a> {
    pub(super) fn new(account: &'a Account<'a>) -> Self {
        let mut history = Self {
            account,
            actions: Vec::new(),
            inputs: Vec::new(),
            artifacts: BTreeMap::new(),
        };
        let mut slugs = BTreeSet::new();
        let planned: BTreeMap<String, _> = account
            .plan
            .order()
            .iter()
            .map(|&id| (account.plan.action(id).name(), id))
            .collect();
        for report in &account.report.actions {
            let (Some(document), Some(record), Some(stage), Some(&id)) = (
                report.document.as_ref(),
                report.record.as_ref(),
                account.manifest.stages.get(&report.stage_name),
                planned.get(&report.action),
            ) else {
                continue;
            };
            let mut inputs = BTreeMap::new();
            for (port, input) in &account.plan.action(id).inputs {
                if let Some(used) = history.used(stage, document, port, input) {
                    inputs.insert(port.clone(), used);
                }
            }
            for (port, artifacts) in &record.outputs {
                for artifact in artifacts {
                    let facts = || ArtifactFacts {
                        name: format!("{}.{port}", report.action),
                        kind: artifact.kind.clone(),
                        bytes: artifact.size,
                    };
                    let artifacts = &mut history.artifacts;
                    artifacts.entry(artifact.digest).or_insert_with(facts);
                }
            }
            history.actions.push(Done {
                report,
                document,
                record,
                stage,
                inputs,
                computed: account.computed(report),
                slug: unique(&mut slugs, slug(&report.action)),
            });
        }
        history
    }

    fn used(
        &mut self,
        stage: &ResolvedStage,
        document: &KeyDocument,
        port: &str,
        input: &PlannedInput,
    ) -> Option<Used> {
        let read = document.inputs.get(port)?;
        let (from, external) = match (stage.inputs.get(port)?, input) {
            (Source::External { name, .. }, PlannedInput::External(input)) => {
                let facts = ExternalInput {
                    name: name.clone(),
                    kind: input.kind.clone(),
                    digest: input.digest,
                    files: input.files.len(),
                    bytes: input.files.values().map(|file| file.size).sum(),
                };
                if !self.inputs.contains(&facts) {
                    self.inputs.push(facts);
                }
                (name.clone(), true)
            }
            (Source::Stage { stage, port }, _) => (format!("{stage}.{port}"), false),
            (Source::External { name, .. }, PlannedInput::Action { .. }) => (name.clone(), false),
        };
        Some(Used {
            kind: read.kind.clone(),
            digest: read.digest,
            from,
            external,
        })
    }

    /// Finds the artifact that each published file comes from: the first in order of the plan that has
    /// its bytes, one of the same split and with the same path inside being preferred.
    pub(super) fn origins(&self, results: &[PublishedFile]) -> Origins {
        let mut makers: BTreeMap<Digest, Vec<Maker>> = BTreeMap::new();
        for (index, done) in self.actions.iter().enumerate() {
            for artifacts in done.record.outputs.values() {
                for (part, artifact) in artifacts.iter().enumerate() {
                    let split = done.report.split.or((artifacts.len() > 1).then_some(part));
                    let tree = self.account.store.tree(&artifact.digest);
                    for (path, file) in tree.iter().flat_map(|tree| &tree.files) {
                        makers.entry(file.digest).or_default().push(Maker {
                            action: index,
                            artifact: artifact.digest,
                            split,
                            path: path.clone(),
                        });
                    }
                }
            }
        }
        let found = results.iter().filter_map(|file| {
            let Content::Object(digest) = &file.content else {
                return None;
            };
            let maker = makers
                .get(digest)?
                .iter()
                .min_by_key(|maker| std::cmp::Reverse(maker.fitness(&file.path)))?;
            Some((file.path.clone(), (maker.action, maker.artifact)))
        });
        found.collect()
    }

    /// The class of libraries that computed results, such as the version of libtorch.
    pub(super) fn libtorch(&self) -> Option<String> {
        self.actions.iter().find_map(|done| {
            let version = done.record.numerics.as_ref()?.get("libtorch")?;
            version.as_str().map(str::to_owned)
        })
    }
}

/// An artifact with a file of some content.
struct Maker {
    action: usize,
    artifact: Digest,
    split: Option<usize>,
    path: String,
}

impl Maker {
    fn fitness(&self, published: &str) -> (bool, bool) {
        let of_split = self.split.is_some_and(|split| {
            let folder = format!("split-{split}");
            published.split('/').any(|part| part == folder)
        });
        (published.ends_with(&self.path), of_split)
    }
}

/// A name as part of an identifier: `train (split 0)` is `train-split-0`.
fn slug(name: &str) -> String {
    let mut slug = String::new();
    for character in name.chars() {
        match character {
            '(' | ')' => {}
            c if c.is_ascii_alphanumeric() || "._".contains(c) => slug.push(c),
            _ if slug.ends_with('-') => {}
            _ => slug.push('-'),
        }
    }
    slug.trim_end_matches('-').to_owned()
}

fn unique(taken: &mut BTreeSet<String>, name: String) -> String {
    let mut candidate = name.clone();
    let mut number = 2;
    while !taken.insert(candidate.clone()) {
        candidate = format!("{name}.{number}");
        number += 1;
    }
    candidate
}

/// A name of the manifest as part of an identifier.
pub(super) fn part(name: &str) -> String {
    encode(name, "-._~")
}

/// A path as a URI reference.
pub(super) fn uri(path: &str) -> String {
    encode(path, "-._~/+=@,:")
}

/// A URI reference as a path.
pub(super) fn path_of(uri: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = uri.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        let code = (first == b'%').then(|| after.get(..2)).flatten();
        let code = code.and_then(|digits| std::str::from_utf8(digits).ok());
        match code.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(byte) => {
                bytes.push(byte);
                rest = &after[2..];
            }
            None => {
                bytes.push(first);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn encode(text: &str, also: &str) -> String {
    let mut encoded = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || also.as_bytes().contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    encoded
}

/// The parameters with nested names, `optimizer.learning_rate`, in order; lists as JSON text, and absolute
/// paths replaced.
pub fn leaves(params: &Value) -> Vec<(String, Value)> {
    fn descend(prefix: &str, value: &Value, found: &mut Vec<(String, Value)>) {
        match value {
            Value::Object(fields) => {
                for (name, value) in fields {
                    let name = match prefix {
                        "" => name.clone(),
                        _ => format!("{prefix}.{name}"),
                    };
                    descend(&name, value, found);
                }
            }
            Value::Null => {}
            Value::Array(_) => found.push((prefix.to_owned(), value.to_string().into())),
            _ => found.push((prefix.to_owned(), value.clone())),
        }
    }
    let mut found = Vec::new();
    descend("", &scrubbed(params.clone()), &mut found);
    found
}
