//! Stage `prepare-experiment`: participants for the test, and splits of all others.
//!
//! # Source
//! ClinicaDL 1.6.1, `tsvtools prepare-experiment`: `split` and then, of its training participants,
//! `kfold` or `split`. What differs there differs here; besides, no table gets a column of row numbers.

use engine::seed::Stream;
use engine::{Context, InputPort, OutputPort, ParamIssue, Ports, Run, Stage, StageError};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::kfold::Design;
use super::single::{all_sessions, partition};
use super::{
    CategoricalTest, KFold, KFoldParams, NumericTest, Partition, Split, SplitParams,
    ValidationSessions,
};
use crate::table::Table;

/// How validation participants are chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ValidationType {
    /// By cross-validation, as stage `kfold` does.
    Kfold,
    /// Once, as stage `split` does.
    Split,
}

engine::params! {
    /// Parameters of `prepare-experiment`.
    pub struct PrepareExperimentParams {
        /// Participants held out for the test: a fraction below 1, rounded down to participants, or a number. Default: 0.2.
        #[schemars(range(min = 0.0))]
        semantic n_test: f64 = 0.2,
        /// How validation participants are chosen among the others. Default: kfold.
        semantic validation_type: ValidationType = ValidationType::Kfold,
        /// Number of folds, at least 2; of `validation_type: kfold`. Default: 5.
        #[schemars(range(min = 2, max = 1000))]
        semantic n_splits: usize = 5,
        /// Validation participants: a fraction below 1 of those that are not held out, or a number; of `validation_type: split`. Default: 0.2.
        #[schemars(range(min = 0.0))]
        semantic n_validation: f64 = 0.2,
        /// Column whose values all parts have in the same proportions; null for none. Default: diagnosis.
        semantic label: Option<String> = Some("diagnosis".to_owned()),
        /// Labels of the participants that are used, as of their first session; an empty list for all. Default: all.
        semantic keep: Vec<String> = Vec::new(),
        /// Columns in which the parts of a split must not differ: numbers by `numeric_test`, others by `categorical_test`; missing values take no part. Default: age and sex.
        semantic balance: Vec<String> = vec!["age".to_owned(), "sex".to_owned()],
        /// Least p-value of those tests, 0 to 1; where whole participants cannot be shared out as evenly, the best possible one. Default: 0.8.
        #[schemars(range(min = 0.0, max = 1.0))]
        semantic p_threshold: f64 = 0.8,
        /// Partitions tried before giving up. Default: 1000.
        #[schemars(range(min = 1))]
        semantic max_trials: usize = 1000,
        /// Test of numbers in `balance`. Default: t-test.
        semantic numeric_test: NumericTest = NumericTest::TTest,
        /// Test of anything else in `balance`. Default: chi-square.
        semantic categorical_test: CategoricalTest = CategoricalTest::ChiSquare,
        /// Column of groups, such as sites or families, that stay in one part; null for none. Default: none.
        semantic group: Option<String> = None,
        /// Seed of the folds. Default: 2, which gives the folds of ClinicaDL 1.6.1.
        semantic seed: u32 = 2,
        /// Validate on all sessions instead of first ones: writes `validation.tsv` too. Default: false.
        semantic validation_longitudinal: bool = false,
    }
}

impl PrepareExperimentParams {
    /// The split that holds the test out.
    pub(super) fn test(&self) -> SplitParams {
        SplitParams {
            n_test: self.n_test,
            label: self.label.clone(),
            keep: self.keep.clone(),
            balance: self.balance.clone(),
            p_threshold: self.p_threshold,
            max_trials: self.max_trials,
            validation_longitudinal: self.validation_longitudinal,
            numeric_test: self.numeric_test,
            categorical_test: self.categorical_test,
            group: self.group.clone(),
        }
    }

    /// The split of the others.
    pub(super) fn validation(&self) -> SplitParams {
        SplitParams {
            n_test: self.n_validation,
            keep: Vec::new(),
            ..self.test()
        }
    }

    /// The folds of the others.
    pub(super) fn folds(&self) -> KFoldParams {
        KFoldParams {
            n_splits: self.n_splits,
            label: self.label.clone(),
            seed: self.seed,
            validation_longitudinal: self.validation_longitudinal,
            group: self.group.clone(),
            ..KFoldParams::default()
        }
    }
}

