//! `clinicadl logs`.

use std::fs;

use engine::exec::{journal_path, log_path};
use serde_json::{Value, json};

use super::{Session, look};
use crate::cli::LogsArgs;
use crate::failure::Failure;

pub(super) fn logs(session: &Session, args: &LogsArgs) -> Result<(), Failure> {
    let looked = look(session, &args.manifest)?;
    let (store, manifest) = (&looked.store, &looked.manifest);
    let Some(name) = &args.action else {
        let journal = fs::read_to_string(journal_path(store, manifest)).unwrap_or_default();
        let entries: Vec<Value> = journal
            .lines()
            .filter_map(|line| serde_json::from_str(line).ok())
            .collect();
        let text: String = entries.iter().map(told).collect();
        session.print(text, &json!({ "journal": entries }));
        return Ok(());
    };
    let mut text = String::new();
    let mut logs = Vec::new();
    let mut is_known = false;
    for &id in looked.plan.order() {
        let action = looked.plan.action(id);
        let action_name = action.name();
        if action.stage_name != *name && action_name != *name {
            continue;
        }
        is_known = true;
        // An action that said nothing has no log.
        let Ok(log) = fs::read_to_string(log_path(store, manifest, &action_name)) else {
            continue;
        };
        text.push_str(&format!("\x1b[1m{action_name}\x1b[0m\n{log}"));
        logs.push(json!({ "action": action_name, "log": log }));
    }
    if !is_known {
        return Err(super::unknown_action(&looked, name));
    }
    session.print(text, &json!({ "logs": logs }));
    Ok(())
}

/// A line for people: when, what, and who.
fn told(entry: &Value) -> String {
    let text = |field: &str| entry[field].as_str().unwrap_or_default();
    let detail = match text("type") {
        "started" => text("reason").to_owned(),
        "failed" | "retrying" => entry["error"]["message"]
            .as_str()
            .unwrap_or_default()
            .into(),
        "skipped" => format!("`{}` failed", text("because")),
        "finished" => format!("{:.1} s", entry["elapsed_s"].as_f64().unwrap_or_default()),
        "end" => entry["counts"].to_string(),
        _ => String::new(),
    };
    let words = [text("time"), text("type"), text("action"), &detail];
    let told: Vec<&str> = words.into_iter().filter(|word| !word.is_empty()).collect();
    told.join("  ") + "\n"
}
