//! Stage `kfold`: cross-validation over participants.

use std::collections::BTreeMap;

use engine::{Context, InputPort, OutputPort, Ports, Run, Stage, StageError};

use super::{folds, write_split};
use crate::table::Table;

engine::params! {
    /// Parameters of `kfold`.
    pub struct KFoldParams {
        /// Number of splits, at least 2. Default: 5.
        #[schemars(range(min = 2, max = 1000))]
        semantic n_splits: usize = 5,
        /// Column whose values are spread evenly over the splits. Default: diagnosis.
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
            inputs: vec![InputPort::new("labels", &["table"], "Sessions with their labels.")],
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
        let baseline = table.baseline()?;
        let labels = table.complete_texts(&params.label)?;
        let classes: Vec<&str> = baseline.iter().map(|&row| labels[row]).collect();
        check_counts(params, &table, &classes, context)?;
        let folds = folds::assign(&classes, params.n_splits, params.seed);
        let output = context.output("splits")?;
        for split in 0..params.n_splits {
            let part = |inside: bool| -> Vec<usize> {
                let rows = baseline.iter().zip(&folds);
                rows.filter(|(_, fold)| (**fold == split) == inside).map(|(row, _)| *row).collect()
            };
            let (train, validation) = (part(false), part(true));
            write_split(output, split, &table, &train, &validation, params.validation_longitudinal)?;
        }
        Ok(())
    }
}

fn check_counts(
    params: &KFoldParams,
    table: &Table,
    classes: &[&str],
    context: &Context,
) -> Result<(), StageError> {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for class in classes {
        *counts.entry(class).or_default() += 1;
    }
    let k = params.n_splits;
    let most = counts.values().max().copied().unwrap_or(0);
    if most < k {
        return Err(StageError::new(format!(
            "`{}` cannot be split {k} times: {} participants, at most {most} of one `{}`",
            table.shown(),
            classes.len(),
            params.label
        ))
        .hint("use fewer splits"));
    }
    for (class, count) in counts.into_iter().filter(|(_, count)| *count < k) {
        let label = &params.label;
        context.warn(format!(
            "only {count} participants have `{label}` {class}: not every one of {k} splits \
             validates on it"
        ));
    }
    Ok(())
}
