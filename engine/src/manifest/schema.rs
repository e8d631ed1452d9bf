//! JSON Schemas: the one description that validates manifests, and that editors complete from.

use jsonschema::error::{TypeKind, ValidationErrorKind};
use serde_json::{Value, json};

use super::issue::{did_you_mean, suggest};
use super::wire::ManifestDoc;
use crate::registry::Registry;

/// A problem found by a schema: where, what, and advice.
#[derive(Debug)]
pub(super) struct Finding {
    /// JSON pointer of the offending value; of the unknown key itself where there is one.
    pub(super) pointer: String,
    pub(super) message: String,
    pub(super) hint: Option<String>,
}

/// The schema of manifests for editors: the fixed part, and the parameters of every stage.
pub fn manifest_schema(registry: Registry) -> Value {
    let mut schema = wire_schema();
    let mut definitions = serde_json::Map::new();
    let branches: Vec<Value> = registry
        .iter()
        .map(|stage| {
            let mut params = stage.schema();
            lift_definitions(&mut params, &mut definitions);
            json!({
                "if": { "properties": { "uses": { "const": stage.id() } } },
                "then": { "properties": { "with": params } },
            })
        })
        .collect();
    let ids: Vec<&str> = registry.iter().map(|stage| stage.id()).collect();
    let stage = &mut schema["$defs"]["StageDoc"];
    stage["properties"]["uses"]["enum"] = json!(ids);
    stage["allOf"] = json!(branches);
    if let Some(all) = schema["$defs"].as_object_mut() {
        all.extend(definitions);
    }
    schema
}

pub(super) fn wire_schema() -> Value {
    schemars::schema_for!(ManifestDoc).to_value()
}

/// Moves `$defs` of a stage's schema to the top of the manifest's, where its references point.
fn lift_definitions(params: &mut Value, all: &mut serde_json::Map<String, Value>) {
    if let Some(object) = params.as_object_mut() {
        object.remove("$schema");
        if let Some(Value::Object(definitions)) = object.remove("$defs") {
            all.extend(definitions);
        }
    }
}

/// Everything about `value` that `schema` refuses.
pub(super) fn validate(schema: &Value, value: &Value) -> Vec<Finding> {
    let validator = match jsonschema::validator_for(schema) {
        Ok(validator) => validator,
        Err(error) => {
            let message = format!("the schema itself is wrong, which is a bug: {error}");
            return vec![Finding {
                pointer: String::new(),
                message,
                hint: None,
            }];
        }
    };
    validator
        .iter_errors(value)
        .flat_map(|error| explain(schema, &error))
        .collect()
}

