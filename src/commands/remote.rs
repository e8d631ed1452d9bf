//! Results that go to and come from stores elsewhere: `run --remote`, `store push`, `store pull`.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::{Path, PathBuf};

use engine::exec::RunReport;
use engine::key::ActionKey;
use engine::lock::Lock;
use engine::remote::{Pushed, RemoteError, Tier};
use engine::store::Store;
use serde_json::json;

use super::results::{missing, unusable};
use super::{Session, human};
use crate::cli::{PullArgs, PushArgs};
use crate::failure::{Code, Failure, warn};

/// Opens the remote of a run; results that the lock of its manifest names must be as it says.
pub(super) fn tier_of_run(
    address: &str,
    is_pushed: bool,
    manifest: &Path,
) -> Result<Tier, Failure> {
    let remote = remote::open(address)?;
    let tier = match is_pushed && !remote.is_read_only() {
        true => Tier::open_or_create(remote)?,
        false => Tier::open(remote)?,
    };
    // An unreadable lock is told of when the run ends.
    let lock = Lock::read(&Lock::path_of(manifest)).ok().flatten();
    Ok(match lock {
        Some(lock) => tier.bound_by(&lock),
        None => tier,
    })
}

/// Puts what a run found and computed where others look. A failure is told and stops nothing: the
/// results are here.
pub(super) fn push_results(tier: &Tier, report: &RunReport, store: &Store) -> Option<String> {
    // Who asked it to stop does not want to wait.
    if tier.remote().is_read_only() || report.interrupted {
        return None;
    }
    let actions = report.actions.iter();
    let finished = actions.filter(|action| action.record.is_some());
    let keys: Vec<ActionKey> = finished.filter_map(|action| action.key).collect();
    match tier.push(store, &keys) {
        Ok(pushed) => {
            let sum = Sum::of(&pushed);
            (sum.new > 0).then(|| format!("pushed {}\n", sum.text(tier)))
        }
        Err(error) => {
            warn(
                &format!("nothing more was pushed: {error}"),
                "`clinicadl store push` tries again",
            );
            None
        }
    }
}

pub(super) fn push(session: &Session, args: &PushArgs) -> Result<(), Failure> {
    let store = Store::open_for_reading(&store_of(args.store.as_deref(), &args.manifests))?;
    let tier = Tier::open_or_create(remote::open(&args.remote)?)?;
    let mut keys: Vec<ActionKey> = Vec::new();
    if args.manifests.is_empty() {
        keys.extend(store.needed());
    }
    for manifest in &args.manifests {
        keys.extend(lock_of(manifest)?.actions.values().map(|action| action.key));
    }
    keys.sort_unstable();
    keys.dedup();
    let pushed = tier.push(&store, &keys)?;
    store.save_stats();
    let sum = Sum::of(&pushed);
    let mut text = format!("pushed {}\n", sum.text(&tier));
    // Writing to a String cannot fail.
    if sum.same > 0 {
        let _ = writeln!(text, "{} were there", sum.same);
    }
    if sum.other > 0 {
        let _ = writeln!(
            text,
            "{} are there with other bytes, which stay: these stages are not reproducible",
            sum.other
        );
    }
    if sum.missing > 0 {
        let _ = writeln!(
            text,
            "{} are not in the store here, or not whole",
            sum.missing
        );
    }
    session.print(
        text,
        &json!({
            "remote": tier.remote().address(), "pushed": sum.new, "bytes": sum.bytes,
            "same": sum.same, "other": sum.other, "missing": sum.missing,
        }),
    );
    if sum.missing > 0 {
        return Err(Failure::silent(Code::NotUpToDate));
    }
    Ok(())
}

pub(super) fn pull(session: &Session, args: &PullArgs) -> Result<(), Failure> {
    let locks: Vec<Lock> = args
        .manifests
        .iter()
        .map(|m| lock_of(m))
        .collect::<Result<_, _>>()?;
    let store = Store::open(&store_of(args.store.as_deref(), &args.manifests))?;
    let _in_use = store.in_use();
    let tier = Tier::open(remote::open(&args.remote)?)?;
    let (mut came, mut bytes, mut were_here) = (0_usize, 0, 0_usize);
    let mut lacking = Vec::new();
    for lock in locks {
        // In the order of names, which is that of the lock; one result at a time, several files of it.
        let names: BTreeMap<String, ActionKey> = lock
            .actions
            .iter()
            .map(|(name, action)| (name.clone(), action.key))
            .collect();
        let tier = tier.clone().bound_by(&lock);
        for (name, key) in names {
            if store.is_whole(&key) {
                were_here += 1;
                continue;
            }
            match tier.pull(&store, &key, None, &|| false)? {
                Some(pulled) => {
                    came += 1;
                    bytes += pulled.bytes;
                }
                None => lacking.push(name),
            }
        }
    }
    store.save_stats();
    let address = tier.remote().address();
    let mut text = format!("pulled {came} results from {address}: {}\n", human(bytes));
    // Writing to a String cannot fail.
    if were_here > 0 {
        let _ = writeln!(text, "{were_here} were here");
    }
    for name in &lacking {
        let _ = writeln!(text, "not there as the lock file has it: {name}");
    }
    session.print(
        text,
        &json!({
            "remote": address, "pulled": came, "bytes": bytes, "here": were_here,
            "lacking": lacking,
        }),
    );
    if lacking.is_empty() {
        Ok(())
    } else {
        Err(Failure::silent(Code::NotUpToDate))
    }
}

/// What became of results that were pushed.
#[derive(Debug, Default)]
struct Sum {
    new: usize,
    bytes: u64,
    same: usize,
    other: usize,
    missing: usize,
}

impl Sum {
    fn of(pushed: &[Pushed]) -> Self {
        let mut sum = Self::default();
        for result in pushed {
            match result {
                Pushed::New { bytes } => {
                    sum.new += 1;
                    sum.bytes += bytes;
                }
                Pushed::Same => sum.same += 1,
                Pushed::Other => sum.other += 1,
                Pushed::Missing => sum.missing += 1,
            }
        }
        sum
    }

    fn text(&self, tier: &Tier) -> String {
        let address = tier.remote().address();
        format!("{} results to {address}: {}", self.new, human(self.bytes))
    }
}

/// The store as asked for, or that of the first manifest, or that of this folder.
fn store_of(store: Option<&Path>, manifests: &[PathBuf]) -> PathBuf {
    let beside = || {
        let folder = manifests.first().and_then(|manifest| manifest.parent());
        folder.unwrap_or(Path::new("")).join(".clinicadl")
    };
    store.map_or_else(beside, Path::to_owned)
}

fn lock_of(manifest: &Path) -> Result<Lock, Failure> {
    let path = Lock::path_of(manifest);
    let lock = Lock::read(&path).map_err(|e| unusable(&e, Code::Invalid))?;
    lock.ok_or_else(|| missing(&path, "it tells which results belong to the manifest"))
}

impl From<RemoteError> for Failure {
    fn from(error: RemoteError) -> Self {
        let text = error.to_string();
        match error {
            RemoteError::Address { .. } => Self::new(Code::Invalid, text),
            RemoteError::ReadOnly { .. } => {
                Self::new(Code::Invalid, text).hint("push to the folder or bucket that it serves")
            }
            RemoteError::Damaged { .. } => Self::new(Code::Tampered, text)
                .hint("delete that file there and push again; nothing of it was stored here"),
            RemoteError::Store(error) => error.into(),
            RemoteError::Stopped => Self::new(Code::Interrupted, text),
            _ => Self::new(Code::Environment, text)
                .hint("are address, network and credentials right? results here are not touched"),
        }
    }
}
