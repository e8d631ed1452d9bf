//! One stage in one cell: conditions, substitution, defaults, parameters.

use indexmap::IndexMap;
use std::rc::Rc;
use std::sync::Arc;

use serde_json::{Map, Value};

use super::Patience;
use super::collect::Collector;
use super::files::Written;
use super::kinds::{Default, Kinds, merge};
use super::matrix::{Cell, MAX_KEYS};
use super::node::{Node, Place, describe, key_path, same, shorten};
use super::params::{Keys, Params, Scope};
use super::schema::{Finding, Validator, remove};
use super::wire::{Resources, StageDoc, duration};
use crate::registry::AnyStage;
use crate::stage::{Config, Imported, Ports};

/// A stage by itself: what it reads is still a name.
pub(super) struct Alone {
    pub(super) stage: &'static dyn AnyStage,
    pub(super) params: Value,
    pub(super) ports: Arc<Ports>,
    pub(super) is_seeded: bool,
    /// References by port.
    pub(super) inputs: IndexMap<String, String>,
    pub(super) resources: Resources,
    pub(super) patience: Patience,
    pub(super) splits: Option<Vec<usize>>,
    /// Equal for stages that compute the same from the same.
    pub(super) content: usize,
}

/// What became of a stage in a cell.
#[derive(Clone)]
pub(super) enum Outcome {
    /// A condition does not hold.
    LeftOut,
    /// It has problems, which were reported.
    Broken,
    Ready(Rc<Alone>),
}

/// A stage as written, with what is known before any cell is looked at.
struct Known<'a> {
    name: &'a str,
    node: &'a Node,
    /// The matrix params that reach it, its conditions and its defaults.
    keys: Keys,
    sound: bool,
}

/// Reads stages, each once for all cells that do not differ in what reaches it.
pub(super) struct Stages<'a> {
    known: Vec<Known<'a>>,
    defaults: IndexMap<&'a str, Default<'a>>,
    kinds: Kinds,
    schema: Validator,
    outcomes: IndexMap<(usize, Values), Outcome>,
    contents: IndexMap<String, usize>,
    several: bool,
    is_search: bool,
    newer: bool,
}

/// The values of the params that reach a stage.
type Values = [Option<u16>; MAX_KEYS];

impl<'a> Stages<'a> {
    pub(super) fn new(
        written: &'a Written,
        params: &mut Params<'_>,
        mut kinds: Kinds,
        several: bool,
        collector: &mut Collector,
    ) -> Self {
        let defaults = super::kinds::defaults(written, params, &mut kinds, collector);
        let of_defaults = defaults.values().fold(0, |keys, d| keys | d.keys);
        let known = written
            .stages
            .iter()
            .map(|(name, node)| {
                let key = format!("stages.{name}");
                let (mut keys, mut sound) = params.reach(node, &key, collector);
                let kind = node.get("uses").and_then(Node::as_text).unwrap_or("");
                keys |= match defaults.get(kind) {
                    Some(default) => default.keys,
                    None if kind.contains('$') => of_defaults,
                    None => 0,
                };
                if node.as_map().is_none() {
                    let message = format!("expected a mapping, got {}", node.describe());
                    collector.error(node.place, &key, message, None);
                    sound = false;
                }
                if let Some(when) = node.get("when") {
                    let (of_conditions, right) = conditions(when, &key, params, collector);
                    keys |= of_conditions;
                    sound &= right;
                }
                Known {
                    name,
                    node,
                    keys,
                    sound,
                }
            })
            .collect();
        Self {
            known,
            defaults,
            kinds,
            schema: Validator::of::<StageDoc>(),
            outcomes: IndexMap::new(),
            contents: IndexMap::new(),
            several,
            is_search: written.head.contains_key("search"),
            newer: written.newer.is_some(),
        }
    }

    /// The matrix params that reach each stage by itself.
    pub(super) fn keys(&self) -> Vec<Keys> {
        self.known.iter().map(|known| known.keys).collect()
    }

