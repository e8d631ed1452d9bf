//! Stage `split`: one partition of the participants, stratified by label and balanced in columns.
//!
//! # Source
//! ClinicaDL 1.6.1, `tsvtools split`, with these deviations: draws come from the experiment's seed;
//! classes are shared out by largest remainders; categories are tested on counts, not on proportions,
//! so that the number of participants matters (unless `categorical_test` says otherwise), and pass where
//! whole participants cannot be shared out more evenly; the search ends after `max_trials`. Groups and
//! the Kolmogorov–Smirnov test are not in 1.6.1.

pub(super) mod search;

pub(super) use search::partition;

use engine::{Context, InputPort, OutputPort, ParamIssue, Ports, Run, Stage, StageError};

use super::{CategoricalTest, NumericTest, Partition, ValidationSessions};
use crate::table::{People, Table};

engine::params! {
    /// Parameters of `split`.
    pub struct SplitParams {
        /// Participants held out: a fraction below 1, rounded down to participants, or a number. Default: 0.2.
        #[schemars(range(min = 0.0))]
        semantic n_test: f64 = 0.2,
        /// Column whose values both parts have in the same proportions; null for none. Default: diagnosis.
        semantic label: Option<String> = Some("diagnosis".to_owned()),
        /// Labels of the participants that are used, as of their first session; an empty list for all. Default: all.
        semantic keep: Vec<String> = Vec::new(),
        /// Columns in which the parts must not differ: numbers by `numeric_test`, others by `categorical_test`; missing values take no part. Default: age and sex.
        semantic balance: Vec<String> = vec!["age".to_owned(), "sex".to_owned()],
        /// Least p-value of those tests, 0 to 1; where whole participants cannot be shared out as evenly, the best possible one. Default: 0.8.
        #[schemars(range(min = 0.0, max = 1.0))]
        semantic p_threshold: f64 = 0.8,
        /// Partitions tried before giving up. Default: 1000.
        #[schemars(range(min = 1))]
        semantic max_trials: usize = 1000,
        /// Also write all sessions of the held-out part as `validation.tsv` of `splits`. Default: false.
        semantic validation_longitudinal: bool = false,
        /// Test of numbers in `balance`. Default: t-test.
        semantic(neutral = NumericTest::TTest) numeric_test: NumericTest = NumericTest::TTest,
        /// Test of anything else in `balance`. Default: chi-square.
        semantic(neutral = CategoricalTest::ChiSquare) categorical_test: CategoricalTest = CategoricalTest::ChiSquare,
        /// Column of groups, such as sites or families, that stay in one part, so that the part held out is only about as large as asked for; null for none. Default: none.
        semantic(neutral = None) group: Option<String> = None,
    }
}

/// Holds participants out.
#[derive(Debug)]
pub struct Split;

impl Stage for Split {
    const ID: &'static str = "split";
    const VERSION: u32 = 1;
    const SUMMARY: &'static str =
        "Holds participants out, stratified by label, balanced by age and sex.";
    type Params = SplitParams;

    fn is_seeded(_: &SplitParams) -> bool {
        true
    }

    fn ports(_: &SplitParams) -> Ports {
        Ports {
            inputs: vec![InputPort::new(
                "labels",
                &["table"],
                "Sessions with their labels.",
            )],
            outputs: vec![
                OutputPort::new("train", "table", "All sessions of the larger part."),
                OutputPort::new("test", "table", "All sessions of the held-out part."),
                OutputPort::new("splits", "splits", "The same as training and validation.")
                    .splits(1),
            ],
        }
    }

    fn check(params: &SplitParams) -> Vec<ParamIssue> {
        let n = params.n_test;
        if n <= 0.0 {
            let message =
                "0 holds nobody out: leave the stage away, or give a fraction or a number";
            return vec![ParamIssue::new("n_test", message)];
        }
        if n >= 1.0 && n.fract() != 0.0 {
            let message = format!("{n} is neither a fraction below 1 nor a whole number");
            return vec![ParamIssue::new("n_test", message)];
        }
        if params.label.is_none() && !params.keep.is_empty() {
            return vec![ParamIssue::new(
                "keep",
                "no `label` is given whose values could be kept",
            )];
        }
        Vec::new()
    }
}

impl Run for Split {
    fn run(params: &SplitParams, context: &Context) -> Result<(), StageError> {
        let table = Table::read(context.input("labels")?.only_file()?)?;
        let people = table.people()?;
        let stream = context.stream().child("partition");
        let found = partition(params, &table, &people, stream, &|| {
            context.check_cancelled()
        })?;
        found
            .warnings
            .into_iter()
            .for_each(|warning| context.warn(warning));
        context.info(found.summary);
        let Partition {
            train, validation, ..
        } = &found.partition;
        let part = |baseline| all_sessions(&table, &people, baseline).to_tsv();
        context.output("train")?.write("train.tsv", &part(train)?)?;
        context
            .output("test")?
            .write("test.tsv", &part(validation)?)?;
        let sessions = ValidationSessions::of(params.validation_longitudinal);
        let output = context.output("splits")?;
        found.partition.write(output, 0, &table, &people, sessions)
    }
}

/// All sessions of some participants, in the order of the table.
pub(super) fn all_sessions(table: &Table, people: &People, baseline: &[usize]) -> Table {
    let mut rows = people.longitudinal(baseline);
    rows.sort_unstable();
    table.select(&rows)
}
