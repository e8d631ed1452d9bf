//! From a complete run to its lock.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use super::{CERTIFICATE, Lock, LockedAction, LockedFiles, LockedInput};
use crate::digest::Digest;
use crate::exec::RunReport;
use crate::inputs::ONLY_FILE;
use crate::key::canonical;
use crate::manifest::{MANIFEST_FORMAT, Manifest, ResolvedStage, Source};
use crate::plan::{Plan, PlannedAction, PlannedInput};
use crate::publish::{PublishedList, is_result};
use crate::store::{Tree, TreeFile};

impl Lock {
    /// The lock of a complete run.
    ///
    /// `metrics` are the published ones and `published` the files to publish; what either means is
    /// the caller's matter.
    pub fn of(
        manifest: &Manifest,
        plan: &Plan,
        report: &RunReport,
        metrics: BTreeMap<String, f64>,
        published: Option<LockedFiles>,
    ) -> Self {
        let mut numerics = BTreeMap::new();
        let mut actions = BTreeMap::new();
        let from: BTreeMap<String, _> = plan
            .order()
            .iter()
            .map(|&id| (plan.action(id).name(), connections(plan, plan.action(id))))
            .collect();
        for action in &report.actions {
            let (Some(document), Some(record)) = (&action.document, &action.record) else {
                continue;
            };
            let class = record.numerics.as_ref().map(|class| {
                let class = sorted(class);
                let name = Digest::of(class.to_string().as_bytes()).short();
                numerics.insert(name.clone(), class);
                name
            });
            let outputs = record.outputs.iter().map(|(port, artifacts)| {
                let digests = artifacts.iter().map(|artifact| artifact.digest).collect();
                (port.clone(), digests)
            });
            let locked = LockedAction {
                key: record.key,
                document: document.clone(),
                from: from.get(&action.action).cloned().unwrap_or_default(),
                outputs: outputs.collect(),
                numerics: class,
            };
            actions.insert(action.action.clone(), locked);
        }
        Self {
            experiment: manifest.name.clone(),
            manifest: manifest_digest(manifest),
            made_with: made_with(),
            inputs: input_trees(manifest, plan)
                .into_iter()
                .map(|(name, tree)| (name, LockedInput::of(&tree)))
                .collect(),
            numerics,
            actions,
            metrics,
            published,
        }
    }
}

impl LockedInput {
    /// The entry of an input with these files.
    pub fn of(tree: &Tree) -> Self {
        Self {
            digest: tree.digest(),
            files: tree.files.len() as u64,
            bytes: tree.size(),
        }
    }
}

/// Digest of a manifest as resolved: what it asks for, whichever way it is written.
///
/// In it are the stages with their parameters, seeds and connections. Not in it are comments, order and
/// format, paths of inputs and of the published folder, resources, every parameter that cannot change
/// a result, and what `verify` shall check: bounds may be set after a run.
pub fn manifest_digest(manifest: &Manifest) -> Digest {
    let stages: Map<String, Value> = manifest
        .stages
        .iter()
        .map(|(name, stage)| (name.clone(), stage_document(stage)))
        .collect();
    let document = json!({
        "manifest_format": MANIFEST_FORMAT,
        "name": manifest.name,
        "stages": stages,
    });
    Digest::of(canonical(&document).as_bytes())
}

fn stage_document(stage: &ResolvedStage) -> Value {
    let inputs: Map<String, Value> = stage
        .inputs
        .iter()
        .map(|(port, source)| {
            let source = match source {
                Source::External { name, .. } => json!({ "input": name }),
                Source::Stage { stage, port } => json!({ "stage": stage, "port": port }),
            };
            (port.clone(), source)
        })
        .collect();
    json!({
        "uses": stage.stage.id(),
        "with": stage.stage.semantic(&stage.params),
        "inputs": inputs,
        "seed": stage.is_seeded.then(|| stage.seed.to_string()),
        "splits": stage.splits,
    })
}

/// The files that the plan reads of each external input, by path relative to the input.
pub fn input_trees(manifest: &Manifest, plan: &Plan) -> BTreeMap<String, Tree> {
    let mut trees: BTreeMap<String, Tree> = BTreeMap::new();
    let mut seen = BTreeSet::new();
    for &id in plan.order() {
        let action = plan.action(id);
        for (port, input) in &action.inputs {
            let PlannedInput::External(input) = input else {
                continue;
            };
            let Some(Source::External { name, .. }) = action.stage.inputs.get(port) else {
                continue;
            };
            // The splits of a folder have other contents; other readers often the same.
            if !seen.insert((name, action.split, input.digest)) {
                continue;
            }
            let root = manifest.input_path(name);
            let root = root.canonicalize().unwrap_or(root);
            let tree = trees.entry(name.clone()).or_default();
            for file in input.files.values() {
                let path = file.path.strip_prefix(&root).ok().and_then(|p| p.to_str());
                let path = path.filter(|path| !path.is_empty()).unwrap_or(ONLY_FILE);
                let entry = TreeFile {
                    digest: file.digest,
                    size: file.size,
                };
                tree.files.insert(path.to_owned(), entry);
            }
        }
    }
    trees
}

/// What each input port of an action is connected to.
fn connections(plan: &Plan, action: &PlannedAction) -> BTreeMap<String, String> {
    let ports = action.inputs.keys();
    ports
        .map(|port| (port.clone(), source_name(plan, action, port)))
        .collect()
}

/// What an input port is connected to: `caps`, `holdout.train`, `folds.splits[0]`.
pub fn source_name(plan: &Plan, action: &PlannedAction, port: &str) -> String {
    match (action.inputs.get(port), action.stage.inputs.get(port)) {
        (
            Some(PlannedInput::Action {
                action,
                port,
                index,
            }),
            _,
        ) => {
            let provider = plan.action(*action);
            let output = provider.outputs.iter().find(|output| output.name == *port);
            let name = provider.name();
            match output.and_then(|output| output.splits) {
                Some(_) => format!("{name}.{port}[{index}]"),
                None => format!("{name}.{port}"),
            }
        }
        (_, Some(Source::External { name, .. })) => name.clone(),
        (Some(PlannedInput::Splits { port, .. }), Some(Source::Stage { stage, .. })) => {
            format!("{stage}.{port}")
        }
        _ => String::new(),
    }
}

/// The entry of a list of published files; `None` when there is no result among them.
pub fn published_digest(list: &PublishedList) -> Option<LockedFiles> {
    let tree = Tree {
        files: list
            .files
            .iter()
            .filter(|(path, _)| is_result(path))
            .map(|(path, file)| (path.clone(), *file))
            .collect(),
    };
    (!tree.files.is_empty()).then(|| LockedFiles {
        digest: tree.digest(),
        files: tree.files.len() as u64,
        certificate: tree.files.get(CERTIFICATE).map(|file| file.digest),
    })
}

fn made_with() -> BTreeMap<String, String> {
    [
        ("clinicadl", env!("CARGO_PKG_VERSION")),
        ("system", std::env::consts::OS),
        ("architecture", std::env::consts::ARCH),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .into()
}

/// The same value with sorted keys, as a stored record has it: a lock is the same from either.
fn sorted(value: &Value) -> Value {
    serde_json::from_str(&canonical(value)).unwrap_or_default()
}
