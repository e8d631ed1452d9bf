//! Leaks that a manifest and its tables show before anything runs.

use std::collections::BTreeSet;
use std::path::Path;

use engine::manifest::{Issue, Manifest, ResolvedStage, Severity, Source};
use engine::{Digest, InputFile, Stage};
use serde_json::Value;

use super::Scenario;
use crate::baselines::Baselines;
use crate::calibrate::Calibrate;
use crate::clinical::{GetMetadata, GetProgression};
use crate::command::Command;
use crate::ensemble::Ensemble;
use crate::learning::{Interpret, Predict, Train};
use crate::listed::listed;
use crate::split::{KFold, PrepareExperiment, Split};
use crate::table::Table;

/// Inputs of a training that are tables of whom it sees, split by split or as a whole.
const SPLITS: [&str; 2] = ["splits", "target_splits"];
const UNLABELLED: &str = "unlabelled";

/// Participants a message lists.
const LISTED: usize = 10;

/// Every leak that is certain from how stages are connected, and from the tables that are there.
///
/// Tables that are computed are compared when they are there: in training and prediction.
pub fn check(manifest: &Manifest) -> Vec<Issue> {
    let mut issues = Vec::new();
    for (name, stage) in &manifest.stages {
        let checker = Checker {
            manifest,
            name,
            stage,
        };
        match stage.stage.id() {
            id if id == Train::ID || id == Baselines::ID => {
                issues.extend(checker.fitted_before_split());
                issues.extend(checker.given_splits());
            }
            id if id == Predict::ID || id == Interpret::ID => {
                issues.extend(checker.tested_on_training());
            }
            id if id == Ensemble::ID => issues.extend(checker.biased_ensemble()),
            _ => {}
        }
    }
    issues
}

struct Checker<'a> {
    manifest: &'a Manifest,
    name: &'a str,
    stage: &'a ResolvedStage,
}

impl<'a> Checker<'a> {
    fn issue(&self, field: &str, scenario: Scenario, what: &str) -> Issue {
        Issue {
            severity: Severity::Error,
            file: self.manifest.path.clone(),
            line: None,
            column: None,
            key: format!("stages.{}.{field}", self.name),
            message: format!(
                "data leakage ({}): {what}; {}",
                scenario.name(),
                scenario.why()
            ),
            hint: Some(format!(
                "{}; or state a reason with `allow_leakage`",
                scenario.way_out()
            )),
        }
    }

    fn is_allowed(&self) -> bool {
        let reason = self
            .stage
            .params
            .get("allow_leakage")
            .and_then(Value::as_str);
        reason.is_some_and(|reason| !reason.is_empty())
    }

    fn source_stage(&self, source: &Source) -> Option<(&'a str, &'a ResolvedStage)> {
        let Source::Stage { stage, .. } = source else {
            return None;
        };
        let (name, stage) = self.manifest.stages.get_key_value(stage)?;
        Some((name, stage))
    }

    /// Everything that a source is made from, itself included, over inputs of some kinds.
    fn ancestors(&self, source: &Source, tables_only: bool) -> Vec<Source> {
        let mut found: Vec<Source> = Vec::new();
        let mut waiting = vec![source.clone()];
        while let Some(source) = waiting.pop() {
            if found.contains(&source) {
                continue;
            }
            if let Some((_, stage)) = self.source_stage(&source) {
                let inputs = stage.inputs.values();
                waiting.extend(inputs.filter(|s| !tables_only || self.is_table(s)).cloned());
            }
            found.push(source);
        }
        found
    }

    fn is_table(&self, source: &Source) -> bool {
        let is_table = |kind: &str| matches!(kind, "table" | "splits");
        match source {
            Source::External { kind, .. } => is_table(kind),
            Source::Stage { port, .. } => self.source_stage(source).is_some_and(|(_, stage)| {
                stage
                    .ports
                    .outputs
                    .iter()
                    .any(|out| out.name == *port && is_table(&out.kind))
            }),
        }
    }

    /// The table whose rows these are: stages that only add columns are passed over.
    fn rows_of(&self, source: &Source) -> Source {
        let adds_columns = [(GetMetadata::ID, "labels"), (GetProgression::ID, "labels")];
        if let Some((_, stage)) = self.source_stage(source)
            && let Some((_, port)) = adds_columns.iter().find(|(id, _)| *id == stage.stage.id())
            && let Some(before) = stage.inputs.get(*port)
        {
            return self.rows_of(before);
        }
        source.clone()
    }

