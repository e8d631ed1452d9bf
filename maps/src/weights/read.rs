//! From a parsed pickle and its storages to arrays.

use indexmap::IndexMap;

use super::archive::Archive;
use super::array::{Array, ArrayData, n_elements};
use super::pickle::parse;
use super::value::{Document, Id, Tensor, Value};
use super::{Checkpoint, Weights, WeightsError};

/// Reads a checkpoint as ClinicaDL writes it, or a bare state dict.
///
/// A checkpoint is a dict whose `model` is a state dict, with `epoch` and `name`; other entries are
/// ignored. Tensors of any device are read into main memory. Nothing in the file is executed.
///
/// # Errors
/// The bytes are not such a file, or they are hostile: see [`WeightsError`].
pub fn read_pth(bytes: &[u8]) -> Result<Checkpoint, WeightsError> {
    let mut reader = Reader::open(bytes)?;
    let root = reader.document.root;
    let (mut epoch, mut name) = (None, None);
    let model = match reader.entry(root, "model") {
        Some(model) => {
            if let Some(Value::Int(value)) = reader.entry_value(root, "epoch") {
                epoch = Some(*value);
            }
            if let Some(Value::Text(value)) = reader.entry_value(root, "name") {
                name = Some(value.clone());
            }
            model
        }
        None => root,
    };
    Ok(Checkpoint {
        model: reader.state_dict(model)?,
        epoch,
        name,
    })
}

/// Reads a file that holds one tensor.
///
/// # Errors
/// As [`read_pth`].
pub fn read_pt(bytes: &[u8]) -> Result<Array, WeightsError> {
    let mut reader = Reader::open(bytes)?;
    match reader.document.value(reader.document.root) {
        Value::Tensor(tensor) => {
            let tensor = *tensor;
            reader.array(&tensor)
        }
        other => Err(WeightsError::Content {
            what: "the content of the file".to_owned(),
            expected: "a tensor",
            got: other.describe(),
        }),
    }
}

struct Reader<'a> {
    archive: Archive<'a>,
    document: Document,
    /// Storages seen so far: views share them.
    storages: IndexMap<String, Vec<u8>>,
    /// Bytes that arrays may still take: views can repeat elements, but not without bound.
    budget_bytes: u64,
    limit_bytes: u64,
}

impl<'a> Reader<'a> {
    fn open(bytes: &'a [u8]) -> Result<Self, WeightsError> {
        let mut archive = Archive::open(bytes)?;
        let document = parse(&archive.pickle()?)?;
        let limit_bytes = (4 * bytes.len() as u64).saturating_add(64 << 20);
        Ok(Self {
            archive,
            document,
            storages: IndexMap::new(),
            budget_bytes: limit_bytes,
            limit_bytes,
        })
    }

    /// The value of a dict's last entry with this key, as Python keeps it.
    fn entry(&self, dict: Id, key: &str) -> Option<Id> {
        let Value::Dict(pairs) = self.document.value(dict) else {
            return None;
        };
        let found = pairs.iter().rev().find(
            |(name, _)| matches!(self.document.value(*name), Value::Text(text) if text == key),
        );
        found.map(|&(_, value)| value)
    }

    fn entry_value(&self, dict: Id, key: &str) -> Option<&Value> {
        self.entry(dict, key).map(|id| self.document.value(id))
    }

    fn state_dict(&mut self, dict: Id) -> Result<Weights, WeightsError> {
        let pairs = match self.document.value(dict) {
            Value::Dict(pairs) => pairs,
            other => {
                return Err(WeightsError::Content {
                    what: "the state dict".to_owned(),
                    expected: "a dict",
                    got: other.describe(),
                });
            }
        };
        let mut tensors: IndexMap<String, Tensor> = IndexMap::with_capacity(pairs.len());
        for &(key, value) in pairs {
            match (self.document.value(key), self.document.value(value)) {
                (Value::Text(key), Value::Tensor(tensor)) => {
                    tensors.insert(key.clone(), *tensor);
                }
                (Value::Text(key), other) => {
                    return Err(WeightsError::Content {
                        what: format!("entry `{key}` of the state dict"),
                        expected: "a tensor",
                        got: other.describe(),
                    });
                }
                (other, _) => {
                    return Err(WeightsError::Content {
                        what: "a key of the state dict".to_owned(),
                        expected: "a string",
                        got: other.describe(),
                    });
                }
            }
        }
        let mut weights = Weights::with_capacity(tensors.len());
        for (key, tensor) in tensors {
            let array = self.array(&tensor)?;
            weights.insert(key, array);
        }
        Ok(weights)
    }

    /// Copies a view into an array of its own, offset and strides honoured.
    fn array(&mut self, tensor: &Tensor) -> Result<Array, WeightsError> {
        let parts = self
            .document
            .storage(tensor)
            .zip(self.document.sizes(tensor));
        let ((storage, key), (shape, strides)) = parts.expect("checked when it was built");
        let item = storage.dtype.size();
        let count = n_elements(&shape);
        let size_bytes = count.and_then(|count| (count as u64).checked_mul(item as u64));
        self.budget_bytes = size_bytes
            .and_then(|size| self.budget_bytes.checked_sub(size))
            .ok_or(WeightsError::TooLarge {
                limit_bytes: self.limit_bytes,
            })?;
        if !self.storages.contains_key(key) {
            let bytes = self.archive.storage(key)?;
            self.storages.insert(key.to_owned(), bytes);
        }
        let bytes = &self.storages[key];
        let expected = storage.n_elements as u128 * item as u128;
        if bytes.len() as u128 != expected {
            return Err(WeightsError::StorageSize {
                key: key.to_owned(),
                expected,
                got: bytes.len(),
            });
        }
        let view = gather(bytes, item, tensor.offset, &shape, &strides);
        let view = view.ok_or_else(|| WeightsError::ViewBeyondStorage {
            key: key.to_owned(),
            shape: shape.clone(),
        })?;
        Array::try_new(shape, ArrayData::from_bytes(storage.dtype, &view))
    }
}

/// The bytes of a view in C order; `None` when it reaches beyond `bytes`.
fn gather<'a>(
    bytes: &'a [u8],
    item: usize,
    offset: usize,
    shape: &[usize],
    strides: &[usize],
) -> Option<std::borrow::Cow<'a, [u8]>> {
    let count = n_elements(shape)?;
    if count == 0 {
        return Some(std::borrow::Cow::Borrowed(&[]));
    }
    let mut last = offset;
    for (&axis, &stride) in shape.iter().zip(strides) {
        last = last.checked_add((axis - 1).checked_mul(stride)?)?;
    }
    if last >= bytes.len() / item {
        return None;
    }
    if is_contiguous(shape, strides) {
        let range = offset * item..(offset + count) * item;
        return Some(std::borrow::Cow::Borrowed(&bytes[range]));
    }
    let mut gathered = Vec::with_capacity(count * item);
    let mut index = vec![0_usize; shape.len()];
    let mut position = offset;
    for _ in 0..count {
        gathered.extend_from_slice(&bytes[position * item..(position + 1) * item]);
        for axis in (0..shape.len()).rev() {
            index[axis] += 1;
            position += strides[axis];
            if index[axis] < shape[axis] {
                break;
            }
            position -= strides[axis] * shape[axis];
            index[axis] = 0;
        }
    }
    Some(std::borrow::Cow::Owned(gathered))
}

fn is_contiguous(shape: &[usize], strides: &[usize]) -> bool {
    let mut expected = 1;
    shape.iter().zip(strides).rev().all(|(&axis, &stride)| {
        let fits = axis == 1 || stride == expected;
        expected *= axis;
        fits
    })
}
