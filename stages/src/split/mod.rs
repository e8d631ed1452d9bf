//! Stages that partition participants: a participant's sessions always stay together.

mod folds;
mod kfold;
mod mersenne;
mod single;

pub use kfold::{KFold, KFoldParams};
pub use single::{Split, SplitParams};

use engine::{Output, StageError};

use crate::table::Table;

/// Writes one split in the layout of ClinicaDL 1.6.1's folders.
///
/// `train` and `validation` are rows of first sessions. Validation uses first sessions unless
/// `validation_longitudinal`.
fn write_split(
    output: &Output,
    split: usize,
    table: &Table,
    train: &[usize],
    validation: &[usize],
    validation_longitudinal: bool,
) -> Result<(), StageError> {
    let write = |name: &str, rows: &[usize]| {
        output.write(&format!("split-{split}/{name}.tsv"), &table.select(rows).to_tsv()?)
    };
    write("train", &table.longitudinal(train)?)?;
    write("train_baseline", train)?;
    write("validation_baseline", validation)?;
    if validation_longitudinal {
        write("validation", &table.longitudinal(validation)?)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
