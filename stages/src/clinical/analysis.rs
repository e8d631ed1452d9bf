//! Stage `analysis`: who the groups of a population are.
//!
//! # Source
//! ClinicaDL 1.6.1, `tsvtools analysis`: same columns, same formulas (population standard deviation,
//! missing values left out). The order of sessions is that of time and not of text.

use std::borrow::Cow;
use std::collections::BTreeMap;

use engine::{Context, InputPort, OutputPort, ParamIssue, Ports, Run, Stage, StageError};
use maps::files::python_repr;

use super::diagnosis::diagnoses;
use super::require_column_about;
use crate::table::{Person, Session, Table, compare_sessions, is_missing};

/// Values of the Clinical Dementia Rating.
const CDR: [&str; 5] = ["0", "0.5", "1", "2", "3"];

engine::params! {
    /// Parameters of `analysis`.
    pub struct AnalysisParams {
        /// Diagnoses to describe, in this order. Default: AD and CN.
        #[schemars(length(min = 1))]
        semantic diagnoses: Vec<String> = vec!["AD".to_owned(), "CN".to_owned()],
    }
}

/// Describes groups.
#[derive(Debug)]
pub struct Analysis;

impl Stage for Analysis {
    const ID: &'static str = "analysis";
    const VERSION: u32 = 1;
    const SUMMARY: &'static str =
        "Describes each diagnosis: participants, age, sex, MMSE, CDR and sessions.";
    type Params = AnalysisParams;

    fn ports(_: &AnalysisParams) -> Ports {
        Ports {
            inputs: vec![
                InputPort::new("labels", &["table"], "Sessions with their diagnosis."),
                InputPort::new(
                    "merged",
                    &["table"],
                    "All sessions with age, sex, MMSE and `cdr_global`.",
                ),
            ],
            outputs: vec![OutputPort::new("table", "table", "One row per diagnosis.")],
        }
    }

    fn check(params: &AnalysisParams) -> Vec<ParamIssue> {
        let mut seen = params.diagnoses.clone();
        seen.sort_unstable();
        seen.dedup();
        if seen.len() == params.diagnoses.len() {
            return Vec::new();
        }
        vec![ParamIssue::new("diagnoses", "names a diagnosis twice")]
    }
}

impl Run for Analysis {
    fn run(params: &AnalysisParams, context: &Context) -> Result<(), StageError> {
        let labels = Table::read(context.input("labels")?.only_file()?)?;
        let merged = Table::read(context.input("merged")?.only_file()?)?;
        let mut warn = |message: String| context.warn(message);
        let text = describe(params, &labels, &merged, &mut warn)?;
        context
            .output("table")?
            .write("analysis.tsv", text.as_bytes())
    }
}

/// The columns of the merged table that are described.
struct Merged<'a> {
    table: &'a Table,
    diagnoses: Vec<Option<String>>,
    age: usize,
    sex: usize,
    mmse: usize,
    cdr: usize,
    /// Rows by cohort, participant and session.
    rows: BTreeMap<(&'a str, &'a str, Cow<'a, str>), usize>,
}

impl<'a> Merged<'a> {
    fn of(table: &'a Table, labels: &Table) -> Result<Self, StageError> {
        let diagnosis = require_column_about(table, "diagnosis")?;
        let mmse = table
            .columns()
            .iter()
            .position(|name| name.to_lowercase().contains("mms"))
            .ok_or_else(|| {
                let message = format!("`{}` has no column about MMSE", table.shown());
                StageError::new(message).hint("expected a name with `mms`, such as `MMSE` or `MMS`")
            })?;
        let rows = table
            .sessions_beside(labels)?
            .iter()
            .map(Session::place)
            .zip(0..)
            .collect();
        Ok(Self {
            table,
            diagnoses: diagnoses(table, diagnosis, true)?,
            age: require_column_about(table, "age")?,
            sex: require_column_about(table, "sex")?,
            mmse,
            cdr: table.column("cdr_global")?,
            rows,
        })
    }

    fn number(&self, row: usize, column: usize) -> Result<Option<f64>, StageError> {
        let cell = self.table.cell(row, column);
        if is_missing(cell) {
            return Ok(None);
        }
        cell.parse::<f64>().map(Some).map_err(|_| {
            let place = self.table.place(row, column);
            StageError::new(format!("{place}: expected a number, got `{cell}`"))
        })
    }

    /// F if any session says so.
    fn is_female(&self, person: Person<'a>) -> Result<bool, StageError> {
        let mut found = None;
        let Person {
            participant,
            cohort,
        } = person;
        let rows = self.rows.range((participant, cohort, Cow::Borrowed(""))..);
        for (_, &row) in rows.take_while(|((p, c, _), _)| (*p, *c) == (participant, cohort)) {
            match self.table.cell(row, self.sex) {
                "F" => return Ok(true),
                "M" => found = Some(false),
                cell if is_missing(cell) => {}
                cell => {
                    let place = self.table.place(row, self.sex);
                    let message = format!("{place}: expected F or M, got `{cell}`");
                    return Err(StageError::new(message));
                }
            }
        }
        found.ok_or_else(|| {
            let shown = self.table.shown();
            StageError::new(format!("`{shown}`: the sex of {person} is in no session"))
        })
    }
}

