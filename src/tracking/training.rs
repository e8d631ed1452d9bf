//! What is told of a training.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use engine::digest::Digest;
use engine::exec::ActionReport;
use engine::provenance::leaves;
use maps::layout::SplitPath;
use maps::{Maps, MapsError};
use serde_json::json;

use super::mlflow::named;

/// A training and what became of it.
#[derive(Debug)]
pub(crate) struct Training {
    /// `split-0`, after the cell of a matrix.
    pub(super) name: String,
    /// By which it is found again.
    pub(super) key: String,
    pub(super) tags: BTreeMap<String, String>,
    pub(super) params: BTreeMap<String, String>,
    /// Of each epoch.
    pub(super) course: Vec<Metric>,
    /// Of each data group, by the model that was selected.
    pub(super) results: Vec<Metric>,
    /// When it was computed, if that is known.
    pub(super) between: Option<(u64, u64)>,
    pub(super) files: Vec<PathBuf>,
}

/// A number at some time.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Metric {
    pub(super) name: String,
    pub(super) value: f64,
    /// The epoch.
    pub(super) step: u64,
    /// Milliseconds after the training began.
    pub(super) after: u64,
}

/// What is known of a training besides its folder.
pub(crate) struct Facts<'a> {
    pub(crate) action: &'a ActionReport,
    /// The cell of a matrix or the trial of a search; empty without.
    pub(crate) cell: &'a str,
    /// The params that belong to the cell.
    pub(crate) cell_params: serde_json::Value,
    pub(crate) manifest: Digest,
    pub(crate) experiment: &'a str,
    pub(crate) between: Option<(SystemTime, SystemTime)>,
}

impl Training {
    /// What a MAPS tells of one split.
    ///
    /// # Errors
    /// A file of it cannot be read.
    pub(crate) fn of(maps: &Maps, split: usize, facts: &Facts<'_>) -> Result<Self, MapsError> {
        let key = facts.action.key.map(|key| key.to_string());
        let key = key.unwrap_or_default();
        let document = facts.action.document.as_ref();
        let mut params = leaves(&facts.cell_params);
        for (name, _) in &mut params {
            *name = format!("matrix.{name}");
        }
        params.extend(
            document
                .into_iter()
                .flat_map(|document| leaves(&document.params)),
        );
        params.extend(document.and_then(|d| Some(("seed".to_owned(), json!(d.seed.as_ref()?)))));
        params.push(("split".to_owned(), json!(split)));
        let params = params.into_iter().map(|(name, value)| {
            let value = value
                .as_str()
                .map_or_else(|| value.to_string(), str::to_owned);
            (named(&name), value)
        });
        let mut tags = BTreeMap::from([
            ("clinicadl.experiment", facts.experiment.to_owned()),
            ("clinicadl.key", key.clone()),
            ("clinicadl.manifest", facts.manifest.to_string()),
            ("clinicadl.split", split.to_string()),
            ("clinicadl.stage", facts.action.stage_name.clone()),
            ("clinicadl.version", env!("CARGO_PKG_VERSION").to_owned()),
        ]);
        let mut name = format!("split-{split}");
        if !facts.cell.is_empty() {
            name = format!("{} {name}", facts.cell);
            tags.insert("clinicadl.cell", facts.cell.to_owned());
        }
        let at = |time: SystemTime| {
            let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
            u64::try_from(since.as_millis()).unwrap_or(0)
        };
        Ok(Self {
            name,
            key,
            tags: tags
                .into_iter()
                .map(|(name, value)| (name.to_owned(), value))
                .collect(),
            params: params.collect(),
            course: course(maps, split)?,
            results: results(maps, split)?,
            between: facts.between.map(|(from, to)| (at(from), at(to))),
            files: [
                maps.path(split, SplitPath::Training),
                maps.folder().join("maps.json"),
            ]
            .into_iter()
            .filter(|path| path.is_file())
            .collect(),
        })
    }

    /// Of what is told, without when: equal for what is told already.
    pub(super) fn digest(&self) -> String {
        let told = |metrics: &[Metric]| -> Vec<_> {
            let metric = |m: &Metric| json!([m.name, m.value.to_bits(), m.step]);
            metrics.iter().map(metric).collect()
        };
        let text = json!([
            self.tags,
            self.params,
            told(&self.course),
            told(&self.results)
        ]);
        Digest::of(text.to_string().as_bytes()).to_string()
    }
}

/// Every metric of every epoch; of several evaluations in one, of the last.
fn course(maps: &Maps, split: usize) -> Result<Vec<Metric>, MapsError> {
    let table = maps.training(split)?;
    let mut last = BTreeMap::new();
    for row in table.rows() {
        last.insert(row.epoch, row);
    }
    let mut metrics = Vec::new();
    for row in last.values() {
        let after = row.time_s.filter(|time| *time >= 0.0);
        for (group, values) in [("train", &row.train), ("validation", &row.validation)] {
            for (column, &value) in table.metrics().iter().zip(values) {
                metrics.push(Metric {
                    name: named(&format!("{group}/{}", id_of(column))),
                    value,
                    step: row.epoch,
                    #[expect(
                        clippy::cast_possible_truncation,
                        clippy::cast_sign_loss,
                        reason = "milliseconds of a training"
                    )]
                    after: after.map_or(0, |time| (time * 1000.0) as u64),
                });
            }
        }
    }
    Ok(metrics)
}

/// Metrics of every data group: `validation/best-loss/balanced_accuracy`.
fn results(maps: &Maps, split: usize) -> Result<Vec<Metric>, MapsError> {
    let mut metrics = Vec::new();
    for selected_by in maps.selection_metrics(split)? {
        for group in maps.result_groups(split, &selected_by)? {
            // A group without labels has predictions and no metrics.
            let Ok(table) = maps.metrics(split, &selected_by, &group) else {
                continue;
            };
            for column in &table.columns {
                let name = format!(
                    "{group}/best-{}/{}",
                    id_of(&selected_by),
                    id_of(&column.name)
                );
                metrics.push(Metric {
                    name: named(&name),
                    value: column.value,
                    step: 0,
                    after: 0,
                });
            }
        }
    }
    Ok(metrics)
}

/// The name in manifests of a column of a MAPS.
fn id_of(column: &str) -> &str {
    stages::metrics::find(column).map_or(column, |metric| metric.id)
}