    /// The tables that a model was trained and selected on.
    fn training_tables(&self) -> Option<(&'a str, Vec<Source>)> {
        let model = self.stage.inputs.get("model")?;
        let (name, stage) = self.source_stage(model)?;
        let all = SPLITS.into_iter().chain([UNLABELLED]);
        let tables = all.filter_map(|port| stage.inputs.get(port));
        let tables = tables.flat_map(|table| self.ancestors(table, true));
        Some((name, tables.collect()))
    }

    fn tested_on_training(&self) -> Option<Issue> {
        if self.is_allowed() {
            return None;
        }
        let what = self.seen_and_tested(self.name)?;
        Some(self.issue("inputs.participants", Scenario::NoIndependentTest, &what))
    }

    /// What a prediction was allowed to do, an ensemble of its models may not do for that.
    fn biased_ensemble(&self) -> Option<Issue> {
        if self.is_allowed() {
            return None;
        }
        let mut predictions = self.stage.inputs.get("predictions")?;
        let (name, stage) = loop {
            let (name, stage) = self.source_stage(predictions)?;
            match stage.stage.id() {
                id if id == Calibrate::ID => predictions = stage.inputs.get("predictions")?,
                id if id == Predict::ID => break (name, stage),
                _ => return None,
            }
        };
        let of_members = Checker {
            manifest: self.manifest,
            name,
            stage,
        };
        // What is refused there needs not be refused twice.
        let what = of_members
            .is_allowed()
            .then(|| of_members.seen_and_tested(name))??;
        let what = format!("`{}` joins what {what}", self.name);
        Some(self.issue("inputs.predictions", Scenario::BiasedEnsembling, &what))
    }

    /// What tells that a model is applied to whom it has seen.
    fn seen_and_tested(&self, name: &str) -> Option<String> {
        let participants = self.stage.inputs.get("participants")?;
        if let Some((model, tables)) = self.training_tables()
            && let rows = self.rows_of(participants)
            && tables.iter().any(|table| self.rows_of(table) == rows)
        {
            return Some(format!(
                "`{name}` applies `{model}` to `{}`, which that model was trained on",
                shown(participants)
            ));
        }
        self.tables_overlap(participants)
    }

    /// Compares tables that are files of the manifest.
    fn tables_overlap(&self, participants: &Source) -> Option<String> {
        let tested = self.people(&self.external(participants)?)?;
        let (seen, where_) = self.seen_by_model()?;
        let shared: Vec<&String> = tested.intersection(&seen).collect();
        if shared.is_empty() {
            return None;
        }
        Some(format!(
            "{} participants of `{}` were seen in training (`{where_}`): {}",
            shared.len(),
            shown(participants),
            listed(&shared, LISTED, ", ")
        ))
    }

    /// Participants of a given MAPS, or of given splits, where no diagnosis is left out.
    fn seen_by_model(&self) -> Option<(BTreeSet<String>, String)> {
        let model = self.stage.inputs.get("model")?;
        if let Some(folder) = self.external(model) {
            let file = folder.join(maps::layout::TRAIN_VALIDATION);
            return Some((self.people(&file)?, shown(model)));
        }
        let (_, train) = self.source_stage(model)?;
        let has_all = train.params["diagnoses"]
            .as_array()
            .is_some_and(Vec::is_empty);
        let mut seen = BTreeSet::new();
        let mut names = Vec::new();
        for splits in SPLITS.iter().filter_map(|port| train.inputs.get(*port)) {
            let Some(folder) = self.external(splits).filter(|_| has_all) else {
                continue;
            };
            for (_, train, validation) in self.splits(&folder) {
                seen.extend(train);
                seen.extend(validation);
            }
            names.push(shown(splits));
        }
        if let Some(table) = train.inputs.get(UNLABELLED)
            && let Some(people) = self.external(table).and_then(|file| self.people(&file))
        {
            seen.extend(people);
            names.push(shown(table));
        }
        (!names.is_empty()).then(|| (seen, names.join("`, `")))
    }

