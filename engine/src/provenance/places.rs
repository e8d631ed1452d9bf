//! Absolute paths: where they are in a text.
//!
//! What is looked for is a slash at the start of a word (`/home/…`, `~/…`), a drive (`C:\…`), a share
//! (`\\server\…`) and a `file:` address. Addresses with another scheme, relative paths and fractions are
//! none.

use std::borrow::Cow;
use std::ops::Range;

use serde_json::Value;

/// What stands in the place of a path.
const REMOVED: &str = "removed-path";

/// The first absolute path, up to the end of the line or of what encloses it: a path may have spaces.
pub fn find_place(text: &str) -> Option<Range<usize>> {
    let bytes = text.as_bytes();
    let start = (0..bytes.len()).find(|&at| begins(bytes, at))?;
    let rest = &bytes[start..];
    let length = rest
        .iter()
        .position(|byte| b"\n\r\t\"'`,;)]}>|<".contains(byte));
    let mut end = start + length.unwrap_or(rest.len());
    // A comment after a value is no part of it.
    if let Some(comment) = text.get(start..end).and_then(|path| path.find(" #")) {
        end = start + comment;
    }
    Some(start..end)
}

/// The text with every absolute path replaced.
pub fn without_places(text: &str) -> Cow<'_, str> {
    let Some(mut range) = find_place(text) else {
        return Cow::Borrowed(text);
    };
    let (mut replaced, mut rest) = (String::new(), text);
    loop {
        replaced.push_str(&rest[..range.start]);
        replaced.push_str(REMOVED);
        rest = &rest[range.end..];
        match find_place(rest) {
            Some(next) => range = next,
            None => break,
        }
    }
    replaced.push_str(rest);
    Cow::Owned(replaced)
}

fn begins(bytes: &[u8], at: usize) -> bool {
    let before = at.checked_sub(1).map(|before| bytes[before]);
    let after = |offset: usize| bytes.get(at + offset).copied();
    let is_name = |byte: Option<u8>| {
        byte.is_some_and(|b| b.is_ascii_alphanumeric() || b"_.~-".contains(&b) || !b.is_ascii())
    };
    let at_start =
        before.is_none_or(|b| b.is_ascii_whitespace() || b"\"'=:,;([{<>|`@!".contains(&b));
    let word_starts = before.is_none_or(|b| !b.is_ascii_alphanumeric());
    match bytes[at] {
        // `//` after a colon belongs to an address.
        b'/' => {
            at_start
                && (is_name(after(1))
                    || before != Some(b':') && after(1) == Some(b'/') && is_name(after(2)))
        }
        b'~' => at_start && after(1) == Some(b'/'),
        b'\\' => at_start && after(1) == Some(b'\\') && is_name(after(2)),
        b'f' | b'F' => {
            word_starts
                && bytes
                    .get(at..at + 6)
                    .is_some_and(|scheme| scheme.eq_ignore_ascii_case(b"file:/"))
        }
        letter if letter.is_ascii_alphabetic() => {
            word_starts
                && after(1) == Some(b':')
                && (after(2) == Some(b'\\') || after(2) == Some(b'/') && after(3) != Some(b'/'))
                && is_name(after(3))
        }
        _ => false,
    }
}

/// The value with every absolute path in its texts replaced.
pub(super) fn scrubbed(value: Value) -> Value {
    match value {
        Value::String(text) => match without_places(&text) {
            Cow::Borrowed(_) => Value::String(text),
            Cow::Owned(text) => Value::String(text),
        },
        Value::Array(items) => items.into_iter().map(scrubbed).collect(),
        Value::Object(fields) => Value::Object(
            fields
                .into_iter()
                .map(|(name, value)| (name, scrubbed(value)))
                .collect(),
        ),
        other => other,
    }
}
