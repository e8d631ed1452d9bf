//! `clinicadl check`.

use engine::manifest::Manifest;
use engine::plan::Plan;
use engine::store::Store;
use serde_json::json;

use super::Session;
use crate::cli::ManifestArgs;
use crate::failure::{Code, Failure};

pub(super) fn check(session: &Session, args: &ManifestArgs) -> Result<(), Failure> {
    let manifest = match Manifest::load(&args.manifest, session.registry) {
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
    session.print(
        format!(
            "{}: no problem in {stages} stages, {actions} actions\n",
            args.manifest.display()
        ),
        &json!({ "valid": true, "issues": [], "stages": stages, "actions": actions }),
    );
    Ok(())
}
