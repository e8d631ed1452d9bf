//! Whether two parts of the participants differ in a column.

use engine::StageError;

use super::strata::shares;
use crate::statistics::{chi_square, t_test};
use crate::table::{Column, Table};

/// A column in which the parts must not differ.
pub(super) struct Balanced {
    name: String,
    column: Column,
}

impl Balanced {
    /// Reads a column in the rows of first sessions.
    ///
    /// # Errors
    /// There is no such column, or none of its values is known.
    pub(super) fn read(table: &Table, name: &str, baseline: &[usize]) -> Result<Self, StageError> {
        let column = table.typed(name, baseline).map_err(|e| {
            e.hint("`balance` lists the columns in which the parts must not differ")
        })?;
        Ok(Self {
            name: name.to_owned(),
            column,
        })
    }

    /// Compares the parts.
    ///
    /// Participants whose value is missing take no part. A t-test cannot tell apart a part with fewer
    /// than two known values, nor chi-square an empty one or a single category: then p is 1.
    pub(super) fn compare(&self, held: &[bool]) -> Balance {
        let (p, attainable) = match &self.column {
            Column::Numbers(values) => {
                let part = |inside: bool| -> Vec<f64> {
                    let pairs = values.iter().zip(held).filter(|(_, held)| **held == inside);
                    pairs.filter_map(|(value, _)| *value).collect()
                };
                (t_test(&part(true), &part(false)), 1.0)
            }
            Column::Categories { codes, values } => {
                let mut counts = [vec![0; values.len()], vec![0; values.len()]];
                for (code, &held) in codes.iter().zip(held) {
                    if let Some(code) = code {
                        counts[usize::from(held)][*code] += 1;
                    }
                }
                (
                    chi_square(&counts[1], &counts[0]),
                    attainable(&counts[0], &counts[1]),
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
        let test = match self.column {
            Column::Numbers(_) => "t-test",
            Column::Categories { .. } => "chi-square",
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
fn attainable(train: &[usize], held: &[usize]) -> f64 {
    let totals: Vec<usize> = train.iter().zip(held).map(|(a, b)| a + b).collect();
    let best = shares(&totals, held.iter().sum());
    let rest: Vec<usize> = totals
        .iter()
        .zip(&best)
        .map(|(total, held)| total - held)
        .collect();
    chi_square(&best, &rest)
}
