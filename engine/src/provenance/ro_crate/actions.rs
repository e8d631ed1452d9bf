//! What the run did: its actions, what they read and what they made.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::files::blake3_urn;
use super::graph::{Graph, reference, references};
use super::workflow::{Direction, input_id, parameter_id, step_id, tool_id, value_id};
use super::{CLINICADL, OPERATOR, RUN};
use crate::digest::Digest;
use crate::provenance::account::MEASURED;
use crate::provenance::checksums::FileSums;
use crate::provenance::history::{Done, History, Origins, leaves, uri};
use crate::provenance::{manifest_path, timestamp};

pub(super) const ORGANIZE: &str = "#organize";
const COMPLETED: &str = "http://schema.org/CompletedActionStatus";
const SECONDS: &str = "https://qudt.org/vocab/unit/SEC";
const WATT_HOURS: &str = "https://qudt.org/vocab/unit/W-HR";
const GRAMS: &str = "https://qudt.org/vocab/unit/GM";
const BYTES: &str = "https://qudt.org/vocab/unit/BYTE";

pub(super) fn describe(
    graph: &mut Graph,
    history: &History<'_>,
    sums: &BTreeMap<String, FileSums>,
    origins: &Origins,
) {
    describe_run(graph, history, sums);
    for done in &history.actions {
        for (port, artifacts) in &done.record.outputs {
            let parameter = parameter_id(&tool_id(done), Direction::Output, port);
            for artifact in artifacts {
                let id = describe_artifact(graph, history, &artifact.digest);
                graph.refer(&id, "exampleOfWork", &parameter);
                graph.refer(&parameter, "workExample", &id);
            }
        }
        describe_action(graph, history, done);
    }
    for (path, (action, artifact)) in origins {
        let done = &history.actions[*action];
        graph.refer(&artifact_id(artifact), "hasPart", &uri(path));
        graph.refer(&action_id(done), "result", &uri(path));
    }
}

/// The run as a whole, and that this program organised it.
fn describe_run(graph: &mut Graph, history: &History<'_>, sums: &BTreeMap<String, FileSums>) {
    let account = history.account;
    let (started, ended) = (timestamp(account.started), timestamp(account.ended));
    let manifest = manifest_path(account.manifest);
    let inputs = history.inputs.iter().map(|input| input_id(&input.digest));
    let made = sums.keys().filter(|path| **path != manifest);
    let ran = history.actions.iter().filter(|done| done.ran()).count();
    graph.add(
        RUN,
        "CreateAction",
        json!({
            "name": format!("Run of {}", account.manifest.name),
            "description": format!(
                "{} actions: {ran} computed by this run, {} reused.",
                history.actions.len(),
                history.actions.len() - ran
            ),
            "identifier": format!("urn:clinicadl:run:{}", account.run),
            "instrument": reference(&uri(&manifest)),
            "agent": reference(OPERATOR),
            "startTime": started,
            "endTime": ended,
            "actionStatus": COMPLETED,
            "object": references(inputs),
            "result": references(made.map(|path| uri(path))),
        }),
    );
    graph.add(
        ORGANIZE,
        "OrganizeAction",
        json!({
            "name": "Execution by clinicadl",
            "instrument": reference(CLINICADL),
            "agent": reference(OPERATOR),
            "startTime": started,
            "endTime": ended,
            "actionStatus": COMPLETED,
            "object": references(history.actions.iter().map(control_id)),
            "result": reference(RUN),
        }),
    );
}

fn describe_action(graph: &mut Graph, history: &History<'_>, done: &Done<'_>) {
    let (id, tool) = (action_id(done), tool_id(done));
    let mut objects: Vec<String> = Vec::new();
    for (port, input) in &done.inputs {
        let object = match input.external {
            true => input_id(&input.digest),
            false => describe_artifact(graph, history, &input.digest),
        };
        let parameter = parameter_id(&tool, Direction::Input, port);
        graph.refer(&object, "exampleOfWork", &parameter);
        graph.refer(&parameter, "workExample", &object);
        if !objects.contains(&object) {
            objects.push(object);
        }
    }
    let values = leaves(&done.document.params).into_iter();
    objects.extend(values.map(|(field, _)| value_id(&done.report.stage_name, &field)));
    let artifacts = done.record.outputs.values().flatten();
    let mut results: Vec<String> = artifacts.map(|a| artifact_id(&a.digest)).collect();
    results.dedup();
    let usage = describe_usage(graph, done);
    let computed = done.computed.as_ref();
    let description = match computed {
        Some(_) if done.ran() => "Computed by this run.".to_owned(),
        Some(computed) => format!("Reused; computed by run {}.", computed.run),
        None => "Reused; when it was computed is not known.".to_owned(),
    };
    // An action without a known time has been completed when the run was.
    let ended = computed.map_or_else(
        || timestamp(history.account.ended),
        |computed| computed.ended.clone(),
    );
    graph.add(
        &id,
        "CreateAction",
        json!({
            "name": done.report.action,
            "description": description,
            "identifier": format!("urn:clinicadl:action:{}", done.record.key),
            "instrument": reference(&tool),
            "agent": reference(OPERATOR),
            "startTime": computed.map(|computed| &computed.started),
            "endTime": ended,
            "actionStatus": COMPLETED,
            "object": references(objects),
            "result": references(results),
            "resourceUsage": references(usage),
        }),
    );
    graph.add(
        &control_id(done),
        "ControlAction",
        json!({
            "name": format!("Execution of step {}", done.report.stage_name),
            "instrument": reference(&step_id(&done.report.stage_name)),
            "object": reference(&id),
            "actionStatus": COMPLETED,
        }),
    );
}

/// Adds an artifact, named by its content; most are not part of the folder, or only some of their files.
fn describe_artifact(graph: &mut Graph, history: &History<'_>, digest: &Digest) -> String {
    let id = artifact_id(digest);
    let facts = history.artifacts.get(digest);
    graph.add(
        &id,
        "Dataset",
        json!({
            "name": facts.map(|facts| &facts.name),
            "description": facts.map(|facts| format!("Artifact of kind {}.", facts.kind)),
            "identifier": blake3_urn(&digest.to_string()),
            "contentSize": facts.map(|facts| facts.bytes.to_string()),
        }),
    );
    id
}

fn describe_usage(graph: &mut Graph, done: &Done<'_>) -> Vec<String> {
    let Some(computed) = &done.computed else {
        return Vec::new();
    };
    let mut usage: Vec<(&str, &str, Value)> = vec![("wall_s", SECONDS, json!(computed.elapsed_s))];
    for name in MEASURED {
        if let Some(value) = computed.usage.get(name).filter(|value| value.is_number()) {
            let unit = match name.rsplit('_').next() {
                Some("bytes") => BYTES,
                Some("wh") => WATT_HOURS,
                Some("g") => GRAMS,
                _ => SECONDS,
            };
            usage.push((name, unit, value.clone()));
        }
    }
    usage
        .into_iter()
        .map(|(name, unit, value)| {
            let id = format!("#usage-{}-{name}", done.slug);
            graph.add(
                &id,
                "PropertyValue",
                json!({
                    "name": name,
                    "propertyID": format!("urn:clinicadl:usage:{name}"),
                    "unitCode": unit,
                    "value": value.to_string(),
                }),
            );
            id
        })
        .collect()
}

pub(super) fn action_id(done: &Done<'_>) -> String {
    format!("#action-{}", done.slug)
}

fn control_id(done: &Done<'_>) -> String {
    format!("#control-{}", done.slug)
}

fn artifact_id(digest: &Digest) -> String {
    format!("#artifact-{digest}")
}
