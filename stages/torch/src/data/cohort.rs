//! Which images belong to a data group, with their labels.
//!
//! A cohort is complete: every session of its table has an image and, where labels are used, a label
//! that the network knows.

use std::collections::{BTreeMap, BTreeSet};

use engine::{Input, InputFile, StageError};
use stages::extraction::{Extraction, Mode};
use stages::leakage::{Group, Origin};
use stages::listed::listed;
use stages::metrics::LabelCode;
use stages::table::{Session, Table, canonical_session, is_missing};
use stages::tensor_file;

use crate::tasks::Target;

/// Column by which rows are kept or left out.
pub(crate) const DIAGNOSIS: &str = "diagnosis";
/// Parts of the range of a number that is learnt, as in ClinicaDL 1.6.1.
const BINS: usize = 5;
/// How many sessions a message lists at most.
const LISTED: usize = 50;

/// One image of a cohort, or a part of one.
#[derive(Debug, Clone)]
pub(crate) struct Sample {
    pub(crate) cohort: String,
    pub(crate) participant: String,
    pub(crate) session: String,
    /// The label as written in the table; `None` where labels are not used.
    pub(crate) label: Option<String>,
    /// What a network should say; `None` where labels are not used.
    pub(crate) target: Option<Target>,
    pub(crate) file: InputFile,
    /// The number of the part; 0 for a whole image.
    pub(crate) part: usize,
}

/// The images of a data group, in the order of its table.
#[derive(Debug, Clone)]
pub(crate) struct Cohort {
    /// What messages call its table.
    pub(crate) shown: String,
    pub(crate) samples: Vec<Sample>,
    /// How images are cut into parts.
    pub(crate) extraction: Extraction,
    /// How many parts an image has, of which a table may choose some; 1 for whole images.
    pub(crate) parts_per_image: usize,
    /// Whose images these are, for the comparison with other groups.
    pub(crate) group: Group,
}

/// Participant and session.
type Key = (String, String);

/// An extracted image.
#[derive(Debug)]
struct Stored {
    cohort: String,
    /// The session as the index names it.
    session: String,
    file: InputFile,
    /// Digest of the voxels.
    voxels: Option<String>,
}

/// Extracted images.
#[derive(Debug)]
pub(crate) struct Images {
    shown: String,
    /// One image of each cohort that has such a participant and session.
    files: BTreeMap<Key, Vec<Stored>>,
    /// Whether there are several cohorts.
    has_cohorts: bool,
    /// How they were extracted.
    pub(crate) extraction: Extraction,
}

impl Images {
    /// Reads the index of extracted images.
    ///
    /// # Errors
    /// A file of the artifact is missing or malformed.
    pub(crate) fn open(input: &Input) -> Result<Self, StageError> {
        let index = Table::read(input.require("images.tsv")?)?;
        let paths = index.complete_texts("file")?;
        let voxels = index.texts("voxels").unwrap_or_default();
        let files = index
            .sessions()?
            .into_iter()
            .zip(paths)
            .enumerate()
            .map(|(row, (session, path))| {
                let voxels = voxels.get(row).map(|digest| (*digest).to_owned());
                // The index may name files from its own folder or from the artifact's root.
                let file = input.file(path).map_or_else(
                    || input.require(&format!("images/{path}")),
                    Ok::<_, StageError>,
                )?;
                let stored = Stored {
                    cohort: session.cohort.to_owned(),
                    session: session.session.to_owned(),
                    file: file.clone(),
                    voxels,
                };
                Ok((key(session), stored))
            })
            .collect::<Result<Vec<_>, StageError>>()?;
        let mut by_session: BTreeMap<Key, Vec<Stored>> = BTreeMap::new();
        for (key, stored) in files {
            by_session.entry(key).or_default().push(stored);
        }
        Ok(Self {
            shown: input.shown.clone(),
            files: by_session,
            has_cohorts: index.has_cohorts(),
            extraction: Extraction::open(input)?,
        })
    }

    /// The image of a session. A table that tells no cohort, or images that have none, are compared by
    /// participant and session.
    fn find(&self, session: Session<'_>, table: &Table) -> Result<Option<&Stored>, StageError> {
        let Some(found) = self.files.get(&key(session)) else {
            return Ok(None);
        };
        if table.has_cohorts() && self.has_cohorts {
            return Ok(found.iter().find(|stored| stored.cohort == session.cohort));
        }
        match found.as_slice() {
            [stored] => Ok(Some(stored)),
            _ => Err(StageError::new(format!(
                "`{}`: {session} is in several cohorts of `{}`",
                table.shown(),
                self.shown
            ))
            .hint("the table needs a column `cohort`")),
        }
    }
}

/// How the labels of a cohort are read.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Labels<'a> {
    pub(crate) column: &'a str,
    /// The known labels; `None` where labels are numbers.
    pub(crate) code: Option<&'a LabelCode>,
}

