//! The cells of a matrix, each with its own results, folder and bounds; one without a matrix.

use std::borrow::Cow;
use std::collections::BTreeMap;

use engine::Stage;
use engine::exec::RunReport;
use engine::lock::{Lock, LockedFiles};
use engine::manifest::{Manifest, Publication};
use engine::plan::Plan;
use engine::publish::{PublishedList, list};
use engine::store::Store;
use engine::verify::{MetricNames, published_by_cell};
use stages::ensemble::{Ensemble, name_of};

use super::results::{Results, ensemble_group};
use crate::failure::Failure;

/// What a run did for one cell.
pub(super) struct Cell<'a> {
    pub(super) publication: &'a Publication,
    /// The manifest with the stages of this cell only.
    pub(super) manifest: Cow<'a, Manifest>,
    /// What was done for them.
    pub(super) report: Cow<'a, RunReport>,
    pub(super) results: Results,
}

/// The results of a complete run, cell by cell.
pub(super) fn cells<'a>(
    manifest: &'a Manifest,
    report: &'a RunReport,
    store: &Store,
) -> Result<Vec<Cell<'a>>, Failure> {
    let cells = manifest.publications().iter().map(|publication| {
        let (manifest, report) = if !publication.label.is_empty() {
            let own = manifest.of(publication);
            let part = part(report, &own);
            (Cow::Owned(own), Cow::Owned(part))
        } else {
            (Cow::Borrowed(manifest), Cow::Borrowed(report))
        };
        Ok(Cell {
            results: Results::of(&manifest, &report, store)?,
            publication,
            manifest,
            report,
        })
    });
    cells.collect()
}

/// What was done for the stages of one cell.
fn part(report: &RunReport, cell: &Manifest) -> RunReport {
    let mut part = report.clone();
    part.actions
        .retain(|action| cell.stages.contains_key(&action.stage_name));
    part
}

/// The metrics of all cells, each named after its cell: `group/split-0/<cell>/…/metric`.
pub(super) fn metrics(cells: &[Cell<'_>]) -> BTreeMap<String, f64> {
    let mut all = BTreeMap::new();
    for cell in cells {
        let metrics = cell.results.metrics.iter();
        all.extend(metrics.map(|(name, value)| (in_cell(name, cell.publication), *value)));
    }
    all
}

/// The name of a metric among those of all cells.
pub(super) fn in_cell(name: &str, cell: &Publication) -> String {
    if cell.label.is_empty() {
        return name.to_owned();
    }
    match name.split_once('/') {
        Some((group, rest)) => format!("{group}/{}/{rest}", cell.mark()),
        None => name.to_owned(),
    }
}

/// The lock of the run.
pub(super) fn lock(
    cells: &[Cell<'_>],
    manifest: &Manifest,
    plan: &Plan,
    report: &RunReport,
    store: &Store,
) -> Result<Lock, Failure> {
    let published = listed(cells, store)?;
    Ok(Lock::of(manifest, plan, report, metrics(cells), published))
}

/// What the folders of all cells hold together.
fn listed(cells: &[Cell<'_>], store: &Store) -> Result<Option<LockedFiles>, Failure> {
    let mut lists: Vec<(String, PublishedList)> = Vec::new();
    for cell in cells {
        lists.push((cell.publication.mark(), list(&cell.results.files, store)?));
    }
    Ok(published_by_cell(&lists))
}

/// The metrics of one cell under their own names, for its bounds.
pub(super) fn metrics_of(all: &BTreeMap<String, f64>, cell: &Publication) -> BTreeMap<String, f64> {
    if cell.label.is_empty() {
        return all.clone();
    }
    let mark = cell.mark();
    let named = all.iter().filter_map(|(name, value)| {
        let (group, rest) = name.split_once('/')?;
        let rest = rest.strip_prefix(&mark)?.strip_prefix('/')?;
        Some((format!("{group}/{rest}"), *value))
    });
    named.collect()
}

/// The data group that each stage with a parameter `data_group` makes, by what the file calls the stage.
pub(super) fn groups(manifest: &Manifest, cell: &Publication) -> BTreeMap<String, String> {
    let stages = cell.stages.iter();
    stages
        .filter_map(|(plain, name)| {
            let stage = manifest.stages.get(name)?;
            let group = stage.params.get("data_group")?.as_str()?;
            let group = match stage.stage.id() == Ensemble::ID {
                true => ensemble_group(group, name_of(&stage.params)?),
                false => group.to_owned(),
            };
            Some((plain.clone(), group))
        })
        .collect()
}

/// The checks of the bounds of every cell.
pub(super) fn check_bounds(
    manifest: &Manifest,
    metrics: &BTreeMap<String, f64>,
) -> Vec<engine::verify::Check> {
    let mut checks = Vec::new();
    for cell in manifest.publications() {
        let (values, stages) = (metrics_of(metrics, cell), groups(manifest, cell));
        let names = MetricNames {
            values: &values,
            stages: &stages,
        };
        let mut found = engine::verify::check_expectations(&cell.expect, names);
        if !cell.label.is_empty() {
            for check in &mut found {
                check.name = format!("{} [{}]", check.name, cell.label);
            }
        }
        checks.append(&mut found);
    }
    checks
}
