//! The same weights as a safetensors file, for readers that refuse pickles.

use std::borrow::Cow;
use std::path::Path;

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
    let views = weights.iter().map(|(name, array)| (name, Tensor(array)));
    safetensors::serialize(views, None).map_err(damaged)
}

/// A tensor whose bytes are made when they are written, so that no memory is taken for all of them.
pub struct Late<'a> {
    /// Number of elements along each axis.
    pub shape: Vec<usize>,
    /// The type of the elements.
    pub dtype: Dtype,
    /// Makes their bytes, little-endian, in C order.
    pub bytes: Box<dyn Fn() -> Vec<u8> + 'a>,
}

/// Writes tensors to a file, one after the other.
///
/// # Errors
/// The file cannot be written; a size that the format cannot express.
///
/// # Determinism
/// As [`write_safetensors`].
pub fn save_safetensors<'a>(
    path: &Path,
    tensors: impl IntoIterator<Item = (String, Late<'a>)>,
) -> std::io::Result<()> {
    safetensors::serialize_to_file(tensors, None, path).map_err(|error| match error {
        SafeTensorError::IoError(error) => error,
        other => std::io::Error::other(other),
    })
}

#[expect(
    clippy::needless_pass_by_value,
    reason = "given to `map_err`, which passes by value"
)]
fn damaged(error: SafeTensorError) -> WeightsError {
    WeightsError::Safetensors(error.to_string())
}

impl View for Late<'_> {
    fn dtype(&self) -> safetensors::Dtype {
        self.dtype.to_safetensors()
    }

    fn shape(&self) -> &[usize] {
        &self.shape
    }

    fn data(&self) -> Cow<'_, [u8]> {
        Cow::Owned((self.bytes)())
    }

    fn data_len(&self) -> usize {
        self.shape.iter().product::<usize>() * self.dtype.size()
    }
}

struct Tensor<'a>(&'a Array);

impl View for Tensor<'_> {
    fn dtype(&self) -> safetensors::Dtype {
        self.0.dtype().to_safetensors()
    }

    fn shape(&self) -> &[usize] {
        self.0.shape()
    }

    fn data(&self) -> Cow<'_, [u8]> {
        Cow::Owned(self.0.data().to_bytes())
    }

    fn data_len(&self) -> usize {
        self.0.data().len() * self.0.dtype().size()
    }
}
