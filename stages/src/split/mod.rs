//! Stages that partition participants: a participant's sessions always stay together.
//!
//! Which part a participant belongs to is decided on its first session; its other sessions follow.

mod balance;
mod folds;
mod kfold;
mod mersenne;
mod single;
mod strata;

pub use kfold::{KFold, KFoldParams};
pub use single::{Split, SplitParams};

use engine::{Output, StageError};

use crate::table::Table;

/// One partition of the participants, as rows of their first sessions.
struct Partition {
    train: Vec<usize>,
    validation: Vec<usize>,
}

impl Partition {
    /// The partition of `baseline` rows of which those at the positions marked in `held` validate.
    fn new(baseline: &[usize], held: &[bool]) -> Self {
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
        }
    }

    /// The tables of one split by name, in the layout of ClinicaDL 1.6.1's folders.
    fn tables(
        &self,
        table: &Table,
        sessions: ValidationSessions,
    ) -> Result<Vec<(&'static str, Table)>, StageError> {
        let longitudinal =
            |rows: &[usize]| table.longitudinal(rows).map(|rows| table.select(&rows));
        let mut tables = vec![
            ("train", longitudinal(&self.train)?),
            ("train_baseline", table.select(&self.train)),
            ("validation_baseline", table.select(&self.validation)),
        ];
        if matches!(sessions, ValidationSessions::All) {
            tables.push(("validation", longitudinal(&self.validation)?));
        }
        Ok(tables)
    }

    /// Writes the tables of split number `split`.
    fn write(
        &self,
        output: &Output,
        split: usize,
        table: &Table,
        sessions: ValidationSessions,
    ) -> Result<(), StageError> {
        for (name, table) in self.tables(table, sessions)? {
            output.write(&format!("split-{split}/{name}.tsv"), &table.to_tsv()?)?;
        }
        Ok(())
    }
}

/// Which sessions of validation participants are written.
#[derive(Debug, Clone, Copy)]
enum ValidationSessions {
    /// First ones only.
    First,
    /// First ones, and all of them in a file of its own.
    All,
}

impl ValidationSessions {
    fn of(longitudinal: bool) -> Self {
        if longitudinal { Self::All } else { Self::First }
    }
}

#[cfg(test)]
mod tests;
