//! The last look at an export: nothing that may not be shared is left in any name or content.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use engine::provenance::find_place;
use flate2::read::MultiGzDecoder;
use serde_json::Value;

use super::content::{Body, is_text};
use super::{ExportError, Names, names};

/// Bytes looked at together.
const CHUNK: usize = 1 << 20;
/// The longest ID that is found across two chunks.
const OVERLAP: usize = 256;

/// Checks every file of an export.
pub(super) fn check(bodies: &BTreeMap<String, Body>, names: &Names) -> Result<(), ExportError> {
    for (path, body) in bodies {
        let leak = |what: String| ExportError::Leak {
            file: path.clone(),
            what,
        };
        if let Some(what) = in_text(path, names) {
            return Err(leak(format!("{what} in its name")));
        }
        let found = match body {
            Body::Bytes(bytes) if is_text(path) => match std::str::from_utf8(bytes) {
                Ok(text) => in_file(path, text, names),
                Err(_) => in_bytes(&bytes[..], names)
                    .map_err(ExportError::io("search", Path::new(path)))?,
            },
            Body::Bytes(bytes) => {
                in_bytes(&bytes[..], names).map_err(ExportError::io("search", Path::new(path)))?
            }
            Body::Copy(file) => in_copy(file, names).map_err(ExportError::io("search", file))?,
        };
        if let Some(what) = found {
            return Err(leak(what));
        }
    }
    Ok(())
}

/// A backslash is written twice in JSON, which must not be taken for the name of a share.
fn in_file(path: &str, text: &str, names: &Names) -> Option<String> {
    if path.ends_with(".json")
        && let Ok(value) = serde_json::from_str::<Value>(text)
    {
        return in_value(&value, names);
    }
    in_text(text, names)
}

fn in_value(value: &Value, names: &Names) -> Option<String> {
    match value {
        Value::String(text) => in_text(text, names),
        Value::Array(items) => items.iter().find_map(|item| in_value(item, names)),
        Value::Object(fields) => fields
            .iter()
            .find_map(|(key, value)| in_text(key, names).or_else(|| in_value(value, names))),
        _ => None,
    }
}

fn in_text(text: &str, names: &Names) -> Option<String> {
    let id = names::tokens(text).find(|token| names.hides(&text[token.clone()]));
    if let Some(id) = id {
        return Some(format!("the participant ID `{}`", &text[id]));
    }
    let mut words = text.split(|c: char| !c.is_ascii_alphanumeric());
    if let Some(label) = words.find(|word| names.hides_label(word)) {
        return Some(format!("`{label}`, which is part of a participant ID"));
    }
    let path = find_place(text)?;
    Some(format!("the absolute path `{}`", &text[path]))
}

fn in_copy(file: &Path, names: &Names) -> io::Result<Option<String>> {
    let reader = File::open(file)?;
    let found = in_bytes(reader, names)?;
    if found.is_some() || file.extension().is_none_or(|extension| extension != "gz") {
        return Ok(found);
    }
    in_bytes(MultiGzDecoder::new(File::open(file)?), names)
}

/// Searches for IDs; paths are no concern in arrays, where any two bytes may look like one.
fn in_bytes(mut reader: impl Read, names: &Names) -> io::Result<Option<String>> {
    if names.len() == 0 {
        return Ok(None);
    }
    let mut buffer: Vec<u8> = Vec::with_capacity(CHUNK + OVERLAP);
    let mut is_first = true;
    loop {
        let read = reader
            .by_ref()
            .take(CHUNK as u64)
            .read_to_end(&mut buffer)?;
        let is_last = read == 0;
        // What is not ASCII becomes a character that belongs to no ID, one per byte.
        let text: String = buffer
            .iter()
            .map(|&byte| {
                if byte.is_ascii() {
                    char::from(byte)
                } else {
                    ' '
                }
            })
            .collect();
        for token in names::tokens(&text) {
            let may_be_cut = token.start == 0 && !is_first || token.end == text.len() && !is_last;
            if !may_be_cut && names.hides(&text[token.clone()]) {
                return Ok(Some(format!("the participant ID `{}`", &text[token])));
            }
        }
        if is_last {
            return Ok(None);
        }
        is_first = is_first && buffer.len() <= OVERLAP;
        let overlap = buffer.len().min(OVERLAP);
        buffer.drain(..buffer.len() - overlap);
    }
}
