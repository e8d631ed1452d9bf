//! `clinicadl stages`, `clinicadl stages train --networks`.

use std::fmt::Write;

use engine::registry::AnyStage;
use serde_json::{Map, Value, json};
use stages::learning::networks::{NETWORKS, NetworkParams};

use super::Session;
use crate::failure::{Code, Failure};

pub(super) fn stages(session: &Session, id: Option<&str>) -> Result<(), Failure> {
    let Some(id) = id else {
        let mut text = String::new();
        let mut all = Vec::new();
        for stage in session.registry.iter() {
            // Writing to a String cannot fail.
            let _ = writeln!(text, "{:<14} {}", stage.id(), stage.summary());
            all.push(
                json!({ "id": stage.id(), "version": stage.version(), "summary": stage.summary() }),
            );
        }
        session.print(text, &Value::Array(all));
        return Ok(());
    };
    let Some(stage) = session.registry.find(id) else {
        let known: Vec<&str> = session.registry.iter().map(|stage| stage.id()).collect();
        let failure = Failure::new(Code::Invalid, format!("unknown stage `{id}`"));
        return Err(failure.hint(format!("known: {}", known.join(", "))));
    };
    let (text, json) = describe(stage);
    session.print(text, &json);
    Ok(())
}

/// Every network: what it takes, what it learns, and its options with their defaults.
pub(super) fn networks(session: &Session) {
    let mut text = String::new();
    let mut all = Vec::new();
    for network in NETWORKS {
        let options = NetworkParams::new(network.name, Map::new());
        let options = options.complete().unwrap_or_default();
        let axes: Vec<String> = network.axes.iter().map(|n| format!("{n}-D")).collect();
        let tasks: Vec<&str> = network.tasks.iter().map(|task| task.name()).collect();
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{}: {}", network.name, network.summary);
        let (axes_text, room) = (axes.join(", "), network.room);
        let _ = writeln!(text, "    {axes_text} of {room}; {}", tasks.join(", "));
        let (images, parameters) = network.example;
        let sizes: Vec<String> = images.iter().map(i64::to_string).collect();
        let sizes = sizes.join("×");
        if !images.is_empty() {
            let _ = writeln!(text, "    {parameters} parameters for {sizes}");
        }
        for (name, default) in &options {
            let _ = writeln!(text, "    {name} = {default}");
        }
        all.push(json!({
            "name": network.name, "summary": network.summary, "axes": network.axes,
            "tasks": tasks, "options": options, "room": network.room,
            "example": { "images": images, "parameters": parameters },
        }));
    }
    session.print(text, &Value::Array(all));
}

fn describe(stage: &dyn AnyStage) -> (String, Value) {
    let schema = stage.schema();
    let defaults = stage.resolve(&json!({})).unwrap_or_default();
    let ports = stage.ports(&defaults);
    let mut text = format!(
        "{} (version {})\n{}\n",
        stage.id(),
        stage.version(),
        stage.summary()
    );
    // Writing to a String cannot fail.
    text.push_str("\nInputs\n");
    for port in &ports.inputs {
        let marks = match (port.optional, port.per_split) {
            (true, true) => ", optional, per split",
            (true, false) => ", optional",
            (false, true) => ", per split",
            (false, false) => "",
        };
        let kinds = port.expected();
        let _ = writeln!(
            text,
            "  {:<14} {} ({kinds}{marks})",
            port.name, port.summary
        );
    }
    text.push_str("\nOutputs\n");
    for port in &ports.outputs {
        let splits = if port.splits.is_some() {
            ", per split"
        } else {
            ""
        };
        let _ = writeln!(
            text,
            "  {:<14} {} ({}{splits})",
            port.name, port.summary, port.kind
        );
    }
    text.push_str("\nParameters\n");
    describe_fields(&schema, &schema, &defaults, "", &mut text);
    let inputs: Vec<Value> = ports
        .inputs
        .iter()
        .map(|p| {
            json!({ "name": p.name, "kinds": p.kinds, "optional": p.optional,
                    "per_split": p.per_split, "summary": p.summary })
        })
        .collect();
    let outputs: Vec<Value> = ports
        .outputs
        .iter()
        .map(|p| {
            json!({ "name": p.name, "kind": p.kind, "per_split": p.splits.is_some(),
                    "summary": p.summary })
        })
        .collect();
    let json = json!({
        "id": stage.id(), "version": stage.version(), "summary": stage.summary(),
        "runs_in": stage.runs_in(), "inputs": inputs, "outputs": outputs,
        "parameters": schema, "defaults": defaults,
    });
    (text, json)
}

/// Options that depend on a name: those of the default one.
fn describe_options(schema: &Value, default: &Value, prefix: &str, text: &mut String) {
    let known = |name: &str| schema["properties"].get(name).is_some();
    let options = default.as_object().into_iter().flatten();
    let chosen = &default["name"];
    for (name, value) in options.filter(|(name, _)| !known(name)) {
        let _ = writeln!(
            text,
            "  {prefix}{name} = {value}\n      Option of {chosen}."
        );
    }
}

fn describe_fields(
    root: &Value,
    schema: &Value,
    defaults: &Value,
    prefix: &str,
    text: &mut String,
) {
    let Some(fields) = schema.get("properties").and_then(Value::as_object) else {
        return;
    };
    for (name, field) in fields {
        let default = defaults.get(name).unwrap_or(&Value::Null);
        let target = field
            .get("$ref")
            .and_then(Value::as_str)
            .and_then(|reference| root.pointer(reference.trim_start_matches('#')))
            .unwrap_or(field);
        let described = [field, target]
            .into_iter()
            .find_map(|f| f.get("description")?.as_str());
        let summary = described.unwrap_or_default().replace('\n', " ");
        if target.get("properties").is_some() {
            let _ = writeln!(text, "  {prefix}{name}: {summary}");
            describe_fields(root, target, default, &format!("{prefix}{name}."), text);
            describe_options(target, default, &format!("{prefix}{name}."), text);
        } else {
            let _ = writeln!(text, "  {prefix}{name} = {default}\n      {summary}");
        }
    }
}
