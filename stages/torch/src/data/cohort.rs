//! Which images belong to a data group, with their labels.
//!
//! A cohort is complete: every session of its table has an image and, where labels are used, a label
//! that the network knows.

use std::collections::BTreeSet;

use engine::{InputFile, StageError};
use stages::extraction::{Extraction, Mode};
use stages::leakage::{Group, Origin};
pub(crate) use stages::learning::images::Images;
pub(crate) use stages::learning::labels::{DIAGNOSIS, keep_diagnoses, label_code};
use stages::listed::listed;
use stages::metrics::LabelCode;
use stages::table::Table;
use stages::tensor_file;

use crate::tasks::Target;

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

/// Whose an image is: cohort, participant and session.
pub(crate) type Key<'a> = (&'a str, &'a str, &'a str);

impl Sample {
    /// Whose image it is, or is of.
    pub(crate) fn key(&self) -> Key<'_> {
        (&self.cohort, &self.participant, &self.session)
    }
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

/// How the labels of a cohort are read.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Labels<'a> {
    pub(crate) column: &'a str,
    /// The known labels; `None` where labels are numbers.
    pub(crate) code: Option<&'a LabelCode>,
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
            images.shown(),
            listed(&missing, LISTED, "; ")
        ))
        .hint("extract their images, or remove their rows from the table"))
    }

    /// Makes sure that files about single images have names of their own.
    ///
    /// # Errors
    /// An image of the same name is in several cohorts.
    pub(crate) fn check_names(&self) -> Result<(), StageError> {
        let mut seen = BTreeSet::new();
        for sample in &self.samples {
            let (participant, session) = (&sample.participant, &sample.session);
            if !seen.insert((participant, session, sample.part)) {
                return Err(StageError::new(format!(
                    "`{}`: {participant}, {session} is in several cohorts, whose files would have one name",
                    self.shown
                )));
            }
        }
        Ok(())
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
///
/// # Errors
/// There is no such column, a label is missing, or the network does not know what it means: all of these
/// are told.
fn targets(table: &Table, labels: Labels<'_>) -> Result<Vec<(String, Target)>, StageError> {
    let texts = table.complete_texts(labels.column)?;
    let target = |text: &str| match labels.code {
        Some(code) => code.code(text).map(Target::Class),
        None => {
            let number = text.parse::<f64>().ok();
            number
                .filter(|number| number.is_finite())
                .map(Target::Number)
        }
    };
    let known: Vec<Option<Target>> = texts.iter().map(|text| target(text)).collect();
    let Some(first) = known.iter().position(Option::is_none) else {
        let known = known.into_iter().flatten();
        let texts = texts.into_iter().map(str::to_owned);
        return Ok(texts.zip(known).collect());
    };
    let text = texts[first];
    let why = match labels.code {
        Some(code) => {
            let known = code.iter().map(|(label, _)| format!("`{label}`"));
            let known = known.collect::<Vec<_>>().join(", ");
            format!("label `{text}` is not one of the model's: {known}")
        }
        None => format!("label `{text}` is no number"),
    };
    let place = table.place(first, table.column(labels.column)?);
    let sessions = table.sessions_of_parts()?;
    let unknown = known.iter().enumerate();
    let unknown = unknown.filter(|(_, target)| target.is_none());
    let unknown: Vec<String> = unknown
        .map(|(row, _)| format!("{}: `{}`", sessions[row], texts[row]))
        .collect();
    let (count, of) = (unknown.len(), texts.len());
    let rows = listed(&unknown, LISTED, "; ");
    let message = format!("{place}: {why}; {count} of {of} rows have such labels: {rows}");
    Err(StageError::new(message).hint("change these labels, or leave their rows out"))
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
