//! Whether any member of an ensemble has seen whom the ensemble is tested on.

use std::collections::BTreeSet;

use engine::{Context, Input, InputFile, StageError};
use maps::files::DataTable;
use maps::layout::{TRAIN_VALIDATION, split_folder};

use super::EnsembleParams;
use super::members::{Members, Tables};
use crate::leakage::{Allowed, Certificate, Group, Origin, SEEN, Seen, separate};
use crate::table::Table;

/// Compares the data group with whom each member has seen.
///
/// Participants are compared by cohort and name. Voxels and copies of people were compared when each model
/// predicted; what was allowed then, and in the trainings, is carried on.
///
/// # Errors
/// A member has seen somebody, and no reason allows it: each member, whom, why that matters, and a way out.
pub(super) fn certify(
    params: &EnsembleParams,
    members: &Members<'_>,
    data: &DataTable,
    context: &Context,
) -> Result<Certificate, StageError> {
    let model = context.input("model")?;
    let mut certificate = Certificate::default();
    for file in members.certificates() {
        certificate.inherit_once(&read(file)?);
    }
    let tested = tested(&params.data_group, members.shown(), data);
    let allowed = Allowed {
        reason: &params.allow_leakage,
    };
    let mut refused: Option<StageError> = None;
    for split in members.splits() {
        let training = Certificate::path("training");
        let training = model.file(&format!("{}/{training}", split_folder(split)));
        if let Some(file) = training {
            certificate.inherit_once(&read(file)?);
        }
        let seen = seen(model, split)?;
        let mut own = Certificate::default();
        match separate(&seen, &tested, allowed, &mut own, context) {
            Ok(()) => {
                certificate.inherit_once(&own);
                certificate.checks.extend(own.checks);
            }
            Err(error) => match &mut refused {
                None => refused = Some(error),
                // One message of all members.
                Some(first) => first.message = format!("{}; {}", first.message, error.message),
            },
        }
    }
    match refused {
        None => Ok(certificate),
        Some(error) => Err(error),
    }
}

/// What tables say of data that leak: what is certified, and what the members' tables say.
pub(super) fn mark(certificate: &Certificate, tables: &Tables) -> Option<String> {
    let own = certificate.watermark().unwrap_or_default();
    let of_tables: BTreeSet<&str> = match tables {
        Tables::Classes(tables) => tables.iter().filter_map(|table| table.leakage()).collect(),
        Tables::Numbers(tables) => tables.iter().filter_map(|t| t.leakage.as_deref()).collect(),
    };
    let mut all: Vec<&str> = Some(own.as_str())
        .filter(|own| !own.is_empty())
        .into_iter()
        .collect();
    all.extend(of_tables.into_iter().filter(|text| !own.contains(text)));
    let text = all.join("; ");
    (!text.is_empty()).then_some(text)
}

/// Everybody whom the model of a split has seen. A model of ClinicaDL lists those of all splits.
fn seen(model: &Input, split: usize) -> Result<Group, StageError> {
    let folder = split_folder(split);
    let inside = |path: &str| model.file(&format!("{folder}/{path}"));
    let group = match (inside(SEEN), inside(TRAIN_VALIDATION)) {
        (Some(file), _) => Group::of_seen(&Table::read(file)?, &file.shown)?,
        (None, own) => {
            let file = own.or_else(|| model.file(TRAIN_VALIDATION)).ok_or_else(|| {
                let shown = &model.shown;
                let message = format!(
                    "`{shown}` does not tell whom the model of split {split} has seen: there is neither \
                     `{folder}/{SEEN}` nor `{TRAIN_VALIDATION}`"
                );
                StageError::new(message).hint("connect the model that made the predictions")
            })?;
            Group::of_table("seen", &Table::read(file)?, Origin::Train, Vec::new())?
        }
    };
    let sessions = group.sessions.into_iter().map(|seen| Seen {
        // Whoever was fitted or selected by: of an ensemble, one such member is enough.
        origin: match seen.origin {
            Origin::Train | Origin::Validation => Origin::Validation,
            Origin::PreTraining => Origin::PreTraining,
        },
        ..seen
    });
    Ok(Group {
        name: format!("seen of split {split}"),
        shown: model.shown.clone(),
        sessions: sessions.collect(),
    })
}

fn tested(group: &str, shown: &str, data: &DataTable) -> Group {
    let sessions = data.rows.iter().map(|row| Seen {
        cohort: row.cohort.clone(),
        participant: row.participant.clone(),
        session: row.session.clone(),
        derived_from: None,
        voxels: None,
        // Of those who are tested it does not matter.
        origin: Origin::Validation,
    });
    Group {
        name: group.to_owned(),
        shown: shown.to_owned(),
        sessions: sessions.collect(),
    }
}

fn read(file: &InputFile) -> Result<Certificate, StageError> {
    let bytes = std::fs::read(&file.path).map_err(|e| StageError::io("read", &file.path, &e))?;
    Certificate::read(&bytes, &file.shown)
}
