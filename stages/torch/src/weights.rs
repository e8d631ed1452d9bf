//! Between the tensors of a network or an optimizer and arrays of numbers.

use std::io;

use engine::StageError;
use maps::weights::{Array, ArrayData, Dtype, Named, Numbers, Weights};
use tch::{Device, Kind, Tensor};

use crate::error::During;
use crate::state::State;

/// A tensor to write, without a copy of it in memory if it lies on the CPU in C order.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Written<'t> {
    tensor: &'t Tensor,
    dtype: Dtype,
}

impl<'t> Written<'t> {
    /// # Errors
    /// It is neither float32 nor int64.
    pub(crate) fn new(tensor: &'t Tensor) -> Result<Self, StageError> {
        let dtype = match tensor.kind() {
            Kind::Float => Dtype::F32,
            Kind::Int64 => Dtype::I64,
            other => return Err(unexpected(other)),
        };
        Ok(Self { tensor, dtype })
    }
}

impl Numbers for Written<'_> {
    fn shape(&self) -> Vec<usize> {
        self.tensor
            .size()
            .iter()
            .map(|&axis| axis as usize)
            .collect()
    }

    fn dtype(&self) -> Dtype {
        self.dtype
    }

    fn write(&self, to: &mut dyn io::Write) -> io::Result<()> {
        /// Elements that are copied at a time: what fits in a cache.
        const PIECE: usize = 1 << 15;
        let size = self.dtype.size();
        let plain = || {
            self.tensor
                .f_detach()?
                .f_to_device(Device::Cpu)?
                .f_contiguous()?
                .f_view(-1)
        };
        let flat = plain().map_err(io::Error::other)?;
        let count = flat.numel();
        let mut bytes = vec![0; size * PIECE.min(count)];
        for start in (0..count).step_by(PIECE) {
            let length = PIECE.min(count - start);
            let bytes = &mut bytes[..size * length];
            flat.f_narrow(0, start as i64, length as i64)
                .and_then(|piece| piece.f_copy_data_u8(bytes, length))
                .map_err(io::Error::other)?;
            if cfg!(target_endian = "big") {
                bytes.chunks_exact_mut(size).for_each(<[u8]>::reverse);
            }
            to.write_all(bytes)?;
        }
        Ok(())
    }
}

/// The state dict of a network, to be written.
///
/// # Errors
/// A tensor is neither float32 nor int64.
pub(crate) fn state_dict(state: &State) -> Result<Vec<(&str, Written<'_>)>, StageError> {
    named(
        state
            .entries()
            .iter()
            .map(|entry| (entry.name.as_str(), &entry.tensor)),
    )
}

/// Tensors to be written.
///
/// # Errors
/// A tensor is neither float32 nor int64.
pub(crate) fn named<'t, N: AsRef<str>>(
    tensors: impl IntoIterator<Item = (N, &'t Tensor)>,
) -> Result<Vec<(N, Written<'t>)>, StageError> {
    let tensors = tensors.into_iter();
    tensors
        .map(|(name, tensor)| {
            let written = Written::new(tensor).map_err(|e| {
                StageError::internal(format!("tensor `{}`: {}", name.as_ref(), e.message))
            })?;
            Ok((name, written))
        })
        .collect()
}

/// As writers take them.
pub(crate) fn borrowed<'a, N: AsRef<str>>(tensors: &'a [(N, Written<'_>)]) -> Vec<Named<'a>> {
    let tensors = tensors.iter();
    tensors
        .map(|(name, written)| (name.as_ref(), written as &dyn Numbers))
        .collect()
}

fn unexpected(kind: Kind) -> StageError {
    StageError::internal(format!("expected float32 or int64, got {kind:?}"))
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
        other => return Err(unexpected(other)),
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

/// A state dict.
#[cfg(test)]
pub(crate) fn in_memory(state: &State) -> Weights {
    let entries = state.entries().iter();
    entries
        .map(|entry| (entry.name.clone(), to_array(&entry.tensor).unwrap()))
        .collect()
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
        let weights = in_memory(&state());
        assert_eq!(weights["b"].shape(), [0_usize; 0]);
        let other = state();
        drop(other.entries()[0].tensor.shallow_clone().zero_());
        load_state_dict(&other, &weights, "w").unwrap();
        assert_eq!(in_memory(&other), weights);
    }

    #[test]
    fn a_tensor_is_written_in_pieces_whatever_its_layout() {
        let numbers = Tensor::arange(5 * 4 * 30_011, (Kind::Float, tch::Device::Cpu));
        let numbers = numbers.view([5, 4, 30_011]);
        let scalar = Tensor::from(7_i64);
        for tensor in [&numbers, &numbers.transpose(0, 2), &scalar] {
            let mut written = Vec::new();
            let late = Written::new(tensor).unwrap();
            late.write(&mut written).unwrap();
            let mut expected = Vec::new();
            to_array(tensor).unwrap().write(&mut expected).unwrap();
            assert!(written == expected, "{tensor:?}");
            assert_eq!(written.len(), late.dtype().size() * tensor.numel());
        }
        let half = numbers.to_kind(Kind::Half);
        let error = named([("conv.weight", &half)]).unwrap_err();
        assert!(
            error
                .message
                .contains("tensor `conv.weight`: expected float32 or int64"),
            "{error:?}"
        );
    }

    #[test]
    fn everything_that_does_not_fit_is_told() {
        let refused = |weights: &Weights| {
            load_state_dict(&state(), weights, "model.pth.tar")
                .unwrap_err()
                .message
        };
        let mut weights = in_memory(&state());
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
