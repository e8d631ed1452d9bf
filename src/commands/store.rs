//! `clinicadl store`.

use std::fmt::Write;

use engine::store::{Store, StoreError};
use serde_json::json;

use super::{Session, human, remote};
use crate::cli::{GcArgs, StoreArgs, StoreCommand};
use crate::failure::{Code, Failure};

pub(super) fn store(session: &Session, command: &StoreCommand) -> Result<(), Failure> {
    match command {
        StoreCommand::Du(args) => du(session, args),
        StoreCommand::Verify(args) => verify(session, args),
        StoreCommand::Gc(args) => gc(session, args),
        StoreCommand::Push(args) => remote::push(session, args),
        StoreCommand::Pull(args) => remote::pull(session, args),
    }
}

fn du(session: &Session, args: &StoreArgs) -> Result<(), Failure> {
    let store = Store::open_for_reading(&args.store)?;
    let usage = store.usage();
    let mut text = String::new();
    let parts = [
        ("objects", usage.objects),
        ("records", usage.records),
        ("checkpoints", usage.scratch),
        ("unfinished", usage.unfinished),
        ("logs", usage.runs),
        ("quarantine", usage.quarantine),
    ];
    for (what, (bytes, count)) in parts {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{:>9}  {count:>7} {what}", human(bytes));
    }
    for root in &usage.roots {
        let state = if root.alive { "" } else { " (gone)" };
        let _ = writeln!(
            text,
            "{:>9}  {}{state}, {} of it shared with no other",
            human(root.bytes),
            root.manifest.display(),
            human(root.alone)
        );
    }
    session.print(text, &json!({ "store": store.root(), "usage": usage }));
    Ok(())
}

fn verify(session: &Session, args: &StoreArgs) -> Result<(), Failure> {
    let store = Store::open_for_reading(&args.store)?;
    let (looked_at, damage) = store.check()?;
    let mut text = String::new();
    for found in &damage {
        let _ = writeln!(text, "{}: {}", found.path.display(), found.problem);
    }
    let _ = match damage.len() {
        0 => writeln!(text, "{looked_at} files, none is damaged"),
        n => writeln!(
            text,
            "{looked_at} files, {n} damaged: moved to `quarantine`; the next run makes them again"
        ),
    };
    session.print(text, &json!({ "files": looked_at, "damaged": damage }));
    if damage.is_empty() {
        Ok(())
    } else {
        Err(Failure::silent(Code::Tampered))
    }
}

fn gc(session: &Session, args: &GcArgs) -> Result<(), Failure> {
    let store = Store::open_for_reading(&args.store.store)?;
    let collected = store
        .collect(args.keep, args.delete)
        .map_err(|error| match error {
            StoreError::Io { source, .. } if source.kind() == std::io::ErrorKind::ResourceBusy => {
                Failure::new(Code::Busy, "a run is using the store")
                    .hint("collect when it is done; nothing was deleted")
            }
            error => error.into(),
        })?;
    let word = if args.delete {
        "deleted"
    } else {
        "would delete"
    };
    let mut text = format!(
        "{word} {} objects, {} records, {} folders of checkpoints, {} leftovers: {}\n",
        collected.objects,
        collected.records,
        collected.scratch,
        collected.leftovers,
        human(collected.bytes)
    );
    if !args.delete && collected.bytes > 0 {
        text.push_str("nothing was deleted; `--delete` does it\n");
    }
    session.print(
        text,
        &json!({ "deleted": args.delete, "garbage": collected }),
    );
    Ok(())
}
