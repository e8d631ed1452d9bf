//! The tables that go with generated images.

use std::collections::BTreeMap;

use engine::{Context, StageError};

use crate::table::{PARTICIPANT, SESSION, Table, compare_sessions};

/// One generated session.
pub(super) struct Row {
    pub(super) participant: String,
    pub(super) session: String,
    /// The further columns.
    pub(super) cells: Vec<String>,
}

/// Writes the labels, sorted by participant and session, and one table `missing_mods` per session.
///
/// ClinicaDL 1.6.1 leaves rows in the reverse order in which its processes end.
///
/// # Errors
/// Any I/O error, naming the file.
pub(super) fn write(
    columns: &[&str],
    mut rows: Vec<Row>,
    context: &Context,
) -> Result<(), StageError> {
    rows.sort_by(|a, b| {
        let by_session = || compare_sessions(&a.session, &b.session);
        a.participant.cmp(&b.participant).then_with(by_session)
    });
    let caps = context.output("caps")?;
    let mut sessions: BTreeMap<&str, String> = BTreeMap::new();
    for row in &rows {
        let text = sessions
            .entry(&row.session)
            .or_insert_with(|| format!("{PARTICIPANT}\tsynthetic\n"));
        text.push_str(&format!("{}\t1\n", row.participant));
    }
    for (session, text) in sessions {
        let name = format!("missing_mods/missing_mods_{session}.tsv");
        caps.write(&name, text.as_bytes())?;
    }
    let header = [PARTICIPANT, SESSION].iter().chain(columns);
    let header = header.map(|&name| name.to_owned()).collect();
    let rows = rows
        .into_iter()
        .map(|row| [vec![row.participant, row.session], row.cells].concat())
        .collect();
    let table = Table::of_rows("labels", header, rows).to_tsv()?;
    context.output("labels")?.write("labels.tsv", &table)
}

/// A truth value as tables of ClinicaDL have it.
pub(super) fn truth(value: bool) -> String {
    if value { "True" } else { "False" }.to_owned()
}
