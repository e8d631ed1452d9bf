//! File formats.

pub mod gzip;
pub mod nifti;
pub(crate) mod spare;
