//! `clinicadl status`.

use std::fmt::Write;

use engine::plan::State;
use serde_json::{Value, json};

use super::{Session, human, look};
use crate::cli::StatusArgs;
use crate::failure::{Code, Failure};

pub(super) fn status(session: &Session, args: &StatusArgs) -> Result<(), Failure> {
    let looked = look(session, &args.manifest)?;
    let mut text = String::new();
    let mut actions: Vec<Value> = Vec::new();
    for (id, state) in &looked.assessment.states {
        let name = looked.plan.action(*id).name();
        let (word, bytes) = match state {
            State::Hit(record) => (
                "done",
                Some(
                    record
                        .outputs
                        .values()
                        .flatten()
                        .map(|a| a.size)
                        .sum::<u64>(),
                ),
            ),
            State::Run { .. } => ("to do", None),
            State::Pending { .. } => ("waits", None),
        };
        let size = bytes
            .map(|bytes| format!("  {}", human(bytes)))
            .unwrap_or_default();
        // Writing to a String cannot fail.
        let _ = writeln!(text, "  {word:>5}  {name}{size}");
        actions.push(json!({ "action": name, "state": word, "output_bytes": bytes }));
    }
    let folders = looked.manifest.publications().iter();
    let folders = folders.filter_map(|publication| {
        let path = publication.maps.as_ref()?;
        let exists = path.join(engine::publish::PUBLISHED).is_file();
        let word = if exists {
            "published in"
        } else {
            "not published yet:"
        };
        let _ = writeln!(text, "{word} {}", path.display());
        Some(json!({ "cell": publication.label, "path": path, "exists": exists }))
    });
    let published: Vec<Value> = folders.collect();
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
