//! Confidence intervals by the percentile bootstrap.
//!
//! Participants are resampled, with all their images: images of one participant are not independent.
//! With one image per participant this is the interval of ClinicaDL 1.6.1, with a seed.
//!
//! # Source
//! Efron and Tibshirani 1993, An Introduction to the Bootstrap; `scipy.stats.bootstrap` with
//! `method="percentile"`, 95 %.

use std::collections::BTreeMap;

use engine::seed::Stream;
use rand::Rng;

use super::{METRICS, Metric, Outcomes};

/// A metric with its interval.
#[derive(Clone, Copy)]
pub struct Estimate {
    /// The metric.
    pub metric: &'static dyn Metric,
    /// Its value on all images.
    pub value: f64,
    /// Its interval; `None` with fewer than two participants.
    pub interval: Option<Interval>,
}

impl std::fmt::Debug for Estimate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {} {:?}", self.metric.id(), self.value, self.interval)
    }
}

/// A 95 % confidence interval.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Interval {
    /// The 2.5 % quantile of the resamples.
    pub lower: f64,
    /// The 97.5 % quantile.
    pub upper: f64,
    /// Their standard deviation: the standard error of the value.
    pub standard_error: f64,
}

/// Every metric with its interval, from `resamples` draws of participants.
///
/// # Shapes
/// `participants` names the participant of each image of `outcomes`.
pub fn estimates(
    outcomes: &Outcomes<'_>,
    participants: &[&str],
    resamples: usize,
    stream: &Stream,
) -> Vec<Estimate> {
    let mut clusters: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (image, participant) in participants.iter().enumerate() {
        clusters.entry(participant).or_default().push(image);
    }
    let clusters: Vec<Vec<usize>> = clusters.into_values().collect();
    let mut draws: Vec<Vec<f64>> = vec![Vec::with_capacity(resamples); METRICS.len()];
    if clusters.len() >= 2 {
        let mut rng = stream.rng();
        for _ in 0..resamples {
            let images: Vec<usize> = (0..clusters.len())
                .flat_map(|_| clusters[rng.random_range(0..clusters.len())].iter().copied())
                .collect();
            let resample = Resample::of(outcomes, &images);
            for (metric, values) in METRICS.iter().zip(&mut draws) {
                values.push(metric.value(&resample.outcomes(outcomes.classes)));
            }
        }
    }
    METRICS
        .iter()
        .zip(draws)
        .map(|(metric, values)| Estimate {
            metric: *metric,
            value: metric.value(outcomes),
            interval: interval(values),
        })
        .collect()
}

/// Images drawn with replacement.
struct Resample {
    truth: Vec<usize>,
    predicted: Vec<usize>,
    probabilities: Vec<f64>,
}

impl Resample {
    fn of(outcomes: &Outcomes<'_>, images: &[usize]) -> Self {
        let k = outcomes.classes;
        let rows = images.iter().flat_map(|&i| &outcomes.probabilities[i * k..(i + 1) * k]);
        Self {
            truth: images.iter().map(|&i| outcomes.truth[i]).collect(),
            predicted: images.iter().map(|&i| outcomes.predicted[i]).collect(),
            probabilities: rows.copied().collect(),
        }
    }

    fn outcomes(&self, classes: usize) -> Outcomes<'_> {
        let (truth, predicted) = (&self.truth, &self.predicted);
        Outcomes { classes, truth, predicted, probabilities: &self.probabilities }
    }
}

/// Percentiles and spread of the draws; undefined draws (a resample of one class) are left out.
fn interval(mut values: Vec<f64>) -> Option<Interval> {
    values.retain(|value| !value.is_nan());
    if values.len() < 2 {
        return None;
    }
    values.sort_by(f64::total_cmp);
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    let variance = values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / (n - 1.0);
    Some(Interval {
        lower: quantile(&values, 0.025),
        upper: quantile(&values, 0.975),
        standard_error: variance.sqrt(),
    })
}

/// A quantile of sorted values by linear interpolation, as numpy's default.
fn quantile(sorted: &[f64], q: f64) -> f64 {
    let position = q * (sorted.len() - 1) as f64;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "within the slice")]
    let below = position.floor() as usize;
    let above = (below + 1).min(sorted.len() - 1);
    sorted[below] + (sorted[above] - sorted[below]) * (position - below as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_equal_numpy() {
        // numpy.percentile([1, 2, 4, 8, 16], [2.5, 97.5]) == [1.1, 15.2]
        let values = [1.0, 2.0, 4.0, 8.0, 16.0];
        assert!((quantile(&values, 0.025) - 1.1).abs() < 1e-12);
        assert!((quantile(&values, 0.975) - 15.2).abs() < 1e-12);
    }

    fn case(n: usize) -> (Vec<usize>, Vec<usize>, Vec<f64>) {
        let truth: Vec<usize> = (0..n).map(|i| i % 2).collect();
        let predicted: Vec<usize> = (0..n).map(|i| usize::from(i % 5 == 0) ^ (i % 2)).collect();
        let p = predicted.iter().flat_map(|&c| if c == 0 { [0.7, 0.3] } else { [0.4, 0.6] });
        (truth, predicted.clone(), p.collect())
    }

    #[test]
    fn the_interval_of_an_accuracy_is_that_of_a_binomial() {
        let (truth, predicted, probabilities) = case(400);
        let outcomes =
            Outcomes { classes: 2, truth: &truth, predicted: &predicted, probabilities: &probabilities };
        let names: Vec<String> = (0..400).map(|i| format!("sub-{i}")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let all = estimates(&outcomes, &names, 3000, &Stream::root(1));
        let accuracy = all.iter().find(|e| e.metric.id() == "accuracy").unwrap();
        let expected = (0.8_f64 * 0.2 / 400.0).sqrt();
        let interval = accuracy.interval.unwrap();
        // 3000 draws tell a standard error to about 1.3 %; four times that.
        assert!((interval.standard_error / expected - 1.0).abs() < 0.052, "{interval:?}");
        assert!((interval.lower - (0.8 - 1.96 * expected)).abs() < 0.006, "{interval:?}");
        let again = estimates(&outcomes, &names, 3000, &Stream::root(1));
        assert_eq!(format!("{all:?}"), format!("{again:?}"));
    }

    #[test]
    fn images_of_one_participant_are_drawn_together() {
        let (truth, predicted, probabilities) = case(40);
        let outcomes =
            Outcomes { classes: 2, truth: &truth, predicted: &predicted, probabilities: &probabilities };
        let one = vec!["sub-1"; 40];
        assert!(estimates(&outcomes, &one, 10, &Stream::root(1))[0].interval.is_none());
    }
}
