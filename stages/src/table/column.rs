//! Columns whose cells have a meaning: numbers, or categories.

use engine::StageError;

use super::{Table, is_missing};

/// The known values of a column; `None` where a value is missing.
#[derive(Debug, Clone, PartialEq)]
pub enum Column {
    /// Every known value is a finite number.
    Numbers(Vec<Option<f64>>),
    /// Anything else.
    Categories {
        /// Positions in `values`.
        codes: Vec<Option<usize>>,
        /// The distinct values, sorted.
        values: Vec<String>,
    },
}

impl Table {
    /// A column in some rows, numeric if all values known there are numbers.
    ///
    /// # Errors
    /// There is no such column, or none of its values is known.
    pub fn typed(&self, name: &str, rows: &[usize]) -> Result<Column, StageError> {
        let position = self.column(name)?;
        let cells: Vec<Option<&str>> = rows
            .iter()
            .map(|&row| Some(self.cell(row, position)).filter(|cell| !is_missing(cell)))
            .collect();
        if cells.iter().all(Option::is_none) {
            let message = format!("column `{name}` of `{}` has no value", self.shown());
            return Err(StageError::new(message));
        }
        let number = |cell: &str| cell.parse::<f64>().ok().filter(|number| number.is_finite());
        if cells.iter().flatten().all(|cell| number(cell).is_some()) {
            return Ok(Column::Numbers(
                cells.into_iter().map(|cell| number(cell?)).collect(),
            ));
        }
        let mut values: Vec<String> = cells
            .iter()
            .flatten()
            .map(|&cell| cell.to_owned())
            .collect();
        values.sort_unstable();
        values.dedup();
        let code = |cell: &str| {
            values
                .binary_search_by(|value| value.as_str().cmp(cell))
                .ok()
        };
        let codes = cells.into_iter().map(|cell| code(cell?)).collect();
        Ok(Column::Categories { codes, values })
    }
}
