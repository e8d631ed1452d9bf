//! The log of one action: what its processes and the stage itself said.
//!
//! A log is bounded: of a long one the beginning and the end are kept.

use std::collections::VecDeque;
use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Bytes kept from the beginning.
const BEGINNING: usize = 4 << 20;
/// Bytes kept from the end.
const END: usize = 1 << 20;
/// Lines that an error shows.
const SHOWN: usize = 20;

/// A log, written when something is said.
#[derive(Debug)]
pub struct Log {
    path: Option<PathBuf>,
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    file: Option<BufWriter<File>>,
    written: usize,
    end: VecDeque<String>,
    end_bytes: usize,
    left_out: usize,
}

impl Log {
    /// A log in a file, whose earlier content is gone; without a path, nothing but the last lines is
    /// kept.
    pub fn new(path: Option<&Path>) -> Self {
        if let Some(path) = path {
            // There may be none.
            drop(fs::remove_file(path));
        }
        Self {
            path: path.map(Path::to_owned),
            inner: Mutex::default(),
        }
    }

    /// Adds a line. A log that cannot be written loses lines, never a result.
    pub fn line(&self, line: &str) {
        let mut inner = self.lock();
        if inner.written < BEGINNING
            && let Some(path) = &self.path
        {
            inner.written += line.len() + 1;
            if inner.file.is_none() {
                inner.file = open(path).map(BufWriter::new);
            }
            if let Some(file) = &mut inner.file {
                drop(writeln!(file, "{line}").and_then(|()| file.flush()));
            }
        }
        inner.end_bytes += line.len() + 1;
        inner.end.push_back(line.to_owned());
        while inner.end_bytes > END && inner.end.len() > SHOWN {
            if let Some(old) = inner.end.pop_front() {
                inner.end_bytes -= old.len() + 1;
                inner.left_out += 1;
            }
        }
    }

    /// The last lines.
    pub fn last_lines(&self) -> Vec<String> {
        let inner = self.lock();
        let from = inner.end.len().saturating_sub(SHOWN);
        inner.end.iter().skip(from).cloned().collect()
    }

    /// Where it is, relative to a folder; none if nothing was said.
    pub(super) fn path_below(&self, root: &Path) -> Option<String> {
        if self.lock().end.is_empty() {
            return None;
        }
        let path = self.path.as_ref()?.strip_prefix(root).ok()?;
        Some(path.to_string_lossy().into_owned())
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        let mut inner = self.lock();
        if inner.written < BEGINNING {
            return;
        }
        let inner = &mut *inner;
        if let Some(file) = &mut inner.file {
            if inner.left_out > 0 {
                drop(writeln!(file, "[…]"));
            }
            for line in &inner.end {
                drop(writeln!(file, "{line}"));
            }
        }
    }
}

fn open(path: &Path) -> Option<File> {
    fs::create_dir_all(path.parent()?).ok()?;
    File::create(path).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_log_keeps_its_beginning_and_its_end() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("logs/a.log");
        let log = Log::new(Some(&path));
        let line = "x".repeat(1000);
        for i in 0..10_000 {
            log.line(&format!("{i} {line}"));
        }
        assert_eq!(log.last_lines().len(), SHOWN);
        drop(log);
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.starts_with("0 x") && text.contains("\n9999 x"));
        assert!(text.contains("\n[…]\n"));
        assert!(text.len() < BEGINNING + END + 10_000);
    }

    #[test]
    fn a_log_without_a_place_keeps_the_last_lines() {
        let log = Log::new(None);
        assert!(log.last_lines().is_empty());
        log.line("one");
        assert_eq!(log.last_lines(), ["one"]);
        assert_eq!(log.path_below(Path::new("/")), None);
    }
}
