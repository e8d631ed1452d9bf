//! Which images belong to a data group, with their labels.
//!
//! A cohort is complete: every session of its table has an image and, where labels are used, a label
//! that the network knows.

use std::collections::{BTreeMap, BTreeSet};

use engine::{Input, InputFile, StageError};
use stages::metrics::LabelCode;
use stages::table::{Person, Table, is_missing};

/// Column by which rows are kept or left out.
pub(crate) const DIAGNOSIS: &str = "diagnosis";
/// How many sessions a message lists at most.
const LISTED: usize = 50;

/// One image of a cohort.
#[derive(Debug, Clone)]
pub(crate) struct Sample {
    pub(crate) participant: String,
    pub(crate) cohort: String,
    pub(crate) session: String,
    /// The label as written in the table; `None` where labels are not used.
    pub(crate) label: Option<String>,
    /// The output node of the label.
    pub(crate) code: Option<usize>,
    pub(crate) file: InputFile,
}

/// The images of a data group, in the order of its table.
#[derive(Debug, Clone)]
pub(crate) struct Cohort {
    /// What messages call its table.
    pub(crate) shown: String,
    pub(crate) samples: Vec<Sample>,
}

/// Extracted images.
#[derive(Debug)]
pub(crate) struct Images {
    shown: String,
    index: Table,
    /// The file of each row of the index.
    files: Vec<InputFile>,
    /// The JSON object that says how they were extracted.
    pub(crate) extraction: serde_json::Map<String, serde_json::Value>,
}

impl Images {
    /// Reads the index of extracted images.
    ///
    /// # Errors
    /// A file of the artifact is missing or malformed.
    pub(crate) fn open(input: &Input) -> Result<Self, StageError> {
        let index = Table::read(input.require("images.tsv")?)?;
        let paths = index.complete_texts("file")?;
        let files = paths
            .into_iter()
            .map(|path| {
                // The index may name files from its own folder or from the artifact's root.
                let file = input.file(path).map_or_else(
                    || input.require(&format!("images/{path}")),
                    Ok::<_, StageError>,
                )?;
                Ok(file.clone())
            })
            .collect::<Result<_, StageError>>()?;
        let file = input.require("extraction.json")?;
        let text = std::fs::read(&file.path).map_err(|e| StageError::io("read", &file.path, &e))?;
        let extraction = serde_json::from_slice(&text)
            .map_err(|e| StageError::new(format!("`{}` is no JSON object: {e}", file.shown)))?;
        Ok(Self {
            shown: input.shown.clone(),
            index,
            files,
            extraction,
        })
    }
}

/// How the labels of a cohort are read.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Labels<'a> {
    pub(crate) column: &'a str,
    /// The known labels.
    pub(crate) code: &'a LabelCode,
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
    ) -> Result<Self, StageError> {
        let sessions = table.sessions()?;
        if sessions.is_empty() {
            let message = format!("`{}` has no row, expected at least one", table.shown());
            return Err(StageError::new(message));
        }
        let codes = labels.map(|labels| codes(table, labels)).transpose()?;
        let extracted = images.index.sessions_beside(table)?;
        let extracted: BTreeMap<_, _> = extracted.into_iter().zip(&images.files).collect();
        let sought = table.sessions_beside(&images.index)?;
        let mut missing = Vec::new();
        let mut samples = Vec::with_capacity(sessions.len());
        for (row, session) in sessions.iter().enumerate() {
            match extracted.get(&sought[row]) {
                None => missing.push(session.to_string()),
                Some(&file) => {
                    let coded = codes.as_ref().map(|codes| codes[row].clone());
                    let (label, code) = coded.unzip();
                    samples.push(Sample {
                        participant: session.participant.to_owned(),
                        cohort: session.cohort.to_owned(),
                        session: session.session.to_owned(),
                        label,
                        code,
                        file: file.clone(),
                    });
                }
            }
        }
        if missing.is_empty() {
            return Ok(Self {
                shown: table.shown().to_owned(),
                samples,
            });
        }
        Err(StageError::new(format!(
            "{} of {} sessions of `{}` have no image in `{}`: {}",
            missing.len(),
            sessions.len(),
            table.shown(),
            images.shown,
            listed(&missing)
        ))
        .hint("extract their images, or remove their rows from the table"))
    }

    /// The distinct participants, sorted.
    pub(crate) fn participants(&self) -> BTreeSet<&str> {
        let names = self
            .samples
            .iter()
            .map(|sample| sample.participant.as_str());
        names.collect()
    }

    /// The distinct participants of every cohort, sorted.
    fn people(&self) -> BTreeSet<Person<'_>> {
        let people = self.samples.iter().map(|sample| Person {
            participant: &sample.participant,
            cohort: &sample.cohort,
        });
        people.collect()
    }

    /// The code of every image; empty where labels are not used.
    pub(crate) fn codes(&self) -> Vec<usize> {
        self.samples
            .iter()
            .filter_map(|sample| sample.code)
            .collect()
    }
}

/// The label and the code of every row.
fn codes(table: &Table, labels: Labels<'_>) -> Result<Vec<(String, usize)>, StageError> {
    let column = table.column(labels.column)?;
    let texts = table.complete_texts(labels.column)?;
    let known = || -> Vec<String> {
        labels
            .code
            .iter()
            .map(|(label, _)| format!("`{label}`"))
            .collect()
    };
    texts
        .into_iter()
        .enumerate()
        .map(|(row, text)| match labels.code.code(text) {
            Some(code) => Ok((text.to_owned(), code)),
            None => {
                let place = table.place(row, column);
                Err(StageError::new(format!(
                    "{place}: label `{text}` is not one of the model's: {}",
                    known().join(", ")
                )))
            }
        })
        .collect()
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

/// Refuses a model whose training and validation share participants.
///
/// # Errors
/// They do; the message names them.
pub(crate) fn check_disjoint(train: &Cohort, validation: &Cohort) -> Result<(), StageError> {
    let shared: Vec<String> = train
        .people()
        .intersection(&validation.people())
        .map(|person| format!("`{person}`"))
        .collect();
    if shared.is_empty() {
        return Ok(());
    }
    let verb = if shared.len() == 1 { "is" } else { "are" };
    Err(StageError::new(format!(
        "{} {verb} in both training (`{}`) and validation (`{}`)",
        listed(&shared),
        train.shown,
        validation.shown
    ))
    .hint("split participants, not sessions: stages `split` and `kfold` do"))
}

/// Names for a message: all of them, or the first and how many more.
pub(crate) fn listed(names: &[String]) -> String {
    if names.len() <= LISTED {
        return names.join("; ");
    }
    let more = names.len() - LISTED;
    format!("{} and {more} more", names[..LISTED].join("; "))
}
