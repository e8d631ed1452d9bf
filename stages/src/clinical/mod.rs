//! Stages that prepare tables of participants: labels, their progression, further columns, and a
//! description of the groups.
//!
//! # Source
//! `clinicadl tsvtools` 1.6.1. What differs is said in each file.

mod analysis;
mod cohorts;
mod diagnosis;
mod labels;
mod metadata;
mod progression;

pub use analysis::{Analysis, AnalysisParams};
pub use cohorts::{MergeCohorts, MergeCohortsParams};
pub use labels::{GetLabels, GetLabelsParams};
pub use metadata::{GetMetadata, GetMetadataParams};
pub use progression::{GetProgression, GetProgressionParams};

use engine::StageError;

use crate::table::Table;

/// Finds a column by what it is about: its exact name, else the shortest name that has it as one of its
/// words (`age_bl` for `age`), the first of equals.
///
/// ClinicaDL 1.6.1 takes any name that contains the letters, so that `stage` is found for `age`.
fn column_about(table: &Table, what: &str) -> Option<usize> {
    let columns = table.columns();
    if let Some(exact) = columns.iter().position(|column| column == what) {
        return Some(exact);
    }
    let is_about = |column: &str| {
        column
            .to_lowercase()
            .split(|c: char| !c.is_alphanumeric())
            .any(|word| word == what || word.strip_prefix(what).is_some_and(is_number))
    };
    columns
        .iter()
        .enumerate()
        .filter(|(_, column)| is_about(column))
        .min_by_key(|(position, column)| (column.len(), *position))
        .map(|(position, _)| position)
}

fn is_number(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit())
}

/// Like [`column_about`], of a table that must have it.
fn require_column_about(table: &Table, what: &str) -> Result<usize, StageError> {
    column_about(table, what).ok_or_else(|| {
        let shown = table.shown();
        StageError::new(format!("`{shown}` has no column about `{what}`")).hint(format!(
            "expected `{what}` or a name with that word, such as `{what}_bl`; its columns are {}",
            table.columns().join(", ")
        ))
    })
}

#[cfg(test)]
mod tests;
