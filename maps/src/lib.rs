//! The MAPS folder: layout, files, weights.

mod error;
pub mod files;
pub mod weights;

pub use error::MapsError;
