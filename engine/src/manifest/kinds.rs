//! Stages of one kind: their schema, prepared once, and what `defaults:` says about them.

use indexmap::IndexMap;
use std::rc::Rc;

use serde_json::{Map, Value};

use super::collect::Collector;
use super::files::Written;
use super::node::{Node, key_path, shorten};
use super::params::{Keys, Params, Scope};
use super::schema::{Finding, Validator};
use super::wire::DefaultsDoc;
use crate::registry::{AnyStage, Registry};

/// A kind of stage that a manifest uses.
pub(super) struct Kind {
    pub(super) stage: &'static dyn AnyStage,
    pub(super) params: Validator,
}

/// The kinds of stages by ID.
pub(super) struct Kinds {
    registry: Registry,
    known: IndexMap<String, Option<Rc<Kind>>>,
}

impl Kinds {
    pub(super) fn new(registry: Registry) -> Self {
        Self {
            registry,
            known: IndexMap::new(),
        }
    }

    /// The kind with this ID.
    pub(super) fn find(&mut self, id: &str) -> Option<Rc<Kind>> {
        if let Some(known) = self.known.get(id) {
            return known.clone();
        }
        let kind = self.registry.find(id).map(|stage| {
            Rc::new(Kind {
                stage,
                params: Validator::new(stage.schema()),
            })
        });
        self.known.insert(id.to_owned(), kind.clone());
        kind
    }

    /// Advice on an unknown ID.
    pub(super) fn suggest(&self, id: &str, collector: &mut Collector) -> Option<String> {
        collector.suggest(id, self.registry.iter().map(AnyStage::id))
    }
}

/// What `defaults:` says about one kind.
pub(super) struct Default<'a> {
    pub(super) node: &'a Node,
    pub(super) keys: Keys,
    /// The value, if no cell of a matrix changes it.
    value: Option<Rc<Value>>,
    sound: bool,
}

impl Default<'_> {
    /// The value in a cell; `None` was reported.
    pub(super) fn value(
        &self,
        scope: &mut Scope<'_, '_>,
        collector: &mut Collector,
    ) -> Option<Rc<Value>> {
        if self.keys == 0 || !self.sound {
            return self.value.clone();
        }
        scope.value(self.node, collector).map(Rc::new)
    }
}

/// Reads `defaults:`; the stages check what is merged into them, and what they do not, is checked here.
pub(super) fn defaults<'a>(
    written: &'a Written,
    params: &mut Params<'_>,
    kinds: &mut Kinds,
    collector: &mut Collector,
) -> IndexMap<&'a str, Default<'a>> {
    let schema = Validator::of::<DefaultsDoc>();
    let mut all = IndexMap::new();
    for (id, node) in &written.defaults {
        let name = format!("defaults.{}", shorten(id));
        let (keys, sound) = params.reach(node, &name, collector);
        let kind = kinds.find(id);
        if kind.is_none() {
            let hint = kinds.suggest(id, collector);
            let message = format!("unknown stage `{}`", shorten(id));
            collector.error(node.place, &name, message, hint);
        }
        let mut value = None;
        if sound && keys == 0 {
            value = Scope::constant(params).value(node, collector);
        }
        if let (Some(value), Some(kind)) = (&mut value, kind) {
            let mut findings = schema.findings(value);
            if findings.is_empty()
                && let Some(with) = value.get("with")
            {
                findings = inside_with(&kind.params, with);
            }
            for finding in findings.into_iter().filter(|finding| !finding.missing) {
                let (nearest, _) = node.nearest(&finding.pointer);
                let key = key_path(&name, &finding.pointer);
                collector.error(nearest.place, &key, finding.message, finding.hint);
                super::schema::remove(value, &finding.pointer);
            }
        }
        let value = value.filter(Value::is_object).map(Rc::new);
        let default = Default {
            node,
            keys,
            sound: sound && (keys != 0 || value.is_some()),
            value,
        };
        all.insert(id.as_str(), default);
    }
    all
}

fn inside_with(schema: &Validator, with: &Value) -> Vec<Finding> {
    let mut findings = schema.findings(with);
    for finding in &mut findings {
        finding.pointer.insert_str(0, "/with");
    }
    findings
}

/// The values of `own`, and of `below` where it says nothing; mappings are merged, lists are not.
pub(super) fn merge(below: &Value, own: Value) -> Value {
    match (below, own) {
        (Value::Object(below), Value::Object(mut own)) => {
            let mut merged = Map::with_capacity(below.len() + own.len());
            for (key, value) in below {
                let value = match own.shift_remove(key) {
                    Some(own) => merge(value, own),
                    None => value.clone(),
                };
                merged.insert(key.clone(), value);
            }
            merged.extend(own);
            Value::Object(merged)
        }
        (_, own) => own,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn mappings_are_merged_deeply_and_lists_replaced() {
        let below = json!({ "a": { "x": 1, "y": [1, 2] }, "b": 1 });
        let own = json!({ "a": { "y": [3], "z": 0 }, "c": null });
        assert_eq!(
            merge(&below, own),
            json!({ "a": { "x": 1, "y": [3], "z": 0 }, "b": 1, "c": null })
        );
    }
}
