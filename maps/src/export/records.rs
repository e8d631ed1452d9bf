//! The provenance of an export: that of the MAPS, made to fit what became of its files.

use std::collections::BTreeMap;
use std::path::Path;

use engine::Digest;
use engine::manifest::Redaction;
use engine::provenance::{
    BLAKE3_SUMS, FileSums, PROV, RO_CRATE, Renamed, SHA256_SUMS, checksum_files, refresh,
};
use engine::publish::{PUBLISHED, PublishedList};
use engine::store::TreeFile;
use serde_json::{Value, json};

use super::content::{Body, json_bytes, redact_value};
use super::{ExportError, Exported, Names, place};

/// What was redacted, told in the export.
const REDACTION: &str = "provenance/redaction.json";
const MANIFEST: &str = "provenance/manifest.";

/// Adds the note of the redaction and the lists of checksums, and rewrites what names files or tells
/// their digests.
pub(super) fn rebuild(
    source: &Path,
    bodies: &mut BTreeMap<String, Body>,
    mut renamed: Renamed,
    policy: &Redaction,
    exported: &Exported,
    names: &Names,
) -> Result<(), ExportError> {
    let note = json!({
        "redaction_format": 1,
        "policy": policy,
        "participants": exported.participants,
        "images_left_out": exported.images_left_out,
        "columns_left_out": exported.columns_left_out,
    });
    let note = Body::Bytes(json_bytes(REDACTION, &note));
    if bodies.insert(REDACTION.to_owned(), note).is_none() {
        renamed.added.insert(REDACTION.to_owned());
    }
    follow_manifest(source, bodies)?;
    let mut sums = BTreeMap::new();
    for (path, body) in bodies.iter() {
        if ![PROV, RO_CRATE].contains(&path.as_str()) {
            sums.insert(path.clone(), sums_of(body)?);
        }
    }
    // The lists are made anew under their own names.
    for path in [BLAKE3_SUMS, SHA256_SUMS, PUBLISHED] {
        renamed.kept.insert(path.to_owned(), path.to_owned());
    }
    // The crate tells the digest of the PROV document.
    for path in [PROV, RO_CRATE] {
        if let Some(mut record) = read(source, path, bodies) {
            follow(&mut record, &changed_manifest(source, bodies));
            refresh(path, &mut record, &renamed, &sums);
            let bytes = json_bytes(path, &redact_value(&record, names));
            sums.insert(path.to_owned(), FileSums::of(&bytes));
            bodies.insert(path.to_owned(), Body::Bytes(bytes));
        }
    }
    for (path, bytes) in checksum_files(&sums) {
        sums.insert(path.clone(), FileSums::of(&bytes));
        bodies.insert(path, Body::Bytes(bytes));
    }
    let list = PublishedList {
        format: 1,
        files: sums
            .iter()
            .map(|(path, sums)| {
                let file = TreeFile {
                    digest: sums.blake3,
                    size: sums.size,
                };
                (path.clone(), file)
            })
            .collect(),
    };
    let list = serde_json::to_value(&list).map_err(unwritable)?;
    bodies.insert(
        PUBLISHED.to_owned(),
        Body::Bytes(json_bytes(PUBLISHED, &list)),
    );
    Ok(())
}

/// The record as it was, not yet redacted: its identifiers are those of the files as they were.
fn read(source: &Path, path: &str, bodies: &BTreeMap<String, Body>) -> Option<Value> {
    bodies.get(path)?;
    serde_json::from_slice(&std::fs::read(place(source, path)).ok()?).ok()
}

fn sums_of(body: &Body) -> Result<FileSums, ExportError> {
    match body {
        Body::Bytes(bytes) => Ok(FileSums::of(bytes)),
        Body::Copy(file) => FileSums::of_file(file).map_err(ExportError::io("read", file)),
    }
}

/// The digests of manifests that were redacted: before and now.
fn changed_manifest(source: &Path, bodies: &BTreeMap<String, Body>) -> Vec<(String, String)> {
    let manifests = bodies.iter().filter(|(path, _)| path.starts_with(MANIFEST));
    manifests
        .filter_map(|(path, body)| {
            let Body::Bytes(now) = body else { return None };
            let before = std::fs::read(place(source, path)).ok()?;
            let digests = [before.as_slice(), now].map(|bytes| Digest::of(bytes).to_string());
            let [before, now] = digests;
            (before != now).then_some((before, now))
        })
        .collect()
}

/// A manifest that was redacted has another digest, which the records about it have to tell.
fn follow_manifest(source: &Path, bodies: &mut BTreeMap<String, Body>) -> Result<(), ExportError> {
    let changed = changed_manifest(source, bodies);
    if changed.is_empty() {
        return Ok(());
    }
    for (path, body) in bodies.iter_mut() {
        if let Body::Bytes(bytes) = body
            && path.starts_with("provenance/")
            && path.ends_with(".json")
            && let Ok(before) = serde_json::from_slice::<Value>(bytes)
        {
            let mut value = before.clone();
            follow(&mut value, &changed);
            if value != before {
                *bytes = json_bytes(path, &value);
            }
        }
    }
    Ok(())
}

fn follow(value: &mut Value, changed: &[(String, String)]) {
    match value {
        Value::String(text) => {
            for (before, now) in changed {
                if text.contains(before.as_str()) {
                    *text = text.replace(before.as_str(), now);
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| follow(item, changed)),
        Value::Object(fields) => {
            let old = std::mem::take(fields);
            for (key, mut value) in old {
                follow(&mut value, changed);
                let mut key = Value::String(key);
                follow(&mut key, changed);
                if let Value::String(key) = key {
                    fields.insert(key, value);
                }
            }
        }
        _ => {}
    }
}

fn unwritable(error: serde_json::Error) -> ExportError {
    ExportError::io("write", Path::new(PUBLISHED))(error.into())
}
