//! `clinicadl status`.

use engine::exec::RunReport;
use engine::manifest::Manifest;
use engine::plan::State;
use engine::store::ActionRecord;
use serde_json::{Value, json};

use super::settled::recalled;
use super::{Session, human, look};
use crate::cli::StatusArgs;
use crate::failure::{Code, Failure};

pub(super) fn status(session: &Session, args: &StatusArgs) -> Result<(), Failure> {
    if let Some(text) = recalled(session, &args.manifest, "status") {
        session.print(text, &Value::Null);
        return Ok(());
    }
    let looked = look(session, &args.manifest)?;
    let mut text = String::new();
    let mut actions: Vec<Value> = Vec::new();
    for (id, state) in &looked.assessment.states {
        let name = looked.plan.action(*id).name();
        let (word, bytes) = match state {
            State::Hit(record) => ("done", Some(size_of(record))),
            State::Run { .. } => ("to do", None),
            State::Pending { .. } => ("waits", None),
        };
        text.push_str(&line(word, &name, bytes));
        actions.push(json!({ "action": name, "state": word, "output_bytes": bytes }));
    }
    let published: Vec<Value> = publications(&looked.manifest)
        .into_iter()
        .map(|(line, value)| {
            text.push_str(&line);
            value
        })
        .collect();
    let maps = published
        .first()
        .map(|first| json!({ "path": first["path"], "exists": first["exists"] }));
    let up_to_date = looked.assessment.is_up_to_date();
    session.print(
        text,
        &json!({
            "up_to_date": up_to_date,
            "actions": actions,
            "maps": maps,
            "publications": published,
        }),
    );
    if args.check && !up_to_date {
        return Err(Failure::silent(Code::NotUpToDate));
    }
    Ok(())
}

/// What `status` prints after a run that had nothing to do.
pub(super) fn text_of_done(manifest: &Manifest, report: &RunReport) -> String {
    let actions = report.actions.iter();
    let lines = actions.map(|action| {
        let bytes = action.record.as_ref().map(size_of);
        line("done", &action.action, bytes)
    });
    let folders = publications(manifest).into_iter().map(|(line, _)| line);
    lines.chain(folders).collect()
}

fn size_of(record: &ActionRecord) -> u64 {
    let artifacts = record.outputs.values().flatten();
    artifacts.map(|artifact| artifact.size).sum()
}

fn line(word: &str, name: &str, bytes: Option<u64>) -> String {
    let size = bytes.map(|bytes| format!("  {}", human(bytes)));
    format!("  {word:>5}  {name}{}\n", size.unwrap_or_default())
}

/// Where the cells of a manifest are published, as a line and as JSON.
fn publications(manifest: &Manifest) -> Vec<(String, Value)> {
    let told = manifest.publications().iter().filter_map(|publication| {
        let path = publication.maps.as_ref()?;
        let exists = path.join(engine::publish::PUBLISHED).is_file();
        let word = if exists {
            "published in"
        } else {
            "not published yet:"
        };
        let line = format!("{word} {}\n", path.display());
        let value = json!({ "cell": publication.label, "path": path, "exists": exists });
        Some((line, value))
    });
    told.collect()
}
