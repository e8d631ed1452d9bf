//! Records about a folder whose files were renamed, changed or left out, as for sharing.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use super::checksums::FileSums;
use super::history::{path_of, uri};
use super::ro_crate::{describe, encoding_format, id_of, reference, references};
use super::{PROV, RO_CRATE, prov};

/// What became of the files of a folder.
#[derive(Debug, Clone, Default)]
pub struct Renamed {
    /// New path by old path, of every file that is still there.
    pub kept: BTreeMap<String, String>,
    /// Files that are new.
    pub added: BTreeSet<String>,
}

impl Renamed {
    /// The new path of a file, if it is still there.
    fn new_path(&self, old: &str) -> Option<&str> {
        self.kept.get(old).map(String::as_str)
    }
}

/// Brings a record that names files, the crate or the PROV document, up to date: files by their new
/// paths, with the digests of what they hold now, and without those that were left out.
///
/// A file of which `sums` does not tell the digests, as of lists of checksums, has none in the record.
pub fn refresh(
    path: &str,
    record: &mut Value,
    renamed: &Renamed,
    sums: &BTreeMap<String, FileSums>,
) {
    match path {
        RO_CRATE => refresh_crate(record, renamed, sums),
        PROV => refresh_prov(record, renamed, sums),
        _ => {}
    }
}

fn refresh_crate(record: &mut Value, renamed: &Renamed, sums: &BTreeMap<String, FileSums>) {
    let Some(graph) = record.get_mut("@graph").and_then(Value::as_array_mut) else {
        return;
    };
    let mut ids: BTreeMap<String, Option<String>> = BTreeMap::new();
    for entity in graph.iter() {
        if let Some(id) = id_of(entity).filter(|_| is_file(entity)) {
            let new = renamed.new_path(&path_of(id)).map(uri);
            ids.insert(id.to_owned(), new);
        }
    }
    graph.retain(|entity| id_of(entity).is_none_or(|id| ids.get(id) != Some(&None)));
    for entity in graph.iter_mut() {
        let file = is_file(entity);
        let Value::Object(fields) = entity else {
            continue;
        };
        rename_references(fields, &ids);
        if let Some(Value::String(id)) = fields.get_mut("@id")
            && let Some(Some(new)) = ids.get(id)
        {
            id.clone_from(new);
        }
        if file {
            let path = path_of(
                fields
                    .get("@id")
                    .and_then(Value::as_str)
                    .unwrap_or_default(),
            );
            describe_again(fields, &path, sums.get(&path));
        }
    }
    for path in &renamed.added {
        let mut entity = serde_json::json!({ "@id": uri(path), "@type": "File" });
        if let (Value::Object(fields), Value::Object(properties)) =
            (&mut entity, describe(path, sums.get(path)))
        {
            fields.extend(properties);
        }
        graph.push(entity);
    }
    for entity in graph
        .iter_mut()
        .filter(|entity| id_of(entity) == Some("./"))
    {
        let parts = entity["hasPart"].take();
        let parts = match parts {
            Value::Array(parts) => parts,
            Value::Null => Vec::new(),
            only => vec![only],
        };
        let mut ids: Vec<String> = parts
            .iter()
            .filter_map(|part| id_of(part).map(str::to_owned))
            .chain(renamed.added.iter().map(|path| uri(path)))
            .collect();
        ids.sort();
        entity["hasPart"] = references(ids);
    }
}

/// Keeps what is said of a file besides what follows from its content.
fn describe_again(fields: &mut Map<String, Value>, path: &str, sums: Option<&FileSums>) {
    let is_workflow = fields.get("@type").is_some_and(Value::is_array);
    let name = fields.get("name").cloned().filter(|_| is_workflow);
    for property in ["contentSize", "sha256", "identifier"] {
        fields.shift_remove(property);
    }
    if let Value::Object(properties) = describe(path, sums) {
        fields.extend(properties);
    }
    fields.insert("encodingFormat".to_owned(), encoding_format(path).into());
    if let Some(name) = name {
        fields.insert("name".to_owned(), name);
    }
}

fn is_file(entity: &Value) -> bool {
    match &entity["@type"] {
        Value::String(kind) => kind == "File",
        Value::Array(kinds) => kinds.iter().any(|kind| kind == "File"),
        _ => false,
    }
}

/// Renames references to files; a property that referred only to what was left out is left out too.
fn rename_references(fields: &mut Map<String, Value>, ids: &BTreeMap<String, Option<String>>) {
    let renamed = |value: &Value| match id_of(value).and_then(|id| ids.get(id)) {
        None => Some(value.clone()),
        Some(new) => new.as_deref().map(reference),
    };
    let mut empty = Vec::new();
    for (property, value) in fields.iter_mut() {
        match value {
            Value::Object(_) => match renamed(value) {
                Some(new) => *value = new,
                None => empty.push(property.clone()),
            },
            Value::Array(items) => {
                let mut kept: Vec<Value> = items.iter().filter_map(renamed).collect();
                let is_file = |item: &Value| id_of(item).is_some_and(|id| ids.contains_key(id));
                if items.iter().any(is_file) {
                    kept.sort_by(|a, b| id_of(a).cmp(&id_of(b)));
                }
                match kept.len() {
                    0 => empty.push(property.clone()),
                    1 => *value = kept.remove(0),
                    _ => *items = kept,
                }
            }
            _ => {}
        }
    }
    for property in empty {
        fields.shift_remove(&property);
    }
}

fn refresh_prov(record: &mut Value, renamed: &Renamed, sums: &BTreeMap<String, FileSums>) {
    let mut names: BTreeMap<String, Option<String>> = BTreeMap::new();
    if let Some(entities) = record.get_mut("entity").and_then(Value::as_object_mut) {
        let mut kept = Map::new();
        let mut files = BTreeMap::new();
        for (name, entity) in std::mem::take(entities) {
            let Some(old) = name.strip_prefix(prov::PUBLISHED) else {
                kept.insert(name, entity);
                continue;
            };
            let new = renamed.new_path(&path_of(old)).map(str::to_owned);
            if let Some((new, sums)) = new.as_ref().and_then(|new| Some((new, sums.get(new)?))) {
                let id = format!("{}{}", prov::PUBLISHED, uri(new));
                files.insert(id.clone(), prov::file_entity(new, sums));
                names.insert(name, Some(id));
            } else {
                names.insert(name, None);
            }
        }
        kept.extend(files);
        *entities = kept;
    }
    for relation in ["used", "wasGeneratedBy", "wasDerivedFrom"] {
        let Some(records) = record.get_mut(relation).and_then(Value::as_object_mut) else {
            continue;
        };
        records.retain(|_, fields| {
            for role in ["prov:entity", "prov:generatedEntity", "prov:usedEntity"] {
                let Some(Value::String(name)) = fields.get_mut(role) else {
                    continue;
                };
                match names.get(name) {
                    Some(Some(new)) => name.clone_from(new),
                    Some(None) => return false,
                    None => {}
                }
            }
            true
        });
        // Named by number in order of what they say now.
        let mut all: Vec<(String, Value)> = std::mem::take(records).into_iter().collect();
        let Some(prefix) = all.first().map(|(name, _)| {
            name.trim_end_matches(|c: char| c.is_ascii_digit())
                .to_owned()
        }) else {
            continue;
        };
        all.sort_by_cached_key(|(_, fields)| fields.to_string());
        let numbered = all.into_iter().enumerate();
        records.extend(
            numbered.map(|(number, (_, fields))| (format!("{prefix}{}", number + 1), fields)),
        );
    }
}
