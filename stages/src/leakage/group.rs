//! Who is in a data group, by everything that can tell.

use std::collections::{BTreeMap, BTreeSet};

use engine::StageError;

use super::DERIVED_FROM;
use crate::table::{COHORT, PARTICIPANT, SESSION, SINGLE_COHORT, Table, is_missing};

/// File of a model that lists everybody it has seen.
pub const SEEN: &str = "leakage/seen.tsv";

const ORIGIN: &str = "origin";
const VOXELS: &str = "voxels";

/// What a session was used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Origin {
    /// The model was fitted to it.
    Train,
    /// The model was selected by it.
    Validation,
    /// A network was fitted to it or selected by it before, whose weights this one started from.
    PreTraining,
}

impl Origin {
    const ALL: [Self; 3] = [Self::Train, Self::Validation, Self::PreTraining];

    fn name(self) -> &'static str {
        match self {
            Self::Train => "train",
            Self::Validation => "validation",
            Self::PreTraining => "pre-training",
        }
    }
}

/// A session and whose it is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Seen {
    /// The cohort, `single` where there is one only.
    pub cohort: String,
    /// The participant, `sub-…`.
    pub participant: String,
    /// The session, `ses-…`.
    pub session: String,
    /// The participant whose image this one was made from.
    pub derived_from: Option<String>,
    /// Digest of the voxels, where it is known.
    pub voxels: Option<String>,
    /// What it was used for.
    pub origin: Origin,
}

/// A data group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// Its name, such as `train`.
    pub name: String,
    /// What messages call its table.
    pub shown: String,
    /// Its sessions.
    pub sessions: Vec<Seen>,
}

impl Group {
    /// The group of a table, with the digest of the voxels of each row's image where it is known.
    ///
    /// # Errors
    /// The table has no participants and sessions.
    pub fn of_table(
        name: &str,
        table: &Table,
        origin: Origin,
        voxels: Vec<Option<String>>,
    ) -> Result<Self, StageError> {
        let derived = table.texts(DERIVED_FROM).unwrap_or_default();
        let sessions = table.sessions_of_parts()?.into_iter().enumerate();
        let sessions = sessions.map(|(row, session)| Seen {
            cohort: session.cohort.to_owned(),
            participant: session.participant.to_owned(),
            session: session.session.to_owned(),
            derived_from: derived
                .get(row)
                .filter(|cell| !is_missing(cell))
                .map(|cell| (*cell).to_owned()),
            voxels: voxels.get(row).cloned().flatten(),
            origin,
        });
        Ok(Self {
            name: name.to_owned(),
            shown: table.shown().to_owned(),
            sessions: sessions.collect(),
        })
    }

    /// Number of distinct participants.
    pub fn participants(&self) -> usize {
        let all: BTreeSet<_> = self
            .sessions
            .iter()
            .map(|s| (&s.cohort, &s.participant))
            .collect();
        all.len()
    }

    /// Sessions by the number of rows; parts of images count once.
    pub fn session_count(&self) -> usize {
        let all: BTreeSet<_> = self
            .sessions
            .iter()
            .map(|s| (&s.cohort, &s.participant, &s.session))
            .collect();
        all.len()
    }

    /// Whether any session names its cohort.
    pub fn has_cohorts(&self) -> bool {
        self.sessions.iter().any(|s| s.cohort != SINGLE_COHORT)
    }

    /// The groups as the table [`SEEN`] of a model, sorted, each session once.
    ///
    /// # Errors
    /// Never for text.
    pub fn seen(groups: &[&Self]) -> Result<Vec<u8>, StageError> {
        let sessions: BTreeSet<&Seen> = groups.iter().flat_map(|group| &group.sessions).collect();
        let columns = [PARTICIPANT, SESSION, COHORT, ORIGIN, DERIVED_FROM, VOXELS];
        let rows = sessions.into_iter().map(|s| {
            let optional = |text: &Option<String>| text.clone().unwrap_or_default();
            vec![
                s.participant.clone(),
                s.session.clone(),
                s.cohort.clone(),
                s.origin.name().to_owned(),
                optional(&s.derived_from),
                optional(&s.voxels),
            ]
        });
        Table::of_rows(SEEN, columns.map(str::to_owned).to_vec(), rows.collect()).to_tsv()
    }

    /// Everybody whom a model has seen, from its table [`SEEN`].
    ///
    /// # Errors
    /// A column is missing or an origin is unknown.
    pub fn of_seen(table: &Table, shown: &str) -> Result<Self, StageError> {
        let column = |name: &str| table.texts(name);
        let (participants, sessions) = (column(PARTICIPANT)?, column(SESSION)?);
        let (cohorts, origins) = (column(COHORT)?, column(ORIGIN)?);
        // A copy that may be shared has neither.
        let all = |name: &str| table.texts(name).unwrap_or_else(|_| vec![""; table.len()]);
        let (derived, voxels) = (all(DERIVED_FROM), all(VOXELS));
        let known: BTreeMap<&str, Origin> = Origin::ALL.map(|o| (o.name(), o)).into();
        let optional = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
        let rows = (0..table.len()).map(|row| {
            let origin = known.get(origins[row]).copied().ok_or_else(|| {
                let name = origins[row];
                StageError::new(format!("`{shown}`: `{name}` is no use of a session"))
            })?;
            Ok(Seen {
                cohort: cohorts[row].to_owned(),
                participant: participants[row].to_owned(),
                session: sessions[row].to_owned(),
                derived_from: optional(derived[row]),
                voxels: optional(voxels[row]),
                origin,
            })
        });
        Ok(Self {
            name: "seen".to_owned(),
            shown: shown.to_owned(),
            sessions: rows.collect::<Result<_, StageError>>()?,
        })
    }
}
