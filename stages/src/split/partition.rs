//! A partition of participants, and its files.

use engine::{Output, StageError};

use crate::table::{People, Table};

/// One partition of the participants, as rows of their first sessions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Partition {
    pub(super) train: Vec<usize>,
    pub(super) validation: Vec<usize>,
    /// Those that neither train nor validate; empty unless splits are nested.
    pub(super) test: Vec<usize>,
}

impl Partition {
    /// The partition of `baseline` rows of which those at the positions marked in `held` validate.
    pub(super) fn new(baseline: &[usize], held: &[bool]) -> Self {
        let part = |inside: bool| -> Vec<usize> {
            let members = baseline.iter().zip(held);
            members
                .filter(|(_, held)| **held == inside)
                .map(|(&row, _)| row)
                .collect()
        };
        Self {
            train: part(false),
            validation: part(true),
            test: Vec::new(),
        }
    }

    /// The tables of one split by name, in the layout of ClinicaDL 1.6.1's folders.
    pub(super) fn tables(
        &self,
        table: &Table,
        people: &People,
        sessions: ValidationSessions,
    ) -> Vec<(&'static str, Table)> {
        let longitudinal = |rows: &[usize]| table.select(&people.longitudinal(rows));
        let mut tables = vec![
            ("train", longitudinal(&self.train)),
            ("train_baseline", table.select(&self.train)),
            ("validation_baseline", table.select(&self.validation)),
        ];
        if matches!(sessions, ValidationSessions::All) {
            tables.push(("validation", longitudinal(&self.validation)));
        }
        if !self.test.is_empty() {
            tables.push(("test", longitudinal(&self.test)));
            tables.push(("test_baseline", table.select(&self.test)));
        }
        tables
    }

    /// Writes the tables of split number `split`.
    pub(super) fn write(
        &self,
        output: &Output,
        split: usize,
        table: &Table,
        people: &People,
        sessions: ValidationSessions,
    ) -> Result<(), StageError> {
        for (name, table) in self.tables(table, people, sessions) {
            output.write(&format!("split-{split}/{name}.tsv"), &table.to_tsv()?)?;
        }
        Ok(())
    }
}

/// Which sessions of validation participants are written.
#[derive(Debug, Clone, Copy)]
pub(super) enum ValidationSessions {
    /// First ones only.
    First,
    /// First ones, and all of them in a file of its own.
    All,
}

impl ValidationSessions {
    pub(super) fn of(longitudinal: bool) -> Self {
        if longitudinal { Self::All } else { Self::First }
    }
}
