//! A MAPS of ClinicaDL 1.6.1 or before: the files are ours, some under other names.

use std::collections::BTreeSet;
use std::fs;

use super::ImportError;
use super::draft::Draft;
use crate::MapsError;
use crate::files::{DataTable, GroupJson, MapsJson, Session, SessionsTable};
use crate::layout::{
    GROUPS, IMAGE_LEVEL, MAPS_JSON, TRAIN, TRAIN_VALIDATION, VALIDATION, selection_metric_of,
    split_folder, split_of,
};

/// How the files of weights of a selected model end.
const MODEL: &str = "model.pth.tar";

/// Adds every file that has a place, and gives the parameters.
pub(super) fn fill(draft: &mut Draft) -> Result<MapsJson, ImportError> {
    let parameters = draft.read(MAPS_JSON, MapsJson::read)?;
    let mode = parameters.mode().unwrap_or(IMAGE_LEVEL).to_owned();
    draft.bytes(MAPS_JSON, parameters.to_bytes());
    let unfinished = unfinished(draft)?;
    for split in &unfinished {
        draft.note(
            &split_folder(*split),
            "the training of this split is unfinished: left out, it cannot go on here",
        );
    }
    let mut paths = Vec::new();
    walk(draft, "", &mut paths)?;
    for path in paths {
        let new = renamed(&path);
        if path == MAPS_JSON {
            continue;
        }
        if split_of(path.split('/').next().unwrap_or_default())
            .is_some_and(|split| unfinished.contains(&split))
        {
            continue;
        }
        if path.split('/').nth(1) == Some("tmp") {
            draft.note(&path, "the state of a training that goes on: left out");
        } else if path.starts_with("profiler/") {
            draft.note(&path, "a profile of the program that ran: left out");
        } else if has_lost_sessions(draft, &path, &mode) {
            draft.note(
                &path,
                "ClinicaDL 1.6 lost the participants of this copy: left out, the predictions of the parts are there",
            );
        } else if draft.has(&new) {
            draft.note(
                &path,
                format!("`{new}` is there already, from a folder `fold-<i>`: left out"),
            );
        } else {
            draft.copy(&path, &new);
            if is_selected_model(&new) {
                let model = draft.weights(&path)?;
                draft.safetensors(&new.replace(".pth.tar", ".safetensors"), &model)?;
            }
        }
    }
    complete_groups(draft)?;
    if draft.models == 0 {
        return Err(ImportError::NothingTrained(draft.source().to_owned()));
    }
    Ok(parameters)
}

/// Splits without a selected model.
fn unfinished(draft: &Draft) -> Result<BTreeSet<usize>, MapsError> {
    let (mut all, mut finished) = (BTreeSet::new(), BTreeSet::new());
    for name in draft.names("") {
        let Some(split) = split_of(&name) else {
            continue;
        };
        all.insert(split);
        let folders = draft.names(&name);
        let has_model = folders.iter().any(|folder| {
            selection_metric_of(folder).is_some()
                && draft
                    .names(&format!("{name}/{folder}"))
                    .iter()
                    .any(|file| file.ends_with(MODEL))
        });
        if has_model {
            finished.insert(split);
        }
    }
    Ok(all.difference(&finished).copied().collect())
}

/// Every file of the source, those of `fold-<i>` before those of `split-<i>`.
fn walk(draft: &mut Draft, folder: &str, found: &mut Vec<String>) -> Result<(), ImportError> {
    for name in draft.names(folder) {
        let path = match folder {
            "" => name,
            _ => format!("{folder}/{name}"),
        };
        let place = draft.source().join(&path);
        let kind = fs::symlink_metadata(&place).map_err(ImportError::io("look at", &place))?;
        if kind.is_symlink() {
            draft.note(&path, "a symbolic link: left out");
        } else if kind.is_dir() {
            walk(draft, &path, found)?;
        } else {
            found.push(path);
        }
    }
    Ok(())
}

/// `fold-<i>` is the name that old versions give to the folders of splits.
fn renamed(path: &str) -> String {
    let mut parts: Vec<String> = path.split('/').map(str::to_owned).collect();
    let place = match path.split('/').collect::<Vec<_>>()[..] {
        [GROUPS, TRAIN | VALIDATION, ..] => 2,
        _ => 0,
    };
    if let Some(split) = parts.get(place).and_then(|name| split_of(name)) {
        parts[place] = split_folder(split);
    }
    parts.join("/")
}

fn is_selected_model(path: &str) -> bool {
    let parts: Vec<&str> = path.split('/').collect();
    match parts[..] {
        [split, best, file] => {
            split_of(split).is_some()
                && selection_metric_of(best).is_some()
                && file.ends_with(MODEL)
        }
        _ => false,
    }
}

/// ClinicaDL 1.6.1 loses participants where it copies predictions of parts as those of images.
fn has_lost_sessions(draft: &Draft, path: &str, mode: &str) -> bool {
    let is_of_parts = mode != IMAGE_LEVEL && path.ends_with("_image_level_prediction.tsv");
    let text = fs::read_to_string(draft.source().join(path)).unwrap_or_default();
    is_of_parts && text.starts_with("image_id\t")
}

/// What data groups of old versions lack.
fn complete_groups(draft: &mut Draft) -> Result<(), ImportError> {
    let mut folders = Vec::new();
    for group in draft.names(GROUPS) {
        let folder = format!("{GROUPS}/{group}");
        if [TRAIN, VALIDATION].contains(&group.as_str()) {
            let splits = draft.names(&folder).into_iter();
            folders.extend(splits.map(|split| format!("{folder}/{split}")));
        } else {
            folders.push(folder);
        }
    }
    let mut seen: BTreeSet<Session> = BTreeSet::new();
    for folder in folders {
        let table = format!("{folder}/data.tsv");
        if !draft.exists(&table) {
            continue;
        }
        let description = renamed(&format!("{folder}/{MAPS_JSON}"));
        if !draft.has(&description) {
            draft.note(&folder, "does not tell where its images came from");
            draft.bytes(&description, GroupJson::default().to_bytes());
        }
        if folder.matches('/').count() == 2 {
            let table = draft.read(&table, DataTable::read)?;
            seen.extend(table.rows.into_iter().map(|row| Session {
                participant: row.participant,
                session: row.session,
            }));
        }
    }
    if !draft.has(TRAIN_VALIDATION) {
        draft.note(
            TRAIN_VALIDATION,
            "is missing: made of the groups `train` and `validation`",
        );
        let table = SessionsTable {
            rows: seen.into_iter().collect(),
        };
        draft.bytes(TRAIN_VALIDATION, table.to_bytes());
    }
    Ok(())
}
