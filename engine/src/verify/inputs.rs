//! Tier `inputs`: the manifest, the content of inputs and the keys of actions, nothing executed.
//!
//! What an action would read from an earlier one is taken from the lock, which is right as long as
//! that one's own key is the locked one: keys are computed from contents, so equal keys all the way up
//! mean that a run would reuse or recompute exactly the locked results.

use std::collections::{BTreeMap, BTreeSet};

use super::check::{Check, Fault, Section};
use crate::context::Input;
use crate::inputs::ONLY_FILE;
use crate::key::{Change, FileChanges, KeyDocument, Reason, canonical, diff};
use crate::lock::{Lock, LockedAction, LockedInput, input_trees, manifest_digest, source_name};
use crate::manifest::{Manifest, Source};
use crate::plan::{ActionId, Plan, PlannedAction, PlannedInput, changes, key_document};
use crate::store::{Store, Tree};

/// Files named in a message.
const NAMED: usize = 5;

/// Compares a manifest and what it reads with its lock.
///
/// `store` is where the last run may have left the lists of input files, which then can be named.
pub fn check_inputs(
    manifest: &Manifest,
    plan: &Plan,
    lock: &Lock,
    store: Option<&Store>,
) -> Vec<Check> {
    let mut checks = vec![manifest_check(manifest, lock)];
    let (actions, changed) = action_checks(manifest, plan, lock, store);
    let now = input_trees(manifest, plan);
    let names: BTreeSet<&String> = now.keys().chain(lock.inputs.keys()).collect();
    for name in names {
        let (tree, locked) = (now.get(name), lock.inputs.get(name));
        checks.push(input_check(name, tree, locked, changed.get(name)));
    }
    checks.extend(actions);
    checks
}

fn manifest_check(manifest: &Manifest, lock: &Lock) -> Check {
    let name = manifest.path.file_name().unwrap_or_default();
    let name = name.to_string_lossy();
    if manifest_digest(manifest) == lock.manifest {
        return Check::passed(Section::Manifest, name, "says what the lock says");
    }
    let message = "changed since the lock was written";
    Check::failed(Section::Manifest, name, Fault::NotUpToDate, message)
        .hint("`clinicadl run` brings the lock up to date: commit both together")
}

fn input_check(
    name: &str,
    now: Option<&Tree>,
    locked: Option<&LockedInput>,
    changed: Option<&Option<FileChanges>>,
) -> Check {
    let failed = |fault, message: &str| Check::failed(Section::Input, name, fault, message);
    let (now, locked) = match (now, locked) {
        (Some(now), Some(locked)) => (now, locked),
        (Some(_), None) => return failed(Fault::NotUpToDate, "is not in the lock"),
        _ => {
            return failed(
                Fault::NotUpToDate,
                "is locked, and no stage reads it any more",
            );
        }
    };
    let found = LockedInput::of(now);
    if found == *locked {
        return Check::passed(Section::Input, name, amount(&found));
    }
    let Some(files) = changed else {
        let message = "other files of it are read, because stages changed";
        return failed(Fault::NotUpToDate, message);
    };
    let check = failed(Fault::InputChanged, "its content is not the locked one");
    match files {
        Some(files) if files.changed == [ONLY_FILE] => check,
        Some(files) => check.details([files.to_string()]),
        None => check.details([
            format!("locked {}; found {}", amount(locked), amount(&found)),
            "which files changed is known only beside the store of the locked run".to_owned(),
        ]),
    }
    .hint("restore the data, or run again and commit the new lock")
}

fn amount(input: &LockedInput) -> String {
    format!("{}, {} bytes", count(input.files, "file"), input.bytes)
}

/// `1 file`, `2 files`.
pub(super) fn count(number: impl Into<u64>, what: &str) -> String {
    match number.into() {
        1 => format!("1 {what}"),
        number => format!("{number} {what}s"),
    }
}

/// The first few lines, and how many more there are.
pub(super) fn shorten(mut lines: Vec<String>) -> Vec<String> {
    let more = lines.len().saturating_sub(NAMED);
    if more > 0 {
        lines.truncate(NAMED);
        lines.push(format!("and {more} more"));
    }
    lines
}

/// Inputs by name, with the files that changed where they are known.
type ChangedInputs = BTreeMap<String, Option<FileChanges>>;

