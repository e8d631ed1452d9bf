//! Things that a manifest chooses by name, each with options of its own beside the name:
//! `network: { name: Conv5_FC3, dropout: 0.5 }`.

use std::borrow::Cow;
use std::marker::PhantomData;

use engine::ParamIssue;
use engine::params::StageParams;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Serialize, Serializer};
use serde_json::{Map, Value, json};

type Complete = fn(&Map<String, Value>) -> Result<Map<String, Value>, Vec<ParamIssue>>;

/// The type of something's options, without its type.
#[derive(Debug)]
pub struct Options {
    /// Their names, in order.
    pub names: fn() -> Vec<&'static str>,
    /// The given ones with every default filled in.
    complete: Complete,
}

/// Options: a [`engine::params!`] struct that knows its ranges.
pub trait NamedOptions: StageParams {
    /// Every value out of range, with the name of its option.
    fn problems(&self) -> Vec<ParamIssue>;
}

impl Options {
    /// Options of this type.
    pub const fn of<O: NamedOptions>() -> Self {
        Self {
            names: || O::FIELDS.iter().map(|field| field.name).collect(),
            complete: complete::<O>,
        }
    }
}

fn complete<O: NamedOptions>(
    given: &Map<String, Value>,
) -> Result<Map<String, Value>, Vec<ParamIssue>> {
    let mut issues = Vec::new();
    let known: Vec<&str> = O::FIELDS.iter().map(|field| field.name).collect();
    // One at a time, so that every wrong one is told.
    for (name, value) in given {
        if !known.contains(&name.as_str()) {
            issues.push(ParamIssue::new(name, unknown(name, &known)));
            continue;
        }
        let one = Map::from_iter([(name.clone(), value.clone())]);
        if let Err(error) = serde_json::from_value::<O>(Value::Object(one)) {
            issues.push(ParamIssue::new(name, error.to_string()));
        }
    }
    if !issues.is_empty() {
        return Err(issues);
    }
    let options: O = serde_json::from_value(Value::Object(given.clone()))
        .map_err(|e| vec![ParamIssue::new("name", e.to_string())])?;
    let problems = options.problems();
    if !problems.is_empty() {
        return Err(problems);
    }
    match engine::params::to_value(&options) {
        Value::Object(complete) => Ok(complete),
        _ => Ok(Map::new()),
    }
}

fn unknown(name: &str, known: &[&str]) -> String {
    let listed: Vec<String> = known.iter().map(|known| format!("`{known}`")).collect();
    match engine::manifest::did_you_mean(name, known.iter().copied()) {
        Some(near) => format!("unknown option, did you mean `{near}`?"),
        None if listed.is_empty() => "unknown option: there is none".to_owned(),
        None => format!("unknown option, expected one of {}", listed.join(", ")),
    }
}

/// A kind of things that have names.
pub trait Kind: 'static {
    /// What messages call one.
    const WHAT: &'static str;
    /// The name where none is given; empty where one must be.
    const DEFAULT: &'static str;
    /// The names, in order, with their options.
    fn all() -> Vec<(&'static str, &'static Options)>;
}

/// One of a kind: its name, and its options as given.
#[derive(Deserialize)]
#[serde(default, bound = "")]
pub struct Named<K: Kind> {
    /// Its name.
    pub name: String,
    /// Options, as given.
    #[serde(flatten)]
    pub options: Map<String, Value>,
    #[serde(skip)]
    kind: PhantomData<K>,
}

impl<K: Kind> Named<K> {
    /// One of this name, with these options.
    pub fn new(name: &str, options: Map<String, Value>) -> Self {
        Self {
            name: name.to_owned(),
            options,
            kind: PhantomData,
        }
    }

    /// What is wrong with the name or the options; fields are relative to it.
    pub fn problems(&self) -> Vec<ParamIssue> {
        self.complete().err().unwrap_or_default()
    }

    /// Its options with every default filled in.
    ///
    /// # Errors
    /// What is wrong with them.
    pub fn complete(&self) -> Result<Map<String, Value>, Vec<ParamIssue>> {
        let all = K::all();
        if let Some((_, options)) = all.iter().find(|(name, _)| *name == self.name) {
            return (options.complete)(&self.options);
        }
        let names = all.iter().map(|(name, _)| *name);
        let mut message = format!("unknown {} `{}`", K::WHAT, self.name);
        message += &match engine::manifest::did_you_mean(&self.name, names.clone()) {
            Some(near) => format!(", did you mean `{near}`?"),
            None => {
                let known: Vec<String> = names.map(|name| format!("`{name}`")).collect();
                format!(", expected one of {}", known.join(", "))
            }
        };
        Err(vec![ParamIssue::new("name", message)])
    }

