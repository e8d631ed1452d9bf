//! File formats.

pub mod nifti;
