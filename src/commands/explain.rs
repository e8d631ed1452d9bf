//! `clinicadl explain`.

use std::fmt::Write;

use engine::key::{Change, canonical};
use engine::plan::{ActionId, Earlier, Explanation, State, explain as explain_action};
use engine::store::Store;
use serde_json::{Value, json};

use super::{Looked, Session, human, look, unknown_action};
use crate::cli::ExplainArgs;
use crate::failure::Failure;

pub(super) fn explain(session: &Session, args: &ExplainArgs) -> Result<(), Failure> {
    let looked = look(session, &args.manifest)?;
    let store = &looked.store;
    let mut text = String::new();
    let mut explanations: Vec<Value> = Vec::new();
    for id in wanted(&looked, args.action.as_deref())? {
        let earlier = match &args.against {
            Some(against) => Some(find_earlier(&looked, store, against)?),
            None => Earlier::last_run(&looked.plan, &looked.manifest, store, id),
        };
        let explained = explain_action(
            &looked.plan,
            &looked.assessment,
            store,
            id,
            earlier.as_ref(),
        );
        describe(&mut text, &explained, args.key);
        explanations.push(json!(explained));
    }
    if explanations.is_empty() {
        text.push_str("nothing to explain: every action is a hit\n");
    }
    session.print(text, &json!({ "actions": explanations }));
    Ok(())
}

/// The actions asked for: all of a stage, one by its name, or those that are not hits.
fn wanted(looked: &Looked, name: Option<&str>) -> Result<Vec<ActionId>, Failure> {
    let order = looked.plan.order().iter().copied();
    let Some(name) = name else {
        let stale = |id: &ActionId| !matches!(looked.assessment.state(*id), Some(State::Hit(_)));
        return Ok(order.filter(stale).collect());
    };
    let found: Vec<ActionId> = order
        .filter(|&id| {
            let action = looked.plan.action(id);
            action.stage_name == name || action.name() == name
        })
        .collect();
    if found.is_empty() {
        return Err(unknown_action(looked, name));
    }
    Ok(found)
}

/// Another action of the plan, or a stored result by its key.
fn find_earlier(looked: &Looked, store: &Store, against: &str) -> Result<Earlier, Failure> {
    let same_name = |id: &&ActionId| looked.plan.action(**id).name() == against;
    if let Some(&id) = looked.plan.order().iter().find(same_name) {
        let other = explain_action(&looked.plan, &looked.assessment, store, id, None);
        return Ok(Earlier {
            name: format!("`{against}`"),
            document: other.document,
        });
    }
    Earlier::stored(store, against).ok_or_else(|| {
        unknown_action(looked, against).hint(
            "or name a stored result by the first digits of its key, as `plan --json` shows it",
        )
    })
}

fn describe(text: &mut String, explained: &Explanation, with_key: bool) {
    // Writing to a String cannot fail.
    let _ = writeln!(text, "\x1b[1m{}\x1b[0m", explained.action);
    let _ = match &explained.why {
        None => writeln!(text, "  hit: its result is in the store"),
        Some(why) => writeln!(text, "  {}: {why}", explained.state),
    };
    let document = &explained.document;
    let _ = writeln!(
        text,
        "  stage    {}, version {}",
        document.stage, document.version
    );
    let _ = match explained.key {
        Some(key) => writeln!(text, "  key      {key}"),
        None => writeln!(
            text,
            "  key      not known before input `{}` is",
            explained.unknown_inputs.join("`, `")
        ),
    };
    for (port, artifacts) in &explained.outputs {
        let size = artifacts.iter().map(|artifact| artifact.size).sum();
        let _ = writeln!(text, "  output   {port}: {}", human(size));
    }
    if let Some(Value::Object(numerics)) = &explained.numerics {
        let told: Vec<String> = numerics
            .iter()
            .map(|(name, value)| format!("{name} {}", value.to_string().trim_matches('"')))
            .collect();
        let _ = writeln!(text, "  computed with {}", told.join(", "));
    }
    match &explained.compared_with {
        None => {
            let _ = writeln!(text, "  no earlier run of this manifest has this action");
        }
        Some(earlier) if explained.changes.is_empty() => {
            let _ = writeln!(text, "  compared with {earlier}: no difference");
        }
        Some(earlier) => {
            let _ = writeln!(text, "  compared with {earlier}:");
            for change in &explained.changes {
                let _ = writeln!(text, "    {}", short(change));
                list_files(text, change);
            }
        }
    }
    if with_key {
        let _ = writeln!(text, "  document {}", canonical(&document.to_value()));
    }
}

/// A change without its files, which are listed below it.
fn short(change: &Change) -> Change {
    let mut change = change.clone();
    if let Change::Input { files, .. } = &mut change {
        *files = None;
    }
    change
}

fn list_files(text: &mut String, change: &Change) {
    let Change::Input {
        files: Some(files), ..
    } = change
    else {
        return;
    };
    let lists = [
        ("changed", &files.changed),
        ("added", &files.added),
        ("removed", &files.removed),
    ];
    for (word, files) in lists {
        for file in files {
            let _ = writeln!(text, "      {word:>7}  {file}");
        }
    }
}
