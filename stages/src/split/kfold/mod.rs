//! Stage `kfold`: cross-validation over participants.
//!
//! # Source
//! ClinicaDL 1.6.1, `tsvtools kfold`: by default the same tables, byte for byte, where cells are written
//! as pandas writes them and sessions `ses-M<months>` have three digits. Deviations: first sessions are
//! found by number, columns `age` and `sex` are not required, seed and column are parameters. Groups,
//! repeats, values left out and nested folds are not in 1.6.1.

mod design;

pub(super) use design::Design;

use engine::{Context, InputPort, OutputPort, ParamIssue, Ports, Run, Stage, StageError};

use super::ValidationSessions;
use crate::table::Table;

/// Splits that one stage may make, as every one is an action of each stage after it.
const MOST_SPLITS: usize = 1000;

engine::params! {
    /// Parameters of `kfold`.
    pub struct KFoldParams {
        /// Number of folds, at least 2; with `leave_one_out` the number of values of that column. Default: 5.
        #[schemars(range(min = 2, max = 1000))]
        semantic n_splits: usize = 5,
        /// Column whose values at first sessions are spread evenly over the folds; null for none. Default: diagnosis.
        semantic label: Option<String> = Some("diagnosis".to_owned()),
        /// Seed of the shuffle. Default: 2, which gives the folds of ClinicaDL 1.6.1.
        semantic seed: u32 = 2,
        /// Validate on all sessions instead of first ones: writes `validation.tsv` too. Default: false.
        semantic validation_longitudinal: bool = false,
        /// Column of groups, such as sites or families, that stay in one fold; null for none. Default: none.
        semantic(neutral = None) group: Option<String> = None,
        /// How often all folds are made anew; fold `i` of repeat `r` is split `r * n_splits + i`. Default: 1.
        #[schemars(range(min = 1, max = 500))]
        semantic(neutral = 1) repeats: usize = 1,
        /// Column, such as the site, each of whose values makes one fold, sorted as text; null for folds by chance. Default: none.
        semantic(neutral = None) leave_one_out: Option<String> = None,
        /// Number of inner folds, at least 2: every fold is written to `test.tsv`, and its training participants are split again; inner fold `i` of fold `o` is split `o * nested + i`. Null for none. Default: none.
        #[schemars(range(min = 2, max = 500))]
        semantic(neutral = None) nested: Option<usize> = None,
    }
}

impl KFoldParams {
    /// The number of splits that are written.
    pub(super) fn count(&self) -> usize {
        let folds = self.n_splits.saturating_mul(self.repeats);
        folds.saturating_mul(self.nested.unwrap_or(1))
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
                    .splits(params.count()),
            ],
        }
    }

    fn check(params: &KFoldParams) -> Vec<ParamIssue> {
        let mut issues = Vec::new();
        let mut issue = |field: &str, message: String| issues.push(ParamIssue::new(field, message));
        if params.leave_one_out.is_some() {
            if params.group.is_some() {
                issue(
                    "group",
                    "`leave_one_out` makes the folds of another column".to_owned(),
                );
            }
            if params.repeats > 1 {
                issue(
                    "repeats",
                    "with `leave_one_out` every repeat is the same".to_owned(),
                );
            }
        }
        if params.count() > MOST_SPLITS {
            let message = format!("makes {} splits, at most {MOST_SPLITS}", params.count());
            issue("n_splits", message);
        }
        issues
    }
}

impl Run for KFold {
    fn run(params: &KFoldParams, context: &Context) -> Result<(), StageError> {
        let table = Table::read(context.input("labels")?.only_file()?)?;
        let people = table.people()?;
        let design = Design::read(params, &table, &people)?;
        let (partitions, warnings) = design.partitions()?;
        warnings
            .into_iter()
            .for_each(|warning| context.warn(warning));
        let output = context.output("splits")?;
        let sessions = ValidationSessions::of(params.validation_longitudinal);
        for (split, partition) in partitions.iter().enumerate() {
            context.check_cancelled()?;
            partition.write(output, split, &table, &people, sessions)?;
        }
        Ok(())
    }
}
