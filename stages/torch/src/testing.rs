//! Shared by tests: reference vectors and comparisons.

use serde_json::Value;
use tch::{Kind, Tensor};

/// A reference file of `tests/reference/learning`, made by the script beside it.
pub(crate) fn reference(name: &str) -> Value {
    let folder = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../tests/reference/learning"
    );
    let text = std::fs::read_to_string(format!("{folder}/{name}")).unwrap();
    serde_json::from_str(&text).unwrap()
}

/// Every number of a JSON value, depth first.
pub(crate) fn floats(value: &Value) -> Vec<f64> {
    match value {
        Value::Array(items) => items.iter().flat_map(floats).collect(),
        other => vec![other.as_f64().unwrap()],
    }
}

/// The first numbers of a tensor, in C order.
pub(crate) fn head(tensor: &Tensor, count: usize) -> Vec<f64> {
    let flat = tensor.detach().to_kind(Kind::Double).flatten(0, -1);
    let mut numbers = Vec::<f64>::try_from(&flat).unwrap();
    numbers.truncate(count);
    numbers
}

/// Fails when a pair differs by more than `tolerance`, relative to the larger of 1 and the expectation.
#[track_caller]
pub(crate) fn assert_close(got: &[f64], expected: &[f64], tolerance: f64, what: &str) {
    assert_eq!(got.len(), expected.len(), "{what}: count");
    for (i, (got, expected)) in got.iter().zip(expected).enumerate() {
        let allowed = tolerance * expected.abs().max(1.0);
        assert!(
            (got - expected).abs() <= allowed,
            "{what}[{i}]: got {got}, expected {expected}"
        );
    }
}

/// Voxels of the images that the reference scripts make: `((7919 i) mod 1009) / 1009`.
pub(crate) fn numbered_voxels(count: usize) -> Vec<f32> {
    (0..count)
        .map(|i| ((i * 7919) % 1009) as f32 / 1009.0)
        .collect()
}

/// A batch of such images, numbered through.
pub(crate) fn numbered_images(batch: i64, input_size: &[i64]) -> Tensor {
    let mut shape = vec![batch];
    shape.extend(input_size);
    let count = usize::try_from(shape.iter().product::<i64>()).unwrap();
    Tensor::from_slice(&numbered_voxels(count)).view(shape.as_slice())
}
