//! The manifest as a workflow: parameters, stages as tools, steps and what connects them.
//!
//! A tool is a stage with its version, however often a manifest uses it; a step is one use.

use serde_json::{Value, json};

use super::files::{blake3_urn, describe as describe_file};
use super::graph::{Graph, reference, references};
use super::{CLINICADL, LIBTORCH, OPERATOR};
use crate::digest::Digest;
use crate::provenance::checksums::FileSums;
use crate::provenance::history::{Done, ExternalInput, History, leaves, part, uri};

/// What the workflow gives: the folder.
pub(super) const RESULTS: &str = "#workflow-output-results";
const LANGUAGE: &str = "#manifest-language";
const BIOSCHEMAS: &str = "https://bioschemas.org/profiles/ComputationalWorkflow/1.0-RELEASE";

pub(super) fn describe(graph: &mut Graph, history: &History<'_>, manifest: &str) {
    let mut steps: Vec<&Done<'_>> = Vec::new();
    for done in &history.actions {
        if !steps
            .iter()
            .any(|step| step.report.stage_name == done.report.stage_name)
        {
            steps.push(done);
        }
    }
    let mut tools: Vec<String> = Vec::new();
    for step in &steps {
        let tool = tool_id(step);
        if !tools.contains(&tool) {
            tools.push(tool);
        }
    }
    let mut inputs: Vec<String> = Vec::new();
    for input in &history.inputs {
        let id = input_parameter(&input.name);
        if !inputs.contains(&id) {
            inputs.push(id);
        }
    }
    let text = history.account.manifest.text.as_bytes();
    let mut properties = describe_file(manifest, Some(&FileSums::of(text)));
    let own = json!({
        "name": history.account.manifest.name,
        "description": "The experiment: a manifest of stages and what they read.",
        "version": Digest::of(text).short(),
        "conformsTo": reference(BIOSCHEMAS),
        "programmingLanguage": reference(LANGUAGE),
        "creator": reference(OPERATOR),
        "input": references(inputs),
        "output": reference(RESULTS),
        "hasPart": references(tools),
        "step": references(steps.iter().map(|step| step_id(&step.report.stage_name))),
    });
    if let (Value::Object(all), Value::Object(own)) = (&mut properties, own) {
        all.extend(own);
    }
    let kinds = json!([
        "File",
        "SoftwareSourceCode",
        "ComputationalWorkflow",
        "HowTo"
    ]);
    graph.add(&uri(manifest), kinds, properties);
    graph.add(
        LANGUAGE,
        "ComputerLanguage",
        json!({ "name": "ClinicaDL manifest", "version": crate::manifest::MANIFEST_FORMAT.to_string() }),
    );
    graph.add(
        RESULTS,
        "FormalParameter",
        json!({
            "name": "results",
            "additionalType": "Dataset",
            "workExample": reference(super::ROOT),
        }),
    );
    for input in &history.inputs {
        describe_input(graph, input);
    }
    for (position, step) in steps.iter().enumerate() {
        describe_tool(graph, step);
        describe_step(graph, &steps, step, position + 1);
    }
}

/// What was read from outside: by digest, number of files and size, and not where it lay.
fn describe_input(graph: &mut Graph, input: &ExternalInput) {
    let parameter = input_parameter(&input.name);
    graph.add(
        &parameter,
        "FormalParameter",
        json!({ "name": input.name, "additionalType": "Dataset", "valueRequired": true }),
    );
    let id = input_id(&input.digest);
    let files = match input.files {
        1 => "1 file".to_owned(),
        n => format!("{n} files"),
    };
    graph.add(
        &id,
        "Dataset",
        json!({
            "name": input.name,
            "description": format!("Input of kind {}, not part of this folder: {files}.", input.kind),
            "identifier": blake3_urn(&input.digest.to_string()),
            "contentSize": input.bytes.to_string(),
        }),
    );
    graph.refer(&id, "exampleOfWork", &parameter);
    graph.refer(&parameter, "workExample", &id);
}