    /// An option that is a number; not one where it is wrong.
    pub(super) fn number(&self, option: &str) -> f64 {
        let complete = self.complete().unwrap_or_default();
        complete
            .get(option)
            .and_then(Value::as_f64)
            .unwrap_or(f64::NAN)
    }

    /// Its options as their own type; those that are wrong have their default.
    pub fn options<O: NamedOptions>(&self) -> O {
        serde_json::from_value(Value::Object(self.options.clone())).unwrap_or_default()
    }
}

impl<K: Kind> Default for Named<K> {
    fn default() -> Self {
        Self::new(K::DEFAULT, Map::new())
    }
}

impl<K: Kind> Clone for Named<K> {
    fn clone(&self) -> Self {
        Self::new(&self.name, self.options.clone())
    }
}

impl<K: Kind> PartialEq for Named<K> {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name && self.options == other.options
    }
}

impl<K: Kind> std::fmt::Debug for Named<K> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {:?}", self.name, self.options)
    }
}

/// With every default, so that a default that changes later changes keys.
impl<K: Kind> Serialize for Named<K> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut all = Map::from_iter([("name".to_owned(), self.name.clone().into())]);
        all.extend(self.complete().unwrap_or_else(|_| self.options.clone()));
        all.serialize(serializer)
    }
}

impl<K: Kind> JsonSchema for Named<K> {
    fn schema_name() -> Cow<'static, str> {
        format!("Named{}", K::WHAT).into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let names: Vec<&str> = K::all().into_iter().map(|(name, _)| name).collect();
        let mut schema = schemars::json_schema!({
            "description": format!("A {} by its name, and its options.", K::WHAT),
            "type": "object",
            "properties": { "name": { "type": "string", "enum": names } },
        });
        if K::DEFAULT.is_empty() {
            schema.insert("required".to_owned(), json!(["name"]));
        }
        if let Some(name) = schema.pointer_mut("/properties/name") {
            let (text, default) = match K::DEFAULT {
                "" => ("Its name.".to_owned(), None),
                default => (format!("Its name. Default `{default}`."), Some(default)),
            };
            name["description"] = text.into();
            if let Some(default) = default {
                name["default"] = default.into();
            }
        }
        schema
    }
}

/// What is wrong with options that are above 0.
pub(crate) fn above_zero(values: &[(&str, f64)]) -> Vec<ParamIssue> {
    let wrong = values.iter().filter(|(_, v)| !(*v > 0.0 && v.is_finite()));
    wrong
        .map(|(name, v)| ParamIssue::new(*name, format!("expected a number above 0, got {v}")))
        .collect()
}

/// What is wrong with options within bounds: each with the least and the greatest it can be.
pub(crate) fn within(values: &[(&str, f64, f64, f64)]) -> Vec<ParamIssue> {
    let wrong = values
        .iter()
        .filter(|(_, v, least, most)| !(v >= least && v <= most));
    let told = wrong.map(|(name, v, least, most)| {
        let bounds = if *most < f64::MAX {
            format!("{least} to {most}")
        } else {
            format!("at least {least}")
        };
        ParamIssue::new(*name, format!("expected {bounds}, got {v}"))
    });
    told.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::learning::networks::NetworkParams;

    #[test]
    fn defaults_are_in_the_key_and_every_wrong_option_is_told() {
        let plain: NetworkParams = serde_json::from_value(json!({})).unwrap();
        let text = serde_json::to_value(&plain).unwrap();
        assert_eq!(text, json!({ "name": "Conv5_FC3", "dropout": 0.0 }));
        let wrong: NetworkParams =
            serde_json::from_value(json!({ "dropuot": 1, "dropout": "x" })).unwrap();
        let issues = wrong.problems();
        let told: Vec<&str> = issues.iter().map(|issue| issue.field.as_str()).collect();
        assert_eq!(told, ["dropuot", "dropout"]);
        assert!(issues[0].message.contains("did you mean `dropout`?"));
        let unknown = NetworkParams::new("Conv5_FC4", Map::new());
        assert!(unknown.problems()[0].message.contains("did you mean `Conv"));
    }
}
