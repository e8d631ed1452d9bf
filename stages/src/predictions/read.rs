//! Predictions from the tables of a split.

use engine::{Input, InputFile, StageError};
use maps::files::{
    Identity, MeasuredTable, PredictionTable, RECONSTRUCTION_COLUMNS, REGRESSION_COLUMNS,
};
use maps::layout::{LEVELS, SplitPath, model_in};

use super::{Answers, Predictions};
use crate::metrics::OwnedOutcomes;

/// What stands for a number that was not read.
const NO_NUMBER: f64 = -1.0;
/// What the names of tables of whole images hold.
const OF_IMAGES: &str = "_image_level_";

/// Whether a path inside a split is that of predictions of a data group.
pub fn is_prediction_of(group: &str, path: &str) -> bool {
    folder_of(group, path).is_some()
}

/// The model of a table of predictions of a data group, from its path inside a split.
fn folder_of<'a>(group: &str, path: &'a str) -> Option<&'a str> {
    let metric = model_in(path.split('/').next()?)?;
    let is_it = LEVELS.iter().any(|level| {
        let path_of = SplitPath::Prediction {
            metric,
            group,
            level,
        };
        path_of.in_artifact() == path
    });
    is_it.then_some(metric)
}

/// The tables of predictions of a data group below `prefix`, one of each model ([`model_in`]): that of whole
/// images where there is one of their parts too.
pub fn groups_of<'a>(input: &'a Input, prefix: &str, group: &str) -> Vec<(String, &'a InputFile)> {
    let inside = input
        .files
        .iter()
        .filter_map(|(path, file)| Some((path.strip_prefix(prefix)?, file)));
    let mut found: Vec<(String, &InputFile)> = Vec::new();
    for (path, file) in inside {
        let Some(model) = folder_of(group, path) else {
            continue;
        };
        match found.iter_mut().find(|(known, _)| known == model) {
            Some(known) if path.contains(OF_IMAGES) => known.1 = file,
            Some(_) => {}
            None => found.push((model.to_owned(), file)),
        }
    }
    found
}

impl Predictions {
    /// Reads a table of predictions of any task.
    ///
    /// # Errors
    /// It is none, it is empty, or it does not tell the truth of an image.
    pub fn read(file: &InputFile) -> Result<Self, StageError> {
        let bytes =
            std::fs::read(&file.path).map_err(|e| StageError::io("read", &file.path, &e))?;
        Self::parse(&bytes, &file.shown)
    }

    /// As [`Self::read`], from memory.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub fn parse(bytes: &[u8], shown: &str) -> Result<Self, StageError> {
        let end = bytes.iter().position(|&byte| byte == b'\n');
        let head = String::from_utf8_lossy(&bytes[..end.unwrap_or(bytes.len())]);
        let has = |name: &str| head.trim_end().split('\t').any(|column| column == name);
        let read = if has("proba0") {
            classes(bytes, shown)?
        } else if has(REGRESSION_COLUMNS[0]) {
            numbers(bytes, shown)?
        } else {
            measures(bytes, shown)?
        };
        if read.rows.is_empty() {
            let message = format!("`{shown}` has no row, expected at least one");
            return Err(StageError::new(message));
        }
        Ok(read)
    }
}

fn classes(bytes: &[u8], shown: &str) -> Result<Predictions, StageError> {
    let table = PredictionTable::read(bytes, shown).map_err(StageError::new)?;
    let classes = table.n_classes();
    let code = |row: &maps::files::PredictionRow, code: i64, what: &str| {
        let found = usize::try_from(code).ok().filter(|&code| code < classes);
        found.ok_or_else(|| {
            let (participant, session) = (&row.participant, &row.session);
            StageError::new(format!(
                "`{shown}`: {participant}, {session} has {what} {code}, expected a code below {classes}"
            ))
        })
    };
    let mut outcomes = OwnedOutcomes {
        classes,
        ..OwnedOutcomes::default()
    };
    for row in table.rows() {
        let Some(truth) = row.true_label else {
            return Err(no_truth(shown));
        };
        outcomes.truth.push(code(row, truth, "true label")?);
        let predicted = code(row, row.predicted_label, "predicted label")?;
        outcomes.predicted.push(predicted);
        outcomes.probabilities.extend(&row.probabilities);
    }
    let identity = |row: &maps::files::PredictionRow| Identity {
        participant: row.participant.clone(),
        session: row.session.clone(),
        image_id: row.image_id,
    };
    Ok(Predictions {
        rows: table.rows().iter().map(identity).collect(),
        level: table.level().to_owned(),
        leakage: table.leakage().map(str::to_owned),
        answers: Answers::Classes(outcomes),
    })
}

fn numbers(bytes: &[u8], shown: &str) -> Result<Predictions, StageError> {
    let table = MeasuredTable::read(bytes, shown, &REGRESSION_COLUMNS).map_err(StageError::new)?;
    let column = |k: usize| {
        table
            .rows
            .iter()
            .map(|row| row.values[k])
            .collect::<Vec<_>>()
    };
    let truth = column(0);
    // All of them at once are no coincidence.
    if !truth.is_empty() && truth.iter().all(|y| y.total_cmp(&NO_NUMBER).is_eq()) {
        return Err(no_truth(shown));
    }
    let answers = Answers::Numbers {
        truth,
        predicted: column(1),
    };
    Ok(measured(table, answers))
}

fn measures(bytes: &[u8], shown: &str) -> Result<Predictions, StageError> {
    let table =
        MeasuredTable::read(bytes, shown, &RECONSTRUCTION_COLUMNS).map_err(StageError::new)?;
    let rows = table.rows.iter().map(|row| {
        let values = row.values.as_slice().try_into();
        values.map_err(|_| StageError::internal("a row has another number of measures"))
    });
    let answers = Answers::Measures(rows.collect::<Result<_, _>>()?);
    Ok(measured(table, answers))
}

fn measured(table: MeasuredTable, answers: Answers) -> Predictions {
    Predictions {
        rows: table.rows.into_iter().map(|row| row.identity).collect(),
        level: table.level,
        leakage: table.leakage,
        answers,
    }
}

fn no_truth(shown: &str) -> StageError {
    StageError::new(format!("`{shown}` holds predictions without true labels"))
        .hint("predict with `use_labels: true`")
}