    /// A stage in a cell.
    pub(super) fn in_cell(
        &mut self,
        index: usize,
        cell: &Cell,
        scope: &mut Scope<'_, '_>,
        collector: &mut Collector,
    ) -> Outcome {
        let mut values: Values = [None; MAX_KEYS];
        for (key, value) in cell.values.iter().enumerate() {
            if self.known[index].keys & (1 << key) != 0 {
                values[key] = value.and_then(|value| u16::try_from(value).ok());
            }
        }
        if let Some(known) = self.outcomes.get(&(index, values)) {
            return known.clone();
        }
        let outcome = if self.known[index].sound {
            self.read(index, scope, collector)
        } else {
            Outcome::Broken
        };
        self.outcomes.insert((index, values), outcome.clone());
        outcome
    }

    fn read(
        &mut self,
        index: usize,
        scope: &mut Scope<'_, '_>,
        collector: &mut Collector,
    ) -> Outcome {
        let Known { name, node, .. } = self.known[index];
        if let Some(when) = node.get("when") {
            match holds(when, name, scope, collector) {
                Some(true) => {}
                Some(false) => return Outcome::LeftOut,
                None => return Outcome::Broken,
            }
        }
        match self.read_sound(name, node, scope, collector) {
            Some(alone) => Outcome::Ready(Rc::new(alone)),
            None => Outcome::Broken,
        }
    }

    /// Reports everything that is wrong with a stage, and gives what can be used to check others.
    fn read_sound(
        &mut self,
        name: &str,
        node: &Node,
        scope: &mut Scope<'_, '_>,
        collector: &mut Collector,
    ) -> Option<Alone> {
        let mut value = scope.value(node, collector)?;
        let id = value.get("uses").and_then(Value::as_str).map(str::to_owned);
        let config = value
            .as_object_mut()
            .and_then(|own| own.shift_remove("config"));
        if let (Some(Value::Object(config)), Some(id)) = (config, &id)
            && let Some(kind) = self.kinds.find(id)
        {
            let with = value.get("with").cloned().unwrap_or_default();
            let config = Config {
                file: &config,
                with: &with,
                is_search: self.is_search,
            };
            match kind.stage.import(&config) {
                Ok(Imported { with, splits }) => {
                    let mut imported = serde_json::json!({ "with": with });
                    if let Some(splits) = splits {
                        imported["splits"] = splits.into();
                    }
                    value = merge(&imported, value);
                }
                Err(issues) => {
                    for issue in issues {
                        let pointer = format!("/config/{}", issue.field.replace('.', "/"));
                        let (nearest, _) = node.nearest(&pointer);
                        let key = key_path(&format!("stages.{name}"), &pointer);
                        collector.error(nearest.place, &key, issue.message, None);
                    }
                }
            }
        }
        let default = id.as_deref().and_then(|id| self.defaults.get(id));
        if let Some(default) = default {
            value = merge(&*default.value(scope, collector)?, value);
        }
        let mut teller = Teller {
            name,
            node,
            default: default.map(|default| (default.node, id.as_deref().unwrap_or_default())),
            newer: self.newer,
            collector,
        };
        for finding in self.schema.findings(&value) {
            remove(&mut value, &finding.pointer);
            teller.tell(finding);
        }
        let id = id.as_deref()?;
        let Some(kind) = self.kinds.find(id) else {
            let hint = self.kinds.suggest(id, teller.collector);
            teller.tell(Finding {
                pointer: "/uses".to_owned(),
                message: format!("unknown stage `{}`", shorten(id)),
                hint,
                unknown: false,
                missing: false,
            });
            return None;
        };
        let doc: StageDoc = match serde_json::from_value(value) {
            Ok(doc) => doc,
            Err(error) => {
                // What the schema admits and the type does not: numbers out of range.
                teller.at("", error.to_string());
                return None;
            }
        };
        let with = Value::Object(doc.with);
        let findings = kind.params.findings(&with);
        let sound = findings.is_empty();
        for mut finding in findings {
            finding.pointer.insert_str(0, "/with");
            teller.tell(finding);
        }
        let prepared = match kind.stage.prepare(&with) {
            Ok(prepared) => prepared,
            Err(message) => {
                if sound {
                    teller.at("/with", message);
                }
                // The ports of the defaults, to check what is connected.
                kind.stage.prepare(&Value::Object(Map::new())).ok()?
            }
        };
        if sound {
            for issue in prepared.issues {
                let field = issue.field.replace('.', "/");
                teller.at(&format!("/with/{field}"), issue.message);
            }
        }
        let content = if self.several {
            let next = self.contents.len();
            let text = format!("{id} {:?} {}", doc.splits, prepared.params);
            *self.contents.entry(text).or_insert(next)
        } else {
            0
        };
        Some(Alone {
            stage: kind.stage,
            params: prepared.params,
            ports: Arc::new(prepared.ports),
            is_seeded: prepared.is_seeded,
            inputs: doc.inputs,
            resources: doc.resources,
            patience: Patience {
                retries: doc.retries,
                timeout: doc.timeout.as_deref().and_then(duration),
            },
            splits: doc.splits,
            content,
        })
    }
}

