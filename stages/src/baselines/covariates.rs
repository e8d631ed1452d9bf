//! Columns of tables as features: numbers as they are, categories as one feature for each value but the
//! first.

use super::matrix::Matrix;
use crate::listed::some;
use crate::table::{Column, Table};
use engine::StageError;

/// What each column means, by the training table.
#[derive(Debug)]
pub(super) struct Encoder(Vec<Meaning>);

#[derive(Debug)]
enum Meaning {
    Number(String),
    Category(String, Vec<String>),
}

impl Encoder {
    /// The meaning of columns in a training table.
    ///
    /// # Errors
    /// There is no such column, or a value is missing.
    pub(super) fn of(table: &Table, names: &[String]) -> Result<Self, StageError> {
        let rows: Vec<usize> = (0..table.len()).collect();
        let meaning = |name: &String| {
            complete(table, name)?;
            Ok(match table.typed(name, &rows)? {
                Column::Numbers(_) => Meaning::Number(name.clone()),
                Column::Categories { values, .. } => Meaning::Category(name.clone(), values),
            })
        };
        names
            .iter()
            .map(meaning)
            .collect::<Result<_, _>>()
            .map(Self)
    }

    /// The features of every row.
    ///
    /// # Errors
    /// A value is missing, is no number where the training has numbers, or is a category that it does not
    /// have.
    pub(super) fn features(&self, table: &Table) -> Result<Matrix, StageError> {
        let mut columns: Vec<Vec<f64>> = Vec::new();
        for meaning in &self.0 {
            match meaning {
                Meaning::Number(name) => columns.push(numbers(table, name)?),
                Meaning::Category(name, levels) => columns.extend(categories(table, name, levels)?),
            }
        }
        let turned = Matrix::of_rows(table.len(), columns);
        Ok(turned.transposed())
    }
}

fn complete<'a>(table: &'a Table, name: &str) -> Result<Vec<&'a str>, StageError> {
    let hint = format!("fill in `{name}`, or leave out the rows without");
    table.column(name)?;
    table.complete_texts(name).map_err(|e| e.hint(hint))
}

fn numbers(table: &Table, name: &str) -> Result<Vec<f64>, StageError> {
    let column = table.column(name)?;
    let cells = complete(table, name)?.into_iter().enumerate();
    cells
        .map(|(row, cell)| match cell.parse::<f64>() {
            Ok(number) if number.is_finite() => Ok(number),
            _ => {
                let place = table.place(row, column);
                let message =
                    format!("{place}: `{cell}` is no number, as it is in the training table");
                Err(StageError::new(message))
            }
        })
        .collect()
}

fn categories(table: &Table, name: &str, levels: &[String]) -> Result<Vec<Vec<f64>>, StageError> {
    let column = table.column(name)?;
    let cells = complete(table, name)?;
    let known = |cell: &&str| levels.iter().any(|level| level == cell);
    if let Some(row) = cells.iter().position(|cell| !known(cell)) {
        let (place, cell) = (table.place(row, column), cells[row]);
        let message = format!("{place}: `{cell}` is not in the training table");
        return Err(StageError::new(message).hint(format!("which has {}", some(levels))));
    }
    let of_level = |level: &String| {
        let is_it = cells.iter().map(|cell| f64::from(u8::from(cell == level)));
        is_it.collect()
    };
    Ok(levels.iter().skip(1).map(of_level).collect())
}
