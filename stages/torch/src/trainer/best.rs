//! Which epoch is the best so far, for each selection metric.

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};

use crate::evaluation::Values;
use crate::exact::Exact;

/// The best epoch of one selection metric.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) struct Best {
    /// Number of the epoch, from 0.
    pub(crate) epoch: u32,
    value: Exact,
}

/// The best epochs so far, by the column name of each selection metric.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct BestEpochs(IndexMap<String, Option<Best>>);

impl BestEpochs {
    /// No epoch yet.
    pub(crate) fn new(columns: impl IntoIterator<Item = String>) -> Self {
        Self(columns.into_iter().map(|column| (column, None)).collect())
    }

    /// Notes the validation values of an epoch. Only a strictly better one replaces the best.
    pub(crate) fn note(&mut self, epoch: u32, values: &Values) {
        for (column, best) in &mut self.0 {
            let Some((value, higher_is_better)) = values.of(column) else {
                continue;
            };
            let is_better = match best {
                _ if value.is_nan() => false,
                None => true,
                Some(best) if higher_is_better => value > best.value.0,
                Some(best) => value < best.value.0,
            };
            if is_better {
                *best = Some(Best {
                    epoch,
                    value: Exact(value),
                });
            }
        }
    }

    /// Selection metrics with their best epoch, in the order they were asked for.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, Option<u32>)> {
        self.0
            .iter()
            .map(|(column, best)| (column.as_str(), best.map(|best| best.epoch)))
    }
}

#[cfg(test)]
mod tests {
    use stages::learning::names::Task;
    use stages::metrics::columns;

    use super::*;

    #[test]
    fn each_metric_keeps_its_own_best_epoch_and_the_earlier_of_equals() {
        let mut best = BestEpochs::new(["loss".to_owned(), "BA".to_owned(), "LR_minus".to_owned()]);
        for (epoch, (loss, metric)) in [(f64::NAN, f64::NAN), (0.5, 0.6), (0.4, 0.6), (0.4, 0.5)]
            .into_iter()
            .enumerate()
        {
            let values = Values {
                metrics: columns(Task::Classification)
                    .into_iter()
                    .map(|column| (column, metric))
                    .collect(),
                loss,
            };
            best.note(u32::try_from(epoch).unwrap(), &values);
        }
        let epochs: Vec<_> = best.iter().map(|(_, epoch)| epoch.unwrap()).collect();
        assert_eq!(epochs, [2, 1, 3]);
    }
}
