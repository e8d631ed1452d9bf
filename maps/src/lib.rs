//! The MAPS folder: layout, files, weights, reading, publishing, checking.
//!
//! ```text
//! layout   where files are                     files     what is in the tables and JSON files
//! weights  what is in model files              folder, inside, records   reading a MAPS: Maps
//! publish  assembling a MAPS from artifacts    validate  all that is wrong with a MAPS
//! import   from ClinicaDL 1.6 and 2.0          export    a copy that may be shared
//! ```
//!
//! The tree and files are those of ClinicaDL 1.6.1, so that either program reads the other's MAPS.
//! Nothing here knows networks, images or libtorch, and nothing but [`mod@export`] and
//! [`mod@import`] writes files: functions give bytes.

mod copy_error;
mod error;
pub mod export;
pub mod files;
mod folder;
pub mod import;
mod inside;
pub mod layout;
mod publish;
mod records;
#[cfg(test)]
mod tests;
mod validate;
pub mod weights;

pub use copy_error::CopyError;
pub use error::MapsError;
pub use folder::Maps;
pub use publish::MapsPublisher;
pub use records::Provenance;
pub use validate::{MapsIssue, validate};
