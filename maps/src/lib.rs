//! The MAPS folder: layout, files, weights.

pub mod weights;
