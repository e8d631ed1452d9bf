//! The table of scores: `participant_id, session_id, pass_probability, pass`.

use std::cmp::Ordering;

use engine::{Context, StageError};
use maps::files::python_repr;

use super::warn_unscored;
use crate::caps::CapsImage;
use crate::table::{PARTICIPANT, SESSION, Table};

/// The output port of stages that make this table.
pub const QUALITY: &str = "quality";

/// Which scores are at the top of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// The lowest.
    Ascending,
    /// The highest.
    Descending,
}

/// The order of scores: those that are not known last, ties by participant and session.
pub(super) fn compare(
    (a, a_image): (Option<f64>, &CapsImage),
    (b, b_image): (Option<f64>, &CapsImage),
    order: Order,
) -> Ordering {
    let scores = match (a, b) {
        (Some(a), Some(b)) if order == Order::Ascending => a.total_cmp(&b),
        (Some(a), Some(b)) => b.total_cmp(&a),
        (a, b) => b.is_some().cmp(&a.is_some()),
    };
    let names = |image: &CapsImage| (image.participant.clone(), image.session.clone());
    scores.then_with(|| names(a_image).cmp(&names(b_image)))
}

/// A score as pandas writes it; empty if it is not known.
pub(super) fn cell(score: Option<f64>) -> String {
    score.map(python_repr).unwrap_or_default()
}

/// Writes the scores of images; those above `threshold` pass.
///
/// # Errors
/// The table cannot be written.
pub fn write(
    images: &[CapsImage],
    scores: &[Option<f64>],
    threshold: f64,
    order: Order,
    context: &Context,
) -> Result<(), StageError> {
    let scored = images.iter().zip(scores.iter().copied());
    let mut rows: Vec<(Option<f64>, &CapsImage)> = scored.map(|(i, s)| (s, i)).collect();
    warn_unscored(
        rows.iter().filter(|row| row.0.is_none()).map(|row| row.1),
        context,
    );
    rows.sort_by(|&a, &b| compare(a, b, order));
    let passes = |score: Option<f64>| score.is_some_and(|score| score > threshold);
    let passed = rows.iter().filter(|row| passes(row.0)).count();
    context.info(format!("{passed} of {} images pass", rows.len()));
    let columns = [PARTICIPANT, SESSION, "pass_probability", "pass"];
    let cells = rows.into_iter().map(|(score, image)| {
        vec![
            image.participant.clone(),
            image.session.clone(),
            cell(score),
            if passes(score) { "True" } else { "False" }.to_owned(),
        ]
    });
    let columns = columns.map(str::to_owned).to_vec();
    let table = Table::of_rows("quality.tsv", columns, cells.collect());
    context
        .output(QUALITY)?
        .write("quality.tsv", &table.to_tsv()?)
}
