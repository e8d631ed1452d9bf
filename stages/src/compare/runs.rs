//! Whose predictions are compared: found, read, and brought into one order.

use std::collections::{BTreeMap, BTreeSet};

use engine::{Context, Input, StageError};
use maps::files::Identity;
use maps::layout::{BASELINE, ensemble_of, in_ensemble, split_of};

use super::CompareParams;
use crate::learning::inside_split;
use crate::listed::some;
use crate::predictions::{Answers, Predictions, groups_of};
use crate::table::canonical_session;

/// A model as the manifest names it: an input, and which of its models where it has several.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Named<'a> {
    pub(super) input: &'a str,
    pub(super) folder: Option<&'a str>,
}

impl<'a> Named<'a> {
    pub(super) fn of(text: &'a str) -> Self {
        match text.split_once('/') {
            Some((input, folder)) => Self {
                input,
                folder: Some(folder),
            },
            None => Self {
                input: text,
                folder: None,
            },
        }
    }
}

/// One training of a model, on every split.
#[derive(Debug)]
pub(super) struct Run {
    /// The model as the manifest names it.
    pub(super) model: String,
    /// The input, and which of its models.
    pub(super) name: String,
    /// Whether it is an ensemble, which is beside each split of others.
    is_of_all_splits: bool,
    pub(super) splits: BTreeMap<usize, Predictions>,
}

/// Reads the predictions of every model, the reference first, and of its further seeds.
///
/// # Errors
/// There are none, or those of two runs are not of the same images.
pub(super) fn read(params: &CompareParams, context: &Context) -> Result<Vec<Run>, StageError> {
    let mut runs: Vec<Run> = Vec::new();
    for model in &params.models {
        let named = Named::of(model);
        let seeds = params.seeds.get(model).into_iter().flatten();
        let inputs = std::iter::once(named.input).chain(seeds.map(String::as_str));
        for input in inputs {
            let run = run(
                model,
                context.input(input)?,
                input,
                named.folder,
                &params.data_group,
            )?;
            runs.push(run);
        }
    }
    let of_splits = runs.iter().find(|run| !run.is_of_all_splits);
    let numbers: Vec<usize> =
        of_splits.map_or_else(Vec::new, |run| run.splits.keys().copied().collect());
    for run in runs
        .iter_mut()
        .filter(|run| run.is_of_all_splits && !numbers.is_empty())
    {
        if let Some((_, said)) = run.splits.pop_first() {
            run.splits = numbers.iter().map(|&split| (split, said.clone())).collect();
        }
    }
    let Some((first, others)) = runs.split_first_mut() else {
        return Ok(runs);
    };
    for other in others {
        agree(first, other)?;
    }
    Ok(runs)
}

fn run(
    model: &str,
    input: &Input,
    name: &str,
    folder: Option<&str>,
    group: &str,
) -> Result<Run, StageError> {
    let shown = &input.shown;
    let firsts = input.files.keys().filter_map(|path| path.split('/').next());
    let folders: BTreeSet<&str> = firsts.filter(|first| split_of(first).is_some()).collect();
    let is_empty = |folder: &&str| groups_of(input, &format!("{folder}/"), group).is_empty();
    // That of an earlier stage is in a folder of a split too, that of a MAPS beside them.
    let ensemble = match folders.iter().all(is_empty) {
        true => input.files.keys().find_map(|path| ensemble_folder(path)),
        false => None,
    };
    // What is no folder of splits is one split.
    let prefixes: Vec<(usize, String)> = match (folders.is_empty(), &ensemble) {
        (_, Some(prefix)) => vec![(0, prefix.clone())],
        (true, None) => vec![(0, String::new())],
        (false, None) => {
            let numbered = folders
                .iter()
                .filter_map(|f| Some((split_of(f)?, format!("{f}/"))));
            numbered.collect()
        }
    };
    let mut splits = BTreeMap::new();
    let mut chosen: Option<String> = folder.map(str::to_owned);
    let short = |name: &str| name.trim_start_matches(BASELINE).to_owned();
    for (split, prefix) in prefixes {
        // `simple/voxels` means the folder `baseline-voxels`.
        let found = groups_of(input, &prefix, group).into_iter();
        let found: Vec<_> = found.map(|(name, file)| (short(&name), file)).collect();
        if found.is_empty() {
            let message =
                format!("`{shown}` has no predictions of data group `{group}` in split {split}");
            return Err(StageError::new(message).hint("set `data_group`"));
        }
        let names: Vec<String> = found.iter().map(|(name, _)| format!("`{name}`")).collect();
        let wanted = match (&chosen, found.as_slice()) {
            (Some(wanted), _) => wanted.clone(),
            (None, [(only, _)]) => only.clone(),
            (None, [(first, _), ..]) => {
                let message = format!("`{shown}` has several models: {}", names.join(", "));
                let hint = format!("choose one under `models`, such as `{name}/{first}`");
                return Err(StageError::new(message).hint(hint));
            }
            (None, []) => continue,
        };
        let Some((_, file)) = found.iter().find(|(name, _)| *name == wanted) else {
            let message = format!("`{shown}` has no model `{wanted}` in split {split}");
            return Err(StageError::new(message).hint(format!("it has {}", names.join(", "))));
        };
        splits.insert(split, Predictions::read(file)?);
        chosen = Some(wanted);
    }
    let folder = chosen.unwrap_or_default();
    Ok(Run {
        model: model.to_owned(),
        name: format!("{name}/{folder}"),
        is_of_all_splits: ensemble.is_some(),
        splits,
    })
}