fn explain(schema: &Value, error: &jsonschema::ValidationError<'_>) -> Vec<Finding> {
    let pointer = error.instance_path().as_str().to_owned();
    let got = error.instance();
    let one = |message: String| {
        vec![Finding {
            pointer: pointer.clone(),
            message,
            hint: None,
        }]
    };
    match error.kind() {
        ValidationErrorKind::AdditionalProperties { unexpected } => {
            let known = siblings(schema, error.schema_path().as_str());
            let known: Vec<&str> = known.iter().map(String::as_str).collect();
            unexpected
                .iter()
                .map(|name| Finding {
                    pointer: format!("{pointer}/{name}"),
                    message: format!("unknown field `{name}`"),
                    hint: suggest(name, &known),
                })
                .collect()
        }
        ValidationErrorKind::Required { property } => one(format!(
            "field `{}` is missing",
            property.as_str().unwrap_or_default()
        )),
        ValidationErrorKind::Type { kind } => {
            let expected = match kind {
                TypeKind::Single(kind) => kind.to_string(),
                TypeKind::Multiple(kinds) => kinds
                    .iter()
                    .map(|kind| kind.to_string())
                    .collect::<Vec<_>>()
                    .join(" or "),
            };
            one(format!("expected {expected}, got {}", describe(got)))
        }
        ValidationErrorKind::Enum { options } => choice(pointer, got, &strings(options)),
        ValidationErrorKind::OneOfNotValid { .. } | ValidationErrorKind::AnyOf { .. } => {
            let alternatives = schema
                .pointer(error.schema_path().as_str())
                .unwrap_or(&Value::Null);
            let mut options = Vec::new();
            let mut types = Vec::new();
            collect(schema, alternatives, &mut options, &mut types);
            if got.is_string() && !options.is_empty() {
                choice(pointer, got, &options)
            } else {
                types.extend(options.iter().map(|option| format!("`{option}`")));
                one(format!(
                    "expected {}, got {}",
                    types.join(" or "),
                    describe(got)
                ))
            }
        }
        ValidationErrorKind::Minimum { limit } => {
            one(format!("{got} is too small, expected at least {limit}"))
        }
        ValidationErrorKind::ExclusiveMinimum { limit } => {
            one(format!("{got} is too small, expected more than {limit}"))
        }
        ValidationErrorKind::Maximum { limit } => {
            one(format!("{got} is too large, expected at most {limit}"))
        }
        ValidationErrorKind::ExclusiveMaximum { limit } => {
            one(format!("{got} is too large, expected less than {limit}"))
        }
        ValidationErrorKind::MinLength { .. } => one("is empty".to_owned()),
        ValidationErrorKind::MinItems { limit } => one(format!("expected at least {limit} items")),
        ValidationErrorKind::MaxItems { limit } => one(format!("expected at most {limit} items")),
        ValidationErrorKind::MinProperties { .. } => one("is empty".to_owned()),
        _ => one(error.to_string()),
    }
}

fn choice(pointer: String, got: &Value, options: &[String]) -> Vec<Finding> {
    let names: Vec<&str> = options.iter().map(String::as_str).collect();
    let wrong = got.as_str().unwrap_or_default();
    let listed: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
    let message = format!("{} is not one of {}", describe(got), listed.join(", "));
    let hint = did_you_mean(wrong, names).map(|name| format!("did you mean `{name}`?"));
    vec![Finding {
        pointer,
        message,
        hint,
    }]
}

/// The property names beside an `additionalProperties` keyword.
fn siblings(schema: &Value, keyword: &str) -> Vec<String> {
    let parent = keyword.rsplit_once('/').map_or("", |(parent, _)| parent);
    schema
        .pointer(parent)
        .and_then(|object| object.get("properties")?.as_object())
        .map(|properties| properties.keys().cloned().collect())
        .unwrap_or_default()
}

/// The constants and types that a list of alternatives allows.
fn collect(root: &Value, schema: &Value, options: &mut Vec<String>, types: &mut Vec<String>) {
    if let Some(list) = schema.as_array() {
        list.iter()
            .for_each(|alternative| collect(root, alternative, options, types));
        return;
    }
    if let Some(target) = schema.get("$ref").and_then(Value::as_str)
        && let Some(target) = root.pointer(target.trim_start_matches('#'))
    {
        collect(root, target, options, types);
    }
    for keyword in ["oneOf", "anyOf"] {
        if let Some(list) = schema.get(keyword) {
            collect(root, list, options, types);
        }
    }
    if let Some(constant) = schema.get("const").and_then(Value::as_str) {
        options.push(constant.to_owned());
    } else if let Some(list) = schema.get("enum") {
        options.extend(strings(list));
    } else if let Some(kind) = schema.get("type").and_then(Value::as_str) {
        types.push(kind.to_owned());
    }
}

fn strings(list: &Value) -> Vec<String> {
    list.as_array()
        .map(|items| {
            items
                .iter()
                .filter_map(|i| i.as_str().map(str::to_owned))
                .collect()
        })
        .unwrap_or_default()
}

fn describe(value: &Value) -> String {
    match value {
        Value::Null => "nothing".to_owned(),
        Value::String(text) => format!("`{text}`"),
        Value::Array(_) => "a list".to_owned(),
        Value::Object(_) => "a mapping".to_owned(),
        other => other.to_string(),
    }
}
