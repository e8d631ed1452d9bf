//! The rules by which predictions become one.
//!
//! # Source
//! scikit-learn's `VotingClassifier`, `soft` and `hard`, and `VotingRegressor`, all weights equal.

use engine::StageError;
use maps::files::{MeasuredRow, MeasuredTable, PredictionRow, PredictionTable, REGRESSION_COLUMNS};

use super::Rule;
use super::members::Tables;

/// What stands for the truth of a number where labels were not used.
const NO_NUMBER: f64 = -1.0;

/// What the members of an ensemble say together.
pub(super) struct Joined {
    /// The table.
    pub(super) bytes: Vec<u8>,
    /// Participant and session of each row.
    pub(super) sessions: Vec<(String, String)>,
    /// Whether every row has a true label.
    pub(super) has_truth: bool,
}

impl Joined {
    /// Joins tables of the same images; `leakage` is what the table says of data that leak.
    ///
    /// # Errors
    /// Numbers have no votes.
    pub(super) fn of(
        tables: &Tables,
        rule: Rule,
        leakage: Option<&str>,
    ) -> Result<Self, StageError> {
        match tables {
            Tables::Classes(tables) => classes(tables, rule, leakage),
            Tables::Numbers(_) if rule == Rule::Vote => {
                let message = "`rule` is `vote`, and the models predict numbers";
                Err(StageError::new(message).hint("take the rule `mean` for a regression"))
            }
            Tables::Numbers(tables) => Ok(numbers(tables, leakage)),
        }
    }
}

fn classes(
    tables: &[PredictionTable],
    rule: Rule,
    leakage: Option<&str>,
) -> Result<Joined, StageError> {
    let first = &tables[0];
    let count = tables.len() as f64;
    let rows = first.rows().iter().enumerate().map(|(i, row)| {
        let mut sums = vec![0.0; first.n_classes()];
        for said in tables.iter().map(|table| &table.rows()[i]) {
            match rule {
                Rule::Mean => {
                    for (sum, p) in sums.iter_mut().zip(&said.probabilities) {
                        *sum += p;
                    }
                }
                Rule::Vote => {
                    let class = usize::try_from(said.predicted_label).ok();
                    if let Some(votes) = class.and_then(|class| sums.get_mut(class)) {
                        *votes += 1.0;
                    }
                }
            }
        }
        PredictionRow {
            predicted_label: i64::try_from(first_of_highest(&sums)).unwrap_or(-1),
            probabilities: sums.into_iter().map(|sum| sum / count).collect(),
            ..row.clone()
        }
    });
    let rows: Vec<PredictionRow> = rows.collect();
    let sessions = rows.iter();
    let sessions = sessions.map(|row| (row.participant.clone(), row.session.clone()));
    let sessions = sessions.collect();
    let has_truth = !rows.is_empty() && rows.iter().all(|row| row.true_label.is_some());
    let table = PredictionTable::try_new(first.n_classes(), rows).map_err(StageError::internal)?;
    let table = table.of_level(first.level()).marked(leakage);
    Ok(Joined {
        bytes: table.to_bytes(),
        sessions,
        has_truth,
    })
}

fn first_of_highest(sums: &[f64]) -> usize {
    let mut best = 0;
    for (class, sum) in sums.iter().enumerate() {
        if *sum > sums[best] {
            best = class;
        }
    }
    best
}

fn numbers(tables: &[MeasuredTable], leakage: Option<&str>) -> Joined {
    let first = &tables[0];
    let rows = first.rows.iter().enumerate().map(|(i, row)| {
        let sum: f64 = tables.iter().map(|table| table.rows[i].values[1]).sum();
        MeasuredRow {
            identity: row.identity.clone(),
            values: vec![row.values[0], sum / tables.len() as f64],
        }
    });
    let rows: Vec<MeasuredRow> = rows.collect();
    let sessions = rows.iter().map(|row| {
        let identity = &row.identity;
        (identity.participant.clone(), identity.session.clone())
    });
    let sessions = sessions.collect();
    let is_truth = |row: &MeasuredRow| row.values[0].total_cmp(&NO_NUMBER).is_ne();
    // All of them at once are no coincidence.
    let has_truth = rows.iter().any(is_truth);
    let table = MeasuredTable {
        columns: &REGRESSION_COLUMNS,
        level: first.level.clone(),
        leakage: leakage.map(str::to_owned),
        rows,
    };
    Joined {
        bytes: table.to_bytes(),
        sessions,
        has_truth,
    }
}
