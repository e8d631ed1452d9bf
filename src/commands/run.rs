//! `clinicadl run`.

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use ::maps::Maps;
use engine::exec::{Interrupt, Machine, RunOptions, RunReport, run as run_plan};
use engine::lock::Lock;
use engine::manifest::Manifest;
use engine::plan::{Conditions, Plan, assess};
use engine::provenance::{self, Account};
use engine::publish::{PublishOutcome, publish, set_aside};
use engine::remote::Tier;
use engine::settled::Settled;
use engine::store::{Root, Store};
use serde_json::{Map, Value, json};

use super::cells::{Cell, cells, lock as lock_of};
use super::energy::{Taken, power};
use super::plan::text_of_hits;
use super::remote::{push_results, tier_of_run};
use super::results::LockFile;
use super::settled::{question, recalled};
use super::status::text_of_done;
use super::track::{tell, tracker};
use super::trials::{self, Ranking};
use super::{Session, conditions, load, show_warnings, store_path, worker_path};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGUSR1};
use signal_hook::iterator::Signals;

use crate::cli::{MachineArgs, RunArgs};
use crate::failure::{Code, Failure, code_of, warn};
use crate::profile::Profile;
use crate::progress::Progress;

pub(super) fn run(session: &Session, args: &RunArgs) -> Result<(), Failure> {
    let began = SystemTime::now();
    // A forced stage runs whatever the store holds; what goes elsewhere has to be looked up.
    let tracker = tracker(&args.tracking)?;
    let profile = args.profile.profile.as_deref();
    let is_plain =
        args.force.is_empty() && args.remote.is_none() && tracker.is_none() && profile.is_none();
    if is_plain && let Some(text) = recalled(session, &args.manifest, "run") {
        session.print(text, &Value::Null);
        return Ok(());
    }
    let manifest = load(session, &args.manifest)?;
    show_warnings(session, &manifest);
    let mut force = Vec::new();
    for stage in &args.force {
        let called = manifest.stages_called(stage);
        if called.is_empty() {
            let failure = Failure::new(Code::Invalid, format!("no stage `{stage}` to force"));
            let names: Vec<&str> = manifest.stages.keys().map(String::as_str).collect();
            return Err(failure.hint(format!("stages: {}", names.join(", "))));
        }
        force.extend(called);
    }
    let store = Store::open(&store_path(&args.manifest))?;
    if args.manifest.paranoid {
        store.stats().distrust();
    }
    let plan = Plan::build(&manifest, &store)?;
    let machine = machine(&args.machine);
    let conditions = conditions(&args.manifest, &plan, machine, &force)?;
    if args.frozen && !assess(&plan, &manifest, &store, &conditions).is_up_to_date() {
        let failure = Failure::new(
            Code::NotUpToDate,
            "not up to date, and `--frozen` runs nothing",
        );
        return Err(failure.hint("`clinicadl plan` shows what would run"));
    }
    let lock_file = LockFile::of(&manifest);
    if args.locked {
        lock_file.must_fit(&manifest, &plan, &store)?;
    }
    let tier = args.remote.as_deref();
    let tier = tier
        .map(|address| tier_of_run(address, !args.no_push, &manifest.path))
        .transpose()?;
    let how = How {
        conditions,
        fail_fast: args.fail_fast,
        remote: tier.clone(),
        profile: profile.map(Profile::new).transpose()?,
    };
    let (report, profile) = execute(session, &manifest, &plan, &store, machine, how)?;
    let account = Account::new(&manifest, &plan, &report, machine, &store);
    account.remember();
    let pushed = tier
        .filter(|_| !args.no_push)
        .and_then(|tier| push_results(&tier, &report, &store));
    let failed = trials::failed(&manifest, &report)?;
    let done = manifest.with_cells(|cell| !failed.contains_key(&cell.label));
    let cells = cells(&done, &report, &store)?;
    let lock = lock_file.settle(lock_of(&cells, &manifest, &plan, &report, &store)?);
    if args.locked {
        lock_file.must_equal(&lock)?;
    }
    let mut published = Vec::new();
    for cell in &cells {
        let Some(target) = cell.publication.maps.clone() else {
            continue;
        };
        if args.restore
            && let Some(aside) = set_aside(&target, &store)?
        {
            let aside = aside.display();
            warn(&format!("what was changed by hand is now in `{aside}`"), "");
        }
        let account = account.of_part(&cell.manifest, &cell.report);
        let outcome = publish_maps(cell, &lock, &store, &account, &target)?;
        // Without the `..` of a path that was relative to the manifest.
        let folder = target.canonicalize().unwrap_or(target);
        published.push((cell.publication.label.clone(), folder, outcome));
    }
    let tracked = tracker.and_then(|tracker| tell(&tracker, &account, &cells, &published));
    let lock_written = lock_file.write(&lock);
    keep(&manifest, &report, &store, &published);
    let (mut text, publications) = summary(&report, &published);
    let mut files = vec![Lock::path_of(&manifest.path)];
    let taken = Taken::of(&report);
    if session.output.verbose > 0 {
        text += &taken.as_ref().map_or_else(String::new, Taken::text);
    }
    let ranking = Ranking::of(&manifest, &cells, &failed)?;
    text += &profile.as_ref().map_or_else(String::new, Profile::text);
    if let Some(ranking) = &ranking {
        let path = ranking.write()?;
        text += &ranking.text(path.as_deref());
        files.extend(path);
    }
    let is_same = |(_, _, outcome): &Published| *outcome == PublishOutcome::UpToDate;
    if is_plain
        && let Some(question) = question(session, &args.manifest)
        && report.hits() == report.actions.len()
        && !lock_written
        && published.iter().all(is_same)
        && manifest.warnings.is_empty()
    {
        let settled = Settled {
            manifest: &manifest,
            plan: &plan,
            report: &report,
            store: &store,
            began,
            files,
            published: published.into_iter().map(|(_, path, _)| path).collect(),
        };
        keep_answers(&settled, &question, &text);
    }
    if session.output.json {
        let first = |what: &str| publications.first().map(|p| p[what].clone());
        let value = json!({
            "run": report, "maps": first("maps"), "metrics": first("metrics"),
            "publications": publications, "lock_written": lock_written,
            "trials": ranking.map(|ranking| ranking.json()),
            "energy": taken.map(|taken| taken.json()), "profile": profile.map(|profile| profile.json()),
            "mlflow": tracked.map(|told| told.json()),
        });
        session.print("", &value);
    } else if !session.output.quiet {
        let lock = match lock_written {
            true => "lock file written: commit it with the manifest\n",
            false => "",
        };
        let pushed = pushed.unwrap_or_default();
        let tracked = tracked.map_or_else(String::new, |told| told.text());
        session.print(text + lock + &pushed + &tracked, &Value::Null);
    }
    Ok(())
}

