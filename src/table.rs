//! Tables for a terminal: columns as wide as what is in them.

use std::fmt;

/// Rows of cells below a header.
#[derive(Debug, Default)]
pub(crate) struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table with this header.
    pub(crate) fn new<C: Into<String>>(header: impl IntoIterator<Item = C>) -> Self {
        Self {
            rows: vec![header.into_iter().map(Into::into).collect()],
        }
    }

    /// Adds a row; cells that are missing are empty.
    pub(crate) fn row<C: Into<String>>(&mut self, cells: impl IntoIterator<Item = C>) {
        self.rows.push(cells.into_iter().map(Into::into).collect());
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let cell = |row: &Vec<String>, column: usize| row.get(column).cloned().unwrap_or_default();
        let widths: Vec<usize> = (0..columns)
            .map(|column| {
                let cells = self
                    .rows
                    .iter()
                    .map(|row| cell(row, column).chars().count());
                cells.max().unwrap_or(0)
            })
            .collect();
        for row in &self.rows {
            let cells = widths.iter().enumerate();
            let cells = cells.map(|(column, &width)| format!("{:<width$}", cell(row, column)));
            let line = cells.collect::<Vec<_>>().join("  ");
            writeln!(f, "  {}", line.trim_end())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_cells() {
        let mut table = Table::new(["metric", "mean"]);
        table.row(["BA", "0.5 ± 0.1"]);
        table.row(["balanced accuracy"]);
        let expected =
            "  metric             mean\n  BA                 0.5 ± 0.1\n  balanced accuracy\n";
        assert_eq!(table.to_string(), expected);
    }
}
