//! The engine against a model: whatever happens to inputs, parameters and the store between runs, a
//! run gives what a clean run from an empty store gives, and the plan before it told what it would do.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use proptest::prelude::*;

use super::{Conditions, Plan, State, assess};
use crate::digest::Digest;
use crate::exec::{ActionOutcome, Interrupt, Machine, RunOptions, RunReport, run};
use crate::manifest::Manifest;
use crate::settled::{self, Settled};
use crate::store::Store;
use crate::testing::REGISTRY;

/// Something that happens between two runs.
#[derive(Debug, Clone)]
enum Operation {
    Factor(u32),
    Splits(usize),
    Seed(u32),
    Workers(usize),
    /// A file gets one of a few contents: some of equal size, some of equal word count.
    Write(u8, u8),
    /// The same, with the modification time put back.
    WriteQuietly(u8, u8),
    Remove(u8),
    Touch(u8),
    /// The n-th object, record or other file of the store is damaged or lost.
    Flip(usize),
    Truncate(usize),
    Lose(usize),
    Force(bool),
}

fn operation() -> impl Strategy<Value = Operation> {
    prop_oneof![
        (1..4_u32).prop_map(Operation::Factor),
        (1..4_usize).prop_map(Operation::Splits),
        (0..3_u32).prop_map(Operation::Seed),
        (1..4_usize).prop_map(Operation::Workers),
        (0..4_u8, 0..6_u8).prop_map(|(file, content)| Operation::Write(file, content)),
        (0..4_u8, 0..6_u8).prop_map(|(file, content)| Operation::WriteQuietly(file, content)),
        (1..4_u8).prop_map(Operation::Remove),
        (0..4_u8).prop_map(Operation::Touch),
        any::<usize>().prop_map(Operation::Flip),
        any::<usize>().prop_map(Operation::Truncate),
        any::<usize>().prop_map(Operation::Lose),
        any::<bool>().prop_map(Operation::Force),
    ]
}

const CONTENTS: [&str; 6] = ["one", "two", "one two", "two one", "a b c", ""];

struct World {
    folder: tempfile::TempDir,
    factor: u32,
    splits: usize,
    seed: u32,
    workers: usize,
    force: bool,
}

type Outputs = BTreeMap<String, BTreeMap<String, Vec<Digest>>>;

