//! From text to a JSON value and the place of every key. The only module that knows YAML and TOML.

use std::collections::BTreeMap;
use std::path::Path;

use saphyr_parser::{Event, Parser};
use serde_json::{Map, Value};

use super::issue::{Issue, Issues};

/// A parsed file.
#[derive(Debug)]
pub(super) struct Document {
    pub(super) value: Value,
    spans: BTreeMap<String, (usize, usize)>,
}

impl Document {
    /// Line and column of the key at a JSON pointer, or of its nearest parent.
    pub(super) fn place(&self, pointer: &str) -> Option<(usize, usize)> {
        let mut pointer = pointer;
        loop {
            if let Some(&place) = self.spans.get(pointer) {
                return Some(place);
            }
            pointer = &pointer[..pointer.rfind('/')?];
        }
    }
}

pub(super) fn parse(path: &Path, text: &str) -> Result<Document, Issues> {
    if path
        .extension()
        .is_some_and(|extension| extension == "toml")
    {
        parse_toml(path, text)
    } else {
        parse_yaml(path, text)
    }
}

fn syntax(path: &Path, place: Option<(usize, usize)>, message: String) -> Issues {
    Issues(vec![Issue {
        file: path.to_owned(),
        line: place.map(|(line, _)| line),
        column: place.map(|(_, column)| column),
        key: String::new(),
        message,
        hint: None,
    }])
}

fn parse_yaml(path: &Path, text: &str) -> Result<Document, Issues> {
    let yaml: serde_yaml::Value = serde_yaml::from_str(text).map_err(|error| {
        let place = error.location().map(|at| (at.line(), at.column()));
        // The library appends the place, which the issue shows already.
        let message = error.to_string();
        let message = message
            .rsplit_once(" at line ")
            .map_or(message.as_str(), |(head, _)| head);
        syntax(path, place, format!("not valid YAML: {message}"))
    })?;
    let value = json_of_yaml(yaml).map_err(|message| syntax(path, None, message))?;
    Ok(Document {
        value,
        spans: yaml_spans(text),
    })
}

/// Reads one value written in YAML, such as a parameter on a command line.
///
/// # Errors
/// The text is not YAML, or not a value that JSON can hold.
pub fn yaml_value(text: &str) -> Result<Value, String> {
    serde_yaml::from_str(text)
        .map_err(|error| error.to_string())
        .and_then(json_of_yaml)
}

fn json_of_yaml(yaml: serde_yaml::Value) -> Result<Value, String> {
    Ok(match yaml {
        serde_yaml::Value::Null => Value::Null,
        serde_yaml::Value::Bool(b) => b.into(),
        serde_yaml::Value::String(s) => s.into(),
        serde_yaml::Value::Number(n) => match (n.as_u64(), n.as_i64(), n.as_f64()) {
            (Some(n), _, _) => n.into(),
            (_, Some(n), _) => n.into(),
            (_, _, Some(n)) if n.is_finite() => n.into(),
            _ => return Err(format!("`{n}` is not a finite number")),
        },
        serde_yaml::Value::Sequence(items) => Value::Array(
            items
                .into_iter()
                .map(json_of_yaml)
                .collect::<Result<_, _>>()?,
        ),
        serde_yaml::Value::Mapping(fields) => {
            let mut object = Map::new();
            for (key, value) in fields {
                let key = match key {
                    serde_yaml::Value::String(key) => key,
                    other => json_of_yaml(other)?.to_string(),
                };
                object.insert(key, json_of_yaml(value)?);
            }
            Value::Object(object)
        }
        serde_yaml::Value::Tagged(tagged) => {
            return Err(format!("tag `{}` is not allowed in a manifest", tagged.tag));
        }
    })
}

/// Where a container of the event stream is, and what comes next in it.
enum Level {
    Mapping {
        pointer: String,
        key: Option<String>,
    },
    Sequence {
        pointer: String,
        next: usize,
    },
}

/// The place of each key and item. A text that this parser refuses has no places, only messages.
fn yaml_spans(text: &str) -> BTreeMap<String, (usize, usize)> {
    let mut spans = BTreeMap::new();
    let mut levels: Vec<Level> = Vec::new();
    for event in Parser::new_from_str(text) {
        let Ok((event, span)) = event else { break };
        let place = (span.start.line(), span.start.col() + 1);
        let scalar = match &event {
            Event::Scalar(text, ..) => Some(text.to_string()),
            _ => None,
        };
        let starts_value = matches!(
            event,
            Event::Scalar(..)
                | Event::Alias(_)
                | Event::SequenceStart(..)
                | Event::MappingStart(..)
        );
        let mut pointer = String::new();
        if starts_value {
            match levels.last_mut() {
                None => {}
                Some(Level::Mapping {
                    pointer: parent,
                    key,
                }) => match key.take() {
                    None => {
                        let name = scalar.unwrap_or_default();
                        spans.insert(format!("{parent}/{}", escape(&name)), place);
                        *key = Some(name);
                        continue;
                    }
                    Some(name) => pointer = format!("{parent}/{}", escape(&name)),
                },
                Some(Level::Sequence {
                    pointer: parent,
                    next,
                }) => {
                    pointer = format!("{parent}/{next}");
                    *next += 1;
                    spans.insert(pointer.clone(), place);
                }
            }
        }
        match event {
            Event::MappingStart(..) => levels.push(Level::Mapping { pointer, key: None }),
            Event::SequenceStart(..) => levels.push(Level::Sequence { pointer, next: 0 }),
            Event::MappingEnd | Event::SequenceEnd => drop(levels.pop()),
            _ => {}
        }
    }
    spans
}

fn escape(key: &str) -> String {
    key.replace('~', "~0").replace('/', "~1")
}

fn parse_toml(path: &Path, text: &str) -> Result<Document, Issues> {
    let table = toml::de::DeTable::parse(text).map_err(|error| {
        let place = error.span().map(|span| place_of(text, span.start));
        syntax(path, place, format!("not valid TOML: {}", error.message()))
    })?;
    let value: Value = toml::from_str(text)
        .map_err(|error| syntax(path, None, format!("not valid TOML: {}", error.message())))?;
    let mut spans = BTreeMap::new();
    toml_table_spans(text, "", table.get_ref(), &mut spans);
    Ok(Document { value, spans })
}

fn toml_table_spans(
    text: &str,
    parent: &str,
    table: &toml::de::DeTable<'_>,
    spans: &mut BTreeMap<String, (usize, usize)>,
) {
    for (key, value) in table {
        let pointer = format!("{parent}/{}", escape(key.get_ref()));
        spans.insert(pointer.clone(), place_of(text, key.span().start));
        toml_value_spans(text, &pointer, value.get_ref(), spans);
    }
}

fn toml_value_spans(
    text: &str,
    pointer: &str,
    value: &toml::de::DeValue<'_>,
    spans: &mut BTreeMap<String, (usize, usize)>,
) {
    match value {
        toml::de::DeValue::Table(table) => toml_table_spans(text, pointer, table, spans),
        toml::de::DeValue::Array(items) => {
            for (i, item) in items.iter().enumerate() {
                let below = format!("{pointer}/{i}");
                spans.insert(below.clone(), place_of(text, item.span().start));
                toml_value_spans(text, &below, item.get_ref(), spans);
            }
        }
        _ => {}
    }
}

fn place_of(text: &str, offset: usize) -> (usize, usize) {
    let before = &text[..offset.min(text.len())];
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    (
        before.matches('\n').count() + 1,
        before[line_start..].chars().count() + 1,
    )
}
