//! What is recorded beside the results: the manifest, the lock, the account of the run and the
//! environment.
//!
//! None of it is an input of anything, so that times may appear here and nowhere else. No absolute
//! path, host or user name is recorded.

use std::time::SystemTime;

use serde::Serialize;
use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::error::StageError;
use crate::exec::{Machine, RunReport};
use crate::manifest::Manifest;
use crate::publish::{Content, FinishedArtifact, PublishedFile};
use crate::store::Store;

/// Version of the files written here.
const FORMAT: u32 = 1;

/// Files about the experiment: equal for equal results. `lock` is the text of its lock.
///
/// # Errors
/// None in practice: every part has a JSON form.
pub fn lasting_files(manifest: &Manifest, lock: &str) -> Result<Vec<PublishedFile>, StageError> {
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
        PublishedFile {
            path: "provenance/lock.json".to_owned(),
            content: Content::Bytes(lock.as_bytes().to_vec()),
        },
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
