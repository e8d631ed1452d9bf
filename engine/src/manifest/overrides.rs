//! What a command line changes about a manifest: `--set name=value`.

use std::path::PathBuf;

use serde_json::Value;

use super::collect::Collector;
use super::files::Written;
use super::node::{Node, Place, Tree, shorten};
use super::yaml_value;

/// The seed of the experiment, which can be set like a param.
const SEED: &str = "seed";

/// Values from a command line.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Overrides {
    /// Params by name, in order; a later one wins. Dots descend.
    pub params: Vec<(String, Value)>,
    /// The folder to publish to, by the will of who runs it: it may be anywhere.
    pub maps: Option<PathBuf>,
}

impl Overrides {
    /// Adds one, as written on a command line: `name=value`, the value in YAML.
    ///
    /// # Errors
    /// It has no `=`, no name, or the value is not YAML.
    pub fn set(&mut self, text: &str) -> Result<(), String> {
        let (name, value) = text
            .split_once('=')
            .filter(|(name, _)| !name.is_empty())
            .ok_or_else(|| format!("`{}`: expected NAME=VALUE", shorten(text)))?;
        let value = yaml_value(value).map_err(|e| format!("`{}`: {e}", shorten(name)))?;
        self.params.push((name.to_owned(), value));
        Ok(())
    }
}

/// The place of values that no file holds.
fn nowhere() -> Place {
    Place::of_file(u32::MAX)
}

/// Puts the values in place of the written ones.
pub(super) fn apply(overrides: &Overrides, written: &mut Written, collector: &mut Collector) {
    for (path, value) in &overrides.params {
        let node = Node::from_value(nowhere(), value);
        let key = format!("--set {}", shorten(path));
        let mut parts = path.split('.');
        let name = parts.next().unwrap_or_default();
        if path == SEED && !written.params.contains_key(SEED) {
            written.head.insert(SEED.to_owned(), node);
            continue;
        }
        let Some(param) = written.params.get_mut(name) else {
            let known = written.params.keys().map(String::as_str).chain([SEED]);
            let hint = collector.suggest(name, known);
            let message = format!("unknown param `{}`", shorten(name));
            collector.error(nowhere(), &key, message, hint);
            continue;
        };
        if let Err((message, known)) = replace(param, parts, node) {
            let wrong = path.rsplit('.').next().unwrap_or_default();
            let hint = collector.suggest(wrong, known.iter().map(String::as_str));
            collector.error(nowhere(), &key, message, hint);
        }
    }
}

/// Replaces a value inside of a param; an error is a message and the names that are there.
fn replace<'a>(
    node: &mut Node,
    mut path: impl Iterator<Item = &'a str>,
    value: Node,
) -> Result<(), (String, Vec<String>)> {
    let Some(part) = path.next() else {
        let place = node.place;
        *node = value;
        node.place = place;
        return Ok(());
    };
    let missing = |known: Vec<String>| (format!("there is no `{}`", shorten(part)), known);
    match &mut node.tree {
        Tree::Map(fields) => match fields.get_mut(part) {
            Some(field) => replace(field, path, value)?,
            None => return Err(missing(fields.keys().cloned().collect())),
        },
        Tree::List(items) => match part.parse().ok().and_then(|at: usize| items.get_mut(at)) {
            Some(item) => replace(item, path, value)?,
            None => return Err(missing(Vec::new())),
        },
        _ => {
            let message = format!("`{}` is below {}", shorten(part), node.describe());
            return Err((message, Vec::new()));
        }
    }
    // Size and liveness of what is around it have changed.
    let tree = std::mem::replace(&mut node.tree, Tree::Null);
    *node = Node::new(node.place, tree);
    Ok(())
}
