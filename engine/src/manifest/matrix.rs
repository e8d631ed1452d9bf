//! `matrix:`: an experiment once per combination of params.
//!
//! 1. Lists of values make the cells, the last param varying fastest.
//! 2. `exclude` removes the cells that have all values of an entry.
//! 3. `include` adds to the cells: an entry whose matrix params agree with some cells sets its other
//!    params there; an entry that agrees with none is a cell of its own.

use std::rc::Rc;

use indexmap::{IndexMap, IndexSet};
use serde_json::Value;

use super::collect::Collector;
use super::node::{MAX_HEIGHT, Node, Place, describe, same, shorten};
use super::params::{Params, Resolved, Scope};

/// Cells of a matrix.
pub(super) const MAX_CELLS: usize = 10_000;

/// Params that a matrix may vary.
pub(super) const MAX_KEYS: usize = 16;

/// Entries of `include` and `exclude`.
const MAX_ENTRIES: usize = 1_000;

/// Characters of a list or mapping in a label.
const LABEL: usize = 40;

/// One combination of params.
#[derive(Debug, Clone)]
pub(super) struct Cell {
    /// The values, by number of matrix param; `None` where the param keeps its declared value.
    pub(super) values: Vec<Option<usize>>,
}

/// The params that vary, their values and the combinations.
#[derive(Debug)]
pub(super) struct Matrix {
    /// Params in order of the file: those with lists, then those that only `include` names.
    pub(super) keys: Vec<String>,
    /// The distinct values of each.
    pub(super) values: Vec<Vec<Rc<Resolved>>>,
    pub(super) cells: Vec<Cell>,
    /// Whether the manifest has a `matrix:` at all.
    pub(super) declared: bool,
}

impl Matrix {
    /// One cell in which nothing varies.
    pub(super) fn none() -> Self {
        Self {
            keys: Vec::new(),
            values: Vec::new(),
            cells: vec![Cell { values: Vec::new() }],
            declared: false,
        }
    }

    /// What a cell gives to each matrix param.
    pub(super) fn given(&self, cell: &Cell) -> Vec<Option<Rc<Resolved>>> {
        cell.values
            .iter()
            .zip(&self.values)
            .map(|(value, values)| value.map(|value| Rc::clone(&values[value])))
            .collect()
    }

    /// `learning_rate=0.001, seed=1`, of those params for which `shown` holds.
    pub(super) fn label(&self, cell: &Cell, shown: impl Fn(usize) -> bool) -> String {
        let parts: Vec<String> = (0..self.keys.len())
            .filter(|&key| shown(key))
            .filter_map(|key| {
                let value = cell.values[key]?;
                let text = label(&self.values[key][value].value);
                Some(match text {
                    Some(text) => format!("{}={text}", self.keys[key]),
                    None => format!("{}=#{}", self.keys[key], value + 1),
                })
            })
            .collect();
        parts.join(", ")
    }
}

/// How a value is written in a label; `None` if it is too long.
fn label(value: &Value) -> Option<String> {
    match value {
        // Told apart from the numbers and names that it may look like.
        Value::String(text) if super::yaml_value(text).is_ok_and(|v| v != *value) => {
            Some(format!("\"{text}\""))
        }
        Value::String(text) => {
            let text = text.replace(|c: char| c.is_control() || "[](),".contains(c), "_");
            (text.chars().count() <= LABEL).then_some(text)
        }
        other => {
            let text = other.to_string();
            (text.len() <= LABEL).then_some(text)
        }
    }
}

/// The names of the params that a matrix varies, as far as they can be read: the first thing known.
pub(super) fn keys(
    node: &Node,
    params: &IndexMap<String, Node>,
    collector: &mut Collector,
) -> Vec<String> {
    let Some(fields) = node.as_map() else {
        let message = format!("expected a mapping, got {}", node.describe());
        collector.error(node.place, "matrix", message, None);
        return Vec::new();
    };
    let mut keys: Vec<String> = Vec::new();
    let mut add = |name: &String, place: Place, key: String, collector: &mut Collector| {
        if keys.contains(name) {
            return;
        }
        if !params.contains_key(name) {
            let message = format!("`{}` is not a param", shorten(name));
            let hint = collector
                .suggest(name, params.keys().map(String::as_str))
                .or_else(|| Some("declare it under `params:`".to_owned()));
            collector.error(place, &key, message, hint);
        } else if keys.len() == MAX_KEYS {
            let message = format!("expected at most {MAX_KEYS} params in a matrix");
            collector.error(place, &key, message, None);
        } else {
            keys.push(name.clone());
        }
    };
    for (name, value) in fields {
        if name != "include" && name != "exclude" {
            add(name, value.place, format!("matrix.{name}"), collector);
        }
    }
    let entries = fields.get("include").and_then(Node::as_list);
    for (i, entry) in entries.into_iter().flatten().enumerate() {
        for (name, value) in entry.as_map().into_iter().flatten() {
            let key = format!("matrix.include.{i}.{name}");
            add(name, value.place, key, collector);
        }
    }
    keys
}

