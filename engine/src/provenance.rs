//! What is recorded beside the results: the manifest, the lock, the account of the run and the
//! environment.
//!
//! None of it is an input of anything, so that times may appear here and nowhere else. No absolute
//! path, host or user name is recorded.

use std::collections::BTreeMap;
use std::time::SystemTime;

use serde::Serialize;
use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::digest::Digest;
use crate::error::StageError;
use crate::exec::{Machine, RunReport};
use crate::key::{ActionKey, canonical};
use crate::manifest::Manifest;
use crate::publish::{Content, FinishedArtifact, PublishedFile};
use crate::store::Store;

/// Version of the files written here.
const FORMAT: u32 = 1;

/// What identifies a finished experiment: inputs, keys and results by digest, nothing about the run.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Lock {
    lock_format: u32,
    experiment: String,
    seed: u64,
    manifest: Digest,
    actions: Vec<LockedAction>,
}

/// One action of a [`Lock`].
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct LockedAction {
    action: String,
    stage: String,
    version: u32,
    key: ActionKey,
    inputs: BTreeMap<String, Digest>,
    outputs: BTreeMap<String, Vec<Digest>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    numerics: Option<Value>,
}

/// The lock of a complete run.
pub fn lock(manifest: &Manifest, report: &RunReport) -> Lock {
    let actions = report
        .actions
        .iter()
        .filter_map(|action| {
            let (document, record) = (action.document.as_ref()?, action.record.as_ref()?);
            Some(LockedAction {
                action: action.action.clone(),
                stage: document.stage.clone(),
                version: document.version,
                key: record.key,
                inputs: document
                    .inputs
                    .iter()
                    .map(|(p, i)| (p.clone(), i.digest))
                    .collect(),
                outputs: record
                    .outputs
                    .iter()
                    .map(|(port, artifacts)| {
                        (port.clone(), artifacts.iter().map(|a| a.digest).collect())
                    })
                    .collect(),
                numerics: record.numerics.as_ref().map(sorted),
            })
        })
        .collect();
    Lock {
        lock_format: FORMAT,
        experiment: manifest.name.clone(),
        seed: manifest.seed,
        manifest: Digest::of(manifest.text.as_bytes()),
        actions,
    }
}

/// The same value with sorted keys, as a stored record has it: a lock is the same from either.
fn sorted(value: &Value) -> Value {
    serde_json::from_str(&canonical(value)).unwrap_or_default()
}

/// Files about the experiment: equal for equal results.
///
/// # Errors
/// None in practice: every part has a JSON form.
pub fn lasting_files(
    manifest: &Manifest,
    report: &RunReport,
) -> Result<Vec<PublishedFile>, StageError> {
    let extension = manifest
        .path
        .extension()
        .and_then(|e| e.to_str())
        .unwrap_or("yaml");
    Ok(vec![
        PublishedFile {
            path: format!("provenance/manifest.{extension}"),
            content: Content::Bytes(manifest.text.clone().into_bytes()),
        },
        json_file("provenance/lock.json", &lock(manifest, report))?,
    ])
}

/// Files about this run: they tell times and hardware.
///
/// # Errors
/// None in practice: every part has a JSON form.
pub fn run_files(report: &RunReport, machine: Machine) -> Result<Vec<PublishedFile>, StageError> {
    let ended = SystemTime::now();
    let started = ended - std::time::Duration::from_secs_f64(report.elapsed_s.max(0.0));
    let run = json!({
        "run_format": FORMAT,
        "started": timestamp(started),
        "ended": timestamp(ended),
        "elapsed_s": report.elapsed_s,
        "actions": report.actions,
    });
    Ok(vec![
        json_file("provenance/run.json", &run)?,
        json_file("provenance/environment.json", &environment(report, machine))?,
    ])
}

fn environment(report: &RunReport, machine: Machine) -> Value {
    let processor = std::fs::read_to_string("/proc/cpuinfo")
        .ok()
        .and_then(|text| {
            let line = text.lines().find(|line| line.starts_with("model name"))?;
            Some(line.split_once(':')?.1.trim().to_owned())
        });
    let mut numerics: Vec<&Value> = report
        .actions
        .iter()
        .filter_map(|a| a.record.as_ref()?.numerics.as_ref())
        .collect();
    numerics.dedup();
    json!({
        "clinicadl": env!("CARGO_PKG_VERSION"),
        "system": std::env::consts::OS,
        "architecture": std::env::consts::ARCH,
        "processor": processor,
        "cpus": machine.cpus,
        "memory_bytes": machine.memory,
        "numerics": numerics,
    })
}

/// Every artifact of a complete run, for a publisher.
pub fn finished_artifacts(
    manifest: &Manifest,
    report: &RunReport,
    store: &Store,
) -> Vec<FinishedArtifact> {
    let mut artifacts = Vec::new();
    for action in &report.actions {
        let Some(record) = &action.record else {
            continue;
        };
        let Some(stage) = manifest.stages.get(&action.stage_name) else {
            continue;
        };
        for (port, list) in &record.outputs {
            for (index, artifact) in list.iter().enumerate() {
                let Some(tree) = store.tree(&artifact.digest) else {
                    continue;
                };
                artifacts.push(FinishedArtifact {
                    stage_name: action.stage_name.clone(),
                    stage_id: action.stage.clone(),
                    port: port.clone(),
                    kind: artifact.kind.clone(),
                    split: action.split.or((list.len() > 1).then_some(index)),
                    params: stage.params.clone(),
                    tree: (*tree).clone(),
                });
            }
        }
    }
    artifacts
}

fn json_file(path: &str, content: &impl Serialize) -> Result<PublishedFile, StageError> {
    let mut bytes = serde_json::to_vec_pretty(content).map_err(StageError::internal)?;
    bytes.push(b'\n');
    Ok(PublishedFile {
        path: path.to_owned(),
        content: Content::Bytes(bytes),
    })
}

/// A time as text (RFC 3339).
pub(crate) fn timestamp(at: SystemTime) -> String {
    OffsetDateTime::from(at)
        .format(&Rfc3339)
        .unwrap_or_default()
}
