//! Stage `split`: one partition of the participants, stratified by label and balanced in columns.
//!
//! # Source
//! ClinicaDL 1.6.1, `tsvtools split`, with these deviations: draws come from the experiment's seed;
//! classes are shared out by largest remainders; categories are tested on counts, not on proportions,
//! so that the number of participants matters, and pass where whole participants cannot be shared out
//! more evenly; the search ends after `max_trials`.

use std::collections::BTreeSet;

use engine::seed::Stream;
use engine::{Context, InputPort, OutputPort, ParamIssue, Ports, Run, Stage, StageError};

use super::balance::{Balance, Balanced};
use super::strata::{Class, classes, draw};
use super::{Partition, ValidationSessions};
use crate::table::Table;

engine::params! {
    /// Parameters of `split`.
    pub struct SplitParams {
        /// Participants held out: a fraction below 1, rounded down to participants, or a number. Default: 0.2.
        #[schemars(range(min = 0.0))]
        semantic n_test: f64 = 0.2,
        /// Column whose values both parts have in the same proportions; null for none. Default: diagnosis.
        semantic label: Option<String> = Some("diagnosis".to_owned()),
        /// Labels of the participants that are used, as of their first session; an empty list for all. Default: all.
        semantic keep: Vec<String> = Vec::new(),
        /// Columns in which the parts must not differ: numbers by a t-test, others by a chi-square test on counts; missing values take no part. Default: age and sex.
        semantic balance: Vec<String> = vec!["age".to_owned(), "sex".to_owned()],
        /// Least p-value of those tests, 0 to 1; where whole participants cannot be shared out as evenly, the best possible one. Default: 0.8.
        #[schemars(range(min = 0.0, max = 1.0))]
        semantic p_threshold: f64 = 0.8,
        /// Partitions tried before giving up. Default: 1000.
        #[schemars(range(min = 1))]
        semantic max_trials: usize = 1000,
        /// Also write all sessions of the held-out part as `validation.tsv` of `splits`. Default: false.
        semantic validation_longitudinal: bool = false,
    }
}

/// Holds participants out.
#[derive(Debug)]
pub struct Split;

impl Stage for Split {
    const ID: &'static str = "split";
    const VERSION: u32 = 1;
    const SUMMARY: &'static str =
        "Holds participants out, stratified by label, balanced by age and sex.";
    type Params = SplitParams;

    fn is_seeded(_: &SplitParams) -> bool {
        true
    }

    fn ports(_: &SplitParams) -> Ports {
        Ports {
            inputs: vec![InputPort::new(
                "labels",
                &["table"],
                "Sessions with their labels.",
            )],
            outputs: vec![
                OutputPort::new("train", "table", "All sessions of the larger part."),
                OutputPort::new("test", "table", "All sessions of the held-out part."),
                OutputPort::new("splits", "splits", "The same as training and validation.")
                    .splits(1),
            ],
        }
    }

    fn check(params: &SplitParams) -> Vec<ParamIssue> {
        let n = params.n_test;
        if n <= 0.0 {
            let message =
                "0 holds nobody out: leave the stage away, or give a fraction or a number";
            return vec![ParamIssue::new("n_test", message)];
        }
        if n >= 1.0 && n.fract() != 0.0 {
            let message = format!("{n} is neither a fraction below 1 nor a whole number");
            return vec![ParamIssue::new("n_test", message)];
        }
        if params.label.is_none() && !params.keep.is_empty() {
            return vec![ParamIssue::new(
                "keep",
                "no `label` is given whose values could be kept",
            )];
        }
        Vec::new()
    }
}

impl Run for Split {
    fn run(params: &SplitParams, context: &Context) -> Result<(), StageError> {
        let table = Table::read(context.input("labels")?.only_file()?)?;
        let stream = context.stream().child("partition");
        let found = partition(params, &table, stream, &|| context.check_cancelled())?;
        found
            .warnings
            .into_iter()
            .for_each(|warning| context.warn(warning));
        context.info(found.summary);
        let Partition { train, validation } = &found.partition;
        context
            .output("train")?
            .write("train.tsv", &all_sessions(&table, train)?)?;
        context
            .output("test")?
            .write("test.tsv", &all_sessions(&table, validation)?)?;
        let sessions = ValidationSessions::of(params.validation_longitudinal);
        found
            .partition
            .write(context.output("splits")?, 0, &table, sessions)
    }
}

/// The rows of some participants as text, in the order of the table.
fn all_sessions(table: &Table, baseline: &[usize]) -> Result<Vec<u8>, StageError> {
    let mut rows = table.longitudinal(baseline)?;
    rows.sort_unstable();
    table.select(&rows).to_tsv()
}

/// A balanced partition, and what to tell about it.
pub(super) struct Found {
    pub(super) partition: Partition,
    pub(super) summary: String,
    pub(super) warnings: Vec<String>,
}

/// Finds a balanced partition; `proceed` is asked before every trial.
pub(super) fn partition(
    params: &SplitParams,
    table: &Table,
    stream: Stream,
    proceed: &dyn Fn() -> Result<(), StageError>,
) -> Result<Found, StageError> {
    let baseline = kept(params, table, table.baseline()?)?;
    let n_test = size_of_test(params, table, baseline.len())?;
    let classes = classes(table, params.label.as_deref(), &baseline, n_test)?;
    let columns = params
        .balance
        .iter()
        .map(|name| Balanced::read(table, name, &baseline))
        .collect::<Result<Vec<_>, _>>()?;
    let warnings = classes
        .iter()
        .filter(|class| class.held_out == 0)
        .map(|class| {
            let (label, count) = (&class.label, class.members.len());
            format!("none of the {count} participants labelled `{label}` is held out")
        });
    let warnings = warnings.collect();
    let (held, summary) = search(params, table, &classes, &columns, stream, proceed)?;
    Ok(Found {
        partition: Partition::new(&baseline, &held),
        summary,
        warnings,
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
    classes: &[Class],
    columns: &[Balanced],
    stream: Stream,
    proceed: &dyn Fn() -> Result<(), StageError>,
) -> Result<(Vec<bool>, String), StageError> {
    let participants = classes.iter().map(|class| class.members.len()).sum();
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
        let held = draw(classes, participants, &mut rng);
        let compared = columns.iter().map(|column| column.compare(&held));
        let compared: Vec<Balance> = compared.collect();
        let values: Vec<f64> = compared.iter().map(|balance| balance.p).collect();
        if compared
            .iter()
            .all(|balance| balance.reaches(params.p_threshold))
        {
            let count = held.iter().filter(|held| **held).count();
            let summary =
                format!("{count} of {participants} participants held out at trial {trial}");
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
    let (_, values) = best.unwrap_or_default();
    Err(StageError::new(format!(
        "`{}`: none of {} partitions has p ≥ {} for all of `balance`; the best has {}",
        table.shown(),
        params.max_trials,
        params.p_threshold,
        told(&values)
    ))
    .hint("lower `p_threshold`, raise `max_trials`, change `n_test`, or balance fewer columns"))
}
