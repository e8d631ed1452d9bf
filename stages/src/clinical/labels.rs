//! Stage `get-labels`: the sessions of chosen diagnoses, from Clinica's merged table of a BIDS.
//!
//! # Source
//! ClinicaDL 1.6.1, `tsvtools get-labels`, with these deviations: the order of columns does not change
//! from run to run; a missing diagnosis at the first session drops that session where 1.6.1 crashes;
//! a modality that no table of missing modalities has is an error, not an empty result; without these
//! tables all sessions are taken.

use std::collections::{BTreeMap, BTreeSet};

use engine::{Context, Input, InputPort, OutputPort, Ports, Run, Stage, StageError};

use super::diagnosis::{diagnoses, fill, timelines};
use super::{column_about, require_column_about};
use crate::table::{COHORT, PARTICIPANT, SESSION, Session, Table, compare_sessions, months};

engine::params! {
    /// Parameters of `get-labels`.
    pub struct GetLabelsParams {
        /// Diagnoses that are kept. Default: AD and CN.
        #[schemars(length(min = 1))]
        semantic diagnoses: Vec<String> = vec!["AD".to_owned(), "CN".to_owned()],
        /// Modality that a session must have, a column of the tables of missing modalities. Default: t1w.
        semantic modality: String = "t1w".to_owned(),
        /// Columns to keep besides age, sex and diagnosis. Default: none.
        semantic variables_of_interest: Vec<String> = Vec::new(),
        /// Keep participants with subjective memory complaints (SMC). Default: false.
        semantic keep_smc: bool = false,
        /// Drop participants with a single session. Default: false.
        semantic remove_unique_session: bool = false,
    }
}

/// Chooses labelled sessions.
#[derive(Debug)]
pub struct GetLabels;

impl Stage for GetLabels {
    const ID: &'static str = "get-labels";
    const VERSION: u32 = 1;
    const SUMMARY: &'static str = "Chooses the sessions of some diagnoses from a merged table.";
    type Params = GetLabelsParams;

    fn ports(_: &GetLabelsParams) -> Ports {
        Ports {
            inputs: vec![
                InputPort::new("merged", &["table"], "All sessions, as by `clinica iotools merge-tsv`."),
                InputPort::new(
                    "missing_mods",
                    &["folder"],
                    "Tables named `…_ses-<session>.tsv` that tell which modalities participants have, \
                     as by `clinica iotools check-missing-modalities`.",
                )
                .optional(),
                InputPort::new("restriction", &["table"], "The only sessions to take.").optional(),
            ],
            outputs: vec![OutputPort::new("labels", "table", "Sessions with age, sex and diagnosis.")],
        }
    }

    fn selects(_: &GetLabelsParams, port: &str, path: &str) -> bool {
        port != "missing_mods" || (path.ends_with(".tsv") && !path.contains('/'))
    }
}

impl Run for GetLabels {
    fn run(params: &GetLabelsParams, context: &Context) -> Result<(), StageError> {
        let merged = Table::read(context.input("merged")?.only_file()?)?;
        let modalities = context
            .optional_input("missing_mods")
            .map(|input| Modalities::read(input, &params.modality))
            .transpose()?;
        let restriction = context
            .optional_input("restriction")
            .map(|input| Table::read(input.only_file()?))
            .transpose()?;
        let chosen = choose(params, &merged, modalities.as_ref(), restriction.as_ref())?;
        chosen.told.into_iter().for_each(|line| context.info(line));
        context
            .output("labels")?
            .write("labels.tsv", &chosen.table.to_tsv()?)
    }
}

/// Which sessions have the modality.
pub(super) struct Modalities {
    present: BTreeSet<(String, String)>,
}

impl Modalities {
    fn read(input: &Input, modality: &str) -> Result<Self, StageError> {
        let mut tables = Vec::new();
        for (path, file) in &input.files {
            tables.push((path.as_str(), Table::read(file)?));
        }
        Self::of_tables(&tables, modality, &input.shown)
    }

    /// `tables` by file name; the session is what follows the last underscore.
    pub(super) fn of_tables(
        tables: &[(&str, Table)],
        modality: &str,
        shown: &str,
    ) -> Result<Self, StageError> {
        let mut present = BTreeSet::new();
        let mut is_known = false;
        for (path, table) in tables {
            let stem = path.trim_end_matches(".tsv");
            let session = stem.rsplit('_').next().unwrap_or(stem);
            let Some(column) = table.columns().iter().position(|name| name == modality) else {
                continue;
            };
            is_known = true;
            for (row, participant) in table.complete_texts(PARTICIPANT)?.iter().enumerate() {
                let cell = table.cell(row, column);
                if cell.parse::<f64>().is_ok_and(|number| number > 0.0) {
                    present.insert(((*participant).to_owned(), session.to_owned()));
                }
            }
        }
        if !is_known {
            let names: BTreeSet<&str> = tables
                .iter()
                .flat_map(|(_, table)| table.columns())
                .map(String::as_str)
                .filter(|name| *name != PARTICIPANT)
                .collect();
            let names: Vec<&str> = names.into_iter().collect();
            let message = format!("no table of `{shown}` has a column `{modality}`");
            return Err(
                StageError::new(message).hint(format!("its modalities are {}", names.join(", ")))
            );
        }
        Ok(Self { present })
    }
}

