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

use super::{Column, METRICS, Metric, Outcomes, delong, mean};

/// Resamples of ClinicaDL 1.6.1.
pub const RESAMPLES: usize = 3000;

/// A metric with its interval.
#[derive(Debug, Clone)]
pub struct Estimate {
    /// The metric.
    pub metric: Column,
    /// Its value on all images.
    pub value: f64,
    /// Its interval; `None` with fewer than two participants, or if the metric is undefined.
    pub interval: Option<Interval>,
    /// The same for each class against the others, with more than two classes; else empty.
    pub classes: Vec<ClassEstimate>,
}

/// A metric of one class with its interval.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ClassEstimate {
    /// Its value on all images.
    pub value: f64,
    /// Its interval, as in [`Estimate`].
    pub interval: Option<Interval>,
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

/// Every metric with its interval, from `resamples` draws of participants; and the area under the ROC
/// curve with its interval by DeLong.
///
/// Draws for which a metric is undefined, such as the area under the curve of one class alone, are
/// left out of its interval.
///
/// # Shapes
/// `participants` names the participant of each image of `outcomes`.
///
/// # Determinism
/// The draws follow from the stream, the number of participants and their order by name.
pub fn estimates(
    outcomes: &Outcomes<'_>,
    participants: &[&str],
    resamples: usize,
    stream: &Stream,
) -> Vec<Estimate> {
    let mut all = estimates_from(outcomes, draws(participants, resamples, stream));
    all.push(delong::estimate(outcomes, participants));
    all
}

/// The same for metrics that are computed otherwise: `values` gives each of them on the images of these
/// positions.
pub fn estimates_of(
    columns: &[Column],
    values: impl Fn(&[usize]) -> Vec<f64>,
    participants: &[&str],
    resamples: usize,
    stream: &Stream,
) -> Vec<Estimate> {
    let all: Vec<usize> = (0..participants.len()).collect();
    let whole = values(&all);
    let drawn: Vec<Vec<f64>> = draws(participants, resamples, stream)
        .map(|images| values(&images))
        .collect();
    let each = columns.iter().zip(whole).enumerate();
    each.map(|(i, (&metric, value))| Estimate {
        metric,
        value,
        interval: interval(drawn.iter().map(|values| values[i])),
        classes: Vec::new(),
    })
    .collect()
}

/// Images of participants drawn with replacement; none with fewer than two participants.
fn draws(
    participants: &[&str],
    resamples: usize,
    stream: &Stream,
) -> impl Iterator<Item = Vec<usize>> {
    let mut clusters: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (image, participant) in participants.iter().enumerate() {
        clusters.entry(participant).or_default().push(image);
    }
    let clusters: Vec<Vec<usize>> = clusters.into_values().collect();
    let n = clusters.len();
    let resamples = if n < 2 { 0 } else { resamples };
    let mut rng = stream.rng();
    (0..resamples).map(move |_| {
        (0..n)
            .flat_map(|_| clusters[rng.random_range(0..n)].iter().copied())
            .collect()
    })
}

/// Every metric with its interval, from images drawn with replacement.
fn estimates_from(
    outcomes: &Outcomes<'_>,
    draws: impl Iterator<Item = Vec<usize>>,
) -> Vec<Estimate> {
    let mut drawn: Vec<Vec<Values>> = vec![Vec::new(); METRICS.len()];
    for images in draws {
        let resample = outcomes.pick(&images);
        let outcomes = resample.as_ref();
        for (metric, drawn) in METRICS.iter().zip(&mut drawn) {
            drawn.push(Values::of(*metric, &outcomes));
        }
    }
    let estimates = METRICS.iter().zip(drawn).map(|(metric, drawn)| {
        let values = Values::of(*metric, outcomes);
        let classes = values.classes.iter().enumerate().map(|(class, &value)| {
            let interval = interval(drawn.iter().map(|values| values.classes[class]));
            ClassEstimate { value, interval }
        });
        Estimate {
            metric: metric.about(),
            value: values.whole,
            interval: interval(drawn.iter().map(|values| values.whole)),
            classes: classes.collect(),
        }
    });
    estimates.collect()
}

/// A metric's value, and those of the classes it is made from.
#[derive(Debug, Clone)]
struct Values {
    whole: f64,
    classes: Vec<f64>,
}

impl Values {
    fn of(metric: &dyn Metric, outcomes: &Outcomes<'_>) -> Self {
        let classes = metric.by_class(outcomes);
        let whole = match classes.as_slice() {
            [] => metric.of_class(outcomes, 0),
            classes => metric.of_all(outcomes, classes),
        };
        Self { whole, classes }
    }
}

