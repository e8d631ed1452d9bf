//! From files to [`Node`]s, within limits of size.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use super::node::{Node, Place, Size};
use super::{toml, yaml};

/// Bytes of a file.
pub(super) const MAX_BYTES: u64 = 4 << 20;

/// What a file may hold once aliases are expanded.
pub(super) const MAX_SIZE: Size = Size {
    values: 500_000,
    bytes: 16 << 20,
};

/// Why a text is not a document.
#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) place: Place,
    pub(super) message: String,
    pub(super) hint: Option<String>,
}

impl Refusal {
    pub(super) fn at(place: Place, message: impl Into<String>) -> Self {
        Self {
            place,
            message: message.into(),
            hint: None,
        }
    }

    pub(super) fn hint(mut self, hint: &str) -> Self {
        self.hint = Some(hint.to_owned());
        self
    }
}

/// Reads a text; the extension of `path` tells the format.
pub(super) fn parse(file: u32, path: &Path, text: &str) -> Result<Node, Refusal> {
    if text.len() as u64 > MAX_BYTES {
        return Err(Refusal::at(Place::of_file(file), too_large()));
    }
    if path
        .extension()
        .is_some_and(|extension| extension == "toml")
    {
        toml::parse(file, text)
    } else {
        yaml::parse(file, text)
    }
}

/// The text of a file that is not larger than a manifest may be.
pub(super) fn read(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    // What a file says about its size need not be true: it is read until the limit.
    File::open(path)?
        .take(MAX_BYTES + 1)
        .read_to_string(&mut text)?;
    if text.len() as u64 > MAX_BYTES {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, too_large()));
    }
    Ok(text)
}

fn too_large() -> String {
    format!("larger than {} MiB", MAX_BYTES >> 20)
}
