//! File formats.

pub mod gzip;
pub mod nifti;
