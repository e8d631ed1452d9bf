//! Weights as `torch.save` writes them: a pickle that names storages, and the storages.
//!
//! `torch.load(…, weights_only=True)` reads the result, and so does ClinicaDL 1.6.1.

use super::archive;
use super::array::{Array, ArrayData};
use super::{Checkpoint, Weights};

/// Writes a checkpoint: a dict with `model` (an `OrderedDict` of tensors), `epoch` and `name`.
///
/// # Determinism
/// Equal checkpoints give equal bytes.
pub fn write_pth(checkpoint: &Checkpoint) -> Vec<u8> {
    let mut pickle = Pickle::new();
    pickle.bytes.extend_from_slice(b"}(");
    pickle.text("model");
    pickle.state_dict(&checkpoint.model);
    if let Some(epoch) = checkpoint.epoch {
        pickle.text("epoch");
        pickle.integer(epoch);
    }
    if let Some(name) = &checkpoint.name {
        pickle.text("name");
        pickle.text(name);
    }
    pickle.bytes.push(b'u');
    pickle.finish()
}

/// Writes one tensor.
///
/// # Determinism
/// Equal arrays give equal bytes.
pub fn write_pt(array: &Array) -> Vec<u8> {
    let mut pickle = Pickle::new();
    pickle.tensor(array);
    pickle.finish()
}

struct Pickle<'a> {
    bytes: Vec<u8>,
    storages: Vec<&'a ArrayData>,
}

impl<'a> Pickle<'a> {
    fn new() -> Self {
        Self {
            bytes: vec![0x80, 2],
            storages: Vec::new(),
        }
    }

    fn finish(mut self) -> Vec<u8> {
        self.bytes.push(b'.');
        archive::write(&self.bytes, &self.storages)
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

    fn state_dict(&mut self, weights: &'a Weights) {
        self.ordered_dict();
        self.bytes.push(b'(');
        for (name, array) in weights {
            self.text(name);
            self.tensor(array);
        }
        self.bytes.push(b'u');
    }

    fn tensor(&mut self, array: &'a Array) {
        self.global("torch._utils", "_rebuild_tensor_v2");
        // The storage: `("storage", type, key, device, number of elements)`.
        self.bytes.extend_from_slice(b"((");
        self.text("storage");
        self.global("torch", array.dtype().storage());
        self.text(&self.storages.len().to_string());
        self.text("cpu");
        self.size(array.data().len());
        self.bytes.extend_from_slice(b"tQ");
        // Offset, shape, strides, requires_grad and hooks.
        self.integer(0);
        self.sizes(array.shape());
        self.sizes(&strides(array.shape()));
        self.bytes.push(0x89);
        self.ordered_dict();
        self.bytes.extend_from_slice(b"tR");
        self.storages.push(array.data());
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
