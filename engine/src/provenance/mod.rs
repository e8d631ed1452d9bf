//! What is recorded beside the results.
//!
//! ```text
//! provenance/manifest.<ext>   the experiment as written          lasting: equal for equal results
//! provenance/lock.json        inputs, keys and results by digest
//! provenance/run.json         every action: times, reasons       records of one run
//! provenance/environment.json software and class of hardware
//! provenance/prov.json        W3C PROV-JSON
//! ro-crate-metadata.json      Workflow Run RO-Crate
//! provenance/manifest-sha256.txt, manifest-blake3.txt   for `sha256sum -c` and `b3sum -c`
//! ```
//!
//! None of it is an input of anything, so that times may appear here and nowhere else. The records hold
//! no absolute path, host or user name, and no clinical column: inputs are named as in the manifest and
//! told by digest, number of files and size.

mod account;
mod checksums;
mod history;
mod places;
mod prov;
mod refresh;
mod ro_crate;
#[cfg(test)]
mod tests;

use std::path::Path;
use std::time::SystemTime;

use serde::Serialize;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use time::macros::format_description;

pub use account::Account;
pub use checksums::{BLAKE3_SUMS, FileSums, SHA256_SUMS, checksum_files, sums_of};
pub use history::leaves;
pub use places::{find_place, without_places};
pub use refresh::{Renamed, refresh};

use crate::digest::Digest;
use crate::error::StageError;
use crate::exec::RunReport;
use crate::manifest::Manifest;
use crate::publish::{Content, FinishedArtifact, PublishedFile, read_list};
use crate::store::{Store, TreeFile};

/// The account of the run, relative to the published folder.
pub const RUN: &str = "provenance/run.json";
/// Software and class of hardware.
pub const ENVIRONMENT: &str = "provenance/environment.json";
/// W3C PROV-JSON.
pub const PROV: &str = "provenance/prov.json";
/// The Workflow Run RO-Crate; its place is the root of the folder.
pub const RO_CRATE: &str = "ro-crate-metadata.json";
/// The lock.
pub const LOCK: &str = "provenance/lock.json";

/// The files that tell about a run rather than about its results.
pub const RECORDS: [&str; 6] = [RUN, ENVIRONMENT, PROV, RO_CRATE, SHA256_SUMS, BLAKE3_SUMS];

/// Version of the files written here.
const FORMAT: u32 = 1;

/// Files about the experiment: equal for equal results. `lock` is the text of its lock.
pub fn lasting_files(manifest: &Manifest, lock: &str) -> Vec<PublishedFile> {
    vec![
        PublishedFile {
            path: manifest_path(manifest),
            content: Content::Bytes(manifest.text.clone().into_bytes()),
        },
        PublishedFile {
            path: LOCK.to_owned(),
            content: Content::Bytes(lock.as_bytes().to_vec()),
        },
    ]
}

/// Where the manifest is published.
fn manifest_path(manifest: &Manifest) -> String {
    let extension = manifest.path.extension().and_then(|e| e.to_str());
    format!("provenance/manifest.{}", extension.unwrap_or("yaml"))
}

/// The records that a folder already holds about exactly these results, if it does.
///
/// Records are dear to make and are not written again while the results stay as they are.
pub fn current_records(target: &Path, results: &[PublishedFile]) -> Option<Vec<PublishedFile>> {
    let mut published = read_list(target)?.files;
    let records = RECORDS.map(|path| published.remove(path).map(|_| path));
    let is_same = |file: &PublishedFile| {
        let digest = match &file.content {
            Content::Object(digest) => *digest,
            Content::Bytes(bytes) => Digest::of(bytes),
        };
        matches!(published.get(&file.path), Some(TreeFile { digest: old, .. }) if *old == digest)
    };
    if published.len() != results.len() || !results.iter().all(is_same) {
        return None;
    }
    records
        .into_iter()
        .map(|path| {
            let path = path?;
            Some(PublishedFile {
                path: path.to_owned(),
                content: Content::Bytes(std::fs::read(target.join(path)).ok()?),
            })
        })
        .collect()
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

/// The instant that a text of [`timestamp`] tells.
fn instant(text: &str) -> Option<SystemTime> {
    OffsetDateTime::parse(text, &Rfc3339).ok().map(Into::into)
}

/// An instant in UTC, to the millisecond, in the form that the profiles of RO-Crate recommend; it is
/// RFC 3339 too.
pub(crate) fn timestamp(at: SystemTime) -> String {
    let format = format_description!(
        "[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:3]+00:00"
    );
    OffsetDateTime::from(at).format(format).unwrap_or_default()
}
