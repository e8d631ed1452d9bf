//! Participant IDs: where they are in a text, and what stands for them.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::ops::Range;
use std::path::Path;

use engine::digest::pseudonym;

use super::tables::Table;
use super::{ExportError, content, place};

const PREFIX: &str = "sub-";

/// What stands for each participant ID.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Names {
    new: BTreeMap<String, String>,
}

impl Names {
    /// IDs stay as they are.
    pub(super) fn kept() -> Self {
        Self::default()
    }

    /// A pseudonym for each ID.
    pub(super) fn salted(ids: &BTreeSet<String>, salt: &[u8]) -> Result<Self, ExportError> {
        let mut taken = BTreeSet::new();
        let mut new = BTreeMap::new();
        for id in ids {
            let name = format!("{PREFIX}{}", pseudonym(salt, id));
            if !taken.insert(name.clone()) {
                return Err(ExportError::Collision(name));
            }
            new.insert(id.clone(), name);
        }
        Ok(Self { new })
    }

    /// The number of IDs.
    pub(super) fn len(&self) -> usize {
        self.new.len()
    }

    /// Whether this is an ID that may not be shared.
    pub(super) fn hides(&self, id: &str) -> bool {
        self.new.contains_key(id)
    }

    /// Whether this is an ID without its prefix, and too peculiar to be anything else.
    pub(super) fn hides_label(&self, label: &str) -> bool {
        let has = |is: fn(&u8) -> bool| label.as_bytes().iter().any(is);
        label.len() >= 4
            && has(u8::is_ascii_digit)
            && has(u8::is_ascii_alphabetic)
            && self.new.contains_key(&format!("{PREFIX}{label}"))
    }

    /// The text with every ID replaced.
    pub(super) fn replace<'a>(&self, text: &'a str) -> Cow<'a, str> {
        let mut replaced = String::new();
        let mut done = 0;
        for token in tokens(text) {
            if let Some(new) = self.new.get(&text[token.clone()]) {
                replaced.push_str(&text[done..token.start]);
                replaced.push_str(new);
                done = token.end;
            }
        }
        if done == 0 {
            return Cow::Borrowed(text);
        }
        replaced.push_str(&text[done..]);
        Cow::Owned(replaced)
    }
}

/// Where a text has the form of a participant ID.
pub(super) fn tokens(text: &str) -> impl Iterator<Item = Range<usize>> {
    text.match_indices(PREFIX).filter_map(move |(start, _)| {
        let before = text[..start].bytes().next_back();
        let label = text[start + PREFIX.len()..].bytes();
        let length = label.take_while(u8::is_ascii_alphanumeric).count();
        let starts = before.is_none_or(|byte| !byte.is_ascii_alphanumeric());
        (starts && length > 0).then_some(start..start + PREFIX.len() + length)
    })
}

/// Every ID that a MAPS names: in its tables, its file names, and, where a number in it tells it from a
/// word such as `sub-sample`, in any text.
pub(super) fn find(source: &Path, paths: &[String]) -> Result<BTreeSet<String>, ExportError> {
    let mut ids = BTreeSet::new();
    for path in paths {
        ids.extend(tokens(path).map(|token| path[token].to_owned()));
        if !content::is_text(path) {
            continue;
        }
        let file = place(source, path);
        let bytes = fs::read(&file).map_err(ExportError::io("read", &file))?;
        let text = content::text_of(path, &bytes)?;
        if let Some(table) = Table::read(path, text)? {
            for id in table.participants() {
                let is_whole = tokens(id).next() == Some(0..id.len());
                if !is_whole {
                    return Err(ExportError::Participant {
                        file: path.clone(),
                        id: id.to_owned(),
                    });
                }
                ids.insert(id.to_owned());
            }
        }
        let numbered = tokens(text)
            .map(|token| &text[token])
            .filter(|id| id.bytes().any(|byte| byte.is_ascii_digit()));
        ids.extend(numbered.map(str::to_owned));
    }
    Ok(ids)
}