    /// Training and validation of given splits must not share participants.
    fn given_splits(&self) -> Vec<Issue> {
        if self.is_allowed() {
            return Vec::new();
        }
        let folder = |port: &&str| self.external(self.stage.inputs.get(*port)?);
        let folders = SPLITS
            .into_iter()
            .filter_map(|port| Some((port, folder(&port)?)));
        let splits = folders.flat_map(|(port, folder)| {
            let splits = self.splits(&folder).into_iter();
            splits.map(move |split| (port, split))
        });
        let found = splits.filter_map(|(port, (name, train, validation))| {
            let shared: Vec<&String> = train.intersection(&validation).collect();
            let what = format!(
                "{} participants are in training and in validation of `{name}`: {}",
                shared.len(),
                listed(&shared, LISTED, ", ")
            );
            (!shared.is_empty())
                .then(|| self.issue(&format!("inputs.{port}"), Scenario::BiasedSplit, &what))
        });
        found.collect()
    }

    /// The splits of a folder, with the participants that are trained on and selected by.
    fn splits(&self, folder: &Path) -> Vec<(String, BTreeSet<String>, BTreeSet<String>)> {
        let Ok(entries) = std::fs::read_dir(folder) else {
            return Vec::new();
        };
        let mut names: Vec<String> = entries
            .flatten()
            .filter_map(|entry| entry.file_name().into_string().ok())
            .filter(|name| maps::layout::split_of(name).is_some())
            .collect();
        names.sort();
        let read = |name: &str, table: &str| self.people(&folder.join(name).join(table));
        let any = |name: &str, tables: [&str; 2]| {
            let found = tables
                .iter()
                .filter_map(|table| read(name, table))
                .flatten();
            found.collect::<BTreeSet<String>>()
        };
        let split = |name: String| {
            let train = any(&name, ["train.tsv", "train_baseline.tsv"]);
            let validation = any(&name, ["validation.tsv", "validation_baseline.tsv"]);
            (name, train, validation)
        };
        names.into_iter().map(split).collect()
    }

    /// The path of a source that the manifest gives.
    fn external(&self, source: &Source) -> Option<std::path::PathBuf> {
        match source {
            Source::External { name, .. } => Some(self.manifest.input_path(name)),
            Source::Stage { .. } => None,
        }
    }

    /// The participants of a table, with their cohort if it tells. What cannot be read is told when it
    /// is used.
    fn people(&self, path: &Path) -> Option<BTreeSet<String>> {
        let shown = path.display().to_string();
        let table = Table::read(&InputFile {
            path: path.to_owned(),
            shown,
            digest: Digest::of(b""),
            size: 0,
        });
        let table = table.ok()?;
        let participants = table.texts(crate::table::PARTICIPANT).ok()?;
        let cohorts = table.texts(crate::table::COHORT).unwrap_or_default();
        let name = |(row, participant): (usize, &str)| match cohorts.get(row) {
            Some(cohort) if *cohort != crate::table::SINGLE_COHORT => {
                format!("{participant} of {cohort}")
            }
            _ => participant.to_owned(),
        };
        Some(participants.into_iter().enumerate().map(name).collect())
    }

    /// A stage that fits something to everybody must not stand before training.
    ///
    /// No reason allows it: nothing of it could be seen in the results.
    fn fitted_before_split(&self) -> Option<Issue> {
        for source in self.stage.inputs.values() {
            for ancestor in self.ancestors(source, false) {
                let Some((name, stage)) = self.source_stage(&ancestor) else {
                    continue;
                };
                let fits = stage.stage.id() == Command::ID
                    && stage.params.get("fitted").and_then(Value::as_bool) == Some(true);
                let sees_all = stage
                    .inputs
                    .values()
                    .all(|input| !self.is_of_training(input));
                if fits && sees_all {
                    let what = format!(
                        "`{name}` is fitted to all participants, and `{}` trains on what it made",
                        self.name
                    );
                    let mut issue = self.issue("inputs", Scenario::LateSplit, &what);
                    issue.hint = Some(Scenario::LateSplit.way_out().to_owned());
                    return Some(issue);
                }
            }
        }
        None
    }

    /// Whether a source comes from the training part of a split.
    fn is_of_training(&self, source: &Source) -> bool {
        self.ancestors(source, true).iter().any(|ancestor| {
            self.source_stage(ancestor).is_some_and(|(_, stage)| {
                [Split::ID, KFold::ID, PrepareExperiment::ID].contains(&stage.stage.id())
            }) && !matches!(ancestor, Source::Stage { port, .. } if port == "test")
        })
    }
}

fn shown(source: &Source) -> String {
    match source {
        Source::External { name, .. } => name.clone(),
        Source::Stage { stage, port } => format!("{stage}.{port}"),
    }
}
