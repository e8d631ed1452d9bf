//! Predictions, their metrics and what they are about, as tables of a split.

use std::collections::BTreeSet;

use engine::{Output, StageError};
use maps::files::{
    DataRow, DataTable, Interval, MeasuredRow, MeasuredTable, MetricColumn, MetricsTable,
    PredictionRow, PredictionTable, RECONSTRUCTION_COLUMNS, REGRESSION_COLUMNS,
};
use maps::layout::SplitPath;

use super::{Answers, Predictions};
use crate::learning::LOSS;
use crate::metrics::Estimate;

impl Predictions {
    /// Writes the table of predictions, that of metrics and the description of a data group.
    ///
    /// # Errors
    /// Any I/O error, naming the file.
    pub fn write(
        &self,
        output: &Output,
        metric: &str,
        group: &str,
        estimates: &[Estimate],
    ) -> Result<(), StageError> {
        let level = self.level.as_str();
        let path = SplitPath::Prediction {
            metric,
            group,
            level,
        };
        output.write(&path.in_artifact(), &self.table()?)?;
        let path = SplitPath::Metrics {
            metric,
            group,
            level,
        };
        let mut table = metrics_table(estimates, self.answers.loss());
        table.leakage.clone_from(&self.leakage);
        output.write(&path.in_artifact(), &table.to_bytes())?;
        let rows = self.rows.iter();
        let sessions = rows.map(|row| (row.participant.as_str(), row.session.as_str()));
        let mut text = describe(group, sessions);
        if let Some(leakage) = &self.leakage {
            text.push_str(&format!("Data leakage, allowed: {leakage}\n"));
        }
        let path = SplitPath::Description { metric, group };
        output.write(&path.in_artifact(), text.as_bytes())
    }

    fn table(&self) -> Result<Vec<u8>, StageError> {
        let measured = |columns: &'static [&'static str], values: Vec<Vec<f64>>| {
            let rows = self.rows.iter().cloned().zip(values);
            MeasuredTable {
                columns,
                level: self.level.clone(),
                leakage: self.leakage.clone(),
                rows: rows
                    .map(|(identity, values)| MeasuredRow { identity, values })
                    .collect(),
            }
            .to_bytes()
        };
        match &self.answers {
            Answers::Classes(outcomes) => {
                let rows = self.rows.iter().enumerate();
                let rows = rows.map(|(i, row)| PredictionRow {
                    participant: row.participant.clone(),
                    session: row.session.clone(),
                    image_id: row.image_id,
                    true_label: i64::try_from(outcomes.truth[i]).ok(),
                    predicted_label: i64::try_from(outcomes.predicted[i]).unwrap_or(-1),
                    probabilities: (0..outcomes.classes)
                        .map(|class| outcomes.as_ref().probability(i, class))
                        .collect(),
                });
                let table = PredictionTable::try_new(outcomes.classes, rows.collect())
                    .map_err(StageError::internal)?;
                let table = table.of_level(&self.level).marked(self.leakage.as_deref());
                Ok(table.to_bytes())
            }
            Answers::Numbers { truth, predicted } => {
                let pairs = truth.iter().zip(predicted);
                let values = pairs.map(|(y, p)| vec![*y, *p]).collect();
                Ok(measured(&REGRESSION_COLUMNS, values))
            }
            Answers::Measures(rows) => {
                let values = rows.iter().map(|row| row.to_vec()).collect();
                Ok(measured(&RECONSTRUCTION_COLUMNS, values))
            }
        }
    }
}

/// Writes the sessions of a data group, in the order given, each once; labels by their column.
///
/// # Errors
/// Any I/O error, naming the file.
pub fn write_data(
    output: &Output,
    group: &str,
    rows: Vec<DataRow>,
    label: Option<&str>,
) -> Result<(), StageError> {
    let table = DataTable {
        label: label.map(str::to_owned),
        rows,
    };
    output.write(&SplitPath::Data { group }.in_artifact(), &table.to_bytes())
}

/// The table of metrics: each, the loss, and with more than two classes those of each class.
pub fn metrics_table(estimates: &[Estimate], loss: Option<f64>) -> MetricsTable {
    let column = |name: String, value: f64, interval: Option<crate::metrics::Interval>| {
        let interval = interval.map(|interval| Interval {
            lower: interval.lower,
            upper: interval.upper,
            standard_error: interval.standard_error,
        });
        MetricColumn {
            name,
            value,
            interval,
        }
    };
    let name = |estimate: &Estimate| estimate.metric.column.to_owned();
    let whole = estimates.iter();
    let whole = whole.map(|estimate| column(name(estimate), estimate.value, estimate.interval));
    let loss = loss.map(|value| column(LOSS.to_owned(), value, None));
    let by_class = estimates.iter().flat_map(|estimate| {
        let classes = estimate.classes.iter().enumerate();
        // As ClinicaDL 1.6.1 names them.
        classes.map(move |(code, class)| {
            let name = format!("{}-{code}", estimate.metric.column);
            column(name, class.value, class.interval)
        })
    });
    MetricsTable {
        columns: whole.chain(loss).chain(by_class).collect(),
        leakage: None,
    }
}

/// What was predicted, in words.
pub fn describe<'a>(group: &str, sessions: impl Iterator<Item = (&'a str, &'a str)>) -> String {
    let sessions: BTreeSet<(&str, &str)> = sessions.collect();
    let participants: BTreeSet<&str> = sessions
        .iter()
        .map(|(participant, _)| *participant)
        .collect();
    format!(
        "Prediction {group} group\nNumber of participants: {}\nNumber of sessions: {}\n",
        participants.len(),
        sessions.len()
    )
}
