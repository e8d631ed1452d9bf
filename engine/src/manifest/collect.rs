//! Gathering problems, each once and in bounded time.

use indexmap::IndexSet;
use std::path::PathBuf;

use super::issue::{Issue, Issues, Severity, suggest};
use super::node::{Place, Size, shorten};
use super::source::Refusal;

/// Problems that are told; of a file that is wrong in a thousand places nobody reads more.
const TOLD: usize = 200;

/// Comparisons of characters that may be spent on finding what a wrong name meant.
const PATIENCE: usize = 20_000_000;

/// What substitution may make, over all cells of a matrix.
const MADE: Size = Size {
    values: 4_000_000,
    bytes: 128 << 20,
};

/// Collects issues with the place of what they are about.
#[derive(Debug, Default)]
pub(super) struct Collector {
    /// The files by the numbers of places.
    pub(super) files: Vec<PathBuf>,
    errors: Vec<Issue>,
    warnings: Vec<Issue>,
    seen: IndexSet<(Severity, Place, String)>,
    untold: usize,
    spent: usize,
    made: Size,
    /// The cell of the matrix that is looked at.
    pub(super) cell: Option<String>,
}

impl Collector {
    pub(super) fn error(&mut self, place: Place, key: &str, message: String, hint: Option<String>) {
        self.add(Severity::Error, place, key, message, hint);
    }

    pub(super) fn warn(&mut self, place: Place, key: &str, message: String, hint: Option<String>) {
        self.add(Severity::Warning, place, key, message, hint);
    }

    pub(super) fn refuse(&mut self, refusal: Refusal) {
        self.error(refusal.place, "", refusal.message, refusal.hint);
    }

    fn add(
        &mut self,
        severity: Severity,
        place: Place,
        key: &str,
        mut message: String,
        hint: Option<String>,
    ) {
        if !self.seen.insert((severity, place, message.clone())) {
            return;
        }
        let is_error = severity == Severity::Error;
        let told = if is_error {
            &self.errors
        } else {
            &self.warnings
        };
        if told.len() >= TOLD {
            self.untold += usize::from(is_error);
            return;
        }
        if let Some(cell) = &self.cell {
            message = format!("{message} (in the cell {cell})");
        }
        let known = place.line > 0;
        let issue = Issue {
            severity,
            file: self
                .files
                .get(place.file as usize)
                .cloned()
                .unwrap_or_else(|| "command line".into()),
            line: known.then_some(place.line as usize),
            column: known.then_some(place.column as usize),
            key: if key.chars().any(char::is_control) {
                shorten(key)
            } else {
                key.to_owned()
            },
            message,
            hint,
        };
        if is_error {
            self.errors.push(issue);
        } else {
            self.warnings.push(issue);
        }
    }

    /// The number of errors so far.
    pub(super) fn errors(&self) -> usize {
        self.errors.len() + self.untold
    }

    /// Counts what substitution makes at `place`; false once it is too much.
    pub(super) fn make(&mut self, size: Size, place: Place) -> bool {
        if self.made.exceeds(MADE) {
            return false;
        }
        self.made.add(size);
        if self.made.exceeds(MADE) {
            let message = format!(
                "too large: params and matrix make more than {} values or {} MiB of text",
                MADE.values,
                MADE.bytes >> 20
            );
            self.error(place, "", message, None);
            return false;
        }
        true
    }

    /// A hint for an unknown name, as long as finding one costs little.
    pub(super) fn suggest<'a>(
        &mut self,
        wrong: &str,
        names: impl IntoIterator<Item = &'a str>,
    ) -> Option<String> {
        if self.errors.len() >= TOLD {
            return None;
        }
        let names: Vec<&str> = names.into_iter().collect();
        let letters: usize = names.iter().map(|name| name.len() + 1).sum();
        self.spent = self
            .spent
            .saturating_add(letters.saturating_mul(wrong.len() + 1));
        if self.spent > PATIENCE {
            return None;
        }
        suggest(wrong, &names)
    }

    /// Whether no further error is told.
    pub(super) fn is_full(&self) -> bool {
        self.errors.len() >= TOLD
    }

    /// Where a place is, for a message about another one.
    pub(super) fn shown(&self, place: Place) -> String {
        let file = self.files.get(place.file as usize);
        let file = file.map_or_else(|| "command line".to_owned(), |f| f.display().to_string());
        match place.line {
            0 => file,
            line => format!("{file}:{line}"),
        }
    }

    /// The warnings, if there is no error.
    pub(super) fn finish(self) -> Result<Vec<Issue>, Issues> {
        let Self {
            files,
            mut errors,
            mut warnings,
            untold,
            ..
        } = self;
        let order = |issue: &Issue| {
            let file = files.iter().position(|file| *file == issue.file);
            (file, issue.line.unwrap_or(0), issue.column.unwrap_or(0))
        };
        if errors.is_empty() {
            warnings.sort_by_key(order);
            return Ok(warnings);
        }
        errors.sort_by_key(order);
        if untold > 0 {
            let file = files.first().cloned().unwrap_or_default();
            let rest = Issues::of_file(&file, format!("and {untold} more problems"), None);
            errors.extend(rest.0);
        }
        Err(Issues(errors))
    }
}
