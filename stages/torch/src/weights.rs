//! Between the tensors of a network or an optimizer and arrays of numbers.

use std::cell::RefCell;
use std::io;
use std::path::Path;

use engine::StageError;
use maps::weights::{Array, ArrayData, Dtype, Late, Weights, save_safetensors};
use tch::{Device, Kind, Tensor};

use crate::error::During;
use crate::state::State;

/// The state dict of a network.
///
/// # Errors
/// A tensor is neither float32 nor int64.
pub(crate) fn state_dict(state: &State) -> Result<Weights, StageError> {
    let entries = state.entries().iter();
    entries
        .map(|entry| {
            let name = &entry.name;
            let array = to_array(&entry.tensor)
                .map_err(|e| StageError::internal(format!("tensor `{name}`: {}", e.message)))?;
            Ok((name.clone(), array))
        })
        .collect()
}

/// Writes named tensors to a safetensors file, one after the other.
///
/// # Errors
/// A tensor is neither float32 nor int64, or the file cannot be written.
pub(crate) fn save<'t>(
    path: &Path,
    tensors: impl IntoIterator<Item = (String, &'t Tensor)>,
) -> io::Result<()> {
    let failed = RefCell::new(None);
    let late = tensors.into_iter().map(|(name, tensor)| {
        let failed = &failed;
        let make = move || {
            bytes_of(tensor).unwrap_or_else(|error| {
                *failed.borrow_mut() = Some(error);
                Vec::new()
            })
        };
        let late = Late {
            shape: tensor.size().iter().map(|&axis| axis as usize).collect(),
            dtype: match tensor.kind() {
                Kind::Int64 => Dtype::I64,
                _ => Dtype::F32,
            },
            bytes: Box::new(make),
        };
        (name, late)
    });
    save_safetensors(path, late.collect::<Vec<_>>())?;
    match failed.into_inner() {
        None => Ok(()),
        Some(error) => Err(io::Error::other(error)),
    }
}

/// The bytes of its numbers, little-endian, in C order.
fn bytes_of(tensor: &Tensor) -> Result<Vec<u8>, StageError> {
    let size = match tensor.kind() {
        Kind::Float => 4,
        Kind::Int64 => 8,
        other => {
            let message = format!("expected float32 or int64, got {other:?}");
            return Err(StageError::internal(message));
        }
    };
    let mut bytes = vec![0; tensor.numel() * size];
    let plain = tensor
        .f_detach()
        .and_then(|t| t.f_to_device(Device::Cpu)?.f_contiguous());
    let copied = plain.and_then(|plain| plain.f_copy_data_u8(&mut bytes, tensor.numel()));
    copied.during("read weights")?;
    if cfg!(target_endian = "big") {
        bytes.chunks_exact_mut(size).for_each(<[u8]>::reverse);
    }
    Ok(bytes)
}

/// The numbers of a tensor in C order.
///
/// # Errors
/// It is neither float32 nor int64.
pub(crate) fn to_array(tensor: &Tensor) -> Result<Array, StageError> {
    let shape = tensor.size().iter().map(|&axis| axis as usize).collect();
    let flat = tensor
        .f_detach()
        .and_then(|t| t.f_to_device(Device::Cpu)?.f_contiguous()?.f_view(-1))
        .during("read weights")?;
    let data = match flat.kind() {
        Kind::Float => Vec::<f32>::try_from(&flat).map(ArrayData::F32),
        Kind::Int64 => Vec::<i64>::try_from(&flat).map(ArrayData::I64),
        other => {
            let message = format!("expected float32 or int64, got {other:?}");
            return Err(StageError::internal(message));
        }
    }
    .during("read weights")?;
    Array::try_new(shape, data).map_err(StageError::internal)
}

/// Copies numbers into named tensors, which must be exactly those in `weights`.
///
/// # Errors
/// Names are missing or too many, or a shape or type differs: everything that differs is told.
pub(crate) fn load<'a>(
    tensors: impl IntoIterator<Item = (String, &'a Tensor)>,
    weights: &Weights,
    shown: &str,
) -> Result<(), StageError> {
    let mut problems = Vec::new();
    let mut found = Vec::new();
    for (name, tensor) in tensors {
        match weights.get(&name) {
            None => problems.push(format!("`{name}` is missing")),
            Some(array) => match misfit(tensor, array) {
                Some(problem) => problems.push(format!("`{name}` {problem}")),
                None => found.push((tensor.shallow_clone(), array)),
            },
        }
    }
    let expected = found.len() + problems.len();
    if problems.is_empty() && weights.len() != expected {
        problems.push(format!("{} tensors, expected {expected}", weights.len()));
    }
    if !problems.is_empty() {
        let more = problems.len().saturating_sub(10);
        problems.truncate(10);
        if more > 0 {
            problems.push(format!("and {more} more"));
        }
        return Err(StageError::new(format!(
            "weights in `{shown}` do not fit the network: {}",
            problems.join("; ")
        ))
        .hint("the network, its input size and its number of classes are those in `maps.json`"));
    }
    tch::no_grad(|| {
        for (mut tensor, array) in found {
            let source = to_tensor(array)?;
            tensor.f_copy_(&source).during("load weights")?;
        }
        Ok(())
    })
}

