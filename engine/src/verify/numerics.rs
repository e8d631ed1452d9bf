//! Whether this machine computes with the numerics class of the lock, known before anything runs.

use std::collections::BTreeMap;

use serde_json::Value;

use super::check::{Check, Fault, Section};
use crate::exec::NumericsClasses;
use crate::lock::Lock;
use crate::plan::Plan;

/// The field of a class that follows from how many threads an action gets.
const THREADS: &str = "intraop_threads";

/// Compares the locked classes with those that the same actions would have here.
///
/// With `tolerated`, another class is told and is no fault.
pub fn check_numerics(
    lock: &Lock,
    plan: &Plan,
    here: &NumericsClasses,
    tolerated: bool,
) -> Vec<Check> {
    let mut groups: BTreeMap<(Vec<String>, Option<u64>), Vec<String>> = BTreeMap::new();
    for &id in plan.order() {
        let action = plan.action(id);
        let name = action.name();
        let locked = lock.actions.get(&name);
        let Some(locked) = locked.and_then(|action| lock.numerics_of(action)) else {
            continue;
        };
        let Some(class) = here.of(action) else {
            continue;
        };
        let wanted = locked.get(THREADS).and_then(Value::as_u64);
        let wanted = wanted.filter(|_| locked.get(THREADS) != class.get(THREADS));
        let group = groups.entry((differences(locked, class), wanted));
        group.or_default().push(name);
    }
    groups
        .into_iter()
        .map(|((differences, wanted), actions)| {
            let name = match actions.as_slice() {
                [only] => only.clone(),
                [first, others @ ..] => format!("{first} and {} more", others.len()),
                [] => String::new(),
            };
            if differences.is_empty() {
                return Check::passed(Section::Numerics, name, "the locked numerics class");
            }
            let message = format!(
                "locked with another numerics class: {}",
                differences.join(", ")
            );
            if tolerated {
                return Check::passed(Section::Numerics, name, message);
            }
            let check = Check::failed(Section::Numerics, name, Fault::OtherNumerics, message);
            match wanted.filter(|_| differences.len() == 1) {
                Some(threads) => check.hint(format!("compute with `--cpus {threads}`")),
                None => check.hint(
                    "low bits may differ: compare metrics with `--rerun tolerance`, or try \
                     anyway with `--allow-other-numerics`",
                ),
            }
        })
        .collect()
}

/// The fields that differ: `libtorch 2.12.0, here 2.13.0`.
fn differences(locked: &Value, here: &Value) -> Vec<String> {
    let fields = |class: &Value| -> Vec<String> {
        let fields = class.as_object().into_iter().flatten();
        fields.map(|(name, _)| name.clone()).collect()
    };
    let mut names = fields(locked);
    names.extend(fields(here));
    names.sort();
    names.dedup();
    let show = |value: Option<&Value>| match value {
        None | Some(Value::Null) => "unknown".to_owned(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    };
    names
        .into_iter()
        .filter(|name| locked.get(name) != here.get(name))
        .map(|name| {
            let (locked, here) = (show(locked.get(&name)), show(here.get(&name)));
            format!("{name} {locked}, here {here}")
        })
        .collect()
}
