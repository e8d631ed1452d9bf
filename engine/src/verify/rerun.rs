//! Tier `rerun: bitwise`: the results of a run in an empty store against the locked ones.

use super::check::{Check, Fault, Section};
use super::inputs::count;
use super::outputs::prefix_of;
use crate::digest::Digest;
use crate::exec::{ActionOutcome, ActionReport, RunReport};
use crate::lock::{Lock, LockedAction};
use crate::store::{ActionRecord, Store, Tree};

/// Compares every output of a second run with the lock, bit for bit.
///
/// An action that had the locked key and made other bytes is not reproducible; what read those bytes
/// cannot be compared. `original` is the store of the locked run, where files can be looked up.
pub fn compare_rerun(
    lock: &Lock,
    report: &RunReport,
    fresh: &Store,
    original: Option<&Store>,
) -> Vec<Check> {
    let actions = report.actions.iter();
    actions
        .filter_map(|action| Some((action, lock.actions.get(&action.action)?)))
        .map(|(action, locked)| match (&action.record, &action.outcome) {
            (Some(record), _) => compare(action, record, locked, fresh, original),
            (None, ActionOutcome::Failed { error }) => {
                let check = Check::failed(
                    Section::Rerun,
                    &action.action,
                    Fault::RunFailed,
                    format!("failed: {}", error.message),
                );
                match error.hints.first() {
                    Some(hint) => check.hint(hint),
                    None => check,
                }
            }
            (None, ActionOutcome::Skipped { because }) => {
                let message = format!("did not run: `{because}` failed");
                Check::skipped(Section::Rerun, &action.action, message)
            }
            (None, _) => Check::skipped(Section::Rerun, &action.action, "did not run"),
        })
        .collect()
}

fn compare(
    action: &ActionReport,
    record: &ActionRecord,
    locked: &LockedAction,
    fresh: &Store,
    original: Option<&Store>,
) -> Check {
    let name = &action.action;
    if record.key != locked.key {
        let message = "not comparable: an earlier action gave other bytes";
        return Check::skipped(Section::Rerun, name, message);
    }
    for (port, expected) in &locked.outputs {
        let found: Vec<Digest> = record
            .outputs
            .get(port)
            .map(|artifacts| artifacts.iter().map(|artifact| artifact.digest).collect())
            .unwrap_or_default();
        let differs =
            (0..expected.len().max(found.len())).find(|&i| expected.get(i) != found.get(i));
        let Some(split) = differs else {
            continue;
        };
        let output = prefix_of(port, split, expected.len());
        let before = expected.get(split);
        let before = before.and_then(|digest| original?.tree(digest));
        let now = found.get(split).and_then(|digest| fresh.tree(digest));
        let message = match (before, now) {
            (Some(before), Some(now)) => match first_difference(&before, &now) {
                Some(file) => format!("is not reproducible: `{output}/{file}` differs"),
                None => format!("is not reproducible: output `{output}` differs"),
            },
            _ => format!(
                "is not reproducible: output `{output}` differs; in which file is known only \
                 beside the store of the locked run"
            ),
        };
        return Check::failed(Section::Rerun, name, Fault::NotReproducible, message).hint(
            "the stage gives other bytes for the same key, or the lock was made on another \
             numerics class",
        );
    }
    let outputs: usize = locked.outputs.values().map(Vec::len).sum();
    let message = format!("{}, the same bit for bit", count(outputs as u64, "output"));
    Check::passed(Section::Rerun, name, message)
}

/// The first file, by path, that is not the same in both.
fn first_difference(before: &Tree, now: &Tree) -> Option<String> {
    let mut paths: Vec<&String> = before.files.keys().chain(now.files.keys()).collect();
    paths.sort();
    paths
        .into_iter()
        .find(|path| before.files.get(*path) != now.files.get(*path))
        .cloned()
}
