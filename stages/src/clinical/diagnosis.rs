//! Diagnoses of a participant over time.

use std::collections::BTreeMap;

use engine::StageError;

use crate::table::{Person, Table, compare_sessions, is_missing};

/// Column that tells the diagnosis in ADNI's own code.
const ADNI_CHANGE: &str = "adni_diagnosis_change";

/// The diagnosis of every row; `None` where it is missing.
///
/// With `from_adni`, a missing one is read from ADNI's code of changes where that column exists.
pub(super) fn diagnoses(
    table: &Table,
    column: usize,
    from_adni: bool,
) -> Result<Vec<Option<String>>, StageError> {
    let adni = table.columns().iter().position(|name| name == ADNI_CHANGE);
    (0..table.len())
        .map(|row| {
            let cell = table.cell(row, column);
            if !is_missing(cell) {
                return Ok(Some(cell.to_owned()));
            }
            match adni.filter(|_| from_adni) {
                Some(adni) => adni_diagnosis(table, row, adni),
                None => Ok(None),
            }
        })
        .collect()
}

/// 1 to 3 are stable CN, MCI, AD; 4 to 6 conversions to MCI, AD, AD; 7 to 9 reversions to CN, MCI, CN;
/// -1 is not known.
fn adni_diagnosis(table: &Table, row: usize, column: usize) -> Result<Option<String>, StageError> {
    let cell = table.cell(row, column);
    if is_missing(cell) {
        return Ok(None);
    }
    let code = cell.parse::<f64>().ok();
    let codes = ["", "CN", "MCI", "AD", "MCI", "AD", "AD", "CN", "MCI", "CN"];
    let known = (1..codes.len()).find(|&number| code == Some(number as f64));
    match known {
        Some(number) => Ok(Some(codes[number].to_owned())),
        None if code == Some(-1.0) => Ok(None),
        None => {
            let place = table.place(row, column);
            Err(StageError::new(format!(
                "{place}: `{cell}` is not a code from 1 to 9 or -1"
            )))
        }
    }
}

/// Rows of each participant in order of time.
pub(super) fn timelines(table: &Table) -> Result<BTreeMap<Person<'_>, Vec<usize>>, StageError> {
    let sessions = table.sessions()?;
    let mut rows: BTreeMap<Person<'_>, Vec<usize>> = BTreeMap::new();
    for (row, session) in sessions.iter().enumerate() {
        rows.entry(session.person()).or_default().push(row);
    }
    for timeline in rows.values_mut() {
        timeline.sort_by(|&a, &b| compare_sessions(sessions[a].session, sessions[b].session));
    }
    Ok(rows)
}

/// Fills a missing diagnosis that lies between two equal ones; what cannot be filled stays missing.
///
/// Only diagnoses that were told count as neighbours, not those filled before.
pub(super) fn fill(diagnoses: &mut [Option<String>], timeline: &[usize]) {
    let told: Vec<Option<String>> = timeline.iter().map(|&row| diagnoses[row].clone()).collect();
    for (place, &row) in timeline.iter().enumerate() {
        if told[place].is_some() {
            continue;
        }
        let before = told[..place].iter().rev().flatten().next();
        let after = told[place..].iter().flatten().next();
        if before.is_some() && before == after {
            diagnoses[row] = before.cloned();
        }
    }
}
