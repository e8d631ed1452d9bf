//! The results of a complete run: the files to publish, their metrics, and the lock.

use std::collections::BTreeMap;
use std::path::PathBuf;

use engine::StageError;
use engine::exec::RunReport;
use engine::lock::{Lock, LockError};
use engine::manifest::Manifest;
use engine::plan::Plan;
use engine::provenance::finished_artifacts;
use engine::publish::{Content, PublishedFile, Publisher, read_object};
use engine::store::{Store, write_atomically};
use engine::verify::check_inputs;
use maps::files::{MetricsTable, NetworkMetrics};
use maps::layout::{ensemble_metrics_of, is_of_images, metrics_table_of, model_folder};

use crate::failure::{Code, Failure, warn};

/// What a complete run publishes, before it is published; empty for an experiment that publishes
/// nothing.
#[derive(Debug, Default)]
pub(super) struct Results {
    /// The files of the folder.
    pub(super) files: Vec<PublishedFile>,
    /// Metrics by `group/split-0/best-<metric>/metric`, of an ensemble by `group-ensemble-name/best-<metric>/metric`.
    pub(super) metrics: BTreeMap<String, f64>,
}

impl Results {
    pub(super) fn of(
        manifest: &Manifest,
        report: &RunReport,
        store: &Store,
    ) -> Result<Self, Failure> {
        if manifest.maps_path().is_none() {
            return Ok(Self::default());
        }
        let artifacts = finished_artifacts(manifest, report, store);
        let read = |digest: &engine::Digest| read_object(store, digest);
        let files = maps::MapsPublisher.layout(&artifacts, &read)?;
        let mut metrics = BTreeMap::new();
        for file in &files {
            add_metrics(&mut metrics, &file.path, || match &file.content {
                Content::Bytes(bytes) => Ok(bytes.clone()),
                Content::Object(digest) => read(digest),
            })?;
        }
        Ok(Self { files, metrics })
    }
}

/// Adds the metrics of a file of a MAPS, if it is a metrics table.
///
/// Metrics and what selected the models are called as in manifests: `balanced_accuracy`, not `BA`. What only
/// the networks of parts have, their loss, is the mean over them.
pub(super) fn add_metrics(
    metrics: &mut BTreeMap<String, f64>,
    path: &str,
    read: impl FnOnce() -> Result<Vec<u8>, StageError>,
) -> Result<(), StageError> {
    let (place, selected_by) = match (metrics_table_of(path), ensemble_metrics_of(path)) {
        (Some((split, selected_by, group)), _) => (format!("{group}/split-{split}"), selected_by),
        (None, Some((name, selected_by, group))) => (ensemble_group(group, name), selected_by),
        (None, None) => return Ok(()),
    };
    let bytes = read()?;
    let mut tables = vec![MetricsTable::read(&bytes, path).map_err(StageError::new)?];
    if !is_of_images(path) {
        let several = NetworkMetrics::read(&bytes, path).map_err(StageError::new)?;
        if !several.networks.is_empty() {
            tables = several
                .networks
                .into_iter()
                .map(|(_, table)| table)
                .collect();
        }
    }
    for column in &tables[0].columns {
        let (selected_by, name) = (id_of(selected_by), id_of(&column.name));
        let folder = model_folder(selected_by);
        let metric = metrics.entry(format!("{place}/{folder}/{name}"));
        let values = tables.iter().filter_map(|table| table.get(&column.name));
        let mean = values.map(|column| column.value).sum::<f64>() / tables.len() as f64;
        // A metric of images goes before the same one of their parts.
        match is_of_images(path) {
            true => drop(metric.insert_entry(mean)),
            false => drop(metric.or_insert(mean)),
        }
    }
    Ok(())
}

/// What the metrics of an ensemble are the metrics of: a data group has those of each split besides.
pub(super) fn ensemble_group(group: &str, name: &str) -> String {
    format!("{group}-ensemble-{name}")
}

