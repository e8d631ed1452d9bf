//! A parsed document: values that know where they were written.
//!
//! Both formats are read into this one tree, so that nothing after it knows YAML from TOML. Its size and
//! height are bounded while it is built, which bounds every recursion over it.

use indexmap::IndexMap;
use serde_json::{Map, Number, Value};

/// Nesting of values that a manifest may have.
pub(super) const MAX_HEIGHT: usize = 64;

/// Where something was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Place {
    /// Which file, in order of reading.
    pub(super) file: u32,
    /// From 1; 0 for the file as a whole.
    pub(super) line: u32,
    /// In characters, from 1.
    pub(super) column: u32,
}

impl Place {
    /// The file as a whole.
    pub(super) fn of_file(file: u32) -> Self {
        Self {
            file,
            line: 0,
            column: 0,
        }
    }
}

/// How much memory a value takes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Size {
    pub(super) values: usize,
    pub(super) bytes: usize,
}

impl Size {
    pub(super) fn add(&mut self, other: Self) {
        self.values += other.values;
        self.bytes += other.bytes;
    }

    pub(super) fn exceeds(self, limit: Self) -> bool {
        self.values > limit.values || self.bytes > limit.bytes
    }
}

/// A value and where it was written: at its key, for a value of a mapping.
#[derive(Debug, Clone)]
pub(super) struct Node {
    pub(super) place: Place,
    pub(super) tree: Tree,
    /// What is below, itself included.
    pub(super) size: Size,
    /// Levels of nesting, 1 for a scalar.
    pub(super) height: usize,
    /// Whether a text below holds a `$`, and may have to be substituted.
    pub(super) live: bool,
}

#[derive(Debug, Clone)]
pub(super) enum Tree {
    Null,
    Bool(bool),
    Number(Number),
    Text(String),
    List(Vec<Node>),
    Map(IndexMap<String, Node>),
}

impl Node {
    pub(super) fn new(place: Place, tree: Tree) -> Self {
        let mut size = Size {
            values: 1,
            bytes: 0,
        };
        let (mut height, mut live) = (0, false);
        let mut below = |node: &Self| {
            size.add(node.size);
            height = height.max(node.height);
            live |= node.live;
        };
        match &tree {
            Tree::List(items) => items.iter().for_each(&mut below),
            Tree::Map(fields) => {
                fields.values().for_each(&mut below);
                size.bytes += fields.keys().map(String::len).sum::<usize>();
            }
            Tree::Text(text) => {
                size.bytes += text.len();
                live = text.contains('$');
            }
            Tree::Null | Tree::Bool(_) | Tree::Number(_) => {}
        }
        Self {
            place,
            tree,
            size,
            height: height + 1,
            live,
        }
    }

    /// A value that was not read from a file.
    pub(super) fn from_value(place: Place, value: &Value) -> Self {
        let tree = match value {
            Value::Null => Tree::Null,
            Value::Bool(b) => Tree::Bool(*b),
            Value::Number(n) => Tree::Number(n.clone()),
            Value::String(text) => Tree::Text(text.clone()),
            Value::Array(items) => Tree::List(
                items
                    .iter()
                    .map(|item| Self::from_value(place, item))
                    .collect(),
            ),
            Value::Object(fields) => Tree::Map(
                fields
                    .iter()
                    .map(|(key, value)| (key.clone(), Self::from_value(place, value)))
                    .collect(),
            ),
        };
        Self::new(place, tree)
    }

    /// The value as written, without substitution.
    pub(super) fn to_value(&self) -> Value {
        match &self.tree {
            Tree::Null => Value::Null,
            Tree::Bool(b) => Value::Bool(*b),
            Tree::Number(n) => Value::Number(n.clone()),
            Tree::Text(text) => Value::String(text.clone()),
            Tree::List(items) => Value::Array(items.iter().map(Self::to_value).collect()),
            Tree::Map(fields) => {
                let mut object = Map::with_capacity(fields.len());
                for (key, value) in fields {
                    object.insert(key.clone(), value.to_value());
                }
                Value::Object(object)
            }
        }
    }

    pub(super) fn as_map(&self) -> Option<&IndexMap<String, Self>> {
        match &self.tree {
            Tree::Map(fields) => Some(fields),
            _ => None,
        }
    }

    pub(super) fn as_list(&self) -> Option<&[Self]> {
        match &self.tree {
            Tree::List(items) => Some(items),
            _ => None,
        }
    }

    pub(super) fn as_text(&self) -> Option<&str> {
        match &self.tree {
            Tree::Text(text) => Some(text),
            _ => None,
        }
    }

    pub(super) fn get(&self, key: &str) -> Option<&Self> {
        self.as_map()?.get(key)
    }

    /// The deepest value on the way to a JSON pointer, and how many steps of the way exist.
    pub(super) fn nearest(&self, pointer: &str) -> (&Self, usize) {
        let (mut node, mut steps) = (self, 0);
        for part in pointer.split('/').skip(1) {
            let below = match &node.tree {
                Tree::Map(fields) => fields.get(&unescape(part)),
                Tree::List(items) => part.parse().ok().and_then(|at: usize| items.get(at)),
                _ => None,
            };
            let Some(below) = below else { break };
            (node, steps) = (below, steps + 1);
        }
        (node, steps)
    }

    /// What a message calls it.
    pub(super) fn describe(&self) -> String {
        match &self.tree {
            Tree::List(_) => "a list".to_owned(),
            Tree::Map(_) => "a mapping".to_owned(),
            _ => describe(&self.to_value()),
        }
    }
}

/// A part of a JSON pointer as the key that it stands for.
pub(super) fn unescape(part: &str) -> String {
    part.replace("~1", "/").replace("~0", "~")
}

/// A JSON pointer below `prefix` as a key path: `stages.train` and `/with/epochs`.
pub(super) fn key_path(prefix: &str, pointer: &str) -> String {
    let mut key = prefix.to_owned();
    for part in pointer.split('/').skip(1) {
        if !key.is_empty() {
            key.push('.');
        }
        key.push_str(&unescape(part));
    }
    key
}

/// Characters of a value that a message shows.
const SHOWN: usize = 80;

/// What a message calls a value.
pub(super) fn describe(value: &Value) -> String {
    match value {
        Value::Null => "nothing".to_owned(),
        Value::String(text) => format!("`{}`", shorten(text)),
        Value::Array(_) => "a list".to_owned(),
        Value::Object(_) => "a mapping".to_owned(),
        other => other.to_string(),
    }
}

/// The beginning of a text that may be long, on one line and without control characters.
pub(super) fn shorten(text: &str) -> String {
    let mut short: String = text.chars().take(SHOWN).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    short.replace(char::is_control, "\u{fffd}")
}

/// Whether two values mean the same: numbers by value, so that `1` equals `1.0`.
pub(super) fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(x), Value::Number(y)) => {
            x == y || (x.is_f64() || y.is_f64()) && equal(x.as_f64(), y.as_f64())
        }
        (Value::Array(x), Value::Array(y)) => {
            x.len() == y.len() && x.iter().zip(y).all(|(x, y)| same(x, y))
        }
        (Value::Object(x), Value::Object(y)) => {
            x.len() == y.len()
                && x.iter()
                    .all(|(key, x)| y.get(key).is_some_and(|y| same(x, y)))
        }
        _ => a == b,
    }
}

fn equal(a: Option<f64>, b: Option<f64>) -> bool {
    a == b
}