/// Keeps what a run that had nothing to do tells, and what other verbs would tell now.
fn keep_answers(settled: &Settled<'_>, question: &str, text: &str) {
    let answers = [
        ("run", text.to_owned()),
        ("plan", text_of_hits(settled.report)),
        ("status", text_of_done(settled.manifest, settled.report)),
    ];
    let answers = answers.map(|(verb, text)| (verb.to_owned(), text));
    if let Err(error) = settled.keep(question, answers.into()) {
        tracing::debug!(%error, "the next run will look everything up again");
    }
}

/// Says what this manifest needs of the store, so that nothing of it is collected.
fn keep(manifest: &Manifest, report: &RunReport, store: &Store, published: &[Published]) {
    let path = manifest.path.canonicalize();
    let path = path.unwrap_or_else(|_| manifest.path.clone());
    let root = Root {
        lock: Lock::path_of(&path),
        manifest: path,
        maps: published.iter().map(|(_, path, _)| path.clone()).collect(),
        actions: report
            .actions
            .iter()
            .filter_map(|action| action.key)
            .collect(),
    };
    if let Err(error) = store.keep(&root) {
        tracing::debug!(%error, "the store does not know what this manifest needs");
    }
}

/// What may be used, from the command line or from the machine.
pub(super) fn machine(args: &MachineArgs) -> Machine {
    let detected = Machine::detect();
    Machine {
        cpus: args.cpus.map_or(detected.cpus, usize::from),
        gpus: usize::from(args.gpus),
        ..detected
    }
}

/// What a run is asked besides what it runs.
#[derive(Default)]
pub(super) struct How {
    pub(super) conditions: Conditions,
    pub(super) fail_fast: bool,
    /// Where results may be that are not in the store.
    pub(super) remote: Option<Tier>,
    /// Takes where the time goes.
    pub(super) profile: Option<Profile>,
}

/// Runs a plan with progress on standard error; Ctrl-C stops it in order, twice at once.
pub(super) fn execute(
    session: &Session,
    manifest: &Manifest,
    plan: &Plan,
    store: &Store,
    machine: Machine,
    how: How,
) -> Result<(RunReport, Option<Profile>), Failure> {
    let options = RunOptions {
        machine,
        conditions: how.conditions,
        remote: how.remote,
        worker: worker_path()?,
        guard: std::env::current_exe().ok(),
        power: power()?,
        profile: how.profile.is_some(),
        interrupt: interrupt(),
        fail_fast: how.fail_fast,
        first_delay: Duration::from_secs(1),
    };
    let mut progress = Progress::new(&session.output);
    let mut profile = how.profile;
    let report = run_plan(
        manifest,
        plan,
        store,
        session.registry,
        &options,
        &mut |event| {
            progress.handle(event);
            if let Some(profile) = &mut profile {
                profile.handle(event);
            }
        },
    );
    progress.finish();
    if let Some(profile) = &profile {
        profile.write()?;
    }
    let report = report.map_err(|error| Failure::new(Code::Environment, error.to_string()))?;
    Ok((report, profile))
}

/// Whether a cluster took the machine away: SIGTERM or SIGUSR1.
static PREEMPTED: AtomicBool = AtomicBool::new(false);

