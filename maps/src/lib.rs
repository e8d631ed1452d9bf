//! The MAPS folder: layout, files, weights, reading, publishing.
//!
//! ```text
//! layout   where files are            files    what is in the tables and JSON files
//! weights  what is in model files     folder   reading a MAPS: Maps
//! publish  assembling a MAPS from artifacts of the engine
//! ```
//!
//! The tree and files are those of ClinicaDL 1.6.1, so that either program reads the other's MAPS.
//! Nothing here knows networks, images or libtorch, and nothing writes files: functions give bytes.

mod error;
pub mod files;
mod folder;
pub mod layout;
mod publish;
pub mod weights;

pub use error::MapsError;
pub use folder::Maps;
pub use publish::MapsPublisher;
