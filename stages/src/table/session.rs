//! Sessions: a participant at one time.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::fmt;

use engine::StageError;
pub use maps::files::SINGLE_COHORT;

use super::{COHORT, PARTICIPANT, SESSION, Table};

/// One row's identity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Session<'a> {
    /// Participant, such as `sub-001`.
    pub participant: &'a str,
    /// Cohort of the participant; [`SINGLE_COHORT`] where the table does not tell.
    pub cohort: &'a str,
    /// Session, such as `ses-M000`.
    pub session: &'a str,
}

impl<'a> Session<'a> {
    /// Participant, cohort and session as they are compared: see [`canonical_session`].
    pub fn place(&self) -> (&'a str, &'a str, Cow<'a, str>) {
        (
            self.participant,
            self.cohort,
            canonical_session(self.session),
        )
    }

    /// Whose session it is.
    pub fn person(&self) -> Person<'a> {
        Person {
            participant: self.participant,
            cohort: self.cohort,
        }
    }
}

impl fmt::Display for Session<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, {}", self.person(), self.session)
    }
}

/// A participant of a cohort: the same participant ID in two cohorts is two people.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Person<'a> {
    /// Participant, such as `sub-001`.
    pub participant: &'a str,
    /// Cohort; [`SINGLE_COHORT`] where the table does not tell.
    pub cohort: &'a str,
}

impl fmt::Display for Person<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.cohort {
            SINGLE_COHORT => f.write_str(self.participant),
            cohort => write!(f, "{} of cohort `{cohort}`", self.participant),
        }
    }
}

impl Table {
    /// Cohort, participant and session of every row.
    ///
    /// # Errors
    /// A column is missing, a cell is empty or cannot be part of a file's name, or a session appears
    /// twice.
    pub fn sessions(&self) -> Result<Vec<Session<'_>>, StageError> {
        let cohorts = match self.has_cohorts() {
            true => self.complete_texts(COHORT)?,
            false => vec![SINGLE_COHORT; self.len()],
        };
        self.sessions_of(&cohorts)
    }

    /// The sessions as they compare with those of another table: a table without cohorts takes its
    /// participants from whatever cohort they are in.
    ///
    /// # Errors
    /// Those of [`Table::sessions`], and only the other table has no cohorts where they are needed to
    /// tell participants apart.
    pub fn sessions_beside(&self, other: &Self) -> Result<Vec<Session<'_>>, StageError> {
        let sessions = self.sessions()?;
        if !self.has_cohorts() || other.has_cohorts() {
            return Ok(sessions);
        }
        self.sessions_of(&vec![SINGLE_COHORT; self.len()])
            .map_err(|e| {
                e.hint(format!(
                    "`{}` has no column `{COHORT}`, which would tell them apart",
                    other.shown
                ))
            })
    }

    /// Whether the table tells the cohorts of its participants.
    pub fn has_cohorts(&self) -> bool {
        self.columns.iter().any(|column| column == COHORT)
    }

    /// Cohort, participant and session of every row of a table that may have several rows per session:
    /// one per part of an image.
    ///
    /// # Errors
    /// A column is missing, or a cell is empty or cannot be part of a file's name.
    pub fn sessions_of_parts(&self) -> Result<Vec<Session<'_>>, StageError> {
        let participants = self.identifiers(PARTICIPANT)?;
        let sessions = self.identifiers(SESSION)?;
        let cohorts = match self.has_cohorts() {
            true => self.complete_texts(COHORT)?,
            false => vec![SINGLE_COHORT; self.len()],
        };
        let cells = participants.into_iter().zip(cohorts).zip(sessions);
        Ok(cells
            .map(|((participant, cohort), session)| Session {
                participant,
                cohort,
                session,
            })
            .collect())
    }

    fn sessions_of<'a>(&'a self, cohorts: &[&'a str]) -> Result<Vec<Session<'a>>, StageError> {
        let participants = self.identifiers(PARTICIPANT)?;
        let sessions = self.identifiers(SESSION)?;
        let mut seen: BTreeMap<_, u64> = BTreeMap::new();
        let mut all = Vec::with_capacity(self.len());
        let cells = participants.into_iter().zip(cohorts).zip(sessions);
        for (((participant, cohort), session), row) in cells.zip(&self.rows) {
            let session = Session {
                participant,
                cohort,
                session,
            };
            if let Some(first) = seen.insert(session.place(), row.line) {
                return Err(StageError::new(format!(
                    "`{}`: {session} is on lines {first} and {}",
                    self.shown, row.line
                )));
            }
            all.push(session);
        }
        Ok(all)
    }

    fn identifiers(&self, name: &str) -> Result<Vec<&str>, StageError> {
        let texts = self.complete_texts(name)?;
        match texts.iter().position(|text| !is_identifier(text)) {
            None => Ok(texts),
            Some(row) => {
                let place = self.place(row, self.column(name)?);
                let message = format!("{place}: `{}` cannot be part of a file's name", texts[row]);
                Err(StageError::new(message).hint("use letters, digits and `-` only"))
            }
        }
    }
}

/// A session as it is compared: `ses-M06` and `ses-M006` are one.
///
/// ClinicaDL 1.6.1 rewrites two digits to three in some commands and on one side of some joins.
pub fn canonical_session(session: &str) -> Cow<'_, str> {
    match months(session) {
        Some(months) => Cow::Owned(format!("ses-M{months:03}")),
        None => Cow::Borrowed(session),
    }
}

/// The order of sessions in time: `ses-M<months>` by number, before all others by text.
///
/// As text `ses-M100` would come before `ses-M12`.
pub fn compare_sessions(a: &str, b: &str) -> Ordering {
    match (months(a), months(b)) {
        (Some(x), Some(y)) => x.cmp(&y).then_with(|| a.cmp(b)),
        (Some(_), None) => Ordering::Less,
        (None, Some(_)) => Ordering::Greater,
        (None, None) => a.cmp(b),
    }
}

/// The months of a session named `ses-M<months>`.
pub fn months(session: &str) -> Option<u64> {
    let digits = session.strip_prefix("ses-M")?;
    digits
        .bytes()
        .all(|byte| byte.is_ascii_digit())
        .then(|| digits.parse().ok())?
}

/// Whether a participant or session can be part of a file's name everywhere.
pub(crate) fn is_identifier(text: &str) -> bool {
    let forbidden = |c: char| c.is_whitespace() || c.is_control() || r#"/\:*?"<>|"#.contains(c);
    !text.contains(forbidden) && !text.starts_with('.')
}
