//! `clinicadl verify`.

mod again;
mod report;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use engine::StageError;
use engine::lock::Lock;
use engine::manifest::Manifest;
use engine::plan::Plan;
use engine::publish::PUBLISHED;
use engine::store::Store;
use engine::verify::{
    Check, Fault, MetricNames, SpreadRow, check_inputs, check_published, check_published_cells,
    check_same_metrics, check_store, refusals,
};

use super::cells::{check_bounds, groups, in_cell};
use super::results::{add_metrics, missing, unusable};
use super::{Session, load, store_path};
use crate::cli::{Rerun, Tier, VerifyArgs};
use crate::failure::{Code, Failure};

/// What was verified, and what came of it.
#[derive(Debug)]
struct Verified {
    experiment: String,
    tier: Tier,
    rerun: Option<Rerun>,
    checks: Vec<Check>,
    /// With `--rerun seeds`: each metric over the seeds.
    spread: Vec<SpreadRow>,
}

/// What is compared.
struct Subject {
    manifest: Manifest,
    plan: Plan,
    lock: Lock,
    /// The store of the locked run, if it is here.
    store: Option<Store>,
    /// Groups of the data that stages predict, by the stages' names.
    groups: BTreeMap<String, String>,
}

impl Subject {
    fn metrics<'a>(&'a self, values: &'a BTreeMap<String, f64>) -> MetricNames<'a> {
        MetricNames {
            values,
            stages: &self.groups,
        }
    }
}

pub(super) fn verify(session: &Session, args: &VerifyArgs) -> Result<(), Failure> {
    match examine(session, args) {
        Ok(verified) => {
            let code = code(&verified.checks);
            report::show(session, &verified, code);
            if let Some(path) = &args.junit {
                report::write_junit(path, report::junit(&verified))?;
            }
            match code {
                None => Ok(()),
                Some(code) => Err(report::failure(args, &verified, code)),
            }
        }
        Err(failure) => {
            if session.output.json {
                session.print("", &report::refusal(&failure));
            }
            if let Some(path) = &args.junit {
                report::write_junit(path, report::junit_of_refusal(&failure))?;
            }
            Err(failure)
        }
    }
}

fn examine(session: &Session, args: &VerifyArgs) -> Result<Verified, Failure> {
    let tier = tier(args)?;
    let rerun = (tier == Tier::Rerun).then(|| args.rerun.unwrap_or(Rerun::Bitwise));
    let manifest = load(session, &args.manifest)?;
    if args.untrusted {
        let project = args.project.as_deref().unwrap_or(manifest.folder());
        refuse(&refusals(&manifest, project))?;
    }
    let path = Lock::path_of(&manifest.path);
    let lock = Lock::read(&path).map_err(|error| unusable(&error, Code::Invalid))?;
    let lock = lock.ok_or_else(|| missing(&path, "nothing to verify against"))?;
    let store = store_path(&args.manifest);
    let store = store.is_dir().then(|| Store::open(&store)).transpose()?;
    if let (Some(store), true) = (&store, args.manifest.paranoid) {
        store.stats().distrust();
    }
    let plan = match &store {
        Some(store) => Plan::build(&manifest, store)?,
        None => {
            let empty = tempfile::tempdir().map_err(no_folder)?;
            Plan::build(&manifest, &Store::open(empty.path())?)?
        }
    };
    // What failed in the run is not in its lock.
    let actions = plan.order().iter().map(|&id| plan.action(id));
    let unlocked: BTreeSet<&str> = actions
        .filter(|action| !lock.actions.contains_key(&action.name()))
        .map(|action| action.stage_name.as_str())
        .collect();
    let is_locked = |name: &String| !unlocked.contains(name.as_str());
    let manifest = match manifest.search {
        Some(_) => manifest.with_cells(|trial| trial.stages.values().all(is_locked)),
        None => manifest,
    };
    let subject = Subject {
        groups: manifest
            .publications()
            .iter()
            .flat_map(|cell| groups(&manifest, cell))
            .collect(),
        manifest,
        plan,
        lock,
        store,
    };
    let mut verified = Verified {
        experiment: subject.manifest.name.clone(),
        tier,
        rerun,
        checks: check_inputs(
            &subject.manifest,
            &subject.plan,
            &subject.lock,
            subject.store.as_ref(),
        ),
        spread: Vec::new(),
    };
    let mut metrics = subject.lock.metrics.clone();
    match rerun {
        None if tier == Tier::Outputs => {
            if let Some(published) = outputs(&subject, &mut verified.checks) {
                metrics = published;
            }
        }
        None => {}
        Some(rerun) => again::rerun(session, args, rerun, &subject, &mut verified)?,
    }
    let expected = check_bounds(&subject.manifest, &metrics);
    verified.checks.extend(expected);
    Ok(verified)
}

