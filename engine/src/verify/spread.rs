//! Tiers `rerun: tolerance` and `rerun: seeds`: metrics of other runs against the locked ones.
//!
//! # Source
//! The interval of `seeds` is the prediction interval for one more value of a normal distribution of
//! unknown mean and variance: mean ± t × s × √(1 + 1/N), t the 99.5 % quantile of Student's t with
//! N − 1 degrees of freedom. One honest value in a hundred lies outside.

use std::collections::BTreeMap;

use serde::Serialize;
use statrs::distribution::{ContinuousCDF, StudentsT};

use super::check::{Check, Fault, Section};
use super::metrics::{MetricNames, Series, shown};
use super::settings::{Distance, Tolerance};
use crate::manifest::Manifest;

/// Fewest runs whose spread says anything.
const FEWEST_SEEDS: usize = 3;

/// Quantile of Student's t for a two-sided interval of 99 %.
const QUANTILE: f64 = 0.995;

/// Seeds of manifests are exact in JSON.
const SEEDS: u64 = 1 << 53;

/// Whether the metrics of another run are within the declared tolerance of the locked ones.
pub fn check_tolerance(
    tolerance: &Tolerance,
    locked: MetricNames<'_>,
    found: &BTreeMap<String, f64>,
) -> Vec<Check> {
    let mut checks: Vec<Check> = tolerance
        .metrics
        .keys()
        .filter(|key| {
            !locked
                .values
                .keys()
                .any(|name| locked.precision(key, name).is_some())
        })
        .map(|key| {
            let message = format!("the tolerance of `{key}` fits no metric");
            let check = Check::failed(Section::Metric, key, Fault::MetricOutside, message);
            check.hint(locked.suggestion(key))
        })
        .collect();
    for (name, &value) in locked.values {
        checks.push(tolerance_check(
            tolerance,
            locked,
            name,
            value,
            found.get(name),
        ));
    }
    for name in found
        .keys()
        .filter(|name| !locked.values.contains_key(*name))
    {
        let fault = Fault::MetricOutside;
        checks.push(Check::failed(
            Section::Metric,
            name,
            fault,
            "is not in the lock",
        ));
    }
    checks
}

fn tolerance_check(
    tolerance: &Tolerance,
    names: MetricNames<'_>,
    name: &str,
    locked: f64,
    found: Option<&f64>,
) -> Check {
    let failed = |message| Check::failed(Section::Metric, name, Fault::MetricOutside, message);
    let Some(&found) = found else {
        return failed("the second run has no such metric".to_owned());
    };
    let general = Distance {
        rtol: tolerance.rtol,
        atol: tolerance.atol,
    };
    let own = tolerance
        .metrics
        .iter()
        .filter_map(|(key, distance)| Some((names.precision(key, name)?, *distance)))
        .max_by_key(|(precision, _)| *precision);
    let allowed = own.map_or(general, |(_, distance)| distance).around(locked);
    let distance = (found - locked).abs();
    let both_undefined = !locked.is_finite() && !found.is_finite();
    if distance <= allowed || both_undefined {
        let message = format!("{}, {distance:.2e} from the locked value", shown(found));
        return Check::passed(Section::Metric, name, message);
    }
    failed(format!(
        "is {found}, locked {locked}: {distance:.2e} apart, tolerated {allowed:.2e}"
    ))
}

/// A metric over the seeds.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SpreadRow {
    /// `group.….metric`, the mean over the splits.
    pub metric: String,
    /// The locked value.
    pub locked: f64,
    /// Mean over the seeds.
    pub mean: f64,
    /// Standard deviation over the seeds.
    pub deviation: f64,
    /// Least value.
    pub least: f64,
    /// Greatest value.
    pub greatest: f64,
    /// Bounds of the interval that the locked value should be in.
    pub interval: (f64, f64),
    /// Whether it is.
    pub inside: bool,
}

/// Whether each locked metric lies within the spread of runs with other seeds.
///
/// # Errors
/// There are fewer than three runs: their spread says nothing.
pub fn check_seeds(
    locked: MetricNames<'_>,
    runs: &[BTreeMap<String, f64>],
) -> Result<(Vec<Check>, Vec<SpreadRow>), String> {
    if runs.len() < FEWEST_SEEDS {
        let runs = runs.len();
        return Err(format!(
            "{runs} seeds show no spread, expected at least {FEWEST_SEEDS}"
        ));
    }
    let others: Vec<Vec<Series>> = runs
        .iter()
        .map(|values| MetricNames { values, ..locked }.all())
        .collect();
    let (mut checks, mut rows) = (Vec::new(), Vec::new());
    for series in locked.all() {
        let values: Vec<f64> = others
            .iter()
            .filter_map(|all| all.iter().find(|other| other.name == series.name))
            .map(Series::mean)
            .collect();
        let name = &series.name;
        let failed = |message| Check::failed(Section::Metric, name, Fault::MetricOutside, message);
        if values.len() < runs.len() {
            checks.push(failed(
                "a run with another seed has no such metric".to_owned(),
            ));
            continue;
        }
        let row = row_of(&series, &values);
        let interval = format!("{} to {}", shown(row.interval.0), shown(row.interval.1));
        checks.push(if row.inside {
            let message = format!("{} is within {interval}", shown(row.locked));
            Check::passed(Section::Metric, name, message)
        } else {
            let locked = shown(row.locked);
            failed(format!(
                "is {locked}; {} other seeds give {interval}",
                values.len()
            ))
            .hint("the published value may owe more to its seed than to the method")
        });
        rows.push(row);
    }
    Ok((checks, rows))
}

#[expect(clippy::cast_precision_loss, reason = "there are few seeds")]
fn row_of(series: &Series, values: &[f64]) -> SpreadRow {
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    let squares = values
        .iter()
        .map(|value| (value - mean).powi(2))
        .sum::<f64>();
    let deviation = (squares / (n - 1.0)).sqrt();
    let quantile = StudentsT::new(0.0, 1.0, n - 1.0)
        .expect("there are at least two degrees of freedom")
        .inverse_cdf(QUANTILE);
    // Equal values have no spread; what is left is the rounding of their mean.
    let rounding = 4.0 * f64::EPSILON * mean.abs();
    let half = quantile * deviation * (1.0 + 1.0 / n).sqrt() + rounding;
    let locked = series.mean();
    let undefined = !locked.is_finite() && values.iter().any(|value| !value.is_finite());
    SpreadRow {
        metric: series.name.clone(),
        locked,
        mean,
        deviation,
        least: values.iter().copied().fold(f64::INFINITY, f64::min),
        greatest: values.iter().copied().fold(f64::NEG_INFINITY, f64::max),
        interval: (mean - half, mean + half),
        inside: (locked - mean).abs() <= half || undefined,
    }
}

/// The experiment with its seeds moved by `step`; `None` if no stage draws from them.
pub fn with_other_seed(manifest: &Manifest, step: u64) -> Option<Manifest> {
    let mut other = manifest.clone();
    let mut draws = false;
    other.seed = moved(manifest.seed, step);
    for stage in other.stages.values_mut() {
        draws |= stage.is_seeded;
        stage.seed = moved(stage.seed, step);
    }
    draws.then_some(other)
}

fn moved(seed: u64, step: u64) -> u64 {
    seed.wrapping_add(step) % SEEDS
}
