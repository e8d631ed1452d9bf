//! The same weights as a safetensors file, for readers that refuse pickles.

use std::borrow::Cow;

use safetensors::{SafeTensorError, SafeTensors, View};

use super::array::{Array, ArrayData, Dtype};
use super::{Weights, WeightsError};

/// Reads every tensor, in order of its name.
///
/// # Errors
/// The header does not describe the bytes, or an element type has no place in a state dict.
pub fn read_safetensors(bytes: &[u8]) -> Result<Weights, WeightsError> {
    let file = SafeTensors::deserialize(bytes).map_err(damaged)?;
    let mut tensors = file.tensors();
    tensors.sort_by(|(left, _), (right, _)| left.cmp(right));
    tensors
        .into_iter()
        .map(|(name, view)| {
            let Some(dtype) = Dtype::from_safetensors(view.dtype()) else {
                return Err(WeightsError::SafetensorsType {
                    name,
                    dtype: format!("{:?}", view.dtype()),
                });
            };
            let data = ArrayData::from_bytes(dtype, view.data());
            Ok((name, Array::try_new(view.shape().to_vec(), data)?))
        })
        .collect()
}

/// Writes every tensor.
///
/// # Errors
/// A size that the format cannot express.
///
/// # Determinism
/// Equal weights give equal bytes, whatever their order.
pub fn write_safetensors(weights: &Weights) -> Result<Vec<u8>, WeightsError> {
    let views = weights.iter().map(|(name, array)| {
        let bytes = array.data().to_bytes();
        (name, Tensor { array, bytes })
    });
    safetensors::serialize(views, None).map_err(damaged)
}

#[expect(
    clippy::needless_pass_by_value,
    reason = "given to `map_err`, which passes by value"
)]
fn damaged(error: SafeTensorError) -> WeightsError {
    WeightsError::Safetensors(error.to_string())
}

struct Tensor<'a> {
    array: &'a Array,
    bytes: Vec<u8>,
}

impl View for Tensor<'_> {
    fn dtype(&self) -> safetensors::Dtype {
        self.array.dtype().to_safetensors()
    }

    fn shape(&self) -> &[usize] {
        self.array.shape()
    }

    fn data(&self) -> Cow<'_, [u8]> {
        Cow::Borrowed(&self.bytes)
    }

    fn data_len(&self) -> usize {
        self.bytes.len()
    }
}
