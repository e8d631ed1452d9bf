//! Tables made from other tables.

use super::{Row, Table};

impl Table {
    /// A table of rows that come from no file.
    ///
    /// # Panics
    /// A row has another number of cells than there are columns.
    pub fn of_rows(shown: &str, columns: Vec<String>, rows: Vec<Vec<String>>) -> Self {
        let rows = rows
            .into_iter()
            .zip(2..)
            .map(|(cells, line)| {
                assert_eq!(cells.len(), columns.len(), "one cell per column");
                Row { line, cells }
            })
            .collect();
        Self {
            shown: shown.to_owned(),
            columns,
            rows,
        }
    }

    /// The rows of several tables in one, with the columns of all of them in order of appearance; cells
    /// that a table does not have are empty.
    ///
    /// Rows keep the lines of the file that they come from.
    pub fn concatenated(shown: &str, tables: &[Self]) -> Self {
        let mut columns: Vec<String> = Vec::new();
        for name in tables.iter().flat_map(Self::columns) {
            if !columns.contains(name) {
                columns.push(name.clone());
            }
        }
        let mut rows = Vec::new();
        for table in tables {
            let places: Vec<Option<usize>> = columns
                .iter()
                .map(|name| table.columns.iter().position(|column| column == name))
                .collect();
            rows.extend(table.rows.iter().map(|row| {
                let cell = |place: &Option<usize>| place.map(|at| row.cells[at].clone());
                let cells = places.iter().map(|place| cell(place).unwrap_or_default());
                Row {
                    line: row.line,
                    cells: cells.collect(),
                }
            }));
        }
        Self {
            shown: shown.to_owned(),
            columns,
            rows,
        }
    }

    /// The table with a column set, at the end if it is new.
    ///
    /// # Panics
    /// There is not one value per row.
    #[must_use]
    pub fn with_column(mut self, name: &str, values: Vec<String>) -> Self {
        assert_eq!(values.len(), self.len(), "one value per row");
        let position = self.columns.iter().position(|column| column == name);
        if position.is_none() {
            self.columns.push(name.to_owned());
        }
        for (row, value) in self.rows.iter_mut().zip(values) {
            match position {
                Some(position) => row.cells[position] = value,
                None => row.cells.push(value),
            }
        }
        self
    }

    /// The table with some of its columns, in the given order.
    #[must_use]
    pub fn with_only(&self, columns: &[usize]) -> Self {
        let pick = |cells: &[String]| columns.iter().map(|&c| cells[c].clone()).collect();
        Self {
            shown: self.shown.clone(),
            columns: pick(&self.columns),
            rows: self
                .rows
                .iter()
                .map(|row| Row {
                    line: row.line,
                    cells: pick(&row.cells),
                })
                .collect(),
        }
    }

    /// The table with another name for a column.
    #[must_use]
    pub fn renamed(mut self, from: &str, to: &str) -> Self {
        for column in &mut self.columns {
            if column == from {
                to.clone_into(column);
            }
        }
        self
    }
}
