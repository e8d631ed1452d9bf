//! The version of the manifest format: `clinicadl: 1`, or `clinicadl: "1.2"`.
//!
//! A manifest of an older or newer minor version is read; what a newer one may have added at the top
//! level is ignored with a warning. Another major version may mean anything, and is refused before
//! anything else is looked at.

use super::collect::Collector;
use super::node::{Node, Tree};
use super::wire::{MANIFEST_FORMAT, MANIFEST_MINOR};

/// What a manifest says about its format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Version {
    pub(super) major: u64,
    pub(super) minor: u64,
}

impl Version {
    pub(super) const CURRENT: Self = Self {
        major: MANIFEST_FORMAT,
        minor: MANIFEST_MINOR,
    };

    /// Whether it may have what this program does not know.
    pub(super) fn is_newer(self) -> bool {
        self.minor > MANIFEST_MINOR
    }
}

impl std::fmt::Display for Version {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

/// The version that a file is written for; `None` was reported.
pub(super) fn version(node: &Node, collector: &mut Collector) -> Option<Version> {
    let read = match &node.tree {
        Tree::Number(number) => number.as_u64().map(|major| Version { major, minor: 0 }),
        Tree::Text(text) => parse(text),
        _ => None,
    };
    let Some(version) = read.filter(|version| version.major > 0) else {
        let message = format!("expected a version of the format, got {}", node.describe());
        let hint = format!(
            "write `clinicadl: {MANIFEST_FORMAT}`, or a minor version in quotes: \
             `clinicadl: \"{}\"`",
            Version::CURRENT
        );
        collector.error(node.place, "clinicadl", message, Some(hint));
        return None;
    };
    if version.major > MANIFEST_FORMAT {
        let message = format!(
            "manifest format {} is newer than this program, which reads format {MANIFEST_FORMAT}",
            version.major
        );
        let hint = format!(
            "it needs a clinicadl that reads format {}; this is {}",
            version.major,
            env!("CARGO_PKG_VERSION")
        );
        collector.error(node.place, "clinicadl", message, Some(hint));
        return None;
    }
    Some(version)
}

fn parse(text: &str) -> Option<Version> {
    let number = |text: &str| {
        let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        digits.then(|| text.parse().ok()).flatten()
    };
    match text.split_once('.') {
        Some((major, minor)) => Some(Version {
            major: number(major)?,
            minor: number(minor)?,
        }),
        None => Some(Version {
            major: number(text)?,
            minor: 0,
        }),
    }
}
