//! `clinicadl verify --rerun`: everything again, in an empty store that is removed afterwards.

use std::collections::BTreeMap;

use engine::exec::{NumericsClasses, RunReport};
use engine::manifest::Manifest;
use engine::plan::Plan;
use engine::store::Store;
use engine::verify::{
    Check, Section, check_numerics, check_seeds, check_tolerance, compare_rerun, with_other_seed,
};

use super::super::cells::{cells, metrics};
use super::super::run::{How, execute, finished, machine};
use super::super::{Session, worker_path};
use super::{Subject, Verified, no_folder};
use crate::cli::{Rerun, VerifyArgs};
use crate::failure::{Code, Failure};

pub(super) fn rerun(
    session: &Session,
    args: &VerifyArgs,
    rerun: Rerun,
    subject: &Subject,
    verified: &mut Verified,
) -> Result<(), Failure> {
    let declared = declared(rerun, subject)?;
    let fault = verified.checks.iter().any(|check| check.fault().is_some());
    if fault {
        let message = "did not run: it would not be the locked experiment";
        let check = Check::skipped(Section::Rerun, &subject.manifest.name, message);
        verified.checks.push(check);
        return Ok(());
    }
    // Tolerance and seeds are there for comparing across machines.
    let tolerated = args.allow_other_numerics || rerun != Rerun::Bitwise;
    let mut checks = numerics(args, subject, tolerated)?;
    if checks.iter().any(|check| check.fault().is_some()) {
        verified.checks.append(&mut checks);
        let message = "did not run: bits cannot be compared across numerics classes";
        let check = Check::skipped(Section::Rerun, &subject.manifest.name, message);
        verified.checks.push(check);
        return Ok(());
    }
    for check in checks
        .iter()
        .filter(|check| !session.output.quiet && check.hint.is_some())
    {
        crate::failure::warn(&format!("{}: {}", check.name, check.message), "");
    }
    verified.checks.append(&mut checks);
    // The empty store is in a folder of the usual one, which must not be collected meanwhile.
    let _in_use = subject.store.as_ref().map(Store::in_use);
    let folder = scratch(args, subject)?;
    let fresh = Store::open(folder.path())?;
    let again = Again {
        session,
        args,
        fresh: &fresh,
    };
    if let Declared::Bitwise = declared {
        let report = again.run(&subject.manifest)?;
        let original = subject.store.as_ref();
        let compared = compare_rerun(&subject.lock, &report, &fresh, original);
        verified.checks.extend(compared);
        return Ok(());
    }
    let chosen = &subject.manifest.verify.metrics;
    let (locked, unknown) = subject.metrics(&subject.lock.metrics).chosen(chosen);
    verified.checks.extend(unknown);
    let locked = subject.metrics(&locked);
    match declared {
        Declared::Bitwise => {}
        Declared::Tolerance(tolerance) => {
            if let Some(found) = again.metrics(&subject.manifest, subject, verified)? {
                let (found, _) = subject.metrics(&found).chosen(chosen);
                let checks = check_tolerance(tolerance, locked, &found);
                verified.checks.extend(checks);
            }
        }
        Declared::Seeds(manifests) => {
            let mut runs = Vec::new();
            for manifest in &manifests {
                let Some(found) = again.metrics(manifest, subject, verified)? else {
                    return Ok(());
                };
                runs.push(found);
            }
            let (checks, spread) = check_seeds(locked, &runs)
                .map_err(|message| Failure::new(Code::Invalid, message))?;
            verified.checks.extend(checks);
            verified.spread = spread;
        }
    }
    Ok(())
}

/// What a rerun compares, as the manifest declares it.
enum Declared<'a> {
    Bitwise,
    Tolerance(&'a engine::verify::Tolerance),
    Seeds(Vec<Manifest>),
}

fn declared(rerun: Rerun, subject: &Subject) -> Result<Declared<'_>, Failure> {
    let invalid = |message: &str| Failure::new(Code::Invalid, message);
    let settings = &subject.manifest.verify;
    if rerun != Rerun::Bitwise && subject.lock.metrics.is_empty() {
        return Err(invalid("the lock has no metrics to compare")
            .hint("`--rerun bitwise` compares every output"));
    }
    match rerun {
        Rerun::Bitwise => Ok(Declared::Bitwise),
        Rerun::Tolerance => settings
            .tolerance
            .as_ref()
            .map(Declared::Tolerance)
            .ok_or_else(|| {
                invalid("the manifest declares no tolerance")
                    .hint("for example `verify: { tolerance: { rtol: 0.01 } }`")
            }),
        Rerun::Seeds => {
            let count = settings.seeds.ok_or_else(|| {
                invalid("the manifest does not say how many seeds to run")
                    .hint("for example `verify: { seeds: 5 }`")
            })?;
            let manifests = (1..=u64::from(count)).map(|i| with_other_seed(&subject.manifest, i));
            let manifests: Option<Vec<Manifest>> = manifests.collect();
            manifests.map(Declared::Seeds).ok_or_else(|| {
                invalid("no stage of this experiment draws from its seed")
                    .hint("`--rerun bitwise` compares every output")
            })
        }
    }
}

/// Whether this machine has the locked numerics classes. Without a worker nothing depends on them.
fn numerics(args: &VerifyArgs, subject: &Subject, tolerated: bool) -> Result<Vec<Check>, Failure> {
    if subject.lock.numerics.is_empty() {
        return Ok(Vec::new());
    }
    let machine = machine(&args.machine);
    let here = NumericsClasses::ask(&worker_path()?, &subject.plan, machine)?;
    Ok(check_numerics(
        &subject.lock,
        &subject.plan,
        &here,
        tolerated,
    ))
}

/// A folder for the empty store: large results need the disk of the usual one.
fn scratch(args: &VerifyArgs, subject: &Subject) -> Result<tempfile::TempDir, Failure> {
    match (&args.scratch, &subject.store) {
        (Some(folder), _) => {
            std::fs::create_dir_all(folder).map_err(no_folder)?;
            tempfile::tempdir_in(folder).map_err(no_folder)
        }
        (None, Some(store)) => Ok(store.temporary_folder()?),
        (None, None) => tempfile::tempdir().map_err(no_folder),
    }
}

/// Runs in the empty store.
struct Again<'a> {
    session: &'a Session,
    args: &'a VerifyArgs,
    fresh: &'a Store,
}

impl Again<'_> {
    fn run(&self, manifest: &Manifest) -> Result<RunReport, Failure> {
        let plan = Plan::build(manifest, self.fresh)?;
        let machine = machine(&self.args.machine);
        let (report, _) = execute(
            self.session,
            manifest,
            &plan,
            self.fresh,
            machine,
            How::default(),
        )?;
        if report.interrupted {
            finished(&report)?;
        }
        Ok(report)
    }

    /// Runs, and gives the metrics; none, and checks that say why, when an action failed.
    fn metrics(
        &self,
        manifest: &Manifest,
        subject: &Subject,
        verified: &mut Verified,
    ) -> Result<Option<BTreeMap<String, f64>>, Failure> {
        let report = &self.run(manifest)?;
        if report.is_complete() {
            let cells = cells(manifest, report, self.fresh)?;
            return Ok(Some(metrics(&cells)));
        }
        let compared = compare_rerun(&subject.lock, report, self.fresh, None);
        let failed = compared.into_iter();
        let failed = failed.filter(|check| check.fault() == Some(engine::verify::Fault::RunFailed));
        verified.checks.extend(failed);
        Ok(None)
    }
}
