//! The allocator of the program `clinicadl`: mimalloc.
//!
//! A plan of thousands of actions is millions of small allocations, and an image after the other is as
//! many large ones. Libraries decide how to allocate; this crate is for the program alone.
//!
//! It is built to ask for no huge pages (`no_thp`): a virtual machine gives just these back to its host
//! when they are free, and has to ask for them again. Extracting patches takes a tenth longer with them.

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

/// Gives nothing back from now on; to be called before the program ends, when the system takes everything at
/// once. Otherwise mimalloc gives it back piece by piece before that, 13 ms after an extraction.
pub fn end() {
    // SAFETY: as above; a negative delay is one that never ends.
    unsafe { libmimalloc_sys::mi_option_set(PURGE_DELAY, -1) }
}

#[cfg(test)]
mod tests {
    use std::alloc::{GlobalAlloc, Layout};

    use super::*;

    #[test]
    #[cfg(target_os = "linux")]
    fn no_huge_pages_are_asked_for() {
        let layout = Layout::from_size_align(64 << 20, 1 << 12).unwrap();
        // SAFETY: the size is not 0, and what was allocated is freed with the same layout.
        let maps = unsafe {
            let memory = MiMalloc.alloc(layout);
            assert!(!memory.is_null());
            let maps = std::fs::read_to_string("/proc/self/smaps").unwrap();
            MiMalloc.dealloc(memory, layout);
            maps
        };
        let flags = maps
            .lines()
            .filter_map(|line| line.strip_prefix("VmFlags:"));
        let (mut mappings, mut huge) = (0, 0);
        for flags in flags {
            mappings += 1;
            huge += usize::from(flags.split(' ').any(|flag| flag == "hg"));
        }
        assert!(mappings > 0);
        assert_eq!(huge, 0, "of {mappings} mappings");
    }

    #[test]
    fn the_option_is_the_delay_of_purging() {
        // SAFETY: reads a number from a table of options.
        let value = || unsafe { libmimalloc_sys::mi_option_get(PURGE_DELAY) };
        // What version 3 of mimalloc starts with, unlike every option beside it.
        assert_eq!(value(), 1000);
        keep();
        assert_eq!(value(), KEPT);
        end();
        assert_eq!(value(), -1);
    }
}
