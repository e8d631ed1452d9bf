//! Vectors made by ClinicaDL 1.6.1 and its libraries, and comparison with their distributions.

use serde_json::Value;

use crate::volume::Volume;

/// The vectors of `tests/reference/generate/synthetic.py`.
pub(in crate::generate) fn vectors() -> Value {
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../tests/reference/generate/synthetic.json"
    );
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

pub(in crate::generate) fn of<T: serde::de::DeserializeOwned>(value: &Value) -> T {
    serde_json::from_value(value.clone()).unwrap()
}

/// An image with keys for its data, shape and affine.
pub(in crate::generate) fn volume(data: &Value, shape: &Value, affine: &Value) -> Volume {
    Volume {
        data: of(data),
        shape: of(shape),
        affine: of(affine),
    }
}

/// The greatest difference of a sample's distribution function from that of a table of quantiles at
/// probabilities `(i + 0.5) / n`: the statistic of Kolmogorov and Smirnov, at these places.
pub(in crate::generate) fn distance(sample: &[f64], quantiles: &Value) -> f64 {
    let mut sorted = sample.to_vec();
    sorted.sort_by(f64::total_cmp);
    let quantiles: Vec<f64> = of(quantiles);
    let count = quantiles.len() as f64;
    let share = |places: usize| places as f64 / sorted.len() as f64;
    let differences = quantiles.iter().enumerate().map(|(i, &quantile)| {
        // A discrete sample jumps at a quantile: the probability lies within the jump.
        let expected = (i as f64 + 0.5) / count;
        let below = share(sorted.partition_point(|&value| value < quantile * (1.0 - 1e-6)));
        let up_to = share(sorted.partition_point(|&value| value <= quantile * (1.0 + 1e-6)));
        (below.min(up_to) - expected).max(expected - below.max(up_to))
    });
    differences.fold(0.0, f64::max)
}

#[test]
fn a_shifted_sample_is_far_from_its_table() {
    let table: Vec<f64> = (0..50).map(|i| (f64::from(i) + 0.5) / 50.0).collect();
    let table = serde_json::json!(table);
    let sample: Vec<f64> = (0..1000).map(|i| f64::from(i) / 1000.0).collect();
    assert!(distance(&sample, &table) < 0.01);
    let shifted: Vec<f64> = sample.iter().map(|value| value + 0.1).collect();
    assert!((distance(&shifted, &table) - 0.1).abs() < 0.01);
}