/// Tells problems of a stage at their places.
struct Teller<'a, 'c> {
    name: &'a str,
    node: &'a Node,
    default: Option<(&'a Node, &'a str)>,
    newer: bool,
    collector: &'c mut Collector,
}

impl Teller<'_, '_> {
    fn at(&mut self, pointer: &str, message: String) {
        self.tell(Finding {
            pointer: pointer.to_owned(),
            message,
            hint: None,
            unknown: false,
            missing: false,
        });
    }

    fn tell(&mut self, finding: Finding) {
        let (own, steps) = self.node.nearest(&finding.pointer);
        let (mut place, mut key) = (own.place, format!("stages.{}", self.name));
        if let Some((node, id)) = self.default {
            let (nearest, deeper) = node.nearest(&finding.pointer);
            if deeper > steps {
                (place, key) = (nearest.place, format!("defaults.{id}"));
            }
        }
        let mut hint = finding.hint;
        let guessed = hint
            .as_deref()
            .is_some_and(|hint| hint.starts_with("did you"));
        if finding.unknown && self.newer && !guessed {
            hint = Some("the file is written for a newer minor version of the format".to_owned());
        }
        let key = key_path(&key, &finding.pointer);
        self.collector.error(place, &key, finding.message, hint);
    }
}

/// The place of the reference of an input port.
pub(super) fn place_of_input(node: &Node, port: &str) -> Place {
    let inputs = node.get("inputs");
    inputs
        .and_then(|inputs| inputs.get(port).or(Some(inputs)))
        .unwrap_or(node)
        .place
}

/// Looks at the names in conditions; the matrix params that reach them.
fn conditions(
    when: &Node,
    stage: &str,
    params: &mut Params<'_>,
    collector: &mut Collector,
) -> (Keys, bool) {
    let (mut keys, mut sound) = (0, true);
    let Some(fields) = when.as_map() else {
        let message = format!("expected a mapping of params, got {}", when.describe());
        let hint = "write `when: { params.name: value }`".to_owned();
        collector.error(when.place, &format!("{stage}.when"), message, Some(hint));
        return (0, false);
    };
    for (path, value) in fields {
        let key = format!("{stage}.when.{}", shorten(path));
        let Some(name) = path.strip_prefix("params.") else {
            let message = format!("`{}` is not a param", shorten(path));
            let hint = "conditions are on params: `params.name: value`".to_owned();
            collector.error(value.place, &key, message, Some(hint));
            sound = false;
            continue;
        };
        let name = name.split('.').next().unwrap_or_default();
        match params.find(name, value.place, &key, collector) {
            Some(index) => keys |= params.keys_of(index),
            None => sound = false,
        }
    }
    (keys, sound)
}

/// Whether all conditions of a stage hold.
fn holds(
    when: &Node,
    stage: &str,
    scope: &mut Scope<'_, '_>,
    collector: &mut Collector,
) -> Option<bool> {
    let mut all = true;
    for (path, node) in when.as_map()? {
        let actual = scope.named(path.strip_prefix("params.")?, node.place, collector)?;
        let wanted = scope.value(node, collector)?;
        all &= match &wanted {
            Value::Object(_) => {
                let message = format!("expected a value or a list, got {}", describe(&wanted));
                let key = format!("stages.{stage}.when.{}", shorten(path));
                collector.error(node.place, &key, message, None);
                return None;
            }
            Value::Array(allowed) => allowed.iter().any(|allowed| same(allowed, &actual)),
            wanted => same(wanted, &actual),
        };
    }
    Some(all)
}
