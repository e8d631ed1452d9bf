//! `<group>_image_level_metrics.tsv`: each metric's value and confidence interval.
//!
//! ```text
//! Metrics         BA   accuracy  …  loss
//! Values          0.5  0.5       …  1.38
//! Lower bound CI  0.0  0.0       …  N/A
//! Upper bound CI  0.5  1.0       …  N/A
//! SE              0.1  0.3       …  N/A
//! ```

use crate::MapsError;

use super::tsv::{Row, Sheet, float_cell, write};
use crate::layout::LEAKAGE;

const METRICS: &str = "Metrics";
const VALUES: &str = "Values";
const LOWER: &str = "Lower bound CI";
const UPPER: &str = "Upper bound CI";
const STANDARD_ERROR: &str = "SE";
const NOT_AVAILABLE: &str = "N/A";

/// The metrics of a data group.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct MetricsTable {
    /// In the order of the file: metrics, the loss, and with more than two classes the metrics of each,
    /// `<metric>-<code>`.
    pub columns: Vec<MetricColumn>,
    /// How the data leak, where that was allowed: the last column.
    pub leakage: Option<String>,
}

/// One metric.
#[derive(Debug, Clone, PartialEq)]
pub struct MetricColumn {
    /// The metric's name in MAPS files, such as `BA`.
    pub name: String,
    /// Its value on the group.
    pub value: f64,
    /// How sure it is, where that was computed.
    pub interval: Option<Interval>,
}

/// A confidence interval.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Interval {
    /// Lower bound.
    pub lower: f64,
    /// Upper bound.
    pub upper: f64,
    /// Standard error.
    pub standard_error: f64,
}

impl MetricsTable {
    /// The metric of this name.
    pub fn get(&self, name: &str) -> Option<&MetricColumn> {
        self.columns.iter().find(|column| column.name == name)
    }

    /// Reads the file, also in the layout without intervals: a header and one row of values.
    ///
    /// # Errors
    /// It has neither layout, or a cell is no number.
    pub fn read(bytes: &[u8], file: &str) -> Result<Self, MapsError> {
        let sheet = Sheet::read(bytes, file)?;
        let mark = sheet.find(LEAKAGE);
        let metrics = |first| (first..sheet.header.len()).filter(move |c| Some(*c) != mark);
        let leakage = |row: &Row| mark.map(|column| sheet.cell(row, column).to_owned());
        if sheet.find(METRICS) != Some(0) {
            let values = sheet
                .rows
                .first()
                .ok_or_else(|| sheet.missing_row(VALUES))?;
            let columns = metrics(0).map(|column| {
                Ok(MetricColumn {
                    name: sheet.header[column].clone(),
                    value: sheet.float(values, column)?,
                    interval: None,
                })
            });
            return Ok(Self {
                columns: columns.collect::<Result<_, MapsError>>()?,
                leakage: leakage(values),
            });
        }
        let row = |name| find_row(&sheet, name);
        let values = row(VALUES)?;
        let [lower, upper, error] = [row(LOWER)?, row(UPPER)?, row(STANDARD_ERROR)?];
        let columns = metrics(1).map(|column| {
            let interval = match sheet.cell(lower, column) {
                NOT_AVAILABLE => None,
                _ => Some(Interval {
                    lower: sheet.float(lower, column)?,
                    upper: sheet.float(upper, column)?,
                    standard_error: sheet.float(error, column)?,
                }),
            };
            Ok(MetricColumn {
                name: sheet.header[column].clone(),
                value: sheet.float(values, column)?,
                interval,
            })
        });
        Ok(Self {
            columns: columns.collect::<Result<_, MapsError>>()?,
            leakage: leakage(values),
        })
    }

    /// The bytes of the file.
    pub fn to_bytes(&self) -> Vec<u8> {
        let row = |name: &str, cell: &dyn Fn(&MetricColumn) -> String| -> Vec<String> {
            let cells = self.columns.iter().map(cell);
            let mark = self.leakage.as_ref().map(|text| match name {
                METRICS => LEAKAGE.to_owned(),
                _ => text.clone(),
            });
            std::iter::once(name.to_owned())
                .chain(cells)
                .chain(mark)
                .collect()
        };
        let bound = |name: &str, number: &dyn Fn(&Interval) -> f64| {
            row(name, &|column| match &column.interval {
                Some(interval) => float_cell(number(interval)),
                None => NOT_AVAILABLE.to_owned(),
            })
        };
        write([
            row(METRICS, &|column| column.name.clone()),
            row(VALUES, &|column| float_cell(column.value)),
            bound(LOWER, &|interval| interval.lower),
            bound(UPPER, &|interval| interval.upper),
            bound(STANDARD_ERROR, &|interval| interval.standard_error),
        ])
    }
}

/// The first row of this name: one block per network follows in multi-network trainings.
fn find_row<'a>(sheet: &'a Sheet, name: &'static str) -> Result<&'a Row, MapsError> {
    let found = sheet.rows.iter().find(|row| sheet.cell(row, 0) == name);
    found.ok_or_else(|| sheet.missing_row(name))
}