fn tier(args: &VerifyArgs) -> Result<Tier, Failure> {
    match (args.tier, args.rerun) {
        (None | Some(Tier::Rerun), Some(_)) => Ok(Tier::Rerun),
        (Some(_), Some(_)) => {
            let message = "`--rerun` is a tier of its own, expected no other `--tier`";
            Err(Failure::new(Code::Invalid, message))
        }
        (tier, None) => Ok(tier.unwrap_or(Tier::Outputs)),
    }
}

fn refuse(refusals: &[String]) -> Result<(), Failure> {
    if refusals.is_empty() {
        return Ok(());
    }
    let mut failure = Failure::new(Code::Invalid, String::new());
    let messages = refusals.iter().map(|refusal| {
        let message = format!("refused, because the manifest is not trusted: {refusal}");
        (message, Vec::new())
    });
    failure.messages = messages.collect();
    Err(failure.hint("read the manifest, then verify it without `--untrusted`"))
}

/// Stored and published results, and the published metrics where they could be read.
fn outputs(subject: &Subject, checks: &mut Vec<Check>) -> Option<BTreeMap<String, f64>> {
    let lock = &subject.lock;
    if let Some(store) = &subject.store {
        checks.extend(check_store(lock, store));
    }
    let manifest = &subject.manifest;
    let folder = manifest.maps_path()?;
    let mut metrics = BTreeMap::new();
    if let [_] = manifest.publications() {
        let shown = manifest.maps.as_deref().unwrap_or_default();
        checks.extend(check_published(lock, &folder, shown));
        metrics = published_metrics(&folder).ok()?;
    } else {
        let mut folders = Vec::new();
        for cell in manifest.publications() {
            let folder = cell.maps.clone()?;
            if let Ok(found) = published_metrics(&folder) {
                let found = found.into_iter();
                metrics.extend(found.map(|(name, value)| (in_cell(&name, cell), value)));
            }
            folders.push((cell.mark(), folder, cell.label.clone()));
        }
        checks.extend(check_published_cells(lock, &folders));
    }
    checks.push(check_same_metrics(&lock.metrics, &metrics));
    Some(metrics)
}

/// The metrics of a published folder.
fn published_metrics(folder: &Path) -> Result<BTreeMap<String, f64>, StageError> {
    let path = folder.join(PUBLISHED);
    let read = |path: &Path| std::fs::read(path).map_err(|e| StageError::io("read", path, &e));
    let list: engine::publish::PublishedList =
        serde_json::from_slice(&read(&path)?).map_err(StageError::new)?;
    let mut metrics = BTreeMap::new();
    for path in list.files.keys() {
        // Only paths that a MAPS gives to metrics tables are read, all of which are inside it.
        add_metrics(&mut metrics, path, || read(&folder.join(path)))?;
    }
    Ok(metrics)
}

fn no_folder(error: std::io::Error) -> Failure {
    Failure::new(Code::Environment, format!("no temporary folder: {error}"))
}

/// The exit code of these checks; none if nothing is wrong.
fn code(checks: &[Check]) -> Option<Code> {
    let mut faults: Vec<Fault> = checks.iter().filter_map(Check::fault).collect();
    faults.sort_unstable();
    faults.dedup();
    match faults.as_slice() {
        [] => None,
        [only] => Some(match only {
            Fault::NotUpToDate => Code::NotUpToDate,
            Fault::InputChanged => Code::InputChanged,
            Fault::OutputChanged => Code::OutputChanged,
            Fault::MetricOutside => Code::MetricOutside,
            Fault::OtherNumerics => Code::OtherNumerics,
            Fault::NotReproducible => Code::NotReproducible,
            Fault::RunFailed => Code::ActionFailed,
        }),
        _ => Some(Code::Mismatch),
    }
}
