//! `clinicadl maps import`.

use std::fmt::Write;

use maps::CopyError;
use maps::import::{IMPORT_JSON, ImportError, Imported, import};
use serde_json::json;

use super::Session;
use crate::cli::MapsImportArgs;
use crate::failure::{Code, Failure};

pub(super) fn import_maps(session: &Session, args: &MapsImportArgs) -> Result<(), Failure> {
    let judge = stages::consistency::unsupported;
    let imported = import(&args.source, &args.target, &judge).map_err(|error| failure(&error))?;
    if !session.output.quiet || session.output.json {
        let report = json!({ "import": args.target, "result": imported });
        session.print(summary(args, &imported), &report);
    }
    Ok(())
}

fn summary(args: &MapsImportArgs, imported: &Imported) -> String {
    let mut text = format!(
        "imported a MAPS of {}: {} files, {} models: {}\n",
        imported.from,
        imported.files,
        imported.models,
        args.target.display()
    );
    // Writing to a String cannot fail.
    if !imported.notes.is_empty() {
        let _ = writeln!(text, "what does not map, also in {IMPORT_JSON}:");
    }
    for note in &imported.notes {
        let _ = writeln!(text, "  {}: {}", note.path, note.message);
    }
    if !imported.issues.is_empty() {
        let _ = writeln!(
            text,
            "what is wrong with it, as `clinicadl maps validate` tells:"
        );
    }
    for issue in &imported.issues {
        let _ = writeln!(text, "  {issue}");
    }
    text
}

fn failure(error: &ImportError) -> Failure {
    let code = match error {
        ImportError::Copy(CopyError::Io { .. }) => Code::Environment,
        _ => Code::Invalid,
    };
    let failure = Failure::new(code, error.to_string());
    error.hints().into_iter().fold(failure, Failure::hint)
}