/// Checks of all actions, and the inputs whose change alone changed one of them.
fn action_checks(
    manifest: &Manifest,
    plan: &Plan,
    lock: &Lock,
    store: Option<&Store>,
) -> (Vec<Check>, ChangedInputs) {
    let mut checks = Vec::new();
    let mut faults: BTreeMap<ActionId, Fault> = BTreeMap::new();
    let mut changed = ChangedInputs::new();
    for &id in plan.order() {
        let action = plan.action(id);
        let name = action.name();
        let Some(locked) = lock.actions.get(&name) else {
            faults.insert(id, Fault::NotUpToDate);
            if manifest.is_of_some_trials(&action.stage_name) {
                let message = "is not in the lock: its trial failed";
                checks.push(Check::skipped(Section::Action, name, message));
                continue;
            }
            let message = "is not in the lock";
            checks.push(Check::failed(
                Section::Action,
                name,
                Fault::NotUpToDate,
                message,
            ));
            continue;
        };
        let difference = compare(plan, action, locked, store);
        let upstream = plan.dependencies(id).iter().copied();
        let upstream = upstream
            .filter_map(|up| Some((up, *faults.get(&up)?)))
            .next();
        let (fault, message) = match (difference, upstream) {
            (
                Some(Difference {
                    why,
                    inputs: Some(inputs),
                }),
                _,
            ) => {
                changed.extend(inputs);
                (Fault::InputChanged, why)
            }
            (Some(Difference { why, inputs: None }), _) => (Fault::NotUpToDate, why),
            (None, Some((up, fault))) => {
                let action = plan.action(up).name();
                (
                    fault,
                    format!("`{action}`, which it reads, is not the locked one"),
                )
            }
            (None, None) => {
                let message = format!("key {}", locked.key.short());
                checks.push(Check::passed(Section::Action, name, message));
                continue;
            }
        };
        faults.insert(id, fault);
        checks.push(Check::failed(Section::Action, name, fault, message));
    }
    let planned: BTreeSet<String> = plan
        .order()
        .iter()
        .map(|&id| plan.action(id).name())
        .collect();
    for name in lock.actions.keys().filter(|name| !planned.contains(*name)) {
        let message = "is locked, and no longer in the manifest";
        let fault = Fault::NotUpToDate;
        checks.push(Check::failed(Section::Action, name, fault, message));
    }
    (checks, changed)
}

/// How an action differs from its line in the lock.
struct Difference {
    why: String,
    /// The changed external inputs, when nothing else differs.
    inputs: Option<ChangedInputs>,
}

fn compare(
    plan: &Plan,
    action: &PlannedAction,
    locked: &LockedAction,
    store: Option<&Store>,
) -> Option<Difference> {
    let mut inputs = BTreeMap::new();
    let mut reconnected = Vec::new();
    for (port, input) in &action.inputs {
        let source = source_name(plan, action, port);
        let before = locked.document.inputs.get(port);
        let was = locked.from.get(port).filter(|_| before.is_some());
        if was != Some(&source) {
            reconnected.push(match was {
                Some(was) => format!("input `{port}` is connected to `{source}`, was `{was}`"),
                None => format!("input `{port}` is connected to `{source}`, was not connected"),
            });
        }
        let input = match (input, before) {
            (PlannedInput::External(input), _) => (**input).clone(),
            (PlannedInput::Action { .. } | PlannedInput::Splits { .. }, Some(before)) => Input {
                kind: before.kind.clone(),
                digest: before.digest,
                shown: source,
                files: BTreeMap::new(),
            },
            (PlannedInput::Action { .. } | PlannedInput::Splits { .. }, None) => continue,
        };
        inputs.insert(port.clone(), input);
    }
    let document = key_document(action, &inputs);
    if document.key() == locked.key && reconnected.is_empty() {
        return None;
    }
    let (old, new) = (as_stored(&locked.document), as_stored(&document));
    let changes = match store {
        Some(store) => changes(&old, &new, &inputs, store),
        None => diff(&old, &new),
    };
    let of_input = |change: &Change| match change {
        Change::Input {
            port,
            old: Some(_),
            new: Some(_),
            files,
        } => match action.stage.inputs.get(port) {
            Some(Source::External { name, .. }) => Some((name.clone(), files.clone())),
            _ => None,
        },
        _ => None,
    };
    let only_inputs: Option<ChangedInputs> = changes.iter().map(of_input).collect();
    let is_only_inputs = reconnected.is_empty() && !changes.is_empty();
    let mut why = Vec::new();
    if !changes.is_empty() {
        why.push(Reason::Changed { changes }.to_string());
    }
    why.extend(reconnected);
    if why.is_empty() {
        why.push("its key is not the locked one".to_owned());
    }
    Some(Difference {
        why: why.join("; "),
        inputs: only_inputs.filter(|_| is_only_inputs),
    })
}

/// The document as it reads back from its canonical text, in which `1.0` is `1`.
fn as_stored(document: &KeyDocument) -> KeyDocument {
    serde_json::from_str(&canonical(&document.to_value())).unwrap_or_else(|_| document.clone())
}