/// The name in manifests of a column of metrics tables.
fn id_of(column: &str) -> &str {
    stages::metrics::find(column).map_or(column, |metric| metric.id)
}

/// The lock file of a run, as it was before.
pub(super) struct LockFile {
    path: PathBuf,
    before: Option<Vec<u8>>,
}

impl LockFile {
    /// Reads the lock of a manifest, of which only its bytes are looked at as long as nothing changes.
    pub(super) fn of(manifest: &Manifest) -> Self {
        let path = Lock::path_of(&manifest.path);
        let before = std::fs::read(&path).ok();
        Self { path, before }
    }

    /// With `--locked`, refuses before anything runs what would surely change the lock.
    pub(super) fn must_fit(
        &self,
        manifest: &Manifest,
        plan: &Plan,
        store: &Store,
    ) -> Result<(), Failure> {
        let lock = Lock::read(&self.path).map_err(|e| unusable(&e, Code::NotUpToDate))?;
        let lock = lock.ok_or_else(|| missing(&self.path, "`--locked` writes none"))?;
        let checks = check_inputs(manifest, plan, &lock, Some(store));
        let lines: Vec<(String, Vec<String>)> = checks
            .iter()
            .filter(|check| check.fault().is_some())
            .map(|check| format!("{} `{}`: {}", check.section, check.name, check.message))
            .map(|line| (line, Vec::new()))
            .collect();
        if lines.is_empty() {
            return Ok(());
        }
        let mut failure = would_change(&self.path);
        failure.messages.splice(0..0, lines);
        Err(failure)
    }

    /// The text of the lock of this run: with the attributes of the one before where results are the
    /// same. One that cannot be used is told, and will be written anew.
    pub(super) fn settle(&self, lock: Lock) -> String {
        let text = lock.text();
        let Some(before) = &self.before else {
            return text;
        };
        if *before == text.as_bytes() {
            return text;
        }
        match Lock::parse(&self.path, before) {
            Ok(before) => lock.keeping_attributes_of(&before).text(),
            Err(error) => {
                warn(&error.to_string(), "it is written anew");
                text
            }
        }
    }

    /// With `--locked`, refuses a lock that is not the one before.
    pub(super) fn must_equal(&self, text: &str) -> Result<(), Failure> {
        if self.before.as_deref() == Some(text.as_bytes()) {
            return Ok(());
        }
        Err(would_change(&self.path)
            .hint("results differ from the locked ones: see `clinicadl verify --rerun bitwise`"))
    }

    /// Writes the lock where it changed, and tells whether it did. A folder that cannot be written
    /// leaves results and their lock in the MAPS: that is no failure.
    pub(super) fn write(&self, text: &str) -> bool {
        if self.before.as_deref() == Some(text.as_bytes()) {
            return false;
        }
        let written = write_atomically(&self.path, text.as_bytes());
        if let Err(error) = &written {
            let path = self.path.display();
            warn(
                &format!("no lock file: failed to write `{path}`: {error}"),
                "the published folder has a copy, `provenance/lock.json`",
            );
        }
        written.is_ok()
    }
}

fn would_change(path: &std::path::Path) -> Failure {
    let message = format!(
        "`{}` would change, and `--locked` forbids it",
        path.display()
    );
    Failure::new(Code::NotUpToDate, message)
        .hint("run without `--locked`, and commit the manifest and its lock together")
}

/// There is no lock.
pub(super) fn missing(path: &std::path::Path, why: &str) -> Failure {
    let message = format!("there is no lock file `{}`, and {why}", path.display());
    Failure::new(Code::NotUpToDate, message)
        .hint("`clinicadl run` writes it: commit it with the manifest")
}

/// The lock cannot be used.
pub(super) fn unusable(error: &LockError, code: Code) -> Failure {
    Failure::new(code, error.to_string()).hint(error.hint())
}
