//! Weights as `torch.save` writes them: a pickle that names storages, and the storages.
//!
//! `torch.load(…, weights_only=True)` reads the result, and so does ClinicaDL 1.6.1.

use std::io::{self, Cursor, Seek, Write};

use super::archive;
use super::array::Array;
use super::numbers::{Numbers, n_bytes};
use super::{Checkpoint, Named};

/// Writes a checkpoint: a dict with `model` (an `OrderedDict` of tensors), `epoch` and `name`.
///
/// # Determinism
/// Equal checkpoints give equal bytes.
pub fn write_pth(checkpoint: &Checkpoint) -> Vec<u8> {
    let model: Vec<Named<'_>> = super::named(&checkpoint.model);
    let pickle = Pickle::of(&model, checkpoint.epoch, checkpoint.name.as_deref());
    pickle.in_memory()
}

/// The same to a file, of numbers that may be anywhere.
///
/// # Errors
/// Those of `to`, and of reading the numbers.
///
/// # Determinism
/// As [`write_pth`].
pub fn save_pth(
    to: impl Write + Seek,
    model: &[Named<'_>],
    epoch: Option<i64>,
    name: Option<&str>,
) -> io::Result<()> {
    Pickle::of(model, epoch, name).save(to)
}

/// Writes one tensor.
///
/// # Determinism
/// Equal arrays give equal bytes.
pub fn write_pt(array: &Array) -> Vec<u8> {
    let mut pickle = Pickle::new();
    pickle.tensor(array);
    pickle.in_memory()
}

struct Pickle<'a> {
    bytes: Vec<u8>,
    storages: Vec<&'a dyn Numbers>,
}

impl<'a> Pickle<'a> {
    fn new() -> Self {
        Self {
            bytes: vec![0x80, 2],
            storages: Vec::new(),
        }
    }

    /// A checkpoint.
    fn of(model: &[Named<'a>], epoch: Option<i64>, name: Option<&str>) -> Self {
        let mut pickle = Self::new();
        pickle.bytes.extend_from_slice(b"}(");
        pickle.text("model");
        pickle.state_dict(model);
        if let Some(epoch) = epoch {
            pickle.text("epoch");
            pickle.integer(epoch);
        }
        if let Some(name) = name {
            pickle.text("name");
            pickle.text(name);
        }
        pickle.bytes.push(b'u');
        pickle
    }

    fn save(mut self, to: impl Write + Seek) -> io::Result<()> {
        self.bytes.push(b'.');
        archive::write(to, &self.bytes, &self.storages)
    }

    fn in_memory(self) -> Vec<u8> {
        let storages = self.storages.iter();
        let size: usize = storages.map(|&storage| n_bytes(storage) + 256).sum();
        let mut bytes = Cursor::new(Vec::with_capacity(size + self.bytes.len() + 2048));
        self.save(&mut bytes).expect("memory takes every write");
        bytes.into_inner()
    }

    fn text(&mut self, text: &str) {
        let length = u32::try_from(text.len()).expect("a name is shorter than 4 GiB");
        self.bytes.push(b'X');
        self.bytes.extend_from_slice(&length.to_le_bytes());
        self.bytes.extend_from_slice(text.as_bytes());
    }

    fn integer(&mut self, value: i64) {
        if let Ok(byte) = u8::try_from(value) {
            self.bytes.extend_from_slice(&[b'K', byte]);
        } else if let Ok(short) = i32::try_from(value) {
            self.bytes.push(b'J');
            self.bytes.extend_from_slice(&short.to_le_bytes());
        } else {
            self.bytes.extend_from_slice(&[0x8a, 8]);
            self.bytes.extend_from_slice(&value.to_le_bytes());
        }
    }

    fn size(&mut self, value: usize) {
        self.integer(i64::try_from(value).expect("sizes of arrays in memory fit"));
    }

    fn sizes(&mut self, values: &[usize]) {
        self.bytes.push(b'(');
        values.iter().for_each(|&value| self.size(value));
        self.bytes.push(b't');
    }

    fn global(&mut self, module: &str, name: &str) {
        self.bytes
            .extend_from_slice(format!("c{module}\n{name}\n").as_bytes());
    }

    fn ordered_dict(&mut self) {
        self.global("collections", "OrderedDict");
        self.bytes.extend_from_slice(b")R");
    }

    fn state_dict(&mut self, weights: &[Named<'a>]) {
        self.ordered_dict();
        self.bytes.push(b'(');
        for &(name, numbers) in weights {
            self.text(name);
            self.tensor(numbers);
        }
        self.bytes.push(b'u');
    }

    fn tensor(&mut self, numbers: &'a dyn Numbers) {
        let shape = numbers.shape();
        self.global("torch._utils", "_rebuild_tensor_v2");
        // The storage: `("storage", type, key, device, number of elements)`.
        self.bytes.extend_from_slice(b"((");
        self.text("storage");
        self.global("torch", numbers.dtype().storage());
        self.text(&self.storages.len().to_string());
        self.text("cpu");
        self.size(shape.iter().product());
        self.bytes.extend_from_slice(b"tQ");
        // Offset, shape, strides, requires_grad and hooks.
        self.integer(0);
        self.sizes(&shape);
        self.sizes(&strides(&shape));
        self.bytes.push(0x89);
        self.ordered_dict();
        self.bytes.extend_from_slice(b"tR");
        self.storages.push(numbers);
    }
}

/// Strides of a C-ordered array, in elements.
fn strides(shape: &[usize]) -> Vec<usize> {
    let mut strides = vec![1; shape.len()];
    for axis in (1..shape.len()).rev() {
        strides[axis - 1] = strides[axis] * shape[axis].max(1);
    }
    strides
}
