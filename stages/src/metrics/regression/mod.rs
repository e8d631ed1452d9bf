//! Metrics of regression: one file each, listed in [`REGRESSION`].

mod mean_absolute_error;
mod pearson_correlation;
mod r2_score;
mod root_mean_squared_error;
mod spearman_correlation;

use super::Column;

/// Every metric of a regression, in the order of metrics tables.
pub static REGRESSION: &[&dyn NumberMetric] = &[
    &r2_score::R2Score,
    &mean_absolute_error::MeanAbsoluteError,
    &root_mean_squared_error::RootMeanSquaredError,
    &pearson_correlation::PearsonCorrelation,
    &spearman_correlation::SpearmanCorrelation,
];

/// A number that tells how near predicted numbers are to the true ones; errors are in their unit.
pub trait NumberMetric: Sync {
    /// What tables call it.
    fn about(&self) -> Column;

    /// Its value; there is at least one image.
    fn value(&self, truth: &[f64], predicted: &[f64]) -> f64;
}

fn mean(values: impl Iterator<Item = f64>, count: usize) -> f64 {
    values.sum::<f64>() / count as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Made by the script beside it with scikit-learn and scipy. 1e-9: only the order of summation differs.
    #[test]
    fn values_are_those_of_scikit_learn_and_scipy() {
        let reference = include_str!("../../../../tests/reference/metrics/metrics.json");
        let reference: serde_json::Value = serde_json::from_str(reference).unwrap();
        for (name, case) in reference["regression"].as_object().unwrap() {
            // JSON has no NaN.
            let numbers = |key: &str| -> Vec<f64> {
                let list = case[key].as_array().unwrap().iter();
                list.map(|x| x.as_f64().unwrap_or(f64::NAN)).collect()
            };
            let (truth, predicted) = (numbers("truth"), numbers("predicted"));
            for metric in REGRESSION {
                let (value, id) = (metric.value(&truth, &predicted), metric.about().id);
                let same = match case["values"][id].as_f64() {
                    Some(expected) => (value - expected).abs() < 1e-9,
                    None => value.is_nan(),
                };
                assert!(same, "{name}: {id} is {value}, {}", case["values"][id]);
            }
        }
    }
}
