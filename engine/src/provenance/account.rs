//! The records of one run, and the account that the store keeps of each computation.
//!
//! A result outlives the run that computed it. Beside the results, which are the same whoever computed
//! them, the store therefore keeps one small file per action key, `accounts/ab/<62 digits>`, that tells
//! when and on which class of hardware it was computed; later runs, for which the action is a hit, quote
//! it. It is history and no state: losing it changes no result and runs nothing.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::history::History;
use super::places::scrubbed;
use super::{
    ENVIRONMENT, FORMAT, PROV, RO_CRATE, RUN, checksum_files, instant, json_file, prov, ro_crate,
    sums_of, timestamp,
};
use crate::digest::Digest;
use crate::error::StageError;
use crate::exec::{ActionOutcome, ActionReport, Machine, RunReport};
use crate::key::ActionKey;
use crate::manifest::Manifest;
use crate::plan::Plan;
use crate::publish::{Content, PublishedFile};
use crate::store::durable::create_folders;
use crate::store::{Store, stored_at};

/// When and where a result was computed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Computed {
    /// The run.
    pub(super) run: String,
    pub(super) started: String,
    pub(super) ended: String,
    pub(super) elapsed_s: f64,
    /// Version of this program.
    pub(super) clinicadl: String,
    /// Model of the processor.
    pub(super) processor: Option<String>,
    /// Further measurements of the action, as far as they were taken.
    #[serde(default)]
    pub(super) usage: Map<String, Value>,
}

/// Everything that the records of a run are made from.
#[derive(Debug)]
pub struct Account<'a> {
    pub(super) manifest: &'a Manifest,
    pub(super) plan: &'a Plan,
    pub(super) report: &'a RunReport,
    machine: Machine,
    pub(super) store: &'a Store,
    pub(super) started: SystemTime,
    pub(super) ended: SystemTime,
    /// Names the run; from its manifest and the instant of its start.
    pub(super) run: String,
    processor: Option<String>,
}

impl<'a> Account<'a> {
    /// The account of the same run for a part of its manifest: a cell of a matrix.
    #[must_use]
    pub fn of_part<'b>(&self, manifest: &'b Manifest, report: &'b RunReport) -> Account<'b>
    where
        'a: 'b,
    {
        Account {
            manifest,
            report,
            plan: self.plan,
            machine: self.machine,
            store: self.store,
            started: self.started,
            ended: self.ended,
            run: self.run.clone(),
            processor: self.processor.clone(),
        }
    }

    /// The account of a run that has just ended.
    pub fn new(
        manifest: &'a Manifest,
        plan: &'a Plan,
        report: &'a RunReport,
        machine: Machine,
        store: &'a Store,
    ) -> Self {
        let ended = SystemTime::now();
        let started = ended - Duration::from_secs_f64(report.elapsed_s.max(0.0));
        let name = format!(
            "{} {}",
            Digest::of(manifest.text.as_bytes()),
            timestamp(started)
        );
        Self {
            manifest,
            plan,
            report,
            machine,
            store,
            started,
            ended,
            run: Digest::of(name.as_bytes()).short(),
            processor: processor(),
        }
    }

    /// Keeps the account of every action that this run computed. Call it whether or not the run was
    /// complete; a failure costs history, never a result.
    pub fn remember(&self) {
        if let Err(error) = self.remember_computed() {
            tracing::debug!(%error, "the accounts of some actions were not kept");
        }
    }

    fn remember_computed(&self) -> Result<(), StageError> {
        let folder = self.store.temporary_folder()?;
        for action in &self.report.actions {
            let (ActionOutcome::Ran { .. }, Some(key), Some(computed)) =
                (&action.outcome, &action.key, self.computed_now(action))
            else {
                continue;
            };
            self.write(folder.path(), key, &computed)?;
        }
        Ok(())
    }

    /// What is known of the computation of an action's result.
    pub(super) fn computed(&self, action: &ActionReport) -> Option<Computed> {
        match &action.outcome {
            ActionOutcome::Ran { .. } => self.computed_now(action),
            _ => serde_json::from_slice(&std::fs::read(self.path(&action.key?)).ok()?).ok(),
        }
    }

    /// When the result of an action was computed, by this run or another, if that is known.
    pub fn computed_between(&self, action: &ActionReport) -> Option<(SystemTime, SystemTime)> {
        let computed = self.computed(action)?;
        Some((instant(&computed.started)?, instant(&computed.ended)?))
    }

    /// The experiment's name.
    pub fn experiment(&self) -> &str {
        &self.manifest.name
    }

    /// The manifest as it was written.
    pub fn manifest_digest(&self) -> Digest {
        Digest::of(self.manifest.text.as_bytes())
    }

    fn computed_now(&self, action: &ActionReport) -> Option<Computed> {
        let (started, ended) = action.between.clone()?;
        let fields = serde_json::to_value(action.usage).unwrap_or_default();
        let measured = |name: &str| Some((name.to_owned(), fields.get(name)?.clone()));
        Some(Computed {
            run: self.run.clone(),
            started,
            ended,
            elapsed_s: action.elapsed_s?,
            clinicadl: env!("CARGO_PKG_VERSION").to_owned(),
            processor: self.processor.clone(),
            usage: MEASURED.iter().filter_map(|name| measured(name)).collect(),
        })
    }

