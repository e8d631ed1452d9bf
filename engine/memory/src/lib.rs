//! The allocator of the program `clinicadl`: mimalloc.
//!
//! A plan of thousands of actions is millions of small allocations, and an image after the other is as
//! many large ones. Libraries decide how to allocate; this crate is for the program alone.

use std::ffi::c_int;

pub use mimalloc::MiMalloc;

/// `mi_option_purge_delay` of `mimalloc.h`, which the bindings do not name.
const PURGE_DELAY: c_int = 15;
/// Milliseconds that freed memory is kept.
const KEPT: i64 = 10_000;

/// Keeps memory that is freed for ten seconds instead of one; to be called before threads are started.
///
/// What mimalloc gives back to the system is cleared, page by page, before the system hands it out again.
/// A process that reads one image after the other spends a tenth of its time on that. What it no longer
/// needs should still go back: the next action may be a worker with a network.
pub fn keep() {
    // SAFETY: sets a number in a table of options; any value of either is allowed.
    unsafe { libmimalloc_sys::mi_option_set(PURGE_DELAY, KEPT) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_option_is_the_delay_of_purging() {
        // SAFETY: reads a number from a table of options.
        let value = || unsafe { libmimalloc_sys::mi_option_get(PURGE_DELAY) };
        // What version 3 of mimalloc starts with, unlike every option beside it.
        assert_eq!(value(), 1000);
        keep();
        assert_eq!(value(), KEPT);
    }
}
