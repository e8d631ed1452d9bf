//! What goes wrong while a stage runs.

use std::fmt::Display;
use std::io;
use std::path::Path;

/// Why a stage could not finish.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FailureKind {
    /// The data or the parameters do not allow it.
    Failed,
    /// The run was interrupted; what was finished stays.
    Cancelled,
    /// Disk, permission or hardware: the same action may succeed elsewhere or later.
    Environment,
    /// A defect of this program.
    Internal,
}

/// The failure of one action: one clear message, and advice apart from it.
#[derive(Debug, Clone, thiserror::Error, serde::Serialize, serde::Deserialize)]
#[error("{message}")]
pub struct StageError {
    /// What failed.
    pub kind: FailureKind,
    /// A lower-case sentence without a full stop that names file, participant and session.
    pub message: String,
    /// What the user can do about it.
    #[serde(default)]
    pub hints: Vec<String>,
}

impl StageError {
    /// A failure caused by data or parameters.
    pub fn new(message: impl Display) -> Self {
        Self {
            kind: FailureKind::Failed,
            message: message.to_string(),
            hints: Vec::new(),
        }
    }

    /// The stage noticed that the run was interrupted.
    pub fn cancelled() -> Self {
        Self {
            kind: FailureKind::Cancelled,
            message: "interrupted".to_owned(),
            hints: Vec::new(),
        }
    }

    /// A defect of this program rather than of its input.
    pub fn internal(message: impl Display) -> Self {
        Self {
            kind: FailureKind::Internal,
            message: message.to_string(),
            hints: vec!["this is a bug: please report it with the run record".to_owned()],
        }
    }

    /// A failure of the machine rather than of the data.
    pub fn environment(message: impl Display) -> Self {
        Self {
            kind: FailureKind::Environment,
            message: message.to_string(),
            hints: Vec::new(),
        }
    }

    /// An I/O error with what was being done: `io("read table", path, error)`.
    pub fn io(act: &str, path: &Path, error: &io::Error) -> Self {
        let (kind, hint) = classify(error);
        Self {
            kind,
            message: format!("failed to {act} `{}`: {error}", path.display()),
            hints: hint.into_iter().map(str::to_owned).collect(),
        }
    }

    /// Adds advice.
    #[must_use]
    pub fn hint(mut self, hint: impl Display) -> Self {
        self.hints.push(hint.to_string());
        self
    }
}

/// Tells a broken environment from a wrong input, with advice where there is some.
pub fn classify(error: &io::Error) -> (FailureKind, Option<&'static str>) {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => (
            FailureKind::Environment,
            Some("free some space, or use another disk with `--store`; what is done stays done"),
        ),
        io::ErrorKind::ReadOnlyFilesystem => (
            FailureKind::Environment,
            Some("choose a writable folder with `--store` or `maps:`"),
        ),
        io::ErrorKind::PermissionDenied => (
            FailureKind::Environment,
            Some("check the permissions of this path"),
        ),
        io::ErrorKind::StaleNetworkFileHandle
        | io::ErrorKind::TimedOut
        | io::ErrorKind::ConnectionReset
        | io::ErrorKind::ResourceBusy => (
            FailureKind::Environment,
            Some("the disk or the network did not answer; `retries:` of the stage tries again"),
        ),
        _ if error.raw_os_error() == Some(rustix::io::Errno::IO.raw_os_error()) => (
            FailureKind::Environment,
            Some("the disk failed to read or write: see the system's log"),
        ),
        _ => (FailureKind::Failed, None),
    }
}
