//! Stage `get-metadata`: further columns for the sessions of a table.
//!
//! # Source
//! ClinicaDL 1.6.1, `tsvtools get-metadata`, with these deviations: sessions are joined by participant
//! and session alone, so that two tables that disagree about an age lose no row (1.6.1 joins on every
//! common column); the order of rows is that of the labels; a session without metadata is named.

use std::collections::BTreeMap;

use engine::{Context, InputPort, OutputPort, Ports, Run, Stage, StageError};

use crate::table::{Session, Table};

/// Sessions named in a message before the rest is only counted.
const NAMED: usize = 5;

engine::params! {
    /// Parameters of `get-metadata`.
    pub struct GetMetadataParams {
        /// Columns to add; an empty list for all that the labels lack. Default: all.
        semantic variables: Vec<String> = Vec::new(),
    }
}

/// Adds columns.
#[derive(Debug)]
pub struct GetMetadata;

impl Stage for GetMetadata {
    const ID: &'static str = "get-metadata";
    const VERSION: u32 = 1;
    const SUMMARY: &'static str = "Adds columns of another table to the sessions of a table.";
    type Params = GetMetadataParams;

    fn ports(_: &GetMetadataParams) -> Ports {
        Ports {
            inputs: vec![
                InputPort::new("labels", &["table"], "Sessions."),
                InputPort::new("metadata", &["table"], "Sessions with the columns to add."),
            ],
            outputs: vec![OutputPort::new(
                "labels",
                "table",
                "The sessions of `labels` that `metadata` knows, with the added columns.",
            )],
        }
    }
}

impl Run for GetMetadata {
    fn run(params: &GetMetadataParams, context: &Context) -> Result<(), StageError> {
        let labels = Table::read(context.input("labels")?.only_file()?)?;
        let metadata = Table::read(context.input("metadata")?.only_file()?)?;
        let joined = join(params, &labels, &metadata)?;
        joined
            .warnings
            .into_iter()
            .for_each(|warning| context.warn(warning));
        context
            .output("labels")?
            .write("labels.tsv", &joined.table.to_tsv()?)
    }
}

pub(super) struct Joined {
    pub(super) table: Table,
    pub(super) warnings: Vec<String>,
}

pub(super) fn join(
    params: &GetMetadataParams,
    labels: &Table,
    metadata: &Table,
) -> Result<Joined, StageError> {
    let added: Vec<usize> = if params.variables.is_empty() {
        let is_new = |name: &String| !labels.columns().contains(name);
        let columns = metadata.columns().iter().enumerate();
        columns
            .filter(|(_, name)| is_new(name))
            .map(|(position, _)| position)
            .collect()
    } else {
        let columns = params.variables.iter();
        columns
            .map(|name| metadata.column(name))
            .collect::<Result<_, _>>()?
    };
    let known = metadata.sessions_beside(labels)?;
    let known: BTreeMap<_, usize> = known.iter().map(Session::place).zip(0..).collect();
    let mut rows = Vec::new();
    let mut sources = Vec::new();
    let mut unknown = Vec::new();
    for (row, session) in labels.sessions_beside(metadata)?.iter().enumerate() {
        if let Some(&source) = known.get(&session.place()) {
            rows.push(row);
            sources.push(source);
        } else {
            unknown.push(session.to_string());
        }
    }
    if rows.is_empty() {
        let message = format!(
            "`{}` and `{}` have no session in common",
            labels.shown(),
            metadata.shown()
        );
        return Err(StageError::new(message)
            .hint("participants are compared as written, sessions by their months"));
    }
    let mut warnings = Vec::new();
    if !unknown.is_empty() {
        let more = match unknown.len().saturating_sub(NAMED) {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        let named = unknown[..unknown.len().min(NAMED)].join("; ");
        warnings.push(format!(
            "{} sessions are dropped, since `{}` does not have them: {named}{more}",
            unknown.len(),
            metadata.shown()
        ));
    }
    let mut table = labels.select(&rows);
    for column in added {
        let name = &metadata.columns()[column];
        let values = sources
            .iter()
            .map(|&row| metadata.cell(row, column).to_owned());
        table = table.with_column(name, values.collect());
    }
    Ok(Joined { table, warnings })
}
