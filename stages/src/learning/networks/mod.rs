//! What a manifest can say of networks: a file per family, and the table [`NETWORKS`].
//!
//! A manifest gives a network by name, with its options beside it:
//! `network: { name: Conv5_FC3, dropout: 0.5 }`. A `maps.json` has the same options by the same names
//! among its own keys, as in ClinicaDL 1.6.1.

pub mod cnn;

use std::borrow::Cow;

use engine::ParamIssue;
use engine::params::StageParams;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Serialize, Serializer};
use serde_json::{Map, Value};

use super::names::Task;

/// A network that can be named.
#[derive(Debug)]
pub struct Declaration {
    /// Name in manifests and in `maps.json`.
    pub name: &'static str,
    /// One line.
    pub summary: &'static str,
    /// What it can learn.
    pub tasks: &'static [Task],
    /// Numbers of spatial axes that its images can have.
    pub axes: &'static [usize],
    /// Its own options.
    pub options: Options,
}

/// The type of a network's options, without its type.
#[derive(Debug)]
pub struct Options {
    /// Their names, in order.
    pub names: fn() -> Vec<&'static str>,
    /// The given ones with every default filled in.
    complete: fn(&Map<String, Value>) -> Result<Map<String, Value>, Vec<ParamIssue>>,
}

/// Options of networks: a [`engine::params!`] struct that knows its ranges.
pub trait NetworkOptions: StageParams {
    /// Every value out of range, with the name of its option.
    fn problems(&self) -> Vec<ParamIssue>;
}

impl Options {
    /// Options of this type.
    pub const fn of<O: NetworkOptions>() -> Self {
        Self {
            names: || O::FIELDS.iter().map(|field| field.name).collect(),
            complete: |given| {
                let mut issues = Vec::new();
                let known: Vec<&str> = O::FIELDS.iter().map(|field| field.name).collect();
                for name in given.keys().filter(|name| !known.contains(&name.as_str())) {
                    issues.push(ParamIssue::new(name, unknown(name, &known)));
                }
                // One at a time, so that every wrong type is told.
                for (name, value) in given
                    .iter()
                    .filter(|(name, _)| known.contains(&name.as_str()))
                {
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
            },
        }
    }
}

fn unknown(name: &str, known: &[&str]) -> String {
    let listed: Vec<String> = known.iter().map(|known| format!("`{known}`")).collect();
    let near = engine::manifest::did_you_mean(name, known.iter().copied());
    match near {
        Some(near) => format!("unknown option, did you mean `{near}`?"),
        None if listed.is_empty() => "unknown option: this network has none".to_owned(),
        None => format!("unknown option, expected one of {}", listed.join(", ")),
    }
}

/// Every network, sorted by name.
pub static NETWORKS: &[&Declaration] = &[&cnn::CONV4_FC3, &cnn::CONV5_FC3];

/// The network of this name.
pub fn declared(name: &str) -> Option<&'static Declaration> {
    NETWORKS
        .iter()
        .copied()
        .find(|network| network.name == name)
}

/// The network to train: its name, and its options.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default)]
pub struct NetworkParams {
    /// Architecture.
    pub name: String,
    /// Options of this architecture, as given.
    #[serde(flatten)]
    pub options: Map<String, Value>,
}

impl Default for NetworkParams {
    fn default() -> Self {
        Self {
            name: cnn::CONV5_FC3.name.to_owned(),
            options: Map::new(),
        }
    }
}

impl NetworkParams {
    /// What is wrong with the name or the options; fields are relative to the network.
    pub fn problems(&self) -> Vec<ParamIssue> {
        match self.complete() {
            Ok(_) => Vec::new(),
            Err(issues) => issues,
        }
    }

    /// The network, and its options with every default filled in.
    ///
    /// # Errors
    /// What is wrong with them.
    pub fn complete(&self) -> Result<(&'static Declaration, Map<String, Value>), Vec<ParamIssue>> {
        let Some(declaration) = declared(&self.name) else {
            let known: Vec<String> = NETWORKS
                .iter()
                .map(|known| format!("`{}`", known.name))
                .collect();
            let message = format!(
                "unknown network `{}`, expected one of {}",
                self.name,
                known.join(", ")
            );
            return Err(vec![ParamIssue::new("name", message)]);
        };
        Ok((declaration, (declaration.options.complete)(&self.options)?))
    }
}

/// With every default, so that a default that changes later changes keys.
impl Serialize for NetworkParams {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut all = Map::from_iter([("name".to_owned(), self.name.clone().into())]);
        all.extend(match self.complete() {
            Ok((_, options)) => options,
            Err(_) => self.options.clone(),
        });
        all.serialize(serializer)
    }
}

impl JsonSchema for NetworkParams {
    fn schema_name() -> Cow<'static, str> {
        "NetworkParams".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let names: Vec<&str> = NETWORKS.iter().map(|network| network.name).collect();
        schemars::json_schema!({
            "description": "The network to train: its name, and its options.",
            "type": "object",
            "properties": {
                "name": {
                    "description": "Architecture. Default `Conv5_FC3`.",
                    "type": "string",
                    "enum": names,
                    "default": cnn::CONV5_FC3.name,
                },
            },
        })
    }
}
