//! Data groups: that their tables can be read, and that no participant is where it must not be.

use std::collections::{BTreeMap, BTreeSet};

use crate::files::{DataTable, GroupJson, Session, SessionsTable};
use crate::layout::{GROUPS, MAPS_JSON, TRAIN, TRAIN_VALIDATION, VALIDATION, split_of};

use super::{Check, Facts, MapsIssue, some};

/// The sessions of a data group.
pub(super) type Sessions = BTreeSet<Session>;

/// The data groups by the folder of their table, relative to the MAPS.
pub(super) type Groups = BTreeMap<String, Group>;

/// Who is in a data group.
#[derive(Debug, Default)]
pub(super) struct Group {
    pub(super) sessions: Sessions,
    /// The label of each session, where they are those that were learnt.
    pub(super) labels: BTreeMap<Session, String>,
}

/// Checks the folder `groups`.
pub(super) fn check(check: &mut Check, splits: &BTreeMap<usize, String>, facts: &Facts) -> Groups {
    let training = check.read(TRAIN_VALIDATION, SessionsTable::read);
    let training: Sessions = training.unwrap_or_default().rows.into_iter().collect();
    let mut groups = Groups::new();
    for group in check.subfolders(GROUPS) {
        let folder = format!("{GROUPS}/{group}");
        if group == TRAIN || group == VALIDATION {
            for name in check.subfolders(&folder) {
                if split_of(&name).is_some() {
                    read_group(check, format!("{folder}/{name}"), facts, &mut groups);
                }
            }
        } else {
            read_group(check, folder, facts, &mut groups);
        }
    }
    for name in splits.values() {
        for group in [TRAIN, VALIDATION] {
            let folder = format!("{GROUPS}/{group}/{name}");
            if !check.exists(&folder) {
                check.report(&folder, "is missing, though the split was trained");
            }
        }
    }
    check_participants(check, &training, &groups);
    groups
}

fn read_group(check: &mut Check, folder: String, facts: &Facts, groups: &mut Groups) {
    check.read(&format!("{folder}/{MAPS_JSON}"), GroupJson::read);
    let path = format!("{folder}/data.tsv");
    let Some(table) = check.read(&path, DataTable::read) else {
        return;
    };
    if table.rows.is_empty() {
        check.report(&path, "has no session");
    }
    let is_trained = is_train_or_validation(&folder);
    if is_trained && facts.n_classes > 0 && table.label.is_none() {
        check.report(&path, "has no column with labels");
    }
    let is_learnt = table.label.is_some() && table.label == facts.label;
    let mut group = Group::default();
    // The same participant in two cohorts is two people.
    let mut seen = BTreeSet::new();
    for (line, row) in (2..).zip(table.rows) {
        let message = format!(
            "lists participant `{}`, session `{}` twice",
            row.participant, row.session
        );
        let session = Session {
            participant: row.participant,
            session: row.session,
        };
        if !seen.insert((row.cohort, session.clone())) {
            check
                .issues
                .push(MapsIssue::new(&path, message).at(Some(line)));
        }
        if let Some(label) = row.label.filter(|_| is_learnt) {
            if is_trained && !facts.label_code.is_empty() && !facts.label_code.contains_key(&label)
            {
                let column = table.label.as_deref().unwrap_or_default();
                let message = format!("`{label}` has no code in `label_code`");
                let issue = MapsIssue::new(&path, message).at(Some(line));
                check.issues.push(issue.in_column(column));
            }
            group.labels.insert(session.clone(), label);
        }
        group.sessions.insert(session);
    }
    groups.insert(folder, group);
}

fn is_train_or_validation(folder: &str) -> bool {
    [TRAIN, VALIDATION]
        .iter()
        .any(|group| folder.starts_with(&format!("{GROUPS}/{group}/")))
}

fn participants(sessions: &Sessions) -> BTreeSet<&str> {
    sessions
        .iter()
        .map(|session| session.participant.as_str())
        .collect()
}

fn check_participants(check: &mut Check, training: &Sessions, groups: &Groups) {
    let known = participants(training);
    for (folder, group) in groups {
        let path = format!("{folder}/data.tsv");
        let found = participants(&group.sessions);
        if is_train_or_validation(folder) {
            let unknown: Vec<&str> = found.difference(&known).copied().collect();
            if !known.is_empty() && !unknown.is_empty() {
                let message = format!(
                    "has participants that `{TRAIN_VALIDATION}` lacks: {}",
                    some(unknown)
                );
                check.report(&path, message);
            }
        } else {
            let leaked: Vec<&str> = found.intersection(&known).copied().collect();
            if !leaked.is_empty() {
                let message = format!(
                    "has participants that training or validation used: {}",
                    some(leaked)
                );
                check.report(&path, message);
            }
        }
        let train = folder.replacen(VALIDATION, TRAIN, 1);
        if train != *folder
            && is_train_or_validation(folder)
            && let Some(train) = groups.get(&train)
        {
            let both: Vec<&str> = found
                .intersection(&participants(&train.sessions))
                .copied()
                .collect();
            if !both.is_empty() {
                let message = format!("has participants that are also in train: {}", some(both));
                check.report(&path, message);
            }
        }
    }
}
