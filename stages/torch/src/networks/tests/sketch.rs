//! How far gradients and running means are from those of Python, tensor by tensor.
//!
//! Whole tensors would be hundreds of megabytes; of each the reference keeps a sketch, eight sums of its
//! numbers with signs that look drawn. The distance of two sketches is on average that of the tensors: over
//! signs, its square is right and spreads by half of itself.
//!
//! What is expected was computed in 64 bits. In 32 bits PyTorch itself is some distance from it, which is
//! kept too: the largest of four ways to add and to round. Running means and gradients of shallow networks
//! are within 1e-5 of their length. It is more where a ReLU or a maximum flips, of two numbers that are equal
//! but for rounding, and behind batch norms of the few voxels that a small image leaves to the deepest
//! layers: 1e-3 to 1e-1 of some gradients. There nothing is right in 32 bits, and what is compared in 64
//! bits tells that formulas are.

use std::collections::BTreeMap;

use serde_json::Value;
use tch::{Device, Kind, Tensor};

use crate::testing::floats;

/// Of a tensor's length, in 32 bits.
const OF_FLOATS: f64 = 1e-4;
/// In 64 bits: two roundings of eight digits, and room for other orders of addition.
const OF_DOUBLES: f64 = 1e-6;
/// Another processor rounds otherwise than the one of the reference, and a sketch is an estimate: rarely
/// more than this times what PyTorch was seen to differ from itself.
const TIMES: f64 = 4.0;
/// A tensor that is a smaller part of the longest one is zero, such as the gradient of a bias before a
/// normalisation.
const ZERO: f64 = 1e-12;
/// The rounding of such a tensor, as a part of the longest one: PyTorch has up to 1e-6.
const ROUNDING: f64 = 2e-6;
/// Sums of a sketch.
const SUMS: i64 = 8;

/// What numbers a network computed with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Bits {
    ThirtyTwo,
    SixtyFour,
}

/// What the reference keeps of a tensor.
struct Kept {
    sums: Vec<f64>,
    length: f64,
    /// Of PyTorch in 32 bits.
    error: f64,
}

impl Kept {
    fn of(value: &Value) -> Self {
        let mut sums = floats(value);
        let (error, length) = (sums.pop().unwrap(), sums.pop().unwrap());
        Self {
            sums,
            length,
            error,
        }
    }
}

fn sketch(tensor: &Tensor) -> Vec<f64> {
    let flat = tensor.detach().to_kind(Kind::Double).flatten(0, -1);
    let numbers = Tensor::arange(flat.size()[0], (Kind::Int64, Device::Cpu));
    let odd = (&numbers * 7919).remainder(1009).remainder(2);
    let signs = odd.to_kind(Kind::Double) * -2.0 + 1.0;
    let sums = Tensor::zeros([SUMS], (Kind::Double, Device::Cpu));
    let sums = sums.index_add(0, &numbers.remainder(SUMS), &(flat * signs));
    Vec::try_from(sums).unwrap()
}

/// Tensors of a block as one, of networks with hundreds of tensors: `layer1.0`, `features.denseblock1`.
pub(super) fn by_block(tensors: Vec<(String, Tensor)>) -> Vec<(String, Tensor)> {
    let mut order = Vec::new();
    let mut blocks: BTreeMap<String, Vec<Tensor>> = BTreeMap::new();
    for (name, tensor) in tensors {
        let block: Vec<&str> = name.split('.').take(2).collect();
        let block = block.join(".");
        if !order.contains(&block) {
            order.push(block.clone());
        }
        let flat = tensor.detach().to_kind(Kind::Double).flatten(0, -1);
        blocks.entry(block).or_default().push(flat);
    }
    let whole = |name: String| (name.clone(), Tensor::cat(&blocks[&name], 0));
    order.into_iter().map(whole).collect()
}

/// Fails where a tensor is too far from what is expected, after telling all of them.
#[track_caller]
pub(crate) fn assert_all(what: &str, tensors: &[(String, Tensor)], expected: &Value, bits: Bits) {
    let expected = expected.as_object().unwrap();
    let names: Vec<&String> = tensors.iter().map(|(name, _)| name).collect();
    assert_eq!(names, expected.keys().collect::<Vec<_>>(), "{what}");
    let kept: Vec<Kept> = expected.values().map(Kept::of).collect();
    let longest = kept.iter().map(|kept| kept.length).fold(0.0, f64::max);
    let mut wrong = Vec::new();
    for ((name, tensor), kept) in tensors.iter().zip(&kept) {
        let pairs = sketch(tensor).into_iter().zip(&kept.sums);
        let distance = pairs
            .map(|(got, sum)| (got - sum).powi(2))
            .sum::<f64>()
            .sqrt();
        let is_zero = kept.length <= ZERO * longest;
        let allowed = match bits {
            Bits::ThirtyTwo if is_zero => (TIMES * kept.error).max(ROUNDING * longest),
            Bits::ThirtyTwo => (TIMES * kept.error).max(OF_FLOATS * kept.length),
            Bits::SixtyFour => (OF_DOUBLES * kept.length).max(ZERO * longest),
        };
        if distance.is_nan() || distance > allowed {
            let length = kept.length;
            wrong.push(format!(
                "{name}: {distance:.3e} of {length:.3e}, allowed {allowed:.3e}"
            ));
        }
    }
    assert!(wrong.is_empty(), "{what}, {bits:?}:\n{}", wrong.join("\n"));
}