/// The rows of a table whose diagnosis is listed; all of them if the list is empty.
///
/// # Errors
/// The list is not empty and the table has no such column, or nothing is left.
pub(crate) fn keep_diagnoses(table: Table, diagnoses: &[String]) -> Result<Table, StageError> {
    if diagnoses.is_empty() {
        return Ok(table);
    }
    let values = table.texts(DIAGNOSIS)?;
    let rows: Vec<usize> = (0..table.len())
        .filter(|&row| diagnoses.iter().any(|kept| kept == values[row]))
        .collect();
    if rows.is_empty() {
        let found: BTreeSet<&str> = values.into_iter().collect();
        let list = |names: Vec<String>| names.join(", ");
        let message = format!(
            "`{}` has no row with diagnosis {}",
            table.shown(),
            list(diagnoses.iter().map(|d| format!("`{d}`")).collect())
        );
        let found = list(found.iter().map(|d| format!("`{d}`")).collect());
        return Err(StageError::new(message).hint(format!("its diagnoses are {found}")));
    }
    Ok(table.select(&rows))
}

impl Cohort {
    /// Finds the image and, if wanted, the label of every row of a table.
    ///
    /// # Errors
    /// The table is empty, sessions have no image (all are named), a label is missing or unknown.
    pub(crate) fn build(
        table: &Table,
        images: &Images,
        labels: Option<Labels<'_>>,
        (name, origin): (&str, Origin),
    ) -> Result<Self, StageError> {
        let chosen = parts_of_rows(table, &images.extraction)?;
        let sessions = match chosen {
            Some(_) => table.sessions_of_parts()?,
            None => table.sessions()?,
        };
        if sessions.is_empty() {
            let message = format!("`{}` has no row, expected at least one", table.shown());
            return Err(StageError::new(message));
        }
        let targets = labels.map(|labels| targets(table, labels)).transpose()?;
        let mut missing = Vec::new();
        let mut samples = Vec::with_capacity(sessions.len());
        let mut voxels = Vec::with_capacity(sessions.len());
        let mut count = None;
        for (row, session) in sessions.iter().enumerate() {
            let Some(stored) = images.find(*session, table)? else {
                missing.push(session.to_string());
                continue;
            };
            voxels.push(stored.voxels.clone());
            let count = match count {
                Some(count) => count,
                None => *count.insert(parts_of_image(&stored.file, &images.extraction)?),
            };
            let parts = match &chosen {
                None => 0..count,
                Some(chosen) if chosen[row] < count => chosen[row]..chosen[row] + 1,
                Some(chosen) => {
                    let part = chosen[row];
                    let message = format!(
                        "`{}`: {session} has {count} parts, not part {part}",
                        table.shown()
                    );
                    return Err(StageError::new(message));
                }
            };
            let known = targets.as_ref().map(|targets| targets[row].clone());
            let (label, target) = known.unzip();
            samples.extend(parts.map(|part| Sample {
                cohort: if images.has_cohorts {
                    stored.cohort.clone()
                } else {
                    session.cohort.to_owned()
                },
                participant: session.participant.to_owned(),
                session: stored.session.clone(),
                label: label.clone(),
                target,
                file: stored.file.clone(),
                part,
            }));
        }
        if missing.is_empty() {
            return Ok(Self {
                shown: table.shown().to_owned(),
                samples,
                extraction: images.extraction.clone(),
                parts_per_image: count.unwrap_or(1),
                group: Group::of_table(name, table, origin, voxels)?,
            });
        }
        Err(StageError::new(format!(
            "{} of {} sessions of `{}` have no image in `{}`: {}",
            missing.len(),
            sessions.len(),
            table.shown(),
            images.shown,
            listed(&missing, LISTED, "; ")
        ))
        .hint("extract their images, or remove their rows from the table"))
    }

    /// What is learnt or predicted: whole images, or parts of one kind.
    pub(crate) fn mode(&self) -> Mode {
        self.extraction.parts.mode()
    }

    /// The numbers of the parts that images have, sorted.
    pub(crate) fn parts(&self) -> BTreeSet<usize> {
        self.samples.iter().map(|sample| sample.part).collect()
    }

    /// The same images, of which one part is used.
    pub(crate) fn of_part(&self, part: usize) -> Self {
        let samples = self.samples.iter().filter(|sample| sample.part == part);
        Self {
            shown: self.shown.clone(),
            samples: samples.cloned().collect(),
            extraction: self.extraction.clone(),
            parts_per_image: self.parts_per_image,
            group: self.group.clone(),
        }
    }