/// Percentiles and spread of the defined draws.
fn interval(values: impl Iterator<Item = f64>) -> Option<Interval> {
    let mut values: Vec<f64> = values.filter(|value| !value.is_nan()).collect();
    if values.len() < 2 {
        return None;
    }
    values.sort_by(f64::total_cmp);
    let n = values.len() as f64;
    let mean = mean(values.iter().copied());
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
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "within the slice"
    )]
    let below = position.floor() as usize;
    let above = (below + 1).min(sorted.len() - 1);
    sorted[below] + (sorted[above] - sorted[below]) * (position - below as f64)
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::metrics::tests::{Case, cases};

    #[test]
    fn intervals_from_given_draws_equal_numpy() {
        for (name, case, reference) in cases("bootstrap") {
            let draws: Vec<Vec<usize>> =
                serde_json::from_value(reference["draws"].clone()).unwrap();
            for estimate in estimates_from(&case.as_ref(), draws.into_iter()) {
                let expected = &reference["intervals"][estimate.metric.id];
                let told = format!("{name}, {estimate:?}, expected {expected}");
                assert_interval(estimate.interval, &expected["whole"], &told);
                let classes = expected["classes"].as_array().unwrap();
                assert_eq!(estimate.classes.len(), classes.len(), "{told}");
                for (class, expected) in estimate.classes.iter().zip(classes) {
                    assert_interval(class.interval, expected, &told);
                }
            }
        }
    }

    /// 1e-9 as for the metrics: only the order of summation differs.
    fn assert_interval(interval: Option<Interval>, expected: &Value, told: &str) {
        let interval = interval.unwrap();
        for (field, value) in [
            ("lower", interval.lower),
            ("upper", interval.upper),
            ("standard_error", interval.standard_error),
        ] {
            let expected = expected[field].as_f64().unwrap();
            assert!((value - expected).abs() < 1e-9, "{field} of {told}");
        }
    }

    /// Two classes, of which every fifth image is taken for the other.
    fn wrong_every_fifth(images: usize) -> Case {
        let truth: Vec<usize> = (0..images).map(|i| i % 2).collect();
        let predicted: Vec<usize> = truth
            .iter()
            .enumerate()
            .map(|(i, &class)| usize::from(i % 5 == 0) ^ class)
            .collect();
        let p = predicted
            .iter()
            .flat_map(|&class| if class == 0 { [0.7, 0.3] } else { [0.4, 0.6] });
        Case {
            classes: 2,
            truth,
            predicted: predicted.clone(),
            probabilities: p.collect(),
        }
    }

    fn names(count: usize, each: usize) -> Vec<String> {
        (0..count * each)
            .map(|image| format!("sub-{}", image / each))
            .collect()
    }

    fn accuracy(case: &Case, names: &[String], seed: u64) -> Interval {
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let all = estimates(&case.as_ref(), &names, RESAMPLES, &Stream::root(seed));
        all.iter()
            .find(|e| e.metric.id == "accuracy")
            .unwrap()
            .interval
            .unwrap()
    }

    #[test]
    fn the_interval_of_an_accuracy_is_that_of_a_binomial() {
        let case = wrong_every_fifth(200);
        let interval = accuracy(&case, &names(200, 1), 1);
        let expected = (0.8_f64 * 0.2 / 200.0).sqrt();
        // 3000 draws tell a standard error to about 1.3 %; four times that.
        assert!(
            (interval.standard_error / expected - 1.0).abs() < 0.052,
            "{interval:?}"
        );
        assert!(
            (interval.lower - (0.8 - 1.96 * expected)).abs() < 0.01,
            "{interval:?}"
        );
        assert_eq!(interval, accuracy(&case, &names(200, 1), 1));
        assert_ne!(interval, accuracy(&case, &names(200, 1), 2));
    }

    #[test]
    fn images_of_one_participant_are_drawn_together() {
        // The same image ten times tells no more than once: the error is that of 20 images.
        let one = wrong_every_fifth(20);
        let repeat = |codes: &[usize]| -> Vec<usize> {
            codes
                .iter()
                .flat_map(|&code| std::iter::repeat_n(code, 10))
                .collect()
        };
        let probabilities = one
            .probabilities
            .chunks(2)
            .flat_map(|row| row.repeat(10))
            .collect();
        let (truth, predicted) = (repeat(&one.truth), repeat(&one.predicted));
        let ten = Case {
            classes: 2,
            truth,
            predicted,
            probabilities,
        };
        assert_eq!(
            accuracy(&one, &names(20, 1), 1),
            accuracy(&ten, &names(20, 10), 1)
        );
    }

    /// 1000 studies of 60 participants with one to three images each, of which a participant's share a mean.
    #[test]
    fn intervals_of_95_percent_hold_the_truth_in_95_percent_of_studies() {
        let mut rng = Stream::root(1).child("studies").rng();
        let mut held = 0;
        let studies = 1000;
        for study in 0..studies {
            let mut names = Vec::new();
            let mut values = Vec::new();
            for participant in 0..60 {
                let own: f64 = rng.random();
                for _ in 0..=participant % 3 {
                    names.push(format!("sub-{participant:02}"));
                    values.push(own + rng.random::<f64>());
                }
            }
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            let of = |images: &[usize]| {
                vec![images.iter().map(|&i| values[i]).sum::<f64>() / images.len() as f64]
            };
            let stream = Stream::root(study);
            let found = estimates_of(&[Column::MAE], of, &names, 300, &stream).remove(0);
            let interval = found.interval.unwrap();
            held += u32::from((interval.lower..=interval.upper).contains(&1.0));
        }
        let coverage = f64::from(held) / studies as f64;
        // Three standard deviations of a thousand studies are 2 %.
        assert!((coverage - 0.95).abs() <= 0.02, "{coverage}");
    }

    #[test]
    fn one_participant_has_no_interval() {
        let case = wrong_every_fifth(40);
        let all = estimates(&case.as_ref(), &["sub-1"; 40], 10, &Stream::root(1));
        assert!(all.iter().all(|estimate| estimate.interval.is_none()));
        let none = Case {
            classes: 2,
            ..Case::default()
        };
        let all = estimates(&none.as_ref(), &[], 10, &Stream::root(1));
        assert!(all.iter().all(|estimate| estimate.interval.is_none()));
    }
}
