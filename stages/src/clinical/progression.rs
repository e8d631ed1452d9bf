//! Stage `get-progression`: how the diagnosis of each session develops within a time horizon.
//!
//! # Source
//! ClinicaDL 1.6.1, `tsvtools get-progression`, with these deviations: the table is not rewritten in
//! place; sessions are compared by their months and not as text; a missing diagnosis at the first
//! session drops that session where 1.6.1 crashes; an unknown diagnosis is named with its row.

use engine::{Context, InputPort, OutputPort, Ports, Run, Stage, StageError};

use super::diagnosis::{diagnoses, fill, timelines};
use crate::table::{Table, months};

/// Diagnoses by severity.
const STAGES: [(&str, u8); 4] = [("CN", 0), ("MCI", 1), ("AD", 2), ("Dementia", 2)];

engine::params! {
    /// Parameters of `get-progression`.
    pub struct GetProgressionParams {
        /// Time over which the development is told, in months. Default: 36.
        #[schemars(range(min = 1, max = 1200))]
        semantic time_horizon: u64 = 36,
        /// Column of the diagnosis: CN, MCI, AD or Dementia. Default: diagnosis.
        semantic label: String = "diagnosis".to_owned(),
    }
}

/// Adds the column `progression`.
#[derive(Debug)]
pub struct GetProgression;

impl Stage for GetProgression {
    const ID: &'static str = "get-progression";
    const VERSION: u32 = 1;
    const SUMMARY: &'static str = "Adds how each session's diagnosis develops: s(table), p(rogressive), r(egressive), us, uk.";
    type Params = GetProgressionParams;

    fn ports(_: &GetProgressionParams) -> Ports {
        Ports {
            inputs: vec![InputPort::new(
                "labels",
                &["table"],
                "Sessions named `ses-M<months>` with their diagnosis.",
            )],
            outputs: vec![OutputPort::new(
                "labels",
                "table",
                "The same sessions with the column `progression`.",
            )],
        }
    }
}

impl Run for GetProgression {
    fn run(params: &GetProgressionParams, context: &Context) -> Result<(), StageError> {
        let table = Table::read(context.input("labels")?.only_file()?)?;
        let told = progression(params, &table)?;
        let dropped = table.len() - told.len();
        if dropped > 0 {
            context.warn(format!(
                "{dropped} sessions without a diagnosis are dropped: it is missing and does not \
                 follow from the sessions before and after"
            ));
        }
        context
            .output("labels")?
            .write("labels.tsv", &told.to_tsv()?)
    }
}

/// A session in time.
struct Point {
    row: usize,
    month: u64,
    severity: u8,
}

/// The table with its progression, without the sessions whose diagnosis stays unknown.
pub(super) fn progression(
    params: &GetProgressionParams,
    table: &Table,
) -> Result<Table, StageError> {
    let column = table.column(&params.label)?;
    let mut known = diagnoses(table, column, false)?;
    let mut told: Vec<Option<&'static str>> = vec![None; table.len()];
    for timeline in timelines(table)?.values() {
        fill(&mut known, timeline);
        let points = points(table, column, &known, timeline)?;
        for (point, word) in points.iter().zip(develop(&points, params.time_horizon)) {
            told[point.row] = Some(word);
        }
    }
    let rows: Vec<usize> = (0..table.len())
        .filter(|&row| told[row].is_some())
        .collect();
    if rows.is_empty() {
        let message = format!("no session of `{}` has a diagnosis", table.shown());
        return Err(StageError::new(message));
    }
    let pick = |values: &dyn Fn(usize) -> String| rows.iter().map(|&row| values(row)).collect();
    let labels = pick(&|row| known[row].clone().unwrap_or_default());
    let words = pick(&|row| told[row].unwrap_or_default().to_owned());
    Ok(table
        .select(&rows)
        .with_column(&params.label, labels)
        .with_column("progression", words))
}

fn points(
    table: &Table,
    column: usize,
    known: &[Option<String>],
    timeline: &[usize],
) -> Result<Vec<Point>, StageError> {
    let session = table.column(crate::table::SESSION)?;
    let mut points = Vec::new();
    for &row in timeline {
        let Some(diagnosis) = &known[row] else {
            continue;
        };
        let severity = STAGES.iter().find(|(name, _)| name == diagnosis);
        let severity = severity.map(|(_, severity)| *severity).ok_or_else(|| {
            let place = table.place(row, column);
            StageError::new(format!(
                "{place}: `{diagnosis}` has no place in a progression"
            ))
            .hint("expected CN, MCI, AD or Dementia; `get-labels` keeps chosen diagnoses")
        })?;
        let month = months(table.cell(row, session)).ok_or_else(|| {
            let place = table.place(row, session);
            let text = table.cell(row, session);
            StageError::new(format!("{place}: `{text}` does not tell a month"))
                .hint("expected `ses-M<months>`, such as `ses-M012`")
        })?;
        points.push(Point {
            row,
            month,
            severity,
        });
    }
    Ok(points)
}

/// What becomes of each point within the horizon.
fn develop(points: &[Point], horizon: u64) -> Vec<&'static str> {
    let mut words: Vec<&'static str> = points
        .iter()
        .enumerate()
        .map(|(i, point)| {
            let then = severity_at(points, i, point.month.saturating_add(horizon));
            match then.cmp(&point.severity) {
                std::cmp::Ordering::Greater => "p",
                std::cmp::Ordering::Less => "r",
                std::cmp::Ordering::Equal => "s",
            }
        })
        .collect();
    let mut last = "s";
    let mut unstable = false;
    for &word in words.iter().filter(|word| **word != "s") {
        unstable |= last != "s" && last != word;
        last = word;
    }
    if unstable {
        words.fill("us");
    } else if let Some(end) = words.last_mut() {
        *end = "uk";
    }
    words
}

/// The severity to compare with: at the horizon; at the last session if that is earlier; else at the
/// session before the horizon, and if nothing changed until then, at the session after it.
fn severity_at(points: &[Point], from: usize, month: u64) -> u8 {
    let after = points.iter().position(|point| point.month >= month);
    let Some(after) = after else {
        return points.last().map_or(points[from].severity, |p| p.severity);
    };
    if points[after].month == month {
        return points[after].severity;
    }
    let before = &points[after - 1];
    if before.severity == points[from].severity {
        points[after].severity
    } else {
        before.severity
    }
}
