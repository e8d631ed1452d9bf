//! `params:` and their substitution: `${params.name}`.
//!
//! A text that is one reference and nothing else takes the param's value with its type; within a longer
//! text scalars are written out. `$${` stands for `${`. There are no expressions and no environment.
//!
//! Params may refer to one another and a matrix may vary some of them. What refers to what is found once
//! for the whole manifest ([`Params`]); values are looked up per cell ([`Scope`]), those that no matrix
//! param reaches once for all.

use indexmap::IndexMap;
use std::rc::Rc;

use serde_json::{Map, Value};

use super::collect::Collector;
use super::node::{MAX_HEIGHT, Node, Place, Size, Tree, describe, shorten};

/// How many params one may pass through; it bounds recursion.
const MAX_CHAIN: usize = 32;

/// A set of matrix params, one bit each.
pub(super) type Keys = u32;

/// A reference to a param.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Reference<'a> {
    name: &'a str,
    /// What is meant inside of it: keys and positions, separated by dots.
    path: Option<&'a str>,
}

#[derive(Debug, PartialEq, Eq)]
enum Piece<'a> {
    Text(&'a str),
    Param(Reference<'a>),
}

/// The pieces of a text with references.
fn pieces(text: &str) -> Result<Vec<Piece<'_>>, (String, Option<String>)> {
    let mut pieces = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find("${") {
        if rest[..at].ends_with('$') {
            // `$${`: the first dollar sign goes.
            pieces.push(Piece::Text(&rest[..at - 1]));
            pieces.push(Piece::Text("${"));
            rest = &rest[at + 2..];
            continue;
        }
        if at > 0 {
            pieces.push(Piece::Text(&rest[..at]));
        }
        let Some(end) = rest[at..].find('}') else {
            let message = format!("`{}` is not closed, expected `}}`", shorten(&rest[at..]));
            return Err((message, Some("write `$${` for the text `${`".to_owned())));
        };
        let inside = rest[at + 2..at + end].trim();
        let Some(name) = inside
            .strip_prefix("params.")
            .filter(|name| !name.is_empty())
        else {
            let message = format!(
                "`${{{}}}` is unknown, expected `${{params.<name>}}`",
                shorten(inside)
            );
            let hint = "there are no expressions and no environment; write `$${` for the text `${`";
            return Err((message, Some(hint.to_owned())));
        };
        let (name, path) = match name.split_once('.') {
            Some((name, path)) => (name, Some(path)),
            None => (name, None),
        };
        pieces.push(Piece::Param(Reference { name, path }));
        rest = &rest[at + end + 1..];
    }
    if !rest.is_empty() {
        pieces.push(Piece::Text(rest));
    }
    Ok(pieces)
}

/// A value after substitution, with its size, so that copies can be counted before they are made.
#[derive(Debug)]
pub(super) struct Resolved {
    pub(super) value: Value,
    size: Size,
    height: usize,
}

impl Resolved {
    pub(super) fn new(value: Value) -> Self {
        let (size, height) = measure(&value);
        Self {
            value,
            size,
            height,
        }
    }

    /// Levels of nesting.
    pub(super) fn height(&self) -> usize {
        self.height
    }
}

fn measure(value: &Value) -> (Size, usize) {
    let mut size = Size {
        values: 1,
        bytes: 0,
    };
    let mut height = 0;
    let mut below = |value: &Value| {
        let (inside, levels) = measure(value);
        size.add(inside);
        height = height.max(levels);
    };
    match value {
        Value::Array(items) => items.iter().for_each(&mut below),
        Value::Object(fields) => {
            fields.values().for_each(&mut below);
            size.bytes += fields.keys().map(String::len).sum::<usize>();
        }
        Value::String(text) => size.bytes += text.len(),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
    (size, height + 1)
}

/// The declared params: which refer to which, and which are used.
#[derive(Debug)]
pub(super) struct Params<'a> {
    nodes: &'a IndexMap<String, Node>,
    /// The matrix params that reach each.
    keys: Vec<Keys>,
    /// The number of each in the matrix.
    axes: Vec<Option<usize>>,
    used: Vec<bool>,
    /// Those whose references were found wrong.
    broken: Vec<bool>,
    /// How many params are passed through at most, itself included.
    depths: Vec<usize>,
    constants: Vec<Option<Rc<Resolved>>>,
}