/// Holds participants out, and splits the others.
#[derive(Debug)]
pub struct PrepareExperiment;

impl Stage for PrepareExperiment {
    const ID: &'static str = "prepare-experiment";
    const VERSION: u32 = 1;
    const SUMMARY: &'static str =
        "Holds participants out for the test, and makes the splits of all others.";
    type Params = PrepareExperimentParams;

    fn is_seeded(_: &PrepareExperimentParams) -> bool {
        true
    }

    fn ports(params: &PrepareExperimentParams) -> Ports {
        let count = match params.validation_type {
            ValidationType::Kfold => params.folds().count(),
            ValidationType::Split => 1,
        };
        Ports {
            inputs: vec![InputPort::new(
                "labels",
                &["table"],
                "Sessions with their labels.",
            )],
            outputs: vec![
                OutputPort::new("test", "table", "All sessions of the held-out part."),
                OutputPort::new("train", "table", "All sessions of all others."),
                OutputPort::new(
                    "splits",
                    "splits",
                    "Training and validation tables of `train`.",
                )
                .splits(count),
            ],
        }
    }

    fn check(params: &PrepareExperimentParams) -> Vec<ParamIssue> {
        let mut issues = Split::check(&params.test());
        match params.validation_type {
            ValidationType::Kfold => issues.extend(KFold::check(&params.folds())),
            ValidationType::Split => {
                let of_validation = Split::check(&params.validation()).into_iter();
                issues.extend(of_validation.map(|issue| match issue.field.as_str() {
                    "n_test" => ParamIssue::new("n_validation", issue.message),
                    _ => issue,
                }));
            }
        }
        issues
    }
}

impl Run for PrepareExperiment {
    fn run(params: &PrepareExperimentParams, context: &Context) -> Result<(), StageError> {
        let table = Table::read(context.input("labels")?.only_file()?)?;
        let proceed = || context.check_cancelled();
        let made = prepare(params, &table, context.stream(), &proceed)?;
        made.warnings.into_iter().for_each(|w| context.warn(w));
        made.told.into_iter().for_each(|line| context.info(line));
        for (port, table) in [("test", &made.test), ("train", &made.train)] {
            let output = context.output(port)?;
            output.write(&format!("{port}.tsv"), &table.to_tsv()?)?;
        }
        let people = made.train.people()?;
        let output = context.output("splits")?;
        let sessions = ValidationSessions::of(params.validation_longitudinal);
        for (split, partition) in made.partitions.iter().enumerate() {
            context.check_cancelled()?;
            partition.write(output, split, &made.train, &people, sessions)?;
        }
        Ok(())
    }
}

/// What is made of a table.
pub(super) struct Prepared {
    pub(super) test: Table,
    pub(super) train: Table,
    /// Partitions of `train`.
    pub(super) partitions: Vec<Partition>,
    told: Vec<String>,
    warnings: Vec<String>,
}

/// Holds the test out of a table and splits the rest.
pub(super) fn prepare(
    params: &PrepareExperimentParams,
    table: &Table,
    stream: Stream,
    proceed: &dyn Fn() -> Result<(), StageError>,
) -> Result<Prepared, StageError> {
    let people = table.people()?;
    let held_out = partition(
        &params.test(),
        table,
        &people,
        stream.child("partition"),
        proceed,
    )?;
    let train = all_sessions(table, &people, &held_out.partition.train);
    let mut told = vec![format!("test: {}", held_out.summary)];
    let of_train = train.people()?;
    let (partitions, warnings) = match params.validation_type {
        ValidationType::Kfold => {
            let folds = params.folds();
            Design::read(&folds, &train, &of_train)?.partitions()?
        }
        ValidationType::Split => {
            let stream = stream.child("validation");
            let found = partition(&params.validation(), &train, &of_train, stream, proceed)
                .map_err(|e| e.hint("this is about the validation part: see `n_validation`"))?;
            told.push(format!("validation: {}", found.summary));
            (vec![found.partition], found.warnings)
        }
    };
    Ok(Prepared {
        test: all_sessions(table, &people, &held_out.partition.validation),
        train,
        partitions,
        told,
        warnings: [held_out.warnings, warnings].concat(),
    })
}
