//! Stage `kfold`: cross-validation over participants.
//!
//! # Source
//! ClinicaDL 1.6.1, `tsvtools kfold`: the same tables, byte for byte, where cells are written as pandas
//! writes them and sessions `ses-M<months>` have three digits. Deviations: first sessions are found by
//! number, columns `age` and `sex` are not required, seed and column are parameters.

use std::collections::BTreeMap;

use engine::{Context, InputPort, OutputPort, Ports, Run, Stage, StageError};

use super::{Partition, ValidationSessions, folds};
use crate::table::Table;

engine::params! {
    /// Parameters of `kfold`.
    pub struct KFoldParams {
        /// Number of splits, at least 2. Default: 5.
        #[schemars(range(min = 2, max = 1000))]
        semantic n_splits: usize = 5,
        /// Column whose values at first sessions are spread evenly over the splits. Default: diagnosis.
        semantic label: String = "diagnosis".to_owned(),
        /// Seed of the shuffle. Default: 2, which gives the folds of ClinicaDL 1.6.1.
        semantic seed: u32 = 2,
        /// Validate on all sessions instead of first ones: writes `validation.tsv` too. Default: false.
        semantic validation_longitudinal: bool = false,
    }
}

/// Makes the splits of a cross-validation.
#[derive(Debug)]
pub struct KFold;

impl Stage for KFold {
    const ID: &'static str = "kfold";
    const VERSION: u32 = 1;
    const SUMMARY: &'static str = "Makes the splits of a cross-validation over participants.";
    type Params = KFoldParams;

    fn ports(params: &KFoldParams) -> Ports {
        Ports {
            inputs: vec![InputPort::new(
                "labels",
                &["table"],
                "Sessions with their labels.",
            )],
            outputs: vec![
                OutputPort::new("splits", "splits", "Training and validation tables.")
                    .splits(params.n_splits),
            ],
        }
    }
}

impl Run for KFold {
    fn run(params: &KFoldParams, context: &Context) -> Result<(), StageError> {
        let table = Table::read(context.input("labels")?.only_file()?)?;
        let (partitions, warnings) = partitions(params, &table)?;
        warnings
            .into_iter()
            .for_each(|warning| context.warn(warning));
        let output = context.output("splits")?;
        let sessions = ValidationSessions::of(params.validation_longitudinal);
        for (split, partition) in partitions.iter().enumerate() {
            context.check_cancelled()?;
            partition.write(output, split, &table, sessions)?;
        }
        Ok(())
    }
}

/// The partitions, and warnings about them.
pub(super) fn partitions(
    params: &KFoldParams,
    table: &Table,
) -> Result<(Vec<Partition>, Vec<String>), StageError> {
    let baseline = table.baseline()?;
    let classes = table.complete_texts_of(&params.label, &baseline)?;
    let warnings = check_counts(params, table, &classes)?;
    let folds = folds::assign(&classes, params.n_splits, params.seed);
    let partitions = (0..params.n_splits).map(|split| {
        let held: Vec<bool> = folds.iter().map(|fold| *fold == split).collect();
        Partition::new(&baseline, &held)
    });
    Ok((partitions.collect(), warnings))
}

/// Refuses a table that is too small; warns about classes that are.
fn check_counts(
    params: &KFoldParams,
    table: &Table,
    classes: &[&str],
) -> Result<Vec<String>, StageError> {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for class in classes {
        *counts.entry(class).or_default() += 1;
    }
    let (k, label) = (params.n_splits, &params.label);
    let most = counts.values().max().copied().unwrap_or(0);
    if k < 2 || most < k {
        return Err(StageError::new(format!(
            "`{}` cannot be split {k} times: {} participants, at most {most} of one `{label}`",
            table.shown(),
            classes.len(),
        ))
        .hint(format!("choose `n_splits` from 2 to {}", most.max(2))));
    }
    let rare = counts.into_iter().filter(|(_, count)| *count < k);
    Ok(rare
        .map(|(class, count)| {
            let who = if count == 1 { "participant has" } else { "participants have" };
            format!("only {count} {who} `{label}` `{class}`: not every one of {k} splits validates on it")
        })
        .collect())
}