/// Copies a state dict into a network.
///
/// # Errors
/// Those of [`load`], and names that the network does not have.
pub(crate) fn load_state_dict(
    state: &State,
    weights: &Weights,
    shown: &str,
) -> Result<(), StageError> {
    let unknown: Vec<String> = weights
        .keys()
        .filter(|name| !state.entries().iter().any(|entry| &entry.name == *name))
        .take(10)
        .map(|name| format!("`{name}`"))
        .collect();
    if !unknown.is_empty() {
        return Err(StageError::new(format!(
            "weights in `{shown}` do not fit the network: it has no {}",
            unknown.join(", ")
        ))
        .hint("the network is the one named by `architecture` in `maps.json`"));
    }
    let entries = state.entries().iter();
    load(
        entries.map(|entry| (entry.name.clone(), &entry.tensor)),
        weights,
        shown,
    )
}

fn misfit(tensor: &Tensor, array: &Array) -> Option<String> {
    let expected: Vec<usize> = tensor.size().iter().map(|&axis| axis as usize).collect();
    if array.shape() != expected {
        return Some(format!(
            "has shape {:?}, expected {expected:?}",
            array.shape()
        ));
    }
    let fits = matches!(
        (tensor.kind(), array.data()),
        (Kind::Float, ArrayData::F32(_)) | (Kind::Int64, ArrayData::I64(_))
    );
    (!fits).then(|| {
        format!(
            "has type {}, expected {:?}",
            array.dtype().name(),
            tensor.kind()
        )
    })
}

/// A tensor of the same shape and numbers, on the CPU.
///
/// # Errors
/// They are neither float32 nor int64.
pub(crate) fn to_tensor(array: &Array) -> Result<Tensor, StageError> {
    let shape: Vec<i64> = array.shape().iter().map(|&axis| axis as i64).collect();
    let flat = match array.data() {
        ArrayData::F32(values) => Tensor::f_from_slice(values),
        ArrayData::I64(values) => Tensor::f_from_slice(values),
        other => {
            let message = format!("cannot load weights of type {}", other.dtype().name());
            return Err(StageError::new(message));
        }
    };
    flat.and_then(|flat| flat.f_view(shape.as_slice()))
        .during("load weights")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::Role;

    fn state() -> State {
        let mut state = State::default();
        let parameter = Tensor::from_slice(&[1.0_f32, 2.0]);
        drop(state.add("a".into(), Role::Parameter, parameter));
        drop(state.add("b".into(), Role::Buffer, Tensor::from(3_i64)));
        state
    }

    #[test]
    fn weights_survive_a_round_trip() {
        let weights = state_dict(&state()).unwrap();
        assert_eq!(weights["b"].shape(), [0_usize; 0]);
        let other = state();
        drop(other.entries()[0].tensor.shallow_clone().zero_());
        load_state_dict(&other, &weights, "w").unwrap();
        assert_eq!(state_dict(&other).unwrap(), weights);
    }

    #[test]
    fn everything_that_does_not_fit_is_told() {
        let refused = |weights: &Weights| {
            load_state_dict(&state(), weights, "model.pth.tar")
                .unwrap_err()
                .message
        };
        let mut weights = state_dict(&state()).unwrap();
        weights.shift_remove("b");
        assert!(refused(&weights).contains("`b` is missing"));
        let wrong = Array::try_new(vec![1], ArrayData::F32(vec![0.0])).unwrap();
        weights.insert("b".into(), wrong.clone());
        assert!(refused(&weights).contains("`b` has shape [1], expected []"));
        weights.insert("c".into(), wrong);
        assert!(refused(&weights).contains("it has no `c`"));
        let wrong = Array::try_new(vec![2], ArrayData::F64(vec![0.0; 2])).unwrap();
        weights.shift_remove("c");
        weights.insert("a".into(), wrong);
        assert!(refused(&weights).contains("`a` has type float64"));
    }
}
