//! What a stage's `config` leaves to a search.
//!
//! A file of another format may say what parameters are drawn from. The stage tells ([`Stage::space`]);
//! what is drawn then becomes params of the manifest and of its space, as if they had been written there.
//!
//! [`Stage::space`]: crate::stage::Stage::space

use indexmap::IndexMap;
use indexmap::map::Entry;

use serde_json::Value;

use super::collect::Collector;
use super::files::Written;
use super::node::{Node, Place, Tree, key_path, shorten};
use crate::registry::Registry;

/// The params that configs leave to the search, with their ranges.
type Space = IndexMap<String, Node>;

/// Declares them, and refers to them in the configs.
pub(super) fn apply(written: &mut Written, registry: Registry, collector: &mut Collector) {
    let Some(search) = written.head.get("search").cloned() else {
        return;
    };
    let Tree::Map(mut fields) = search.tree else {
        return;
    };
    let mut space = Space::new();
    let Written { stages, params, .. } = written;
    for (name, stage) in stages.iter_mut() {
        let id = stage.get("uses").and_then(Node::as_text);
        let Some(known) = id.and_then(|id| registry.find(id)) else {
            continue;
        };
        let Some(Value::Object(config)) = stage.get("config").map(Node::to_value) else {
            continue;
        };
        let key = format!("stages.{}.config", shorten(name));
        let place_of = |stage: &Node, field: &str| {
            let pointer = format!("/config/{}", field.replace('.', "/"));
            stage.nearest(&pointer).0.place
        };
        let drawn = match known.space(&config) {
            Ok(drawn) => drawn,
            Err(issues) => {
                for issue in issues {
                    let place = place_of(stage, &issue.field);
                    let pointer = format!("/{}", issue.field.replace('.', "/"));
                    collector.error(place, &key_path(&key, &pointer), issue.message, None);
                }
                continue;
            }
        };
        for one in drawn {
            let place = place_of(stage, &one.field);
            for (param, range) in one.params {
                let range = Node::from_value(place, &range.to_value());
                declare(&mut space, params, param, range, collector);
            }
            let path: Vec<&str> = one.field.split('.').collect();
            replace(stage, "config", &path, &Node::from_value(place, &one.value));
        }
    }
    if space.is_empty() {
        return;
    }
    let own = fields.entry("space".to_owned());
    let place = search.place;
    let own = own.or_insert_with(|| Node::new(place, Tree::Map(IndexMap::new())));
    if let Tree::Map(ranges) = &own.tree {
        let mut ranges = ranges.clone();
        ranges.extend(space);
        *own = Node::new(own.place, Tree::Map(ranges));
    }
    let search = Node::new(place, Tree::Map(fields));
    written.head.insert("search".to_owned(), search);
}

/// Adds a param to the space; its own value is the first one that can be drawn.
fn declare(
    space: &mut Space,
    params: &mut IndexMap<String, Node>,
    name: String,
    range: Node,
    collector: &mut Collector,
) {
    let place = range.place;
    let known = match space.entry(name) {
        // Another stage with the same file.
        Entry::Occupied(known) => {
            let (name, is_same) = (known.key(), known.get().to_value() == range.to_value());
            (!is_same).then(|| (name.clone(), known.get().place))
        }
        Entry::Vacant(free) => match params.get(free.key()) {
            Some(param) => Some((free.key().clone(), param.place)),
            None => {
                let first = first_of(&range.to_value());
                params.insert(free.key().clone(), Node::from_value(place, &first));
                free.insert(range);
                None
            }
        },
    };
    if let Some((name, first)) = known {
        refuse_twice(&name, place, first, collector);
    }
}

fn refuse_twice(name: &str, place: Place, first: Place, collector: &mut Collector) {
    let message = format!(
        "`{}` is drawn by this file, and a param already, in {}",
        shorten(name),
        collector.shown(first)
    );
    let hint = "leave the param out, or give it another name".to_owned();
    collector.error(
        place,
        &format!("params.{}", shorten(name)),
        message,
        Some(hint),
    );
}

/// The first value of a range.
fn first_of(range: &Value) -> Value {
    let values = range.as_object().and_then(|fields| fields.values().next());
    values
        .and_then(|values| values.get(0))
        .cloned()
        .unwrap_or_default()
}

/// Puts a value in the place of one below a key.
fn replace(node: &mut Node, key: &str, path: &[&str], value: &Node) {
    let Tree::Map(fields) = &mut node.tree else {
        return;
    };
    let Some(field) = fields.get_mut(key) else {
        return;
    };
    match path {
        [] => *field = value.clone(),
        [first, rest @ ..] => replace(field, first, rest, value),
    }
    // Size and liveness of what is around it have changed.
    let tree = std::mem::replace(&mut node.tree, Tree::Null);
    *node = Node::new(node.place, tree);
}