impl World {
    fn new() -> Self {
        let world = Self {
            folder: tempfile::tempdir().unwrap(),
            factor: 1,
            splits: 2,
            seed: 0,
            workers: 1,
            force: false,
        };
        fs::create_dir(world.path("text")).unwrap();
        fs::write(world.file(0), "one two").unwrap();
        world
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn file(&self, number: u8) -> PathBuf {
        self.path(&format!("text/{number}"))
    }

    fn manifest(&self) -> Manifest {
        let Self {
            factor,
            splits,
            seed,
            workers,
            ..
        } = self;
        let text = format!(
            "clinicadl: 1
name: model
seed: {seed}
inputs: {{ text: text }}
stages:
  words: {{ uses: count, inputs: {{ text: text }}, with: {{ factor: {factor}, workers: {workers} }} }}
  parts: {{ uses: fold, inputs: {{ count: words }}, with: {{ n_splits: {splits} }} }}
  joined: {{ uses: join, inputs: {{ part: parts, count: words }} }}
"
        );
        let path = self.path("m.yaml");
        if fs::read_to_string(&path).ok().as_ref() != Some(&text) {
            fs::write(&path, &text).unwrap();
        }
        Manifest::parse(&path, text, REGISTRY).unwrap()
    }

    /// Whether the engine would answer from memory that nothing is to be done.
    fn is_recalled(&self) -> bool {
        self.manifest();
        settled::recall(&self.path("store"), &self.path("m.yaml"), "model").is_some()
    }

    fn apply(&mut self, operation: &Operation) {
        match *operation {
            Operation::Factor(factor) => self.factor = factor,
            Operation::Splits(splits) => self.splits = splits,
            Operation::Seed(seed) => self.seed = seed,
            Operation::Workers(workers) => self.workers = workers,
            Operation::Force(force) => self.force = force,
            Operation::Write(file, content) => {
                fs::write(self.file(file), CONTENTS[usize::from(content)]).unwrap();
            }
            Operation::WriteQuietly(file, content) => {
                let path = self.file(file);
                let before = fs::metadata(&path).and_then(|m| m.modified()).ok();
                fs::write(&path, CONTENTS[usize::from(content)]).unwrap();
                if let Some(before) = before {
                    let file = fs::File::options().write(true).open(&path).unwrap();
                    file.set_modified(before).unwrap();
                }
            }
            Operation::Remove(file) => drop(fs::remove_file(self.file(file))),
            Operation::Touch(file) => {
                if let Ok(file) = fs::File::options().write(true).open(self.file(file)) {
                    file.set_modified(std::time::SystemTime::now()).unwrap();
                }
            }
            Operation::Flip(n) => self.damage(n, |bytes| {
                if let Some(byte) = bytes.first_mut() {
                    *byte ^= 1;
                }
            }),
            Operation::Truncate(n) => self.damage(n, |bytes| bytes.truncate(bytes.len() / 2)),
            Operation::Lose(n) => {
                if let Some(path) = self.stored(n) {
                    fs::remove_file(path).unwrap();
                }
            }
        }
    }

    fn stored(&self, n: usize) -> Option<PathBuf> {
        let mut files = Vec::new();
        list(&self.path("store"), &mut files);
        // Another format is refused, never repaired: it is not damage.
        files.retain(|file| file.file_name().is_some_and(|name| name != "FORMAT"));
        files.sort();
        (!files.is_empty()).then(|| files.swap_remove(n % files.len()))
    }

    /// Rewrites a file of the store as a broken disk or a clumsy hand would, in place.
    fn damage(&self, n: usize, change: impl FnOnce(&mut Vec<u8>)) {
        let Some(path) = self.stored(n) else { return };
        let mut bytes = fs::read(&path).unwrap();
        change(&mut bytes);
        let mut permissions = fs::metadata(&path).unwrap().permissions();
        std::os::unix::fs::PermissionsExt::set_mode(&mut permissions, 0o644);
        fs::set_permissions(&path, permissions).unwrap();
        fs::write(&path, bytes).unwrap();
    }

    fn run(&self, store: &str, force: bool) -> (RunReport, Vec<(String, &'static str)>) {
        let began = SystemTime::now();
        let manifest = self.manifest();
        let store = Store::open(&self.path(store)).unwrap();
        let plan = Plan::build(&manifest, &store).unwrap();
        let mut conditions = Conditions::default();
        if force {
            conditions.forced.push("parts".to_owned());
        }
        let told = assess(&plan, &manifest, &store, &conditions)
            .states
            .iter()
            .map(|(id, state)| {
                let word = match state {
                    State::Hit(_) => "hit",
                    State::Run { .. } => "run",
                    State::Pending { .. } => "maybe",
                };
                (plan.action(*id).name(), word)
            })
            .collect();
        let options = RunOptions {
            machine: Machine {
                cpus: 2,
                gpus: 0,
                memory: None,
            },
            conditions,
            worker: PathBuf::from("none"),
            guard: None,
            power: crate::exec::Power::UNKNOWN,
            interrupt: Interrupt::default(),
            fail_fast: false,
            profile: false,
            first_delay: std::time::Duration::ZERO,
            remote: None,
        };
        let report = run(&manifest, &plan, &store, REGISTRY, &options, &mut |_| {}).unwrap();
        if report.hits() == report.actions.len() {
            let settled = Settled {
                manifest: &manifest,
                plan: &plan,
                report: &report,
                store: &store,
                began,
                files: Vec::new(),
                published: Vec::new(),
            };
            settled.keep("model", settled::Answers::new()).unwrap();
        }
        (report, told)
    }
}

fn list(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            list(&path, files);
        } else {
            files.push(path);
        }
    }
}

fn outputs(report: &RunReport) -> Outputs {
    report
        .actions
        .iter()
        .map(|action| {
            let record = action.record.as_ref();
            let outputs = record.map(|record| &record.outputs).into_iter().flatten();
            let digests = outputs
                .map(|(port, artifacts)| {
                    (port.clone(), artifacts.iter().map(|a| a.digest).collect())
                })
                .collect();
            (action.action.clone(), digests)
        })
        .collect()
}

/// Each case is a dozen runs with all their syncs: a few in every test run, hundreds with
/// `PROPTEST_CASES=500`.
fn cases() -> u32 {
    let asked = std::env::var("PROPTEST_CASES").ok();
    asked.and_then(|cases| cases.parse().ok()).unwrap_or(12)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(cases()))]

    #[test]
    fn every_run_equals_a_clean_run_and_does_what_its_plan_told(
        steps in proptest::collection::vec(proptest::collection::vec(operation(), 0..4), 1..6)
    ) {
        let mut world = World::new();
        for (round, step) in steps.iter().enumerate() {
            for operation in step {
                world.apply(operation);
            }
            let recalled = world.is_recalled();
            let (report, told) = world.run("store", world.force);
            let (clean, _) = world.run(&format!("clean-{round}"), false);
            prop_assert!(clean.is_complete());
            prop_assert_eq!(outputs(&report), outputs(&clean), "a wrong result");
            prop_assert!(!recalled || told.iter().all(|(_, word)| *word == "hit" || world.force));
            for (action, (name, word)) in report.actions.iter().zip(&told) {
                prop_assert_eq!(&action.action, name);
                let ran = matches!(action.outcome, ActionOutcome::Ran { .. });
                prop_assert!(
                    match *word { "hit" => !ran, "run" => ran, _ => true },
                    "the plan told {} of `{}`", word, name
                );
            }
            // Old enough for their stats to be believed.
            std::thread::sleep(Duration::from_millis(40));
            let (again, _) = world.run("store", false);
            prop_assert!(world.is_recalled(), "nothing changed");
            prop_assert_eq!(again.ran(), 0, "a second run has nothing to do");
        }
    }
}
