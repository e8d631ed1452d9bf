//! Stores elsewhere: results are pulled from them and pushed to them.
//!
//! A remote has the layout of a store, so that a store's folder that somebody serves is one:
//!
//! ```text
//!   FORMAT  objects/ab/<62 digits>  actions/ab/<62 digits>  accounts/ab/<62 digits>
//! ```
//!
//! Nothing that arrives is believed. Objects must have the digest that they are called by and records
//! the key of their own document; what a record says of its outputs nobody can check without computing
//! them, unless a lock file tells: then they must be the same. Whoever may write to a remote therefore
//! decides on results that no lock names.
//!
//! Objects are put before the record that names them, here and there, so that a transfer that is cut
//! off leaves nothing that looks finished.

mod copy;
#[cfg(test)]
mod tests;
mod tier;

use std::error::Error;
use std::fmt::Debug;
use std::io::{self, Write};
use std::path::Path;

pub use copy::{Pulled, Pushed, pull, push};
pub use tier::Tier;

use crate::store::StoreError;

/// Where files of a store are, somewhere else. Paths are relative, with `/`.
///
/// All methods may be called by several threads at once.
pub trait Remote: Debug + Send + Sync {
    /// The address for messages, without credentials.
    fn address(&self) -> &str;

    /// Whether nothing can be put there.
    fn is_read_only(&self) -> bool;

    /// The size of a file in bytes; `None` if there is none.
    ///
    /// # Errors
    /// It cannot be told.
    fn size(&self, path: &str) -> Result<Option<u64>, RemoteError>;

    /// Copies a file's bytes; `false` if there is none.
    ///
    /// # Errors
    /// It cannot be read, or `to` takes no more.
    fn get(&self, path: &str, to: &mut dyn Write) -> Result<bool, RemoteError>;

    /// Puts a file, whole or not at all, in the place of one that may be there.
    ///
    /// # Errors
    /// It cannot be written.
    fn put(&self, path: &str, from: &Path) -> Result<(), RemoteError>;
}

/// Nothing came from a remote, or went there.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RemoteError {
    /// The address names no kind of remote.
    #[error("`{address}`: {problem}")]
    Address {
        /// As it was given.
        address: String,
        /// What is wrong.
        problem: String,
    },
    /// A file could not be moved.
    #[error("failed to {act} `{path}` of {address}: {}", causes(source.as_ref()))]
    Transfer {
        /// What was being done.
        act: &'static str,
        /// The file.
        path: String,
        /// The remote.
        address: String,
        /// Why.
        source: Box<dyn Error + Send + Sync>,
    },
    /// What arrived is not what it is called.
    #[error("`{path}` of {address} {problem}")]
    Damaged {
        /// The file.
        path: String,
        /// The remote.
        address: String,
        /// What is wrong with it.
        problem: String,
    },
    /// There is no store, or one of another format.
    #[error("{address} holds no store that this version reads: {problem}")]
    NoStore {
        /// The remote.
        address: String,
        /// What is wrong.
        problem: String,
    },
    /// Nothing can be put there.
    #[error("{address} can only be read")]
    ReadOnly {
        /// The remote.
        address: String,
    },
    /// The run was asked to stop.
    #[error("stopped")]
    Stopped,
    /// The store here failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// An error with all that caused it, each once.
fn causes(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let said = cause.to_string();
        if !text.contains(&said) {
            text.push_str(": ");
            text.push_str(&said);
        }
        next = cause.source();
    }
    text
}

/// Takes so many bytes and not one more, and none once it is asked to stop.
struct Limited<'a, W> {
    to: W,
    left: u64,
    /// Whether more came than may come.
    is_full: bool,
    stop: &'a (dyn Fn() -> bool + Sync),
}

impl<'a, W: Write> Limited<'a, W> {
    fn new(to: W, most: u64, stop: &'a (dyn Fn() -> bool + Sync)) -> Self {
        Self {
            to,
            left: most,
            is_full: false,
            stop,
        }
    }

    /// Takes a file of a remote; `false` if there is none.
    fn take(&mut self, remote: &dyn Remote, path: &str) -> Result<bool, RemoteError> {
        remote.get(path, self).map_err(|error| {
            if (self.stop)() {
                RemoteError::Stopped
            } else if self.is_full {
                damaged(remote, path)
            } else {
                error
            }
        })
    }
}

fn damaged(remote: &dyn Remote, path: &str) -> RemoteError {
    RemoteError::Damaged {
        path: path.to_owned(),
        address: remote.address().to_owned(),
        problem: "is not what it is called: damaged or forged".to_owned(),
    }
}

impl<W: Write> Write for Limited<'_, W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if (self.stop)() {
            return Err(io::Error::other("stopped"));
        }
        let Some(left) = self.left.checked_sub(bytes.len() as u64) else {
            self.is_full = true;
            return Err(io::Error::other("more bytes than expected"));
        };
        self.left = left;
        self.to.write_all(bytes)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}