/// Values while cells are made from them.
struct Draft<'p, 'a> {
    keys: Vec<String>,
    values: Vec<Vec<Rc<Resolved>>>,
    params: &'p mut Params<'a>,
    /// What the command line fixed.
    fixed: &'p [(String, Value)],
}

/// An entry of `include` or `exclude`: numbers of params and of their values.
type Entry = Vec<(usize, usize)>;

/// Makes the cells; `None` if that is impossible, which was reported.
pub(super) fn expand(
    node: &Node,
    keys: Vec<String>,
    params: &mut Params<'_>,
    fixed: &[(String, Value)],
    collector: &mut Collector,
) -> Option<Matrix> {
    let fields = node.as_map()?;
    let before = collector.errors();
    let mut draft = Draft {
        values: vec![Vec::new(); keys.len()],
        keys,
        params,
        fixed,
    };
    let mut axes: Vec<(usize, usize)> = Vec::new();
    for (name, list) in fields {
        if name == "include" || name == "exclude" {
            continue;
        }
        if let Some(key) = draft.keys.iter().position(|key| key == name) {
            let count = draft.axis(key, list, collector);
            axes.push((key, count));
        }
    }
    let is_axis = |key: usize| axes.iter().any(|(axis, _)| *axis == key);
    let mut exclude = Vec::new();
    let mut include = Vec::new();
    for (which, into) in [("exclude", &mut exclude), ("include", &mut include)] {
        if let Some(list) = fields.get(which) {
            *into = draft.entries(which, list, collector);
        }
    }
    for (entry, place) in &exclude {
        if let Some((key, _)) = entry.iter().find(|(key, _)| !is_axis(*key)) {
            let message = format!("`{}` has no list in the matrix", draft.keys[*key]);
            collector.error(*place, "matrix.exclude", message, None);
        }
    }
    if collector.errors() > before {
        return None;
    }
    let product = axes
        .iter()
        .try_fold(1_usize, |product, (_, count)| product.checked_mul(*count));
    if product.is_none_or(|product| product > MAX_CELLS) {
        let product = product.map_or_else(|| "too many".to_owned(), |n| n.to_string());
        let message = format!("the matrix has {product} cells, expected at most {MAX_CELLS}");
        collector.error(node.place, "matrix", message, None);
        return None;
    }
    let mut cells = product_of(draft.keys.len(), &axes);
    let agrees = |cell: &Cell, entry: &[(usize, usize)]| {
        entry
            .iter()
            .all(|&(key, value)| cell.values[key] == Some(value))
    };
    for (entry, place) in &exclude {
        let before = cells.len();
        cells.retain(|cell| !agrees(cell, entry));
        if cells.len() == before {
            let message = "removes no cell".to_owned();
            collector.warn(*place, "matrix.exclude", message, None);
        }
    }
    let combinations = cells.len();
    for (entry, _) in &include {
        let of_axes: Entry = entry
            .iter()
            .copied()
            .filter(|(key, _)| is_axis(*key))
            .collect();
        let mut found = false;
        for cell in &mut cells[..combinations] {
            if agrees(cell, &of_axes) {
                found = true;
                for &(key, value) in entry {
                    cell.values[key] = Some(value);
                }
            }
        }
        if !found {
            let mut values = vec![None; draft.keys.len()];
            for &(key, value) in entry {
                values[key] = Some(value);
            }
            cells.push(Cell { values });
        }
    }
    if cells.is_empty() || cells.len() > MAX_CELLS {
        let message = match cells.len() {
            0 => "the matrix has no cells".to_owned(),
            n => format!("the matrix has {n} cells, expected at most {MAX_CELLS}"),
        };
        collector.error(node.place, "matrix", message, None);
        return None;
    }
    Some(Matrix {
        keys: draft.keys,
        values: draft.values,
        cells,
        declared: true,
    })
}

/// Every combination of the lists, the last varying fastest; none without lists.
fn product_of(keys: usize, axes: &[(usize, usize)]) -> Vec<Cell> {
    let mut cells = Vec::new();
    if axes.is_empty() {
        return cells;
    }
    let count: usize = axes.iter().map(|(_, count)| count).product();
    for number in 0..count {
        let mut values = vec![None; keys];
        let mut rest = number;
        for &(key, count) in axes.iter().rev() {
            values[key] = Some(rest % count);
            rest /= count;
        }
        cells.push(Cell { values });
    }
    cells
}

impl Draft<'_, '_> {
    fn fixed(&self, key: usize) -> Option<&Value> {
        let name = &self.keys[key];
        let found = self.fixed.iter().rev().find(|(fixed, _)| fixed == name);
        found.map(|(_, value)| value)
    }