/// Values of one group.
#[derive(Default)]
struct Group {
    ages: Vec<Option<f64>>,
    mmse: Vec<Option<f64>>,
    cdr: Vec<Option<f64>>,
    women: usize,
    scans: Vec<Option<f64>>,
}

pub(super) fn describe(
    params: &AnalysisParams,
    labels: &Table,
    merged: &Table,
    warn: &mut dyn FnMut(String),
) -> Result<String, StageError> {
    let sessions = labels.sessions_beside(merged)?;
    let merged = Merged::of(merged, labels)?;
    let diagnosis = labels.column("diagnosis")?;
    let mut text = header();
    for name in &params.diagnoses {
        let mut participants: BTreeMap<Person<'_>, Vec<Session<'_>>> = BTreeMap::new();
        for (row, session) in sessions.iter().enumerate() {
            if labels.cell(row, diagnosis) == name {
                let sessions = participants.entry(session.person()).or_default();
                sessions.push(*session);
            }
        }
        if participants.is_empty() {
            let message = format!("`{}` has no session labelled `{name}`", labels.shown());
            return Err(StageError::new(message).hint("change `diagnoses`"));
        }
        let mut group = Group::default();
        for (person, mut sessions) in participants {
            sessions.sort_by(|a, b| compare_sessions(a.session, b.session));
            let row = reference(&merged, person, &sessions)?;
            group.ages.push(merged.number(row, merged.age)?);
            group.mmse.push(merged.number(row, merged.mmse)?);
            group.cdr.push(merged.number(row, merged.cdr)?);
            group.women += usize::from(merged.is_female(person)?);
            group.scans.push(Some(sessions.len() as f64));
        }
        text.push_str(&group.told(name, warn));
    }
    Ok(text)
}

/// The row of the first session whose diagnosis is known.
fn reference<'a>(
    merged: &Merged<'a>,
    person: Person<'a>,
    sessions: &[Session<'a>],
) -> Result<usize, StageError> {
    sessions
        .iter()
        .filter_map(|session| merged.rows.get(&session.place()).copied())
        .find(|&row| merged.diagnoses[row].is_some())
        .ok_or_else(|| {
            let shown = merged.table.shown();
            let sessions: Vec<&str> = sessions.iter().map(|s| s.session).collect();
            StageError::new(format!(
                "`{shown}` has no diagnosis for any session of {person} ({})",
                sessions.join(", ")
            ))
        })
}

fn header() -> String {
    let mut columns: Vec<String> = vec!["group".into(), "n_subjects".into()];
    let spread = |what: &str| ["mean", "std", "min", "max"].map(|word| format!("{word}_{what}"));
    columns.extend(spread("age"));
    columns.extend(["sexF".into(), "sexM".into()]);
    columns.extend(spread("MMSE"));
    columns.extend(CDR.map(|value| format!("CDR_{value}")));
    columns.extend(["mean_scans".into(), "std_scans".into(), "n_scans".into()]);
    columns.join("\t") + "\n"
}

impl Group {
    fn told(&self, name: &str, warn: &mut dyn FnMut(String)) -> String {
        for (what, values) in [
            ("age", &self.ages),
            ("MMSE", &self.mmse),
            ("CDR", &self.cdr),
        ] {
            let missing = values.iter().filter(|value| value.is_none()).count();
            if missing > 0 {
                warn(format!(
                    "{name}: the {what} of {missing} participants is missing"
                ));
            }
        }
        let count = self.ages.len();
        let mut values = vec![count as f64];
        values.extend(spread(&self.ages));
        values.extend([self.women as f64, (count - self.women) as f64]);
        values.extend(spread(&self.mmse));
        for rating in CDR {
            let is_it = |value: &&Option<f64>| value.is_some_and(|v| rating.parse() == Ok(v));
            values.push(self.cdr.iter().filter(is_it).count() as f64);
        }
        let [mean, deviation, ..] = spread(&self.scans);
        values.extend([mean, deviation, self.scans.iter().flatten().sum()]);
        let cells: Vec<String> = values
            .into_iter()
            .map(|value| {
                if value.is_nan() {
                    String::new()
                } else {
                    python_repr(value)
                }
            })
            .collect();
        format!("{name}\t{}\n", cells.join("\t"))
    }
}

/// Mean, population standard deviation, minimum and maximum of the known values; NaN without any.
fn spread(values: &[Option<f64>]) -> [f64; 4] {
    let known: Vec<f64> = values.iter().flatten().copied().collect();
    if known.is_empty() {
        return [f64::NAN; 4];
    }
    let n = known.len() as f64;
    let mean = known.iter().sum::<f64>() / n;
    let variance = known.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / n;
    let least = known.iter().copied().fold(f64::INFINITY, f64::min);
    let greatest = known.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    [mean, variance.sqrt(), least, greatest]
}
