//! Numbers that a file is made of, wherever they are.

use std::io::{self, Write};

use super::array::{Array, Dtype};

/// A dense array whose bytes are made when they are written, piece by piece: tensors of a network are
/// large, and need no copy of themselves to be saved.
pub trait Numbers {
    /// Number of elements along each axis; empty for a scalar.
    fn shape(&self) -> Vec<usize>;

    /// The type of the elements.
    fn dtype(&self) -> Dtype;

    /// Writes exactly the elements, little-endian, in C order.
    ///
    /// # Errors
    /// Those of `to`, and of reading the numbers.
    fn write(&self, to: &mut dyn Write) -> io::Result<()>;
}

/// The bytes that its elements take.
pub(super) fn n_bytes(numbers: &dyn Numbers) -> usize {
    numbers.dtype().size() * numbers.shape().iter().product::<usize>()
}

impl Numbers for Array {
    fn shape(&self) -> Vec<usize> {
        Self::shape(self).to_vec()
    }

    fn dtype(&self) -> Dtype {
        Self::dtype(self)
    }

    fn write(&self, to: &mut dyn Write) -> io::Result<()> {
        self.data().write(to)
    }
}