impl<'a> Params<'a> {
    /// Looks at all params; `matrix` names those that a matrix varies.
    pub(super) fn new(
        nodes: &'a IndexMap<String, Node>,
        matrix: &[String],
        collector: &mut Collector,
    ) -> Self {
        let mut params = Self {
            nodes,
            keys: vec![0; nodes.len()],
            axes: vec![None; nodes.len()],
            used: vec![false; nodes.len()],
            broken: vec![false; nodes.len()],
            depths: vec![0; nodes.len()],
            constants: vec![None; nodes.len()],
        };
        for (number, name) in matrix.iter().enumerate() {
            if let Some(index) = nodes.get_index_of(name) {
                params.axes[index] = Some(number);
            }
        }
        let references: Vec<Vec<usize>> = nodes
            .iter()
            .enumerate()
            .map(|(index, (name, node))| {
                let before = collector.errors();
                let found = params.references(node, &format!("params.{name}"), collector);
                params.broken[index] = collector.errors() > before;
                found
            })
            .collect();
        let mut state = vec![Visit::New; nodes.len()];
        for index in 0..nodes.len() {
            params.visit(index, 0, &references, &mut state, collector);
        }
        let mut scope = Scope::constant(&params);
        let constants = (0..nodes.len())
            .map(|index| match params.keys[index] {
                0 => scope.param(index, collector),
                _ => None,
            })
            .collect();
        params.constants = constants;
        params
    }

    /// Follows the references of a param, which finds cycles and what the matrix reaches.
    fn visit(
        &mut self,
        index: usize,
        depth: usize,
        references: &[Vec<usize>],
        state: &mut [Visit],
        collector: &mut Collector,
    ) {
        if state[index] == Visit::Done {
            return;
        }
        let name = self.nodes.get_index(index).map_or("", |(name, _)| name);
        let place = self.nodes[index].place;
        let mut problem = |message: String| {
            collector.error(place, &format!("params.{name}"), message, None);
            self.broken[index] = true;
        };
        let too_deep = || format!("params refer to one another more than {MAX_CHAIN} deep");
        if state[index] == Visit::Open {
            return problem(format!("param `{name}` refers to itself"));
        }
        if depth > MAX_CHAIN {
            return problem(too_deep());
        }
        state[index] = Visit::Open;
        let mut keys = self.axes[index].map_or(0, |number| 1 << number);
        let mut below = 0;
        for &other in &references[index] {
            self.visit(other, depth + 1, references, state, collector);
            keys |= self.keys[other];
            self.broken[index] |= self.broken[other];
            below = below.max(self.depths[other]);
        }
        self.depths[index] = below + 1;
        if below >= MAX_CHAIN {
            collector.error(place, &format!("params.{name}"), too_deep(), None);
            self.broken[index] = true;
        }
        self.keys[index] = keys;
        state[index] = Visit::Done;
    }

    /// Whether there is a param of this name; it then counts as used.
    pub(super) fn find(
        &mut self,
        name: &str,
        place: Place,
        key: &str,
        collector: &mut Collector,
    ) -> Option<usize> {
        match self.nodes.get_index_of(name) {
            Some(index) => {
                self.used[index] = true;
                Some(index)
            }
            None => {
                let message = format!("unknown param `{}`", shorten(name));
                let hint = collector
                    .suggest(name, self.nodes.keys().map(String::as_str))
                    .or_else(|| Some("declare it under `params:`".to_owned()));
                collector.error(place, key, message, hint);
                None
            }
        }
    }

    /// The params that a value refers to; whatever is wrong with a reference is reported here, once.
    fn references(&mut self, node: &Node, key: &str, collector: &mut Collector) -> Vec<usize> {
        let mut found = Vec::new();
        self.look(node, key, &mut found, collector);
        found
    }

    fn look(&mut self, node: &Node, key: &str, found: &mut Vec<usize>, collector: &mut Collector) {
        if !node.live {
            return;
        }
        match &node.tree {
            Tree::Text(text) => match pieces(text) {
                Ok(pieces) => {
                    for piece in pieces {
                        if let Piece::Param(reference) = piece {
                            found.extend(self.find(reference.name, node.place, key, collector));
                        }
                    }
                }
                Err((message, hint)) => collector.error(node.place, key, message, hint),
            },
            Tree::List(items) => {
                for (i, item) in items.iter().enumerate() {
                    self.look(item, &format!("{key}.{i}"), found, collector);
                }
            }
            Tree::Map(fields) => {
                for (name, field) in fields {
                    self.look(field, &format!("{key}.{name}"), found, collector);
                }
            }
            Tree::Null | Tree::Bool(_) | Tree::Number(_) => {}
        }
    }

