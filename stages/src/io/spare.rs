//! Memory for one image after the other.
//!
//! Memory as large as an image goes back to the system when it is dropped, and is handed out again page
//! by page, each cleared: a sixth of the time that extracting an image takes. So some is kept until all
//! images are done.

use std::mem::take as drain;
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};

/// Buffers kept of a kind for every processor: a file and what is in it.
const KEPT_EACH: usize = 2;
/// Larger buffers are not kept.
const MOST_BYTES: usize = 64 << 20;
/// Sizes are rounded up to a multiple of this: files of images of one size differ a little in theirs.
const ROUND_BYTES: usize = 1 << 20;

static MOST_KEPT: LazyLock<usize> =
    LazyLock::new(|| KEPT_EACH * std::thread::available_parallelism().map_or(1, usize::from));

/// Buffers that wait for an image.
#[doc(hidden)]
pub(crate) struct Shelf<T>(Mutex<Vec<Vec<T>>>);

impl<T> Shelf<T> {
    const fn new() -> Self {
        Self(Mutex::new(Vec::new()))
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Vec<T>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The smallest buffer that is large enough.
    fn find(&self, length: usize) -> Option<Vec<T>> {
        let mut all = self.lock();
        let fits = (0..all.len()).filter(|&i| all[i].capacity() >= length);
        let best = fits.min_by_key(|&i| all[i].capacity())?;
        Some(all.swap_remove(best))
    }

    /// Keeps a buffer; of too many the smallest goes.
    fn keep(&self, buffer: Vec<T>, most: usize) {
        let mut all = self.lock();
        all.push(buffer);
        if all.len() > most
            && let Some(smallest) = (0..all.len()).min_by_key(|&i| all[i].capacity())
        {
            all.swap_remove(smallest);
        }
    }
}

static BYTES: Shelf<u8> = Shelf::new();
static FLOATS: Shelf<f32> = Shelf::new();

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
    let mut buffer = T::shelf().find(length).unwrap_or_else(|| {
        let rounded = length.next_multiple_of(ROUND_BYTES / size_of::<T>());
        vec![T::default(); rounded]
    });
    buffer.resize(length, T::default());
    buffer
}

/// Keeps a buffer for another image.
pub(crate) fn give<T: Spare>(buffer: Vec<T>) {
    if buffer.capacity() <= MOST_BYTES / size_of::<T>() {
        T::shelf().keep(buffer, *MOST_KEPT);
    }
}

/// Gives everything back to the system.
pub(crate) fn clear() {
    drop((drain(&mut *BYTES.lock()), drain(&mut *FLOATS.lock())));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_smallest_buffer_that_fits_is_found_and_the_smallest_of_too_many_goes() {
        let shelf = Shelf::new();
        for length in [8, 4, 16] {
            shelf.keep(vec![length; length], 3);
        }
        assert_eq!(shelf.find(17), None);
        assert_eq!(shelf.find(5), Some(vec![8; 8]));
        shelf.keep(vec![2; 2], 2);
        assert_eq!(shelf.find(0), Some(vec![4; 4]), "that of two is gone");
    }

    #[test]
    fn a_buffer_has_the_length_that_is_asked() {
        let large = 3 * ROUND_BYTES / 4 + 1;
        let buffer = take::<f32>(large);
        assert_eq!((buffer.len(), buffer[0]), (large, 0.0));
        assert_eq!(buffer.capacity() * 4, 4 * ROUND_BYTES);
        give(buffer);
        assert_eq!(take::<f32>(3).len(), 3);
        assert!(take::<u8>(0).is_empty());
    }
}
