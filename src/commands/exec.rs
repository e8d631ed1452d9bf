//! `clinicadl exec`: one stage without a manifest.

use std::path::Path;

use engine::exec::RunReport;
use engine::manifest::{Issues, Manifest};
use engine::plan::Plan;
use engine::provenance::finished_artifacts;
use engine::publish::{Content, PublishOutcome, PublishedFile, publish};
use engine::store::Store;
use serde_json::{Map, Value, json};

use super::Session;
use super::run::{How, execute, finished, machine};
use crate::cli::ExecArgs;
use crate::failure::{Code, Failure};
use crate::profile::Profile;

/// What messages call the manifest that stands for the command line.
const COMMAND_LINE: &str = "command line";

pub(super) fn exec(session: &Session, args: &ExecArgs) -> Result<(), Failure> {
    let text = manifest_text(args)?;
    let manifest = Manifest::parse(Path::new(COMMAND_LINE), text, session.registry)
        .map_err(|issues| on_command_line(issues, &args.stage))?;
    let store = Store::open(&args.store)?;
    let plan = Plan::build(&manifest, &store)?;
    let profile = args.profile.profile.as_deref();
    let (report, profile) = execute(
        session,
        &manifest,
        &plan,
        &store,
        machine(&args.machine),
        How {
            fail_fast: true,
            profile: profile.map(Profile::new).transpose()?,
            ..How::default()
        },
    )?;
    finished(&report)?;
    let files = layout(&manifest, &report, &store);
    let outcome = publish(&args.output, files, Vec::new(), &store)?;
    store.save_stats();
    let word = match outcome {
        PublishOutcome::UpToDate => "unchanged",
        PublishOutcome::Written => "written",
    };
    session.print(
        format!(
            "{word}: {}\n{}",
            args.output.display(),
            profile.as_ref().map_or_else(String::new, Profile::text)
        ),
        &json!({ "run": report, "output": args.output, "profile": profile.map(|p| p.json()) }),
    );
    Ok(())
}

/// The command line as the text of a manifest, so that both are checked by the same rules.
fn manifest_text(args: &ExecArgs) -> Result<String, Failure> {
    let mut inputs = Map::new();
    let mut ports = Map::new();
    for connection in &args.input {
        let (port, path) = pair("--input", connection)?;
        let name = format!("input-{port}");
        inputs.insert(name.clone(), path.into());
        ports.insert(port.to_owned(), name.into());
    }
    let mut with = Value::Object(Map::new());
    for parameter in &args.with {
        let (name, text) = pair("--with", parameter)?;
        let value = engine::manifest::yaml_value(text)
            .map_err(|message| Failure::new(Code::Invalid, format!("--with {name}: {message}")))?;
        let mut at = &mut with;
        for part in name.split('.') {
            if !at.is_object() {
                let message = format!("--with {name}: `{part}` is below a value");
                return Err(Failure::new(Code::Invalid, message));
            }
            at = &mut at[part];
            if at.is_null() {
                *at = Value::Object(Map::new());
            }
        }
        *at = value;
    }
    let mut stage = json!({ "uses": args.stage, "inputs": ports, "with": with });
    if !args.split.is_empty() {
        stage["splits"] = json!(args.split);
    }
    let manifest = json!({
        "clinicadl": 1,
        "name": format!("exec {}", args.stage),
        "seed": args.seed,
        "inputs": inputs,
        "stages": { args.stage.clone(): stage },
    });
    Ok(manifest.to_string())
}

fn pair<'a>(flag: &str, text: &'a str) -> Result<(&'a str, &'a str), Failure> {
    text.split_once('=')
        .ok_or_else(|| Failure::new(Code::Invalid, format!("{flag} {text}: expected NAME=VALUE")))
}

/// Names issues by flags instead of places in a text that the user never saw.
fn on_command_line(mut issues: Issues, stage: &str) -> Issues {
    let prefix = format!("stages.{stage}.");
    for issue in &mut issues.0 {
        issue.line = None;
        issue.column = None;
        if let Some(key) = issue.key.strip_prefix(&prefix) {
            issue.key = key.to_owned();
        }
    }
    issues
}

/// Outputs of a stage with one port go to the folder itself, others to a folder per port.
fn layout(manifest: &Manifest, report: &RunReport, store: &Store) -> Vec<PublishedFile> {
    let artifacts = finished_artifacts(manifest, report, store);
    let several = artifacts
        .iter()
        .any(|artifact| artifact.port != artifacts[0].port);
    artifacts
        .iter()
        .flat_map(|artifact| {
            let mut prefix = String::new();
            if several {
                prefix = format!("{}/", artifact.port);
            }
            if let Some(split) = artifact.split {
                prefix = format!("{prefix}split-{split}/");
            }
            artifact
                .tree
                .files
                .iter()
                .map(move |(path, file)| PublishedFile {
                    path: format!("{prefix}{path}"),
                    content: Content::Object(file.digest),
                })
        })
        .collect()
}
