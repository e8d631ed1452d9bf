//! The same weights as a safetensors file, for readers that refuse pickles.

use std::io::{self, Write};

use safetensors::tensor::{Metadata, TensorInfo};
use safetensors::{SafeTensorError, SafeTensors};

use super::array::{Array, ArrayData, Dtype};
use super::{Named, Weights, WeightsError, named};

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
    let mut bytes = Vec::new();
    save_safetensors(&mut bytes, named(weights))
        .map_err(|error| WeightsError::Safetensors(error.to_string()))?;
    Ok(bytes)
}

/// Writes tensors one after the other: larger elements before smaller ones, then by name.
///
/// # Errors
/// Those of `to`, and of reading the numbers; a size that the format cannot express.
///
/// # Determinism
/// As [`write_safetensors`].
pub fn save_safetensors(mut to: impl Write, mut tensors: Vec<Named<'_>>) -> io::Result<()> {
    tensors.sort_by(|(left_name, left), (right_name, right)| {
        let types = [left, right].map(|numbers| numbers.dtype().to_safetensors());
        types[1].cmp(&types[0]).then(left_name.cmp(right_name))
    });
    let described = tensors
        .iter()
        .map(|&(name, numbers)| (name.to_owned(), numbers.dtype(), numbers.shape()));
    to.write_all(&head(described, None).map_err(io::Error::other)?)?;
    tensors
        .iter()
        .try_for_each(|(_, numbers)| numbers.write(&mut to))
}

/// The start of a file of tensors that lie one after the other: the length of a JSON document, and that
/// document with spaces up to a multiple of eight bytes.
///
/// # Errors
/// A size that the format cannot express.
pub fn head(
    tensors: impl IntoIterator<Item = (String, Dtype, Vec<usize>)>,
    metadata: Option<(String, String)>,
) -> Result<Vec<u8>, WeightsError> {
    let mut end = 0;
    let infos = tensors.into_iter().map(|(name, dtype, shape)| {
        let start = end;
        end += dtype.size() * shape.iter().product::<usize>();
        let info = TensorInfo {
            dtype: dtype.to_safetensors(),
            shape,
            data_offsets: (start, end),
        };
        (name, info)
    });
    let document =
        Metadata::new(metadata.map(|entry| [entry].into()), infos.collect()).map_err(damaged)?;
    let text = serde_json::to_vec(&document);
    let mut text = text.map_err(|error| WeightsError::Safetensors(error.to_string()))?;
    text.resize(text.len().next_multiple_of(8), b' ');
    let length = (text.len() as u64).to_le_bytes();
    Ok([&length[..], &text].concat())
}

#[expect(
    clippy::needless_pass_by_value,
    reason = "given to `map_err`, which passes by value"
)]
fn damaged(error: SafeTensorError) -> WeightsError {
    WeightsError::Safetensors(error.to_string())
}
