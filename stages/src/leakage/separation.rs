//! Whether two data groups share anybody.

use crate::listed::listed;
use std::collections::{BTreeMap, BTreeSet};

use engine::{Context, StageError};

use super::SOURCE_VALIDATION;
use super::certificate::{Certificate, Check};
use super::group::{Group, Origin, Seen};
use super::scenario::Scenario;

/// Names a message lists.
const LISTED: usize = 50;

/// What a manifest says about leaks that are known.
#[derive(Debug, Clone, Copy)]
pub struct Allowed<'a> {
    /// Why they are allowed; empty if they are not.
    pub reason: &'a str,
}

/// Makes sure that two groups share no participant, no source of synthetic participants and no image.
///
/// What was compared goes into the certificate. Leaks that the manifest allows for a reason are
/// warned of and noted there.
///
/// # Errors
/// They share some and no reason is given: everything that is shared, why that matters, and a way out.
pub fn separate(
    left: &Group,
    right: &Group,
    allowed: Allowed<'_>,
    certificate: &mut Certificate,
    context: &Context,
) -> Result<(), StageError> {
    let mut messages = Vec::new();
    let mut scenarios = BTreeSet::new();
    for (what, found) in compare(left, right) {
        certificate.checks.push(Check {
            what: what.to_owned(),
            between: [left.name.clone(), right.name.clone()],
            participants: [left.participants(), right.participants()],
            sessions: [left.session_count(), right.session_count()],
            shared: found.len(),
        });
        if found.is_empty() {
            continue;
        }
        scenarios.extend(found.values().copied());
        let names: Vec<String> = found.into_keys().collect();
        let what = match names.len() {
            1 => what
                .replacen("participants", "participant", 1)
                .replacen("images", "image", 1),
            _ => what.to_owned(),
        };
        messages.push(format!(
            "{} (`{}`) and {} (`{}`) share {} {what}: {}",
            left.name,
            left.shown,
            right.name,
            right.shown,
            names.len(),
            listed(&names, LISTED, "; ")
        ));
    }
    let Some(first) = scenarios.first() else {
        return Ok(());
    };
    let names: Vec<&str> = scenarios.iter().map(|scenario| scenario.name()).collect();
    let message = format!(
        "data leakage ({}): {}",
        names.join(", "),
        messages.join("; ")
    );
    if !allowed.reason.is_empty() {
        context.warn(format!("{message}; allowed because: {}", allowed.reason));
        certificate.allow(allowed.reason, &names);
        return Ok(());
    }
    let mut error = StageError::new(message).hint(first.why());
    for scenario in &scenarios {
        error = error.hint(scenario.way_out());
    }
    Err(error.hint("or state a reason with `allow_leakage`: every table will say so"))
}

/// What is shared, by name, each with its scenario.
pub(super) type Shared = BTreeMap<String, Scenario>;

pub(super) fn compare(left: &Group, right: &Group) -> [(&'static str, Shared); 3] {
    // The same ID in two cohorts is two people, unless one side does not tell its cohort.
    let by_cohort = left.has_cohorts() && right.has_cohorts();
    let person = |s: &Seen| {
        let cohort = if by_cohort { s.cohort.as_str() } else { "" };
        (cohort.to_owned(), s.participant.clone())
    };
    let source = |s: &Seen| {
        let (cohort, participant) = person(s);
        (cohort, s.derived_from.clone().unwrap_or(participant))
    };
    let is_training = |s: &Seen| s.origin == Origin::Train;
    let is_validation = [maps::layout::VALIDATION, SOURCE_VALIDATION].contains(&&*right.name);
    let within = left.sessions.iter().all(is_training) && is_validation;
    let scenario = |s: &Seen| match s.origin {
        _ if within => Scenario::BiasedSplit,
        Origin::PreTraining => Scenario::BiasedTransfer,
        Origin::Train => Scenario::NoIndependentTest,
        Origin::Validation => Scenario::BiasedEnsembling,
    };
    let people: BTreeSet<_> = right.sessions.iter().map(person).collect();
    let shared = left.sessions.iter().filter(|s| people.contains(&person(s)));
    let participants: Shared = shared.map(|s| (name(s, by_cohort), scenario(s))).collect();

    let sources: BTreeMap<_, &Seen> = right.sessions.iter().map(|s| (source(s), s)).collect();
    let derived = left.sessions.iter().filter_map(|s| {
        let other = sources.get(&source(s))?;
        let is_derived = s.derived_from.is_some() || other.derived_from.is_some();
        let is_new = person(s) != person(other);
        let label = format!(
            "{} and {} of {}",
            name(s, by_cohort),
            name(other, by_cohort),
            source(s).1
        );
        (is_derived && is_new).then_some((label, Scenario::LateSplit))
    });
    let derived: Shared = derived.collect();

    let mut images: BTreeMap<&str, Vec<&Seen>> = BTreeMap::new();
    for s in &right.sessions {
        if let Some(voxels) = &s.voxels {
            images.entry(voxels).or_default().push(s);
        }
    }
    let equal = left.sessions.iter().filter_map(|s| {
        let others = images.get(s.voxels.as_deref()?)?;
        let other = others.iter().find(|other| person(other) != person(s))?;
        let label = format!(
            "{}, {} = {}, {}",
            name(s, by_cohort),
            s.session,
            name(other, by_cohort),
            other.session
        );
        Some((label, Scenario::Duplicates))
    });
    [
        ("participants", participants),
        ("sources of synthetic participants", derived),
        ("images", equal.collect()),
    ]
}

fn name(seen: &Seen, by_cohort: bool) -> String {
    let Seen {
        participant,
        cohort,
        ..
    } = seen;
    if by_cohort {
        format!("`{participant}` of `{cohort}`")
    } else {
        format!("`{participant}`")
    }
}
