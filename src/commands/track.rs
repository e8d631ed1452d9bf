//! `clinicadl run --mlflow`: what was published, told to a tracking server.

use std::path::PathBuf;

use ::maps::{Maps, MapsError};
use engine::provenance::Account;
use engine::publish::PublishOutcome;
use serde_json::json;

use super::cells::Cell;
use crate::cli::TrackingArgs;
use crate::failure::{Failure, warn};
use crate::tracking::{Facts, Told, Tracker, Training};

/// The tracker that a run is asked for.
pub(super) fn tracker(args: &TrackingArgs) -> Result<Option<Tracker>, Failure> {
    let open = |address: &String| {
        Tracker::open(address, args.mlflow_experiment.clone(), args.mlflow_files)
    };
    args.mlflow.as_ref().map(open).transpose()
}

/// Tells of every training of every folder.
pub(super) fn tell(
    tracker: &Tracker,
    account: &Account<'_>,
    cells: &[Cell<'_>],
    published: &[(String, PathBuf, PublishOutcome)],
) -> Option<Told> {
    let mut trainings = Vec::new();
    for cell in cells {
        let label = &cell.publication.label;
        let folder = published
            .iter()
            .find(|(published, _, _)| published == label);
        // A folder without training is no MAPS.
        let Some(maps) = folder.and_then(|(_, folder, _)| Maps::open(folder).ok()) else {
            continue;
        };
        match of_cell(&maps, cell, account) {
            Ok(some) => trainings.extend(some),
            Err(error) => warn(&format!("MLflow is not told of a MAPS: {error}"), ""),
        }
    }
    tracker.tell(account.experiment(), &trainings)
}

/// The trainings of a cell, split by split.
fn of_cell(
    maps: &Maps,
    cell: &Cell<'_>,
    account: &Account<'_>,
) -> Result<Vec<Training>, MapsError> {
    let mut trainings = Vec::new();
    for split in maps.splits() {
        let made_it = |action: &&engine::exec::ActionReport| {
            action.split == Some(split) && action.stage == "train" && action.record.is_some()
        };
        // One split is trained once in a folder.
        let Some(action) = cell.report.actions.iter().rfind(made_it) else {
            continue;
        };
        let facts = Facts {
            action,
            cell: &cell.publication.label,
            cell_params: json!(cell.publication.params),
            manifest: account.manifest_digest(),
            experiment: account.experiment(),
            between: account.computed_between(action),
        };
        trainings.push(Training::of(maps, split, &facts)?);
    }
    Ok(trainings)
}
