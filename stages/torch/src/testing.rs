//! Shared by tests: reference vectors and comparisons.

use serde_json::Value;
use tch::{Device, Kind, Tensor};

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

/// Numbers that reference scripts keep of each tensor.
pub(crate) const KEPT: usize = 3;

/// What reference scripts keep of a tensor.
pub(crate) struct Summary {
    head: Vec<f64>,
    /// Product with numbered weights: other numbers or another order give another one.
    product: f64,
    pub(crate) length: f64,
    /// Of its numbers.
    pub(crate) count: usize,
}

impl Summary {
    pub(crate) fn of(tensor: &Tensor) -> Self {
        let flat = tensor.detach().to_kind(Kind::Double).flatten(0, -1);
        let numbers = Tensor::arange(flat.size()[0], (Kind::Int64, Device::Cpu));
        let weights = (numbers * 7919).remainder(1009).to_kind(Kind::Double) / 1009.0;
        Self {
            head: head(&flat.narrow(0, 0, flat.size()[0].min(KEPT as i64)), KEPT),
            product: flat.dot(&weights).double_value(&[]),
            length: flat.norm().double_value(&[]),
            count: flat.numel(),
        }
    }

    /// Fails where a number differs by more than a part of the tensor's size; errors smaller than `noise`
    /// per number are none.
    #[track_caller]
    pub(crate) fn assert_close(&self, expected: &Value, tolerance: f64, noise: f64, what: &str) {
        let mut kept = floats(expected);
        let (length, product) = (kept.pop().unwrap(), kept.pop().unwrap());
        assert_eq!(self.head.len(), kept.len(), "{what}: count");
        let root = (self.count as f64).sqrt();
        // The errors of many numbers are their length; those of one number are relative to it too.
        let whole = tolerance * length + noise * root;
        let rounding = tolerance * product.abs();
        let pairs = [
            (self.product, product, whole + rounding),
            (self.length, length, whole),
        ];
        let heads = self.head.iter().zip(&kept).map(|(&got, &expected)| {
            let size = length / root;
            (got, expected, tolerance * expected.abs().max(size) + noise)
        });
        for (i, (got, expected, allowed)) in heads.chain(pairs).enumerate() {
            assert!(
                (got - expected).abs() <= allowed,
                "{what}[{i}]: got {got}, expected {expected}, allowed {allowed}"
            );
        }
    }
}