    /// Reads the values of a param; the number of distinct ones.
    fn axis(&mut self, key: usize, list: &Node, collector: &mut Collector) -> usize {
        let name = format!("matrix.{}", self.keys[key]);
        if let Some(value) = self.fixed(key) {
            self.values[key] = vec![Rc::new(Resolved::new(value.clone()))];
            return 1;
        }
        let Some(value) = self.read(list, &name, collector) else {
            return 0;
        };
        let Value::Array(items) = value else {
            let message = format!("expected a list of values, got {}", describe(&value));
            collector.error(list.place, &name, message, None);
            return 0;
        };
        if items.is_empty() || items.len() > MAX_CELLS {
            let message = format!("expected 1 to {MAX_CELLS} values, got {}", items.len());
            collector.error(list.place, &name, message, None);
            return 0;
        }
        let mut seen = IndexSet::new();
        for (i, item) in items.into_iter().enumerate() {
            if !seen.insert(normal(&item)) {
                let place = list.as_list().map_or(list.place, |items| items[i].place);
                let message = format!("{} is listed twice", describe(&item));
                collector.error(place, &name, message, None);
            }
            self.values[key].push(Rc::new(Resolved::new(item)));
        }
        self.values[key].len()
    }

    /// Reads `include` or `exclude`: params and values by their numbers.
    fn entries(
        &mut self,
        which: &str,
        list: &Node,
        collector: &mut Collector,
    ) -> Vec<(Entry, Place)> {
        let name = format!("matrix.{which}");
        let Some(items) = list.as_list() else {
            let message = format!("expected a list of mappings, got {}", list.describe());
            collector.error(list.place, &name, message, None);
            return Vec::new();
        };
        if items.len() > MAX_ENTRIES {
            let message = format!(
                "expected at most {MAX_ENTRIES} entries, got {}",
                items.len()
            );
            collector.error(list.place, &name, message, None);
            return Vec::new();
        }
        let mut entries = Vec::new();
        'entries: for (i, item) in items.iter().enumerate() {
            let name = format!("{name}.{i}");
            let Some(fields) = item.as_map().filter(|fields| !fields.is_empty()) else {
                let message = format!("expected a mapping of params, got {}", item.describe());
                collector.error(item.place, &name, message, None);
                continue;
            };
            let mut entry = Entry::new();
            for (param, node) in fields {
                let name = format!("{name}.{param}");
                let Some(key) = self.keys.iter().position(|key| key == param) else {
                    if which == "exclude" {
                        let message = format!("`{}` has no list in the matrix", shorten(param));
                        let known = self.keys.iter().map(String::as_str);
                        let hint = collector.suggest(param, known);
                        collector.error(node.place, &name, message, hint);
                    }
                    continue 'entries;
                };
                let Some(value) = self.read(node, &name, collector) else {
                    continue 'entries;
                };
                if self.fixed(key).is_some_and(|fixed| !same(fixed, &value)) {
                    // Another value was asked for on the command line.
                    continue 'entries;
                }
                entry.push((key, self.number(key, value)));
            }
            entries.push((entry, item.place));
        }
        entries
    }

    /// The number of a value among those of a param, where it is added if it is new.
    fn number(&mut self, key: usize, value: Value) -> usize {
        let values = &mut self.values[key];
        match values.iter().position(|known| same(&known.value, &value)) {
            Some(number) => number,
            None => {
                values.push(Rc::new(Resolved::new(value)));
                values.len() - 1
            }
        }
    }

    fn read(&mut self, node: &Node, name: &str, collector: &mut Collector) -> Option<Value> {
        constant(self.params, node, name, collector)
    }
}

/// A value that is the same in all cells; `None` if it is not, which was reported.
pub(super) fn constant(
    params: &mut Params<'_>,
    node: &Node,
    name: &str,
    collector: &mut Collector,
) -> Option<Value> {
    let (reach, sound) = params.reach(node, name, collector);
    if reach != 0 {
        let message = "refers to a param that the matrix varies".to_owned();
        collector.error(node.place, name, message, None);
        return None;
    }
    if !sound {
        return None;
    }
    let value = Scope::constant(params).value(node, collector)?;
    let resolved = Resolved::new(value);
    if resolved.height() > MAX_HEIGHT {
        let message = format!("nested too deeply, expected at most {MAX_HEIGHT} levels");
        collector.error(node.place, name, message, None);
        return None;
    }
    Some(resolved.value)
}

/// A text that is equal for values that mean the same.
pub(super) fn normal(value: &Value) -> String {
    match value {
        Value::Number(n) => n.as_f64().map_or_else(|| n.to_string(), |n| n.to_string()),
        other => crate::key::canonical(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn combinations_vary_the_last_param_fastest() {
        let cells = product_of(2, &[(0, 2), (1, 3)]);
        let numbers: Vec<_> = cells
            .iter()
            .map(|cell| (cell.values[0].unwrap(), cell.values[1].unwrap()))
            .collect();
        assert_eq!(numbers, [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (1, 2)]);
    }

    #[test]
    fn labels_tell_texts_from_numbers() {
        let label = |value: Value| label(&value);
        assert_eq!(label(1e-3.into()).unwrap(), "0.001");
        assert_eq!(label("1".into()).unwrap(), "\"1\"");
        assert_eq!(label("Adam".into()).unwrap(), "Adam");
        assert_eq!(label(serde_json::json!([1, 2])).unwrap(), "[1,2]");
        assert_eq!(label("x".repeat(99).into()), None);
    }
}
