//! Who is in a group, with labels and images.

use engine::{InputFile, StageError};
use maps::files::{DataRow, Identity};

use crate::leakage::{Group, Origin};
use crate::learning::images::Images;
use crate::listed::listed;
use crate::metrics::LabelCode;
use crate::table::Table;

/// How many sessions a message lists at most.
const LISTED: usize = 50;

/// A group of sessions.
#[derive(Debug)]
pub(super) struct Data {
    pub(super) name: String,
    pub(super) table: Table,
    pub(super) rows: Vec<DataRow>,
    pub(super) truth: Truth,
    /// Their images, where there are any.
    pub(super) files: Vec<InputFile>,
    /// For the comparison with other groups.
    pub(super) group: Group,
}

/// True labels.
#[derive(Debug, Clone)]
pub(super) enum Truth {
    /// The number of classes, and codes.
    Classes(usize, Vec<usize>),
    /// Numbers.
    Numbers(Vec<f64>),
}

/// What is read of a group beside its table.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sources<'a> {
    /// Column of labels.
    pub(super) label: &'a str,
    /// Codes of the labels; `None` where they are numbers.
    pub(super) code: Option<&'a LabelCode>,
    /// Extracted images.
    pub(super) images: Option<&'a Images>,
}

impl Data {
    /// Reads labels and finds images of every row.
    ///
    /// # Errors
    /// The table is empty, a label is missing or unknown, sessions have no image.
    pub(super) fn of(
        name: &str,
        table: Table,
        origin: Origin,
        sources: Sources<'_>,
    ) -> Result<Self, StageError> {
        if table.is_empty() {
            let message = format!("`{}` has no row, expected at least one", table.shown());
            return Err(StageError::new(message));
        }
        let labels = table.complete_texts(sources.label)?;
        let truth = truth(&table, &labels, sources)?;
        let sessions = table.sessions()?;
        let mut missing = Vec::new();
        let (mut files, mut voxels, mut rows) = (Vec::new(), Vec::new(), Vec::new());
        for (session, label) in sessions.iter().zip(&labels) {
            let mut row = DataRow {
                participant: session.participant.to_owned(),
                session: session.session.to_owned(),
                cohort: session.cohort.to_owned(),
                label: Some((*label).to_owned()),
            };
            if let Some(images) = sources.images {
                let Some(stored) = images.find(*session, &table)? else {
                    missing.push(session.to_string());
                    continue;
                };
                row.session.clone_from(&stored.session);
                if images.has_cohorts {
                    row.cohort.clone_from(&stored.cohort);
                }
                files.push(stored.file.clone());
                voxels.push(stored.voxels.clone());
            }
            rows.push(row);
        }
        if let (Some(images), false) = (sources.images, missing.is_empty()) {
            let message = format!(
                "{} of {} sessions of `{}` have no image in `{}`: {}",
                missing.len(),
                sessions.len(),
                table.shown(),
                images.shown(),
                listed(&missing, LISTED, "; ")
            );
            let hint = "extract their images, or remove their rows from the table";
            return Err(StageError::new(message).hint(hint));
        }
        Ok(Self {
            name: name.to_owned(),
            rows,
            truth,
            files,
            group: Group::of_table(name, &table, origin, voxels)?,
            table,
        })
    }

    /// Whose images these are, as tables of predictions tell.
    pub(super) fn identities(&self) -> Vec<Identity> {
        let rows = self.rows.iter();
        rows.map(|row| Identity {
            participant: row.participant.clone(),
            session: row.session.clone(),
            image_id: 0,
        })
        .collect()
    }
}

fn truth(table: &Table, labels: &[&str], sources: Sources<'_>) -> Result<Truth, StageError> {
    let column = table.column(sources.label)?;
    let wrong =
        |row: usize, why: String| StageError::new(format!("{}: {why}", table.place(row, column)));
    let labels = labels.iter().enumerate();
    if let Some(code) = sources.code {
        let codes = labels.map(|(row, label)| {
            code.code(label).ok_or_else(|| {
                let known = code.iter().map(|(label, _)| format!("`{label}`"));
                let known = known.collect::<Vec<_>>().join(", ");
                wrong(
                    row,
                    format!("label `{label}` is not one of the training: {known}"),
                )
            })
        });
        return Ok(Truth::Classes(
            code.classes(),
            codes.collect::<Result<_, _>>()?,
        ));
    }
    let numbers = labels.map(|(row, label)| match label.parse::<f64>() {
        Ok(number) if number.is_finite() => Ok(number),
        _ => Err(wrong(row, format!("label `{label}` is no number"))),
    });
    Ok(Truth::Numbers(numbers.collect::<Result<_, _>>()?))
}
