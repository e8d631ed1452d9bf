//! From the old layout to the new one.
//!
//! ```text
//! AD.tsv AD_baseline.tsv CN.tsv …              labels.tsv labels_baseline.tsv
//! split.json                                   split/
//! train/ AD.tsv …                                train.tsv train_baseline.tsv
//!        kfold.json                              5_fold/
//!        train_splits-5/split-0/ AD.tsv …          split-0/ train.tsv …
//!        validation_splits-5/split-0/ …                     validation_baseline.tsv
//! test/ AD_baseline.tsv …                        test_baseline.tsv
//! ```

use std::collections::{BTreeMap, BTreeSet};

use engine::{Input, StageError};
use serde::Deserialize;

use super::AdaptParams;
use crate::table::{Session, Table, is_identifier};

/// Column that says the label; where a table has none, the name of its file does.
const LABEL: &str = "diagnosis";
/// Folders in folders, as `split.json` can be in a part again.
const DEEPEST: usize = 20;
/// How many participants or sessions a message names at most.
const NAMED: usize = 20;

/// Tables of the new layout.
#[derive(Debug, Default)]
pub(in crate::split) struct Converted {
    /// By path.
    pub(in crate::split) tables: BTreeMap<String, Table>,
    /// What is not called `train` in each folder that is split.
    pub(in crate::split) subsets: BTreeMap<String, String>,
}

/// What is used of `split.json` and `kfold.json`.
#[derive(Deserialize)]
struct Options {
    subset_name: String,
    #[serde(default)]
    n_splits: usize,
}

/// Converts a whole folder.
///
/// # Errors
/// A table is malformed, a session has two labels, a participant is in two parts, a JSON file is
/// malformed, or what it tells of is not there.
pub(in crate::split) fn convert(
    params: &AdaptParams,
    input: &Input,
) -> Result<Converted, StageError> {
    let mut world = World {
        params,
        input,
        converted: Converted::default(),
        seen: BTreeSet::new(),
    };
    world.folder("", "", "labels", 0)?;
    if let Some(absent) = params.labels.iter().find(|l| !world.seen.contains(*l)) {
        let message = format!("`{}` has no `{absent}.tsv`", input.shown);
        return Err(StageError::new(message));
    }
    if world.converted.tables.is_empty() {
        let message = format!("`{}` has no table, expected one per label", input.shown);
        return Err(StageError::new(message).hint("name the folder that `AD.tsv` is in"));
    }
    Ok(world.converted)
}

struct World<'a> {
    params: &'a AdaptParams,
    input: &'a Input,
    converted: Converted,
    /// Labels that there are files of.
    seen: BTreeSet<String>,
}