    /// The matrix params that reach a value, and whether its references are sound.
    pub(super) fn reach(
        &mut self,
        node: &Node,
        key: &str,
        collector: &mut Collector,
    ) -> (Keys, bool) {
        let before = collector.errors();
        let found = self.references(node, key, collector);
        let sound = collector.errors() == before;
        let broken = found.iter().any(|&index| self.broken[index]);
        let keys = found.iter().fold(0, |keys, &index| keys | self.keys[index]);
        (keys, sound && !broken)
    }

    /// The matrix params that reach a param.
    pub(super) fn keys_of(&self, index: usize) -> Keys {
        self.keys[index]
    }

    /// Warns about params that nothing uses.
    pub(super) fn warn_unused(&self, collector: &mut Collector) {
        for (index, (name, node)) in self.nodes.iter().enumerate() {
            if !self.used[index] {
                let message = format!("param `{name}` is not used");
                let hint = format!("refer to it as `${{params.{name}}}`, or remove it");
                collector.warn(node.place, &format!("params.{name}"), message, Some(hint));
            }
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Visit {
    New,
    Open,
    Done,
}

/// The values of params in one cell of the matrix.
#[derive(Debug)]
pub(super) struct Scope<'p, 'a> {
    params: &'p Params<'a>,
    /// What the cell gives, by the numbers of matrix params.
    given: Vec<Option<Rc<Resolved>>>,
    known: IndexMap<usize, Option<Rc<Resolved>>>,
}

impl<'p, 'a> Scope<'p, 'a> {
    /// Without a matrix: every param has its declared value.
    pub(super) fn constant(params: &'p Params<'a>) -> Self {
        Self::of_cell(params, Vec::new())
    }

    /// In a cell.
    pub(super) fn of_cell(params: &'p Params<'a>, given: Vec<Option<Rc<Resolved>>>) -> Self {
        Self {
            params,
            given,
            known: IndexMap::new(),
        }
    }

    /// The value of a param; `None` was reported.
    pub(super) fn param(
        &mut self,
        index: usize,
        collector: &mut Collector,
    ) -> Option<Rc<Resolved>> {
        if self.params.broken[index] {
            return None;
        }
        if let Some(number) = self.params.axes[index]
            && let Some(Some(given)) = self.given.get(number)
        {
            return Some(Rc::clone(given));
        }
        if let Some(constant) = &self.params.constants[index] {
            return Some(Rc::clone(constant));
        }
        if let Some(known) = self.known.get(&index) {
            return known.clone();
        }
        let node = &self.params.nodes[index];
        let resolved = self.value(node, collector).map(Resolved::new);
        let resolved = resolved.filter(|resolved| {
            let deep = resolved.height > MAX_HEIGHT;
            if deep {
                let message = format!("nested too deeply, expected at most {MAX_HEIGHT} levels");
                collector.error(node.place, "params", message, None);
            }
            !deep
        });
        let resolved = resolved.map(Rc::new);
        self.known.insert(index, resolved.clone());
        resolved
    }

    /// A value with every reference replaced; `None` if one cannot be, which was reported.
    pub(super) fn value(&mut self, node: &Node, collector: &mut Collector) -> Option<Value> {
        if !node.live {
            return collector
                .make(node.size, node.place)
                .then(|| node.to_value());
        }
        Some(match &node.tree {
            Tree::Text(text) => self.text(text, node.place, collector)?,
            Tree::List(items) => Value::Array(
                items
                    .iter()
                    .map(|item| self.value(item, collector))
                    .collect::<Option<_>>()?,
            ),
            Tree::Map(fields) => {
                let mut object = Map::with_capacity(fields.len());
                for (key, field) in fields {
                    object.insert(key.clone(), self.value(field, collector)?);
                }
                Value::Object(object)
            }
            Tree::Null | Tree::Bool(_) | Tree::Number(_) => node.to_value(),
        })
    }

    fn text(&mut self, text: &str, place: Place, collector: &mut Collector) -> Option<Value> {
        let pieces = pieces(text).ok()?;
        if let [Piece::Param(reference)] = pieces.as_slice() {
            let resolved = self.reference(*reference, collector)?;
            let value = descend(&resolved, *reference, place, collector)?;
            let (size, height) = match reference.path {
                None => (resolved.size, resolved.height),
                Some(_) => measure(value),
            };
            debug_assert!(height <= MAX_HEIGHT);
            return collector.make(size, place).then(|| value.clone());
        }
        let mut whole = String::new();
        for piece in pieces {
            match piece {
                Piece::Text(text) => whole.push_str(text),
                Piece::Param(reference) => {
                    let resolved = self.reference(reference, collector)?;
                    match descend(&resolved, reference, place, collector)? {
                        Value::String(text) => whole.push_str(text),
                        Value::Number(number) => whole.push_str(&number.to_string()),
                        Value::Bool(b) => whole.push_str(if *b { "true" } else { "false" }),
                        other => {
                            let message = format!(
                                "param `{}` is {}, which cannot be part of a text",
                                reference.name,
                                describe(other)
                            );
                            collector.error(place, "", message, None);
                            return None;
                        }
                    }
                }
            }
            let size = Size {
                values: 0,
                bytes: whole.len(),
            };
            if !collector.make(size, place) {
                return None;
            }
        }
        Some(Value::String(whole))
    }

    fn reference(
        &mut self,
        reference: Reference<'_>,
        collector: &mut Collector,
    ) -> Option<Rc<Resolved>> {
        let index = self.params.nodes.get_index_of(reference.name)?;
        self.param(index, collector)
    }

    /// The value of a param, or of something inside of it, that a condition names.
    pub(super) fn named(
        &mut self,
        path: &str,
        place: Place,
        collector: &mut Collector,
    ) -> Option<Value> {
        let (name, path) = match path.split_once('.') {
            Some((name, path)) => (name, Some(path)),
            None => (path, None),
        };
        let reference = Reference { name, path };
        let resolved = self.reference(reference, collector)?;
        descend(&resolved, reference, place, collector).cloned()
    }
}

/// Follows the dots of a reference.
fn descend<'v>(
    resolved: &'v Resolved,
    reference: Reference<'_>,
    place: Place,
    collector: &mut Collector,
) -> Option<&'v Value> {
    let mut value = &resolved.value;
    let mut walked = reference.name.to_owned();
    for part in reference.path.into_iter().flat_map(|path| path.split('.')) {
        let below = match value {
            Value::Object(fields) => fields.get(part),
            Value::Array(items) => part.parse().ok().and_then(|at: usize| items.get(at)),
            _ => None,
        };
        let Some(below) = below else {
            let message = format!("param `{walked}` has no `{}`", shorten(part));
            let hint = match value {
                Value::Object(fields) => collector.suggest(part, fields.keys().map(String::as_str)),
                other => Some(format!("it is {}", describe(other))),
            };
            collector.error(place, "", message, hint);
            return None;
        };
        value = below;
        walked = format!("{walked}.{part}");
    }
    Some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_falls_into_pieces() {
        let param = |name, path| Piece::Param(Reference { name, path });
        assert_eq!(pieces("${params.a}").unwrap(), [param("a", None)]);
        assert_eq!(
            pieces("x/${ params.a.b.0 }.nii").unwrap(),
            [
                Piece::Text("x/"),
                param("a", Some("b.0")),
                Piece::Text(".nii")
            ]
        );
        assert_eq!(
            pieces("5 $ and $${params.a}").unwrap(),
            [
                Piece::Text("5 $ and "),
                Piece::Text("${"),
                Piece::Text("params.a}")
            ]
        );
    }

    #[test]
    fn whatever_is_not_a_param_is_refused() {
        for text in ["${env.HOME}", "${params.}", "${}", "${params.a", "${1 + 1}"] {
            assert!(pieces(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_text_without_references_stays_as_it_is() {
        assert_eq!(
            pieces("$HOME costs $5").unwrap(),
            [Piece::Text("$HOME costs $5")]
        );
        assert_eq!(pieces("").unwrap(), []);
    }
}
