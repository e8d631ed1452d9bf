//! Whether two parts of the participants differ in a column.

use engine::StageError;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::SplitParams;
use super::strata::shares;
use crate::statistics::{chi_square, chi_square_on_proportions, kolmogorov_smirnov, t_test};
use crate::table::{Column, Table};

/// How the numbers of two parts are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum NumericTest {
    /// Student's t-test: whether the means differ.
    TTest,
    /// The two-sample Kolmogorov–Smirnov test: whether the distributions differ, exactly.
    KolmogorovSmirnov,
}

/// How the categories of two parts are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum CategoricalTest {
    /// Pearson's chi-square test on counts.
    ChiSquare,
    /// Pearson's statistic on proportions, as ClinicaDL 1.6.1 does: the number of participants does not
    /// matter, so that large parts may differ more than by chance.
    ChiSquareOnProportions,
}

/// A column in which the parts must not differ.
pub(super) struct Balanced {
    name: String,
    column: Column,
    numeric: NumericTest,
    categorical: CategoricalTest,
}

impl Balanced {
    /// Reads a column in the rows of first sessions.
    ///
    /// # Errors
    /// There is no such column, or none of its values is known.
    pub(super) fn read(
        table: &Table,
        name: &str,
        baseline: &[usize],
        params: &SplitParams,
    ) -> Result<Self, StageError> {
        let column = table.typed(name, baseline).map_err(|e| {
            e.hint("`balance` lists the columns in which the parts must not differ")
        })?;
        Ok(Self {
            name: name.to_owned(),
            column,
            numeric: params.numeric_test,
            categorical: params.categorical_test,
        })
    }

    /// Compares the parts.
    ///
    /// Participants whose value is missing take no part. A test that cannot tell apart a part
    /// without a known value, or with one in each part, or a single category, gives 1.
    pub(super) fn compare(&self, held: &[bool]) -> Balance {
        let (p, attainable) = match &self.column {
            Column::Numbers(values) => {
                let part = |inside: bool| -> Vec<f64> {
                    let pairs = values.iter().zip(held).filter(|(_, held)| **held == inside);
                    pairs.filter_map(|(value, _)| *value).collect()
                };
                let test = match self.numeric {
                    NumericTest::TTest => t_test,
                    NumericTest::KolmogorovSmirnov => kolmogorov_smirnov,
                };
                (test(&part(true), &part(false)), 1.0)
            }
            Column::Categories { codes, values } => {
                let mut counts = [vec![0; values.len()], vec![0; values.len()]];
                for (code, &held) in codes.iter().zip(held) {
                    if let Some(code) = code {
                        counts[usize::from(held)][*code] += 1;
                    }
                }
                let test = match self.categorical {
                    CategoricalTest::ChiSquare => chi_square,
                    CategoricalTest::ChiSquareOnProportions => chi_square_on_proportions,
                };
                (
                    test(&counts[1], &counts[0]),
                    attainable(&counts[0], &counts[1], test),
                )
            }
        };
        Balance {
            p: if p.is_nan() { 1.0 } else { p },
            attainable,
        }
    }

    /// A p-value for messages: `age (t-test) p = 0.912`.
    pub(super) fn tell(&self, p: f64) -> String {
        let test = match (&self.column, self.numeric, self.categorical) {
            (Column::Numbers(_), NumericTest::TTest, _) => "t-test",
            (Column::Numbers(_), NumericTest::KolmogorovSmirnov, _) => "Kolmogorov–Smirnov",
            (_, _, CategoricalTest::ChiSquare) => "chi-square",
            (_, _, CategoricalTest::ChiSquareOnProportions) => "chi-square on proportions",
        };
        format!("{} ({test}) p = {p:.3}", self.name)
    }
}

/// How much two parts differ in a column.
#[derive(Debug, Clone, Copy)]
pub(super) struct Balance {
    /// The p-value of the test between the parts.
    pub(super) p: f64,
    /// The p-value of the best partition into whole participants, where that is known; else 1.
    pub(super) attainable: f64,
}

impl Balance {
    /// Whether p reaches the threshold, or as much of it as whole participants allow: 19 women among
    /// 37 participants, of whom 9 are held out, cannot be shared out closer than p = 0.77.
    pub(super) fn reaches(self, threshold: f64) -> bool {
        // Equally good counts may differ in the last digit of p.
        self.p + 1e-9 >= threshold.min(self.attainable)
    }
}

/// The p-value of counts as close to proportional as whole participants can be.
fn attainable(train: &[usize], held: &[usize], test: fn(&[usize], &[usize]) -> f64) -> f64 {
    let totals: Vec<usize> = train.iter().zip(held).map(|(a, b)| a + b).collect();
    let best = shares(&totals, held.iter().sum());
    let rest: Vec<usize> = totals
        .iter()
        .zip(&best)
        .map(|(total, held)| total - held)
        .collect();
    test(&best, &rest)
}
