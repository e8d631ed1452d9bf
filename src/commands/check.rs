//! `clinicadl check`.

use engine::plan::Plan;
use engine::store::Store;
use serde_json::json;

use super::{Session, load, show_warnings};
use crate::cli::ManifestArgs;
use crate::failure::{Code, Failure};

pub(super) fn check(session: &Session, args: &ManifestArgs) -> Result<(), Failure> {
    let manifest = match load(session, args) {
        Ok(manifest) => manifest,
        Err(issues) if session.output.json => {
            session.print("", &json!({ "valid": false, "issues": issues.0 }));
            return Err(Failure::silent(Code::Invalid));
        }
        Err(issues) => {
            let count = issues.0.len();
            let mut failure = Failure::from(issues);
            if count > 1 {
                let name = args.manifest.display();
                failure
                    .messages
                    .push((format!("{name} has {count} problems"), Vec::new()));
            }
            return Err(failure);
        }
    };
    let folder = tempfile::tempdir()
        .map_err(|e| Failure::new(Code::Environment, format!("no temporary folder: {e}")))?;
    let plan = Plan::build(&manifest, &Store::open(folder.path())?)?;
    let (stages, actions) = (manifest.stages.len(), plan.order().len());
    let cells = manifest.publications().len();
    show_warnings(session, &manifest);
    let of_cells = match cells {
        1 => String::new(),
        cells => format!(" of {cells} cells"),
    };
    session.print(
        format!(
            "{}: no problem in {stages} stages{of_cells}, {actions} actions\n",
            args.manifest.display()
        ),
        &json!({
            "valid": true, "issues": manifest.warnings, "stages": stages, "actions": actions,
            "cells": cells,
        }),
    );
    Ok(())
}