/// The wish to stop, of all runs of this process.
fn interrupt() -> Interrupt {
    static INTERRUPT: OnceLock<Interrupt> = OnceLock::new();
    let interrupt = INTERRUPT.get_or_init(|| {
        let interrupt = Interrupt::default();
        let asked = interrupt.clone();
        match Signals::new([SIGINT, SIGHUP, SIGTERM, SIGUSR1]) {
            Ok(mut signals) => {
                std::thread::spawn(move || {
                    for signal in &mut signals {
                        if matches!(signal, SIGTERM | SIGUSR1) {
                            PREEMPTED.store(true, Ordering::Relaxed);
                        }
                        asked.ask();
                    }
                });
            }
            Err(error) => tracing::debug!(%error, "no handler for signals"),
        }
        interrupt
    });
    interrupt.clone()
}

/// An error unless every action has its result.
pub(super) fn finished(report: &RunReport) -> Result<(), Failure> {
    let failures: Vec<_> = report.failures().collect();
    if let Some((_, worst)) = failures
        .iter()
        .max_by_key(|(_, error)| code_of(error.kind) as u8)
    {
        let mut failure = Failure::new(code_of(worst.kind), String::new());
        failure.messages = failures
            .iter()
            .map(|(action, error)| {
                (
                    format!("`{}`: {}", action.action, error.message),
                    error.hints.clone(),
                )
            })
            .collect();
        return Err(failure);
    }
    if !report.is_complete() {
        let done = report.hits() + report.ran();
        let message = format!(
            "interrupted after {done} of {} actions",
            report.actions.len()
        );
        let code = match PREEMPTED.load(Ordering::Relaxed) {
            true => Code::Preempted,
            false => Code::Interrupted,
        };
        return Err(Failure::new(code, message).hint("run again to go on from what is finished"));
    }
    Ok(())
}

fn publish_maps(
    cell: &Cell<'_>,
    lock: &str,
    store: &Store,
    account: &Account<'_>,
    target: &Path,
) -> Result<PublishOutcome, Failure> {
    let mut files = cell.results.files.clone();
    files.extend(provenance::lasting_files(&cell.manifest, lock));
    let records = match provenance::current_records(target, &files) {
        Some(records) => records,
        None => account.records(&files)?,
    };
    let outcome = publish(target, files, records, store)?;
    store.save_stats();
    Ok(outcome)
}

/// A cell's label, its folder and what publishing did.
type Published = (String, PathBuf, PublishOutcome);

/// What a run tells, and what it published as JSON.
fn summary(report: &RunReport, published: &[Published]) -> (String, Vec<Value>) {
    let mut text = String::new();
    let total = report.actions.len();
    // Writing to a String cannot fail.
    let _ = match report.ran() {
        0 => writeln!(text, "up to date: all {total} actions were hits"),
        ran => writeln!(
            text,
            "{total} actions: {ran} ran, {} hits, {:.1} s",
            report.hits(),
            report.elapsed_s
        ),
    };
    if report.pulled() > 0 {
        let _ = writeln!(text, "{} of the hits came from the remote", report.pulled());
    }
    let mut publications = Vec::new();
    for (label, path, outcome) in published {
        let word = match outcome {
            PublishOutcome::UpToDate => "unchanged",
            PublishOutcome::Written => "written",
        };
        let _ = writeln!(text, "MAPS {word}: {}", path.display());
        // An experiment without training publishes a folder that is no MAPS.
        let metrics = metrics_of(path, &mut text).unwrap_or_default();
        publications.push(json!({ "cell": label, "maps": path, "metrics": metrics }));
    }
    (text, publications)
}

/// Balanced accuracy and loss of each data group other than training, as text and JSON.
fn metrics_of(path: &Path, text: &mut String) -> Option<Value> {
    let maps = Maps::open(path).ok()?;
    let mut all = Vec::new();
    for split in maps.splits() {
        for selected_by in maps.selection_metrics(split).ok()? {
            for group in maps.result_groups(split, &selected_by).ok()? {
                if group == "train" {
                    continue;
                }
                // A group without labels has predictions and no metrics.
                let Ok(table) = maps.metrics(split, &selected_by, &group) else {
                    continue;
                };
                let mut values = Map::new();
                for column in &table.columns {
                    values.insert(column.name.clone(), json!(column.value));
                }
                if let Some(accuracy) = table.get("BA") {
                    let interval = accuracy.interval.as_ref().map_or_else(String::new, |i| {
                        format!(" [{:.2}, {:.2}]", i.lower, i.upper)
                    });
                    // Writing to a String cannot fail.
                    let _ = writeln!(
                        text,
                        "  {group}, split {split}, best {selected_by}: balanced accuracy {:.3}{interval}",
                        accuracy.value
                    );
                }
                all.push(json!({
                    "group": group, "split": split, "selected_by": selected_by, "values": values,
                }));
            }
        }
    }
    Some(Value::Array(all))
}
