//! Which rows of a table are learnt, and what their labels mean.

use std::collections::{BTreeMap, BTreeSet};

use engine::StageError;

use crate::metrics::LabelCode;
use crate::table::{Table, is_missing};

/// Column by which rows are kept or left out.
pub const DIAGNOSIS: &str = "diagnosis";

/// The rows of a table whose diagnosis is listed; all of them if the list is empty.
///
/// # Errors
/// The list is not empty and the table has no such column, or nothing is left.
pub fn keep_diagnoses(table: Table, diagnoses: &[String]) -> Result<Table, StageError> {
    if diagnoses.is_empty() {
        return Ok(table);
    }
    let values = table.texts(DIAGNOSIS)?;
    let rows: Vec<usize> = (0..table.len())
        .filter(|&row| diagnoses.iter().any(|kept| kept == values[row]))
        .collect();
    if rows.is_empty() {
        let found: BTreeSet<&str> = values.into_iter().collect();
        let list = |names: Vec<String>| names.join(", ");
        let message = format!(
            "`{}` has no row with diagnosis {}",
            table.shown(),
            list(diagnoses.iter().map(|d| format!("`{d}`")).collect())
        );
        let found = list(found.iter().map(|d| format!("`{d}`")).collect());
        return Err(StageError::new(message).hint(format!("its diagnoses are {found}")));
    }
    Ok(table.select(&rows))
}

/// The code of the labels of a training table: as given, or derived from the labels it holds.
///
/// # Errors
/// There is no such column, a label is missing, or there is one class only.
pub fn label_code(
    table: &Table,
    column: &str,
    given: &BTreeMap<String, u32>,
) -> Result<LabelCode, StageError> {
    let texts = table.complete_texts(column)?;
    let code = if given.is_empty() {
        LabelCode::derive(texts.iter().copied().filter(|text| !is_missing(text)))
    } else {
        let codes = given
            .iter()
            .map(|(label, &node)| (label.clone(), node as usize));
        LabelCode::given(codes.collect())?
    };
    let present: BTreeSet<usize> = texts.iter().filter_map(|text| code.code(text)).collect();
    if code.classes() < 2 {
        let labels: BTreeSet<&str> = texts.into_iter().collect();
        let labels: Vec<&str> = labels.into_iter().collect();
        return Err(StageError::new(format!(
            "column `{column}` of `{}` has one class only (`{}`), expected at least two",
            table.shown(),
            labels.join("`, `")
        )));
    }
    if let Some(absent) = (0..code.classes()).find(|node| !present.contains(node)) {
        let names: Vec<&str> = code
            .iter()
            .filter(|(_, node)| *node == absent)
            .map(|(l, _)| l)
            .collect();
        return Err(StageError::new(format!(
            "no training session of `{}` has label `{}`, so that class cannot be learnt",
            table.shown(),
            names.join("` or `")
        )));
    }
    Ok(code)
}
