//! The values that a pickle may hold, and how tensors are made of them.
//!
//! Values refer to each other by index into the arena of their [`Document`]; a tensor refers to the
//! values that describe it instead of copying them.

use super::array::Dtype;

/// Index of a value in its [`Document`].
pub(super) type Id = usize;

/// No network has tensors of more axes; each call looks at all of them.
const MAX_AXES: usize = 64;

/// A value of a pickle.
#[derive(Debug)]
pub(super) enum Value {
    None,
    Bool,
    Int(i64),
    Float,
    Text(String),
    Tuple(Vec<Id>),
    List(Vec<Id>),
    Dict(Vec<(Id, Id)>),
    Callable(Callable),
    Storage(Storage),
    Tensor(Tensor),
}

impl Value {
    /// What to call it in messages.
    pub(super) const fn describe(&self) -> &'static str {
        match self {
            Self::None => "None",
            Self::Bool => "a bool",
            Self::Int(_) => "an integer",
            Self::Float => "a float",
            Self::Text(_) => "a string",
            Self::Tuple(_) => "a tuple",
            Self::List(_) => "a list",
            Self::Dict(_) => "a dict",
            Self::Callable(_) => "a function",
            Self::Storage(_) => "a storage",
            Self::Tensor(_) => "a tensor",
        }
    }
}

/// What a pickle may refer to by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Callable {
    OrderedDict,
    RebuildTensor,
    RebuildParameter,
    StorageType(Dtype),
}

/// Bytes of the archive that tensors look at.
#[derive(Debug, Clone, Copy)]
pub(super) struct Storage {
    pub(super) dtype: Dtype,
    key: Id,
    pub(super) n_elements: usize,
}

/// A view of a storage, not yet checked against it. Its parts are known to have the right type.
#[derive(Debug, Clone, Copy)]
pub(super) struct Tensor {
    storage: Id,
    pub(super) offset: usize,
    shape: Id,
    strides: Id,
}

/// What a pickle holds.
#[derive(Debug)]
pub(super) struct Document {
    pub(super) values: Vec<Value>,
    pub(super) root: Id,
}

impl Document {
    pub(super) fn value(&self, id: Id) -> &Value {
        // Indices come from the machine that filled the arena and never leave it.
        &self.values[id]
    }

    /// The storage of a tensor and its key in the archive.
    pub(super) fn storage(&self, tensor: &Tensor) -> Option<(Storage, &str)> {
        let storage = read_storage(&self.values, tensor.storage)?;
        match self.value(storage.key) {
            Value::Text(key) => Some((storage, key)),
            _ => None,
        }
    }

    /// Shape and strides of a tensor.
    pub(super) fn sizes(&self, tensor: &Tensor) -> Option<(Vec<usize>, Vec<usize>)> {
        let shape = read_sizes(&self.values, tensor.shape)?;
        Some((shape, read_sizes(&self.values, tensor.strides)?))
    }
}

pub(super) fn read_reference(values: &[Value], id: Id) -> Option<Storage> {
    let Value::Tuple(parts) = &values[id] else {
        return None;
    };
    let &[tag, kind, key, location, count] = parts.as_slice() else {
        return None;
    };
    // Wherever the tensor was, `cuda:0` included, it is read into main memory.
    match [tag, kind, key, location].map(|part| &values[part]) {
        [
            Value::Text(tag),
            Value::Callable(Callable::StorageType(dtype)),
            Value::Text(_),
            Value::Text(_),
        ] if tag == "storage" => Some(Storage {
            dtype: *dtype,
            key,
            n_elements: read_size(values, count)?,
        }),
        _ => None,
    }
}

pub(super) fn read_storage(values: &[Value], id: Id) -> Option<Storage> {
    match values[id] {
        Value::Storage(storage) => Some(storage),
        _ => None,
    }
}

pub(super) fn read_size(values: &[Value], id: Id) -> Option<usize> {
    match values[id] {
        Value::Int(value) => usize::try_from(value).ok(),
        _ => None,
    }
}

pub(super) fn read_sizes(values: &[Value], id: Id) -> Option<Vec<usize>> {
    match &values[id] {
        Value::Tuple(items) if items.len() <= MAX_AXES => {
            items.iter().map(|&item| read_size(values, item)).collect()
        }
        _ => None,
    }
}

pub(super) fn rebuild_tensor(values: &[Value], arguments: &[Id]) -> Option<Tensor> {
    // Storage, offset, shape, strides, requires_grad, hooks and, in recent writers, metadata.
    let (&[storage, offset, shape, strides], rest) = arguments.split_first_chunk::<4>()?;
    read_storage(values, storage)?;
    let n_axes = read_sizes(values, shape)?.len();
    let fits = read_sizes(values, strides)?.len() == n_axes && (2..=3).contains(&rest.len());
    fits.then_some(Tensor {
        storage,
        offset: read_size(values, offset)?,
        shape,
        strides,
    })
}