fn describe_tool(graph: &mut Graph, step: &Done<'_>) {
    let tool = tool_id(step);
    let stage = step.stage.stage;
    let libtorch = step.record.numerics.is_some().then(|| LIBTORCH.to_owned());
    graph.add(
        &tool,
        "SoftwareApplication",
        json!({
            "name": stage.id(),
            "description": stage.summary(),
            "softwareVersion": step.document.version.to_string(),
            "softwareRequirements": references([CLINICADL.to_owned()].into_iter().chain(libtorch)),
        }),
    );
    for port in step.inputs.keys() {
        add_parameter(graph, &tool, Direction::Input, port, "Dataset");
    }
    for (name, value) in leaves(&step.document.params) {
        add_parameter(graph, &tool, Direction::Param, &name, type_of(&value));
    }
    for port in step.record.outputs.keys() {
        add_parameter(graph, &tool, Direction::Output, port, "Dataset");
    }
}

/// Which part of a stage a parameter belongs to.
#[derive(Clone, Copy)]
pub(super) enum Direction {
    Input,
    Param,
    Output,
}

fn add_parameter(graph: &mut Graph, tool: &str, direction: Direction, name: &str, kind: &str) {
    let id = parameter_id(tool, direction, name);
    let properties = json!({ "name": name, "additionalType": kind });
    graph.add(&id, "FormalParameter", properties);
    let property = match direction {
        Direction::Input | Direction::Param => "input",
        Direction::Output => "output",
    };
    graph.refer(tool, property, &id);
}

fn describe_step(graph: &mut Graph, steps: &[&Done<'_>], step: &Done<'_>, position: usize) {
    let (name, tool) = (&step.report.stage_name, tool_id(step));
    let id = step_id(name);
    graph.add(
        &id,
        "HowToStep",
        json!({
            "name": name,
            "position": position.to_string(),
            "workExample": reference(&tool),
        }),
    );
    for (port, input) in &step.inputs {
        let connection = format!("#connection-{}-{}", part(name), part(port));
        let source = match input.from.split_once('.') {
            Some((stage, port)) if !input.external => {
                let Some(maker) = steps.iter().find(|step| step.report.stage_name == stage) else {
                    continue;
                };
                parameter_id(&tool_id(maker), Direction::Output, port)
            }
            _ => input_parameter(&input.from),
        };
        graph.add(
            &connection,
            "ParameterConnection",
            json!({
                "sourceParameter": reference(&source),
                "targetParameter": reference(&parameter_id(&tool, Direction::Input, port)),
            }),
        );
        graph.refer(&id, "connection", &connection);
    }
    for (field, value) in leaves(&step.document.params) {
        let parameter = parameter_id(&tool, Direction::Param, &field);
        let value_id = value_id(name, &field);
        graph.add(
            &value_id,
            "PropertyValue",
            json!({ "name": field, "value": text_of(&value) }),
        );
        graph.refer(&value_id, "exampleOfWork", &parameter);
        graph.refer(&parameter, "workExample", &value_id);
    }
}

/// The data type of a parameter's value in the words of schema.org.
fn type_of(value: &Value) -> &'static str {
    match value {
        Value::Bool(_) => "Boolean",
        Value::Number(number) if number.is_f64() => "Float",
        Value::Number(_) => "Integer",
        _ => "Text",
    }
}

fn text_of(value: &Value) -> String {
    value
        .as_str()
        .map_or_else(|| value.to_string(), str::to_owned)
}

/// The tool: a stage and its version.
pub(super) fn tool_id(done: &Done<'_>) -> String {
    format!(
        "#stage-{}-v{}",
        part(&done.document.stage),
        done.document.version
    )
}

pub(super) fn step_id(name: &str) -> String {
    format!("#step-{}", part(name))
}

pub(super) fn parameter_id(tool: &str, direction: Direction, name: &str) -> String {
    let direction = match direction {
        Direction::Input => "input",
        Direction::Param => "param",
        Direction::Output => "output",
    };
    format!("{tool}-{direction}-{}", part(name))
}

pub(super) fn value_id(step: &str, field: &str) -> String {
    format!("#value-{}-{}", part(step), part(field))
}

fn input_parameter(name: &str) -> String {
    format!("#workflow-input-{}", part(name))
}

pub(super) fn input_id(digest: &Digest) -> String {
    format!("#input-{digest}")
}
