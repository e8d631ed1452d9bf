//! A project of small stages with its lock, for the tests of locks and of verification.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use super::Lock;
use crate::exec::{Interrupt, Machine, RunOptions, RunReport, run};
use crate::manifest::Manifest;
use crate::plan::{Conditions, Plan};
use crate::remote::Tier;
use crate::store::Store;
use crate::testing::REGISTRY;

pub(crate) struct Project {
    folder: tempfile::TempDir,
}

impl Project {
    /// Two text files; the manifest is written by [`Self::lock`].
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let project = Self { folder };
        project.write("text/a", "one two three");
        project.write("text/b", "four");
        project
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn write(&self, path: &str, content: &str) {
        let path = self.folder().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    /// A manifest: words are counted with these parameters, split and joined.
    pub(crate) fn text(&self, with: &str) -> String {
        format!(
            "clinicadl: 1
name: demo
inputs: {{ text: text }}
stages:
  words: {{ uses: count, inputs: {{ text: text }}, with: {{ {with} }} }}
  parts: {{ uses: fold, inputs: {{ count: words }} }}
  joined: {{ uses: join, inputs: {{ part: parts }} }}
"
        )
    }

    pub(crate) fn manifest(&self, file: &str) -> Manifest {
        Manifest::load(&self.folder().join(file), REGISTRY).unwrap()
    }

    pub(crate) fn store(&self) -> Store {
        Store::open(&self.folder().join(".store")).unwrap()
    }

    /// The lock of a run with these parameters.
    pub(crate) fn lock(&self, with: &str) -> Lock {
        self.write("m.yaml", &self.text(with));
        self.lock_of("m.yaml")
    }

    /// The lock of a run of this manifest.
    pub(crate) fn lock_of(&self, file: &str) -> Lock {
        let manifest = self.manifest(file);
        let (plan, report) = execute(&manifest, &self.store());
        assert!(report.is_complete());
        Lock::of(&manifest, &plan, &report, BTreeMap::new(), None)
    }
}

/// Runs a manifest.
pub(crate) fn execute(manifest: &Manifest, store: &Store) -> (Plan, RunReport) {
    execute_with(manifest, store, None)
}

/// Runs a manifest whose results may be elsewhere.
pub(crate) fn execute_with(
    manifest: &Manifest,
    store: &Store,
    remote: Option<Tier>,
) -> (Plan, RunReport) {
    let plan = Plan::build(manifest, store).unwrap();
    let options = RunOptions {
        machine: Machine {
            cpus: 2,
            gpus: 0,
            memory: None,
        },
        conditions: Conditions::default(),
        worker: PathBuf::from("none"),
        guard: None,
        power: crate::exec::Power::UNKNOWN,
        interrupt: Interrupt::default(),
        fail_fast: false,
        profile: false,
        first_delay: std::time::Duration::ZERO,
        remote,
    };
    let report = run(manifest, &plan, store, REGISTRY, &options, &mut |_| {}).unwrap();
    (plan, report)
}