impl World<'_> {
    /// Converts what is at `old`, a path that is empty or ends with `/`, to tables called `name`.
    fn folder(&mut self, old: &str, new: &str, name: &str, depth: usize) -> Result<(), StageError> {
        if depth > DEEPEST {
            let shown = &self.input.shown;
            let message = format!("`{shown}/{old}`: more than {DEEPEST} folders in each other");
            return Err(StageError::new(message));
        }
        self.tables(old, new, name)?;
        if let Some(options) = self.options(&format!("{old}split.json"))? {
            let (subset, new) = (&options.subset_name, format!("{new}split/"));
            self.folder(&format!("{old}{subset}/"), &new, subset, depth + 1)?;
            self.folder(&format!("{old}train/"), &new, "train", depth + 1)?;
            self.check_parts(&new, subset, &format!("{old}split.json"))?;
        }
        if let Some(options) = self.options(&format!("{old}kfold.json"))? {
            let (subset, n) = (&options.subset_name, options.n_splits);
            for split in 0..n {
                let new = format!("{new}{n}_fold/split-{split}/");
                for part in ["train", subset.as_str()] {
                    let old = format!("{old}{part}_splits-{n}/split-{split}/");
                    self.folder(&old, &new, part, depth + 1)?;
                }
                self.check_parts(&new, subset, &format!("{old}kfold.json"))?;
            }
        }
        Ok(())
    }

    /// Joins the tables right in a folder.
    fn tables(&mut self, old: &str, new: &str, name: &str) -> Result<(), StageError> {
        let mut parts: [Vec<Table>; 2] = [Vec::new(), Vec::new()];
        for (path, file) in &self.input.files {
            let Some(stem) = path.strip_prefix(old).and_then(|p| p.strip_suffix(".tsv")) else {
                continue;
            };
            if stem.contains('/') {
                continue;
            }
            let baseline = stem.strip_suffix("_baseline");
            let label = baseline.unwrap_or(stem);
            if !self.params.labels.is_empty() && !self.params.labels.iter().any(|l| l == label) {
                continue;
            }
            self.seen.insert(label.to_owned());
            let mut table = Table::read(file)?;
            if !table.columns().iter().any(|column| column == LABEL) {
                let labels = vec![label.to_owned(); table.len()];
                table = table.with_column(LABEL, labels);
            }
            parts[usize::from(baseline.is_some())].push(table);
        }
        for (tables, suffix) in parts.iter().zip(["", "_baseline"]) {
            if tables.is_empty() {
                continue;
            }
            check_labels(tables)?;
            let path = format!("{new}{name}{suffix}.tsv");
            let table = Table::concatenated(&path, tables);
            self.converted.tables.insert(path, table);
        }
        Ok(())
    }

    fn options(&self, path: &str) -> Result<Option<Options>, StageError> {
        let Some(file) = self.input.file(path) else {
            return Ok(None);
        };
        let bytes =
            std::fs::read(&file.path).map_err(|e| StageError::io("read", &file.path, &e))?;
        let options: Options = serde_json::from_slice(&bytes).map_err(|e| {
            StageError::new(format!("`{}`: {e}", file.shown))
                .hint("expected an object with `subset_name`, in `kfold.json` `n_splits` too")
        })?;
        let name = &options.subset_name;
        if name.is_empty() || name == "train" || !is_identifier(name) {
            let message = format!("`{}`: `{name}` cannot be a `subset_name`", file.shown);
            return Err(StageError::new(message));
        }
        Ok(Some(options))
    }

    /// Refuses parts that are not there, or share participants.
    fn check_parts(&mut self, new: &str, subset: &str, json: &str) -> Result<(), StageError> {
        let shown = &self.input.shown;
        let mut people = [BTreeSet::new(), BTreeSet::new()];
        for (people, part) in people.iter_mut().zip(["train", subset]) {
            let names = [
                format!("{new}{part}.tsv"),
                format!("{new}{part}_baseline.tsv"),
            ];
            let tables: Vec<&Table> = names
                .iter()
                .filter_map(|name| self.converted.tables.get(name))
                .collect();
            if tables.is_empty() {
                return Err(StageError::new(format!(
                    "`{shown}/{json}` tells of tables for `{}`, which are not there",
                    names[0]
                )));
            }
            for table in tables {
                people.extend(table.sessions()?.iter().map(Session::person));
            }
        }
        let shared: Vec<String> = people[0]
            .intersection(&people[1])
            .take(NAMED)
            .map(ToString::to_string)
            .collect();
        if !shared.is_empty() {
            return Err(StageError::new(format!(
                "`{shown}/{json}`: in both `train` and `{subset}` of `{new}`: {}",
                shared.join(", ")
            )));
        }
        let folder = new.trim_end_matches('/').to_owned();
        self.converted.subsets.insert(folder, subset.to_owned());
        Ok(())
    }
}

/// Refuses sessions that are in the tables of two labels.
fn check_labels(tables: &[Table]) -> Result<(), StageError> {
    let mut first: BTreeMap<Session<'_>, &str> = BTreeMap::new();
    let mut twice = Vec::new();
    for table in tables {
        for session in table.sessions()? {
            if let Some(other) = first.insert(session, table.shown()) {
                twice.push(format!("{session} in `{other}` and `{}`", table.shown()));
            }
        }
    }
    if twice.is_empty() {
        return Ok(());
    }
    let more = match twice.len().saturating_sub(NAMED) {
        0 => String::new(),
        more => format!("; and {more} more"),
    };
    twice.truncate(NAMED);
    let message = format!("sessions have two labels: {}{more}", twice.join("; "));
    Err(StageError::new(message)
        .hint("list the `labels` to take: `MCI` also holds what `sMCI` and `pMCI` hold"))
}
