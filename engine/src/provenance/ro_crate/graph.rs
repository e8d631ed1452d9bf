//! A flat graph of entities that refer to one another by identifier.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

/// Entities in the order they were added, one per identifier.
#[derive(Default)]
pub(super) struct Graph {
    entities: Vec<Map<String, Value>>,
    places: BTreeMap<String, usize>,
}

impl Graph {
    /// Adds an entity; of one that is there already, the first description stays.
    pub(super) fn add(&mut self, id: &str, kind: impl Into<Value>, properties: Value) {
        if self.places.contains_key(id) {
            return;
        }
        let mut entity = Map::new();
        entity.insert("@id".to_owned(), id.into());
        entity.insert("@type".to_owned(), kind.into());
        if let Value::Object(properties) = properties {
            entity.extend(
                properties
                    .into_iter()
                    .filter(|(_, value)| !is_nothing(value)),
            );
        }
        self.places.insert(id.to_owned(), self.entities.len());
        self.entities.push(entity);
    }

    /// Adds a reference to a property that may have several.
    pub(super) fn refer(&mut self, id: &str, property: &str, to: &str) {
        let Some(&place) = self.places.get(id) else {
            return;
        };
        let entity = &mut self.entities[place];
        let new = reference(to);
        match entity.get_mut(property) {
            None => {
                entity.insert(property.to_owned(), new);
            }
            Some(Value::Array(several)) if several.contains(&new) => {}
            Some(Value::Array(several)) => several.push(new),
            Some(only) if *only == new => {}
            Some(only) => *only = json!([only, new]),
        }
    }

    pub(super) fn into_entities(self) -> Vec<Map<String, Value>> {
        self.entities
    }
}

fn is_nothing(value: &Value) -> bool {
    value.is_null() || value.as_array().is_some_and(Vec::is_empty)
}

/// A reference to an entity.
pub(in crate::provenance) fn reference(id: &str) -> Value {
    json!({ "@id": id })
}

/// References to entities; a single one is no list, as RO-Crate recommends.
pub(in crate::provenance) fn references(ids: impl IntoIterator<Item = String>) -> Value {
    let mut all: Vec<Value> = ids.into_iter().map(|id| reference(&id)).collect();
    match all.len() {
        1 => all.remove(0),
        _ => Value::Array(all),
    }
}

/// The identifier of an entity or reference.
pub(in crate::provenance) fn id_of(value: &Value) -> Option<&str> {
    value.get("@id")?.as_str()
}