/// What was chosen, and how many were left at each step.
pub(super) struct Chosen {
    pub(super) table: Table,
    pub(super) told: Vec<String>,
}

pub(super) fn choose(
    params: &GetLabelsParams,
    merged: &Table,
    modalities: Option<&Modalities>,
    restriction: Option<&Table>,
) -> Result<Chosen, StageError> {
    let all = merged;
    let session = merged.column(SESSION)?;
    let participant = merged.column(PARTICIPANT)?;
    let has_month = |&row: &usize| months(merged.cell(row, session)).is_some();
    let rows: Vec<usize> = (0..merged.len()).filter(has_month).collect();
    let merged = &all.select(&rows);
    // OASIS-3 calls it `dx1`.
    let diagnosis = match merged.columns().iter().position(|name| name == "dx1") {
        Some(oasis) if column_about(merged, "diagnosis").is_none() => oasis,
        _ => require_column_about(merged, "diagnosis")?,
    };
    let label = match merged.columns()[diagnosis].as_str() {
        "dx1" => "diagnosis".to_owned(),
        name => name.to_owned(),
    };
    let mut columns = vec![
        participant,
        session,
        require_column_about(merged, "age")?,
        require_column_about(merged, "sex")?,
        diagnosis,
    ];
    columns.extend(merged.columns().iter().position(|name| name == COHORT));
    for name in &params.variables_of_interest {
        let column = merged.column(name)?;
        if !columns.contains(&column) {
            columns.push(column);
        }
    }
    let mut known = diagnoses(merged, diagnosis, true)?;
    let mut kept = vec![true; merged.len()];
    let mut told = vec![format!("{} sessions named by their month", merged.len())];
    let mut step = |kept: &mut Vec<bool>, what: &str, keep: &dyn Fn(usize) -> bool| {
        let before = kept.iter().filter(|kept| **kept).count();
        for (row, kept) in kept.iter_mut().enumerate() {
            *kept = *kept && keep(row);
        }
        let after = kept.iter().filter(|kept| **kept).count();
        told.push(format!("{} dropped: {what}", before - after));
    };
    if !params.keep_smc {
        let smc = ["diagnosis_bl", "diagnosis_sc"].map(|name| {
            let columns = merged.columns().iter();
            columns.clone().position(|column| column == name)
        });
        step(&mut kept, "subjective memory complaints", &|row| {
            !smc.iter()
                .flatten()
                .any(|&column| merged.cell(row, column) == "SMC")
        });
    }
    let mut timelines = timelines(merged)?;
    for timeline in timelines.values_mut() {
        timeline.retain(|&row| kept[row]);
    }
    if params.remove_unique_session {
        let unique: BTreeSet<usize> = timelines
            .values()
            .filter(|timeline| timeline.len() == 1)
            .map(|timeline| timeline[0])
            .collect();
        step(&mut kept, "the only session of a participant", &|row| {
            !unique.contains(&row)
        });
    }
    for timeline in timelines.values() {
        fill(&mut known, timeline);
    }
    step(
        &mut kept,
        "no diagnosis, and none follows from the sessions around",
        &|row| known[row].is_some(),
    );
    step(&mut kept, "another diagnosis", &|row| {
        known[row]
            .as_ref()
            .is_some_and(|found| params.diagnoses.contains(found))
    });
    let key = |row: usize| {
        let cell = |column| merged.cell(row, column).to_owned();
        (cell(participant), cell(session))
    };
    if let Some(modalities) = modalities {
        let what = format!("no {}", params.modality);
        step(&mut kept, &what, &|row| {
            modalities.present.contains(&key(row))
        });
    }
    if let Some(restriction) = restriction {
        let allowed = restriction.sessions_beside(merged)?;
        let allowed: BTreeSet<_> = allowed.iter().map(Session::place).collect();
        let sessions = merged.sessions_beside(restriction)?;
        step(&mut kept, "not in the restriction", &|row| {
            allowed.contains(&sessions[row].place())
        });
    }
    let mut rows: Vec<usize> = (0..merged.len()).filter(|&row| kept[row]).collect();
    let sessions = merged.sessions()?;
    rows.sort_by(|&a, &b| {
        let (a, b) = (sessions[a], sessions[b]);
        let people = a.person().cmp(&b.person());
        people.then_with(|| compare_sessions(a.session, b.session))
    });
    if rows.is_empty() {
        return Err(nothing_left(merged, &known, &told));
    }
    told.push(format!("{} sessions kept", rows.len()));
    let labels = rows
        .iter()
        .map(|&row| known[row].clone().unwrap_or_default());
    let labels = labels.collect();
    let mut table = merged.select(&rows).with_only(&columns);
    if label == "diagnosis" && merged.columns()[diagnosis] == "dx1" {
        table = table.renamed("dx1", "diagnosis");
    }
    Ok(Chosen {
        table: table.with_column(&label, labels),
        told,
    })
}

fn nothing_left(merged: &Table, known: &[Option<String>], told: &[String]) -> StageError {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for diagnosis in known.iter().flatten() {
        *counts.entry(diagnosis).or_default() += 1;
    }
    let found: Vec<String> = counts
        .iter()
        .map(|(name, count)| format!("`{name}` ({count})"))
        .collect();
    StageError::new(format!("no session of `{}` is left", merged.shown()))
        .hint(told.join("; "))
        .hint(format!("its diagnoses are {}", found.join(", ")))
}
