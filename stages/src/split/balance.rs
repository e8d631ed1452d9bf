//! Whether two parts of the participants differ in a column.

use engine::StageError;

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

    /// The p-value of the test between the parts; 1 where it cannot tell them apart.
    ///
    /// Participants whose value is missing take no part. A t-test cannot tell apart a part with fewer
    /// than two known values, nor chi-square an empty one or a single category.
    pub(super) fn p_value(&self, test: &[bool]) -> f64 {
        let p = match &self.column {
            Column::Numbers(values) => {
                let part = |inside: bool| -> Vec<f64> {
                    let pairs = values.iter().zip(test).filter(|(_, held)| **held == inside);
                    pairs.filter_map(|(value, _)| *value).collect()
                };
                t_test(&part(true), &part(false))
            }
            Column::Categories { codes, values } => {
                let mut counts = [vec![0; values.len()], vec![0; values.len()]];
                for (code, &held) in codes.iter().zip(test) {
                    if let Some(code) = code {
                        counts[usize::from(held)][*code] += 1;
                    }
                }
                chi_square(&counts[1], &counts[0])
            }
        };
        if p.is_nan() { 1.0 } else { p }
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