    /// The stratum of every image, for samplers that draw strata equally often: its class, or which of
    /// [`BINS`] equal parts of the range its number is in; 0 for all without labels.
    pub(crate) fn strata(&self) -> Vec<usize> {
        let numbers = || {
            self.samples
                .iter()
                .filter_map(|sample| match sample.target {
                    Some(Target::Number(number)) => Some(number),
                    _ => None,
                })
        };
        let least = numbers().fold(f64::INFINITY, f64::min);
        let range = numbers().fold(f64::NEG_INFINITY, f64::max) - least;
        let bin = |number: f64| {
            let part = if range > 0.0 {
                (number - least) / range
            } else {
                0.0
            };
            (1..BINS)
                .filter(|&edge| part >= edge as f64 / BINS as f64)
                .count()
        };
        let strata = self.samples.iter().map(|sample| match sample.target {
            Some(Target::Class(code)) => code,
            Some(Target::Number(number)) => bin(number),
            None => 0,
        });
        strata.collect()
    }
}

/// The label of every row, and what it means.
fn targets(table: &Table, labels: Labels<'_>) -> Result<Vec<(String, Target)>, StageError> {
    let column = table.column(labels.column)?;
    let texts = table.complete_texts(labels.column)?.into_iter();
    let target = |(row, text): (usize, &str)| {
        let target = match labels.code {
            Some(code) => code.code(text).map(Target::Class).ok_or_else(|| {
                let known = code.iter().map(|(label, _)| format!("`{label}`"));
                let known = known.collect::<Vec<_>>().join(", ");
                format!("label `{text}` is not one of the model's: {known}")
            }),
            None => match text.parse::<f64>() {
                Ok(number) if number.is_finite() => Ok(Target::Number(number)),
                _ => Err(format!("label `{text}` is no number")),
            },
        };
        let target = target
            .map_err(|why| StageError::new(format!("{}: {why}", table.place(row, column))))?;
        Ok((text.to_owned(), target))
    };
    texts.enumerate().map(target).collect()
}

/// The code of the labels of a training table: as given, or derived from the labels it holds.
///
/// # Errors
/// There is no such column, a label is missing, or there is one class only.
pub(crate) fn label_code(
    table: &Table,
    column: &str,
    given: &BTreeMap<String, u32>,
) -> Result<LabelCode, StageError> {
    let texts = table.complete_texts(column)?;
    let code = if given.is_empty() {
        LabelCode::derive(texts.iter().copied().filter(|text| !is_missing(text)))
    } else {
        let codes = given
            .iter()
            .map(|(label, &node)| (label.clone(), node as usize));
        LabelCode::given(codes.collect())?
    };
    let present: BTreeSet<usize> = texts.iter().filter_map(|text| code.code(text)).collect();
    if code.classes() < 2 {
        let labels: BTreeSet<&str> = texts.into_iter().collect();
        let labels: Vec<&str> = labels.into_iter().collect();
        return Err(StageError::new(format!(
            "column `{column}` of `{}` has one class only (`{}`), expected at least two",
            table.shown(),
            labels.join("`, `")
        )));
    }
    if let Some(absent) = (0..code.classes()).find(|node| !present.contains(node)) {
        let names: Vec<&str> = code
            .iter()
            .filter(|(_, node)| *node == absent)
            .map(|(l, _)| l)
            .collect();
        return Err(StageError::new(format!(
            "no training session of `{}` has label `{}`, so that class cannot be learnt",
            table.shown(),
            names.join("` or `")
        )));
    }
    Ok(code)
}

/// The key of a session.
fn key(session: Session<'_>) -> Key {
    (
        session.participant.to_owned(),
        canonical_session(session.session).into_owned(),
    )
}

/// The part that each row of a table means, where it has the column `<mode>_id`.
fn parts_of_rows(table: &Table, extraction: &Extraction) -> Result<Option<Vec<usize>>, StageError> {
    let mode = extraction.parts.mode();
    let name = format!("{}_id", mode.name());
    if mode == Mode::Image || !table.columns().contains(&name) {
        return Ok(None);
    }
    let column = table.column(&name)?;
    let texts = table.complete_texts(&name)?.into_iter().enumerate();
    let numbers = texts.map(|(row, text)| {
        text.parse::<usize>().map_err(|_| {
            let place = table.place(row, column);
            StageError::new(format!("{place}: `{text}` is no number of a part"))
        })
    });
    numbers.collect::<Result<_, _>>().map(Some)
}

/// The number of parts of an image.
fn parts_of_image(file: &InputFile, extraction: &Extraction) -> Result<usize, StageError> {
    let known = tensor_file::summary(&file.path, &file.shown)?;
    match (extraction.saved, known.parts) {
        (true, Some(count)) => Ok(count),
        (false, None) => {
            let shape = known.shape.try_into().map_err(|shape| {
                StageError::internal(format!("`{}` has shape {shape:?}", file.shown))
            })?;
            let count = extraction.parts.count(shape);
            count.map_err(|why| StageError::new(format!("`{}` {why}", file.shown)))
        }
        _ => {
            let message = format!("`{}` is not what `extraction.json` tells", file.shown);
            Err(StageError::new(message))
        }
    }
}