/// The folder of the ensemble that a file belongs to, with a slash at its end.
fn ensemble_folder(path: &str) -> Option<String> {
    let inside = inside_split(path);
    let (name, _) = ensemble_of(inside)?;
    let before = path.strip_suffix(inside)?;
    Some(format!("{before}{}", in_ensemble(name, "")))
}

/// Makes sure that two runs are of the same images, and brings those of the second into the order of the
/// first.
fn agree(first: &Run, other: &mut Run) -> Result<(), StageError> {
    let numbers = |run: &Run| run.splits.keys().copied().collect::<Vec<_>>();
    if numbers(first) != numbers(other) {
        let message = format!(
            "`{}` has splits {:?}, `{}` {:?}",
            first.name,
            numbers(first),
            other.name,
            numbers(other)
        );
        return Err(StageError::new(message).hint("only models of the same splits compare"));
    }
    let names = [first.name.clone(), other.name.clone()];
    for (split, left) in &first.splits {
        if let Some(right) = other.splits.get_mut(split) {
            *right = matched(left, right, *split, &names)?;
        }
    }
    Ok(())
}

type Key = (String, String, u32);

fn key(row: &Identity) -> Key {
    let session = canonical_session(&row.session).into_owned();
    (row.participant.clone(), session, row.image_id)
}

fn matched(
    left: &Predictions,
    right: &Predictions,
    split: usize,
    [first, second]: &[String; 2],
) -> Result<Predictions, StageError> {
    let same_kind = left.level == right.level
        && match (&left.answers, &right.answers) {
            (Answers::Classes(a), Answers::Classes(b)) => a.classes == b.classes,
            (a, b) => a.task() == b.task(),
        };
    if !same_kind {
        let kind = |p: &Predictions| match &p.answers {
            Answers::Classes(a) => format!("{} classes per {}", a.classes, p.level),
            other => format!("a {} per {}", other.task().name(), p.level),
        };
        let (left, right) = (kind(left), kind(right));
        let message = format!("split {split}: `{first}` predicts {left}, `{second}` {right}");
        return Err(StageError::new(message));
    }
    let places: BTreeMap<Key, usize> = right.rows.iter().map(key).zip(0..).collect();
    let mut expected: BTreeSet<Key> = BTreeSet::new();
    let name = |(participant, session, part): &Key| match left.level.as_str() {
        maps::layout::IMAGE_LEVEL => format!("{participant}, {session}"),
        level => format!("{participant}, {session}, {level} {part}"),
    };
    // Tables name no cohort: participants of the same name cannot be told apart.
    for (run, rows) in [(second, &right.rows), (first, &left.rows)] {
        expected.clear();
        if let Some(again) = rows.iter().map(key).find(|k| !expected.insert(k.clone())) {
            let again = name(&again);
            let message = format!("split {split}: `{run}` has several predictions of {again}");
            return Err(StageError::new(message).hint("predict each session once"));
        }
    }
    let lacking: Vec<String> = expected
        .iter()
        .filter(|k| !places.contains_key(k))
        .map(name)
        .collect();
    let surplus: Vec<String> = places
        .keys()
        .filter(|k| !expected.contains(k))
        .map(name)
        .collect();
    if !lacking.is_empty() || !surplus.is_empty() || left.rows.len() != right.rows.len() {
        let only = |run: &str, names: &[String]| match names {
            [] => String::new(),
            names => format!("; {} only in `{run}`: {}", names.len(), some(names)),
        };
        let message = format!(
            "split {split}: `{first}` and `{second}` predict other images, {} and {}{}{}",
            left.rows.len(),
            right.rows.len(),
            only(first, &lacking),
            only(second, &surplus)
        );
        return Err(
            StageError::new(message).hint("predict the same table of participants with both")
        );
    }
    let order: Vec<usize> = left.rows.iter().map(|row| places[&key(row)]).collect();
    let right = Predictions {
        rows: left.rows.clone(),
        level: right.level.clone(),
        leakage: right.leakage.clone(),
        answers: right.answers.pick(&order),
    };
    let differs = match (&left.answers, &right.answers) {
        (Answers::Classes(a), Answers::Classes(b)) => {
            (0..a.truth.len()).find(|&i| a.truth[i] != b.truth[i])
        }
        (Answers::Numbers { truth: a, .. }, Answers::Numbers { truth: b, .. }) => {
            (0..a.len()).find(|&i| a[i].to_bits() != b[i].to_bits())
        }
        _ => None,
    };
    if let Some(row) = differs {
        let name = name(&key(&left.rows[row]));
        let message =
            format!("split {split}: `{first}` and `{second}` have another true label of {name}");
        return Err(StageError::new(message).hint("learn the same label with the same code"));
    }
    Ok(right)
}
