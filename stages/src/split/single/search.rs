//! The search for a balanced partition.

use std::collections::BTreeSet;

use engine::StageError;
use engine::seed::Stream;

use super::SplitParams;
use crate::split::Partition;
use crate::split::balance::{Balance, Balanced};
use crate::split::groups::Groups;
use crate::split::strata::Strata;
use crate::table::{People, Table};

/// A balanced partition, and what to tell about it.
pub(in crate::split) struct Found {
    pub(in crate::split) partition: Partition,
    pub(in crate::split) summary: String,
    pub(in crate::split) warnings: Vec<String>,
}

/// Finds a balanced partition; `proceed` is asked before every trial.
///
/// # Errors
/// A column or a value is missing, parts would be too small, or no trial is balanced.
pub(in crate::split) fn partition(
    params: &SplitParams,
    table: &Table,
    people: &People,
    stream: Stream,
    proceed: &dyn Fn() -> Result<(), StageError>,
) -> Result<Found, StageError> {
    let baseline = kept(params, table, people.baseline().to_vec())?;
    let n_test = size_of_test(params, table, baseline.len())?;
    let mut strata = Strata::read(table, params.label.as_deref(), &baseline, n_test)?;
    let groups = params.group.as_deref();
    let groups = groups.map(|column| Groups::read(table, people, &baseline, column));
    if let Some(groups) = groups.transpose()? {
        strata.keep_together(groups);
    }
    let columns = params
        .balance
        .iter()
        .map(|name| Balanced::read(table, name, &baseline, params))
        .collect::<Result<Vec<_>, _>>()?;
    let (held, summary) = search(params, table, &strata, &columns, stream, proceed)?;
    Ok(Found {
        warnings: strata.warnings(&held),
        partition: Partition::new(&baseline, &held),
        summary,
    })
}

/// The rows of first sessions whose label is kept.
fn kept(
    params: &SplitParams,
    table: &Table,
    mut baseline: Vec<usize>,
) -> Result<Vec<usize>, StageError> {
    let Some(label) = params.label.as_deref().filter(|_| !params.keep.is_empty()) else {
        return Ok(baseline);
    };
    let labels = table.texts(label)?;
    let found: BTreeSet<&str> = baseline.iter().map(|&row| labels[row]).collect();
    if let Some(absent) = params
        .keep
        .iter()
        .find(|kept| !found.contains(kept.as_str()))
    {
        let shown = table.shown();
        let found: Vec<String> = found.iter().map(|label| format!("`{label}`")).collect();
        let message = format!("no participant of `{shown}` has `{label}` `{absent}` at first");
        return Err(StageError::new(message).hint(format!(
            "the labels of first sessions are {}",
            found.join(", ")
        )));
    }
    baseline.retain(|&row| params.keep.iter().any(|kept| kept == labels[row]));
    Ok(baseline)
}

fn size_of_test(
    params: &SplitParams,
    table: &Table,
    participants: usize,
) -> Result<usize, StageError> {
    let wanted = if params.n_test < 1.0 {
        params.n_test * participants as f64
    } else {
        params.n_test
    };
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "checked positive"
    )]
    let n_test = wanted as usize;
    if n_test == 0 || n_test >= participants {
        let shown = table.shown();
        return Err(StageError::new(format!(
            "`{shown}` has {participants} participants: {n_test} cannot be held out"
        ))
        .hint("change `n_test`: a fraction below 1, or a number of participants"));
    }
    Ok(n_test)
}

/// Draws partitions until one is balanced: who is held out, and a sentence about it.
fn search(
    params: &SplitParams,
    table: &Table,
    strata: &Strata<'_>,
    columns: &[Balanced],
    stream: Stream,
    proceed: &dyn Fn() -> Result<(), StageError>,
) -> Result<(Vec<bool>, String), StageError> {
    let told = |values: &[f64]| -> String {
        let told = columns
            .iter()
            .zip(values)
            .map(|(column, &p)| column.tell(p));
        told.collect::<Vec<_>>().join(", ")
    };
    let mut rng = stream.rng();
    let mut best: Option<(f64, Vec<f64>)> = None;
    for trial in 1..=params.max_trials {
        proceed()?;
        let held = strata.draw(&mut rng);
        if !held.contains(&true) || !held.contains(&false) {
            continue;
        }
        let compared = columns.iter().map(|column| column.compare(&held));
        let compared: Vec<Balance> = compared.collect();
        let values: Vec<f64> = compared.iter().map(|balance| balance.p).collect();
        if compared
            .iter()
            .all(|balance| balance.reaches(params.p_threshold))
        {
            let summary = format!("{} held out at trial {trial}", strata.tell(&held));
            let values = if values.is_empty() {
                String::new()
            } else {
                format!(": {}", told(&values))
            };
            return Ok((held, summary + &values));
        }
        let least = values.iter().copied().fold(1.0, f64::min);
        if best.as_ref().is_none_or(|(before, _)| least > *before) {
            best = Some((least, values));
        }
    }
    let Some((_, values)) = best else {
        return Err(strata.nothing_fits(table));
    };
    Err(StageError::new(format!(
        "`{}`: none of {} partitions has p ≥ {} for all of `balance`; the best has {}",
        table.shown(),
        params.max_trials,
        params.p_threshold,
        told(&values)
    ))
    .hint("lower `p_threshold`, raise `max_trials`, change `n_test`, or balance fewer columns"))
}
