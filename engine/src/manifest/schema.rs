//! JSON Schemas: the one description that validates manifests, and that editors complete from.

use jsonschema::error::{TypeKind, ValidationErrorKind};
use serde_json::Value;

use super::issue::{did_you_mean, suggest};
use super::node::{describe, shorten, unescape};

/// A problem found by a schema: where, what, and advice.
#[derive(Debug)]
pub(super) struct Finding {
    /// JSON pointer of the offending value; of the unknown key itself where there is one.
    pub(super) pointer: String,
    pub(super) message: String,
    pub(super) hint: Option<String>,
    /// Whether a key is unknown.
    pub(super) unknown: bool,
    /// Whether something is not there.
    pub(super) missing: bool,
}

/// A schema, ready to look at many values.
#[derive(Debug)]
pub(super) struct Validator {
    schema: Value,
    compiled: Result<jsonschema::Validator, String>,
}

impl Validator {
    /// Prepares a schema, which is what takes time.
    pub(super) fn new(schema: Value) -> Self {
        let compiled = jsonschema::validator_for(&schema).map_err(|e| e.to_string());
        Self { schema, compiled }
    }

    /// That of a type.
    pub(super) fn of<T: schemars::JsonSchema>() -> Self {
        Self::new(schemars::schema_for!(T).to_value())
    }

    /// Everything about `value` that the schema refuses.
    pub(super) fn findings(&self, value: &Value) -> Vec<Finding> {
        match &self.compiled {
            Ok(compiled) if compiled.is_valid(value) => Vec::new(),
            Ok(compiled) => compiled
                .iter_errors(value)
                .flat_map(|error| explain(&self.schema, &error))
                .collect(),
            Err(error) => vec![Finding {
                pointer: String::new(),
                message: format!("the schema itself is wrong, which is a bug: {error}"),
                hint: None,
                unknown: false,
                missing: false,
            }],
        }
    }
}

fn explain(schema: &Value, error: &jsonschema::ValidationError<'_>) -> Vec<Finding> {
    let pointer = error.instance_path().as_str().to_owned();
    let got = error.instance();
    let one = |message: String| {
        vec![Finding {
            pointer: pointer.clone(),
            message,
            hint: None,
            unknown: false,
            missing: false,
        }]
    };
    match error.kind() {
        ValidationErrorKind::AdditionalProperties { unexpected } => {
            let known = siblings(schema, error.schema_path().as_str());
            let known: Vec<&str> = known.iter().map(String::as_str).collect();
            unexpected
                .iter()
                .map(|name| Finding {
                    pointer: format!("{pointer}/{}", name.replace('~', "~0").replace('/', "~1")),
                    message: format!("unknown field `{}`", shorten(name)),
                    hint: suggest(name, &known),
                    unknown: true,
                    missing: false,
                })
                .collect()
        }
        ValidationErrorKind::Required { property } => {
            let name = property.as_str().unwrap_or_default();
            let mut found = one(format!("field `{name}` is missing"));
            found.iter_mut().for_each(|finding| finding.missing = true);
            found
        }
        ValidationErrorKind::Type { kind } => {
            let expected = match kind {
                TypeKind::Single(kind) => kind.to_string(),
                TypeKind::Multiple(kinds) => kinds
                    .iter()
                    .map(|kind| kind.to_string())
                    .collect::<Vec<_>>()
                    .join(" or "),
            };
            let mut found = one(format!("expected {expected}, got {}", describe(got)));
            found[0].hint = pitfall(&expected, got);
            found
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
                let hint = pitfall(&types.join(" or "), got);
                types.extend(options.iter().map(|option| format!("`{option}`")));
                let expected = types.join(" or ");
                let mut found = one(format!("expected {expected}, got {}", describe(got)));
                found[0].hint = hint;
                found
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
        ValidationErrorKind::Pattern { pattern } => one(format!(
            "{} does not have the form `{pattern}`",
            describe(got)
        )),
        _ => one(shorten(&error.to_string())),
    }
}

/// Advice where YAML reads a value otherwise than it looks.
fn pitfall(expected: &str, got: &Value) -> Option<String> {
    let wants = |kind: &str| expected.split(" or ").any(|word| word == kind);
    let number = wants("integer") || wants("number");
    match got {
        Value::String(text) if wants("boolean") => {
            let meant = match text.to_lowercase().as_str() {
                "yes" | "on" | "y" => "true",
                "no" | "off" | "n" => "false",
                "true" => return Some("write `true` without quotes".to_owned()),
                "false" => return Some("write `false` without quotes".to_owned()),
                _ => return None,
            };
            Some(format!("write `{meant}`: `{text}` is a text in YAML 1.2"))
        }
        Value::String(text) if number => {
            if text.parse::<f64>().is_ok_and(f64::is_finite) {
                let trimmed = text.trim_start_matches(['+', '-']);
                let leading = trimmed.len() > 1
                    && trimmed.starts_with('0')
                    && trimmed.bytes().all(|b| b.is_ascii_digit());
                return Some(if leading {
                    format!(
                        "`{text}` is 8-based for some readers of YAML: write `{}`, or `0o{}`",
                        trimmed.trim_start_matches('0'),
                        trimmed.trim_start_matches('0')
                    )
                } else {
                    "write the number without quotes".to_owned()
                });
            }
            let plain = text.replace('_', "");
            (text.contains('_') && plain.parse::<f64>().is_ok_and(f64::is_finite))
                .then(|| format!("write `{plain}`: numbers have no underscores"))
        }
        Value::Number(_) | Value::Bool(_) if wants("string") => {
            Some(format!("put it in quotes: \"{got}\""))
        }
        _ => None,
    }
}

/// Takes out a value that was reported, so that what is sound can still be checked.
pub(super) fn remove(value: &mut Value, pointer: &str) {
    let Some((parent, key)) = pointer.rsplit_once('/') else {
        return;
    };
    match value.pointer_mut(parent) {
        Some(Value::Object(fields)) => drop(fields.shift_remove(&unescape(key))),
        Some(Value::Array(items)) => {
            let at = key.parse().ok().filter(|&at: &usize| at < items.len());
            drop(at.map(|at| items.remove(at)));
        }
        _ => {}
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
        unknown: false,
        missing: false,
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
