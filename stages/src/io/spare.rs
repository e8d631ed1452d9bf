//! Memory for one image after the other.
//!
//! Memory as large as an image goes back to the system when it is dropped, and is handed out again page
//! by page, each cleared: a sixth of the time that extracting an image takes. So every thread keeps some.

use std::cell::RefCell;
use std::thread::LocalKey;

/// Buffers kept of a kind: a file and what is in it.
const KEPT: usize = 2;
/// Larger buffers are not kept.
const MOST_BYTES: usize = 64 << 20;

type Shelf<T> = LocalKey<RefCell<Vec<Vec<T>>>>;

thread_local! {
    static BYTES: RefCell<Vec<Vec<u8>>> = const { RefCell::new(Vec::new()) };
    static FLOATS: RefCell<Vec<Vec<f32>>> = const { RefCell::new(Vec::new()) };
}

/// What buffers are kept of.
pub(crate) trait Spare: Copy + Default + 'static {
    /// Where they are kept.
    #[doc(hidden)]
    fn shelf() -> &'static Shelf<Self>;
}

impl Spare for u8 {
    fn shelf() -> &'static Shelf<Self> {
        &BYTES
    }
}

impl Spare for f32 {
    fn shelf() -> &'static Shelf<Self> {
        &FLOATS
    }
}

/// A buffer of a length; what is in it is left over from another image, or zeros.
pub(crate) fn take<T: Spare>(length: usize) -> Vec<T> {
    let mut buffer = T::shelf().with_borrow_mut(|all| {
        let largest = (0..all.len()).max_by_key(|&i| all[i].capacity());
        largest.map(|i| all.swap_remove(i)).unwrap_or_default()
    });
    buffer.resize(length, T::default());
    buffer
}

/// Keeps a buffer for the next image that this thread reads.
pub(crate) fn give<T: Spare>(buffer: Vec<T>) {
    T::shelf().with_borrow_mut(|all| {
        if all.len() < KEPT && buffer.capacity() <= MOST_BYTES / size_of::<T>() {
            all.push(buffer);
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_comes_back_with_the_length_that_is_asked() {
        give(vec![1.0_f32; 8]);
        give(vec![2.0_f32; 4]);
        give(vec![3.0_f32; 16]);
        assert_eq!(take::<f32>(3), [1.0; 3]);
        assert_eq!(take::<f32>(5), [2.0, 2.0, 2.0, 2.0, 0.0]);
        assert_eq!(take::<f32>(2), [0.0; 2], "no more than two are kept");
    }
}