    fn path(&self, key: &ActionKey) -> PathBuf {
        stored_at(self.store.root(), "accounts", &key.digits())
    }

    /// Renamed into place, and not synced: what a power cut takes is only history.
    fn write(&self, folder: &Path, key: &ActionKey, computed: &Computed) -> Result<(), StageError> {
        let path = self.path(key);
        let failed = |e: std::io::Error| StageError::io("write", &path, &e);
        let temporary = folder.join("account");
        let bytes = serde_json::to_vec(computed).map_err(StageError::internal)?;
        std::fs::write(&temporary, bytes).map_err(failed)?;
        if let Some(parent) = path.parent() {
            create_folders(parent).map_err(failed)?;
        }
        std::fs::rename(&temporary, &path).map_err(failed)
    }

    /// The records of this run about a folder with these results: [`super::RECORDS`].
    ///
    /// # Errors
    /// A result cannot be read from the store.
    pub fn records(&self, results: &[PublishedFile]) -> Result<Vec<PublishedFile>, StageError> {
        let history = History::new(self);
        let mut records = vec![
            json_file(RUN, &self.run_record(&history))?,
            json_file(ENVIRONMENT, &self.environment())?,
        ];
        let mut sums = sums_of(results, self.store)?;
        let origins = history.origins(results);
        records.push(json_file(PROV, &prov::document(&history, &sums, &origins))?);
        sums.extend(sums_of(&records, self.store)?);
        let crate_ = ro_crate::document(&history, &sums, &origins);
        records.push(json_file(RO_CRATE, &crate_)?);
        sums.extend(sums_of(&records, self.store)?);
        records.extend(checksum_files(&sums).map(|(path, bytes)| PublishedFile {
            path,
            content: Content::Bytes(bytes),
        }));
        Ok(records)
    }

    fn run_record(&self, history: &History<'_>) -> Value {
        let actions: Vec<Value> = history
            .actions
            .iter()
            .map(|done| {
                let mut entry = fields_of(done.report);
                entry.insert("version".to_owned(), json!(done.document.version));
                entry.insert("exit".to_owned(), json!("success"));
                entry.insert("inputs".to_owned(), json!(done.inputs));
                entry.insert("outputs".to_owned(), json!(done.record.outputs));
                if let Some(numerics) = &done.record.numerics {
                    entry.insert("numerics".to_owned(), numerics.clone());
                }
                entry.insert("computed".to_owned(), json!(done.computed));
                Value::Object(entry)
            })
            .collect();
        json!({
            "run_format": FORMAT,
            "run": self.run,
            "experiment": self.manifest.name,
            "seed": self.manifest.seed,
            "manifest": self.manifest_digest(),
            "clinicadl": env!("CARGO_PKG_VERSION"),
            "started": timestamp(self.started),
            "ended": timestamp(self.ended),
            "elapsed_s": self.report.elapsed_s,
            "external_inputs": history.inputs,
            "actions": actions,
        })
    }

    fn environment(&self) -> Value {
        let mut numerics: Vec<&Value> = self
            .report
            .actions
            .iter()
            .filter_map(|action| action.record.as_ref()?.numerics.as_ref())
            .collect();
        numerics.dedup();
        json!({
            "clinicadl": env!("CARGO_PKG_VERSION"),
            "system": std::env::consts::OS,
            "architecture": std::env::consts::ARCH,
            "processor": self.processor,
            "cpus": self.machine.cpus,
            "gpus": self.machine.gpus,
            "memory_bytes": self.machine.memory,
            "numerics": numerics,
        })
    }
}

/// Measurements of an action besides its wall time, named as in the usage that its report tells.
pub(super) const MEASURED: [&str; 6] = [
    "user_cpu_s",
    "system_cpu_s",
    "peak_memory_bytes",
    "energy_wh",
    "energy_method",
    "co2e_g",
];

/// The fields of an action's report, without what would name a person, a machine or a place.
fn fields_of(action: &ActionReport) -> Map<String, Value> {
    let value = serde_json::to_value(action).unwrap_or_default();
    let mut value = scrubbed(value);
    without_files(&mut value);
    match value {
        Value::Object(fields) => fields,
        _ => Map::new(),
    }
}

/// Drops the lists of changed input files, which name participants that the results may not be about.
fn without_files(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.retain(|name, _| name != "files");
            fields.values_mut().for_each(without_files);
        }
        Value::Array(items) => items.iter_mut().for_each(without_files),
        _ => {}
    }
}

/// The model of the processor, such as `Intel(R) Xeon(R) Gold 6430`.
fn processor() -> Option<String> {
    let text = std::fs::read_to_string("/proc/cpuinfo").ok()?;
    let line = text.lines().find(|line| line.starts_with("model name"))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}
