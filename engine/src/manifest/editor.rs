//! The schema of manifests for editors: the fixed part, and the parameters of every stage.
//!
//! At run time values are validated after substitution. An editor sees the text before it, so that here a
//! reference to a param is accepted wherever a number, a choice or a mapping is expected.

use serde_json::{Map, Value, json};

use super::wire::ManifestDoc;
use crate::registry::Registry;

/// The schema of manifests for editors.
///
/// # Panics
/// Never: a manifest has a property `defaults`.
pub fn manifest_schema(registry: Registry) -> Value {
    let mut schema = schemars::schema_for!(ManifestDoc).to_value();
    let mut definitions = Map::new();
    let mut branches = Vec::new();
    let mut defaults = Map::new();
    let common = schema["$defs"]["DefaultsDoc"].clone();
    for stage in registry.iter() {
        let mut params = stage.schema();
        if let Some(object) = params.as_object_mut() {
            object.remove("$schema");
            if let Some(Value::Object(inner)) = object.remove("$defs") {
                definitions.extend(inner);
            }
        }
        let name = format!("with.{}", stage.id());
        let reference = json!({ "$ref": format!("#/$defs/{name}") });
        definitions.insert(name, params);
        branches.push(json!({
            "if": { "properties": { "uses": { "const": stage.id() } } },
            "then": { "properties": { "with": {
                "anyOf": [reference, { "$ref": "#/$defs/Reference" }],
            } } },
        }));
        let mut of_kind = common.clone();
        of_kind["properties"]["with"] = reference;
        defaults.insert(stage.id().to_owned(), of_kind);
    }
    let ids: Vec<&str> = registry.iter().map(|stage| stage.id()).collect();
    schema["$defs"]["StageDoc"]["properties"]["uses"]["enum"] = json!(ids);
    if let Some(all) = schema["$defs"].as_object_mut() {
        all.remove("DefaultsDoc");
        all.extend(definitions);
        for definition in all.values_mut() {
            loosen_below(definition);
        }
        all.insert("Reference".to_owned(), reference());
    }
    let with = schema["properties"]["defaults"]
        .as_object_mut()
        .expect("a property of the manifest");
    with.remove("additionalProperties");
    with.insert("properties".to_owned(), Value::Object(defaults));
    with.insert("additionalProperties".to_owned(), false.into());
    if let Some(properties) = schema["properties"].as_object_mut() {
        for (name, property) in properties {
            match name.as_str() {
                // Read before params are.
                "clinicadl" | "include" | "search" => {}
                // What is inside may be a reference, the whole may not.
                "stages" | "params" | "matrix" | "inputs" | "expect" => loosen_below(property),
                "defaults" => {
                    for of_kind in property["properties"].as_object_mut().into_iter().flatten() {
                        loosen_below(of_kind.1);
                    }
                }
                _ => loosen(property),
            }
        }
    }
    // After the properties were loosened: conditions look at values as they are.
    schema["$defs"]["StageDoc"]["allOf"] = json!(branches);
    schema
}

fn reference() -> Value {
    json!({
        "description": "The value of a param.",
        "type": "string",
        "pattern": r"^\$\{ *params\.[^}]+\}$",
    })
}

/// Accepts a reference in place of each value inside of a schema.
fn loosen_below(schema: &mut Value) {
    let Some(object) = schema.as_object_mut() else {
        return;
    };
    for keyword in ["properties", "patternProperties"] {
        for (_, property) in object
            .get_mut(keyword)
            .and_then(Value::as_object_mut)
            .into_iter()
            .flatten()
        {
            loosen(property);
        }
    }
    for keyword in ["items", "additionalProperties"] {
        if let Some(inner) = object.get_mut(keyword) {
            // Named definitions are loosened where they are defined.
            loosen(inner);
        }
    }
    for keyword in ["anyOf", "oneOf", "allOf"] {
        for inner in object
            .get_mut(keyword)
            .and_then(Value::as_array_mut)
            .into_iter()
            .flatten()
        {
            loosen_below(inner);
        }
    }
}

/// Accepts a reference in place of a value.
fn loosen(schema: &mut Value) {
    loosen_below(schema);
    let Some(object) = schema.as_object_mut() else {
        return;
    };
    if object.contains_key("const") || accepts_texts(object) {
        return;
    }
    let mut outer = Map::new();
    for keyword in ["description", "default"] {
        if let Some(value) = object.remove(keyword) {
            outer.insert(keyword.to_owned(), value);
        }
    }
    let inner = std::mem::take(object);
    outer.insert(
        "anyOf".to_owned(),
        json!([inner, { "$ref": "#/$defs/Reference" }]),
    );
    *object = outer;
}

/// Whether any text is fine already.
fn accepts_texts(schema: &Map<String, Value>) -> bool {
    let constrained = ["enum", "pattern", "minLength", "maxLength", "format"]
        .iter()
        .any(|keyword| schema.contains_key(*keyword));
    let unconstrained = ["type", "$ref", "anyOf", "oneOf", "allOf", "enum"]
        .iter()
        .all(|keyword| !schema.contains_key(*keyword));
    let texts = match schema.get("type") {
        Some(Value::String(kind)) => kind == "string",
        Some(Value::Array(kinds)) => kinds.iter().any(|kind| kind == "string"),
        _ => false,
    };
    unconstrained || texts && !constrained
}
