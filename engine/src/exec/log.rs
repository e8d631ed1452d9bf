//! The log of one action: what its processes and the stage itself said.
//!
//! A log is bounded: of a long one the beginning and the end are kept. Each line has its time, and the
//! log of an action that was tried several times holds all tries.

use std::collections::VecDeque;
use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use crate::provenance::timestamp;

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
    /// What was said last, as it was said.
    last: VecDeque<String>,
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

    /// A log that goes on in a file that an earlier try has begun.
    pub(super) fn continued(path: &Path) -> Self {
        let begun = fs::metadata(path).map_or(0, |metadata| metadata.len());
        Self {
            path: Some(path.to_owned()),
            inner: Mutex::new(Inner {
                written: usize::try_from(begun).unwrap_or(usize::MAX),
                ..Inner::default()
            }),
        }
    }

    /// Adds a line that something said.
    pub fn line(&self, line: &str) {
        self.add(line, true);
    }

    /// Adds a line about the action, if it has said anything: a silent one has no log.
    pub(super) fn note(&self, line: &str) {
        if !self.lock().end.is_empty() {
            self.add(line, false);
        }
    }

    /// A log that cannot be written loses lines, never a result.
    fn add(&self, said: &str, is_said: bool) {
        let line = format!("{}  {said}", timestamp(SystemTime::now()));
        let mut inner = self.lock();
        if is_said {
            if inner.last.len() == SHOWN {
                inner.last.pop_front();
            }
            inner.last.push_back(said.to_owned());
        }
        if inner.written < BEGINNING
            && let Some(path) = &self.path
        {
            inner.written = inner.written.saturating_add(line.len() + 1);
            if inner.file.is_none() {
                inner.file = open(path).map(BufWriter::new);
            }
            if let Some(file) = &mut inner.file {
                drop(writeln!(file, "{line}").and_then(|()| file.flush()));
            }
        }
        inner.end_bytes += line.len() + 1;
        inner.end.push_back(line);
        while inner.end_bytes > END && inner.end.len() > SHOWN {
            if let Some(old) = inner.end.pop_front() {
                inner.end_bytes -= old.len() + 1;
                inner.left_out += 1;
            }
        }
    }

    /// The last lines that were said.
    pub fn last_lines(&self) -> Vec<String> {
        self.lock().last.iter().cloned().collect()
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
        if inner.file.is_none() && !inner.end.is_empty() {
            // An earlier try has filled the beginning.
            inner.file = self.path.as_deref().and_then(open).map(BufWriter::new);
        }
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
    File::options().create(true).append(true).open(path).ok()
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
        assert!(text.contains("+00:00  0 x") && text.contains("+00:00  9999 x"));
        assert!(text.contains("\n[…]\n"));
        assert!(text.len() < BEGINNING + END + 10_000);
    }

    #[test]
    fn a_log_holds_every_try_and_shows_the_last_lines_of_the_last_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.log");
        let first = Log::new(Some(&path));
        first.line("one");
        first.note("failed");
        drop(first);
        let second = Log::continued(&path);
        second.note("nothing was said yet");
        second.line("two");
        assert_eq!(second.last_lines(), ["two"]);
        let text = fs::read_to_string(&path).unwrap();
        let said: Vec<&str> = text
            .lines()
            .map(|l| l.split_once("  ").unwrap().1)
            .collect();
        assert_eq!(said, ["one", "failed", "two"]);
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
