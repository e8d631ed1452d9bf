//! TOML to [`Node`]s: the only module that knows TOML.

use toml::Spanned;
use toml::de::{DeString, DeTable, DeValue};

use indexmap::IndexMap;
use serde_json::Number;

use super::node::{MAX_HEIGHT, Node, Place, Size, Tree};
use super::source::{MAX_SIZE, Refusal};

/// Reads a text.
pub(super) fn parse(file: u32, text: &str) -> Result<Node, Refusal> {
    let lines = Lines::new(file, text);
    let table = DeTable::parse(text).map_err(|error| {
        let place = match error.span() {
            Some(span) => lines.place(span.start),
            None => Place::of_file(file),
        };
        Refusal::at(place, format!("not valid TOML: {}", error.message()))
    })?;
    let mut total = Size::default();
    let root = lines.table(Place::of_file(file), table.get_ref(), 1, &mut total)?;
    Ok(root)
}

/// Distance of the places whose column is known in advance.
const STEP: usize = 1024;

/// From offsets to lines and columns, without reading a long line again for each of its values.
struct Lines<'a> {
    file: u32,
    text: &'a str,
    /// Offsets at which lines start.
    starts: Vec<usize>,
    /// Characters before each multiple of [`STEP`] bytes.
    characters: Vec<usize>,
}

impl<'a> Lines<'a> {
    fn new(file: u32, text: &'a str) -> Self {
        let newlines = text.match_indices('\n').map(|(at, _)| at + 1);
        let mut characters = vec![0];
        for chunk in text.as_bytes().chunks(STEP) {
            let before = characters.last().copied().unwrap_or(0);
            characters.push(before + count(chunk));
        }
        Self {
            file,
            text,
            starts: std::iter::once(0).chain(newlines).collect(),
            characters,
        }
    }

    fn characters_before(&self, offset: usize) -> usize {
        let step = offset / STEP;
        self.characters[step] + count(&self.text.as_bytes()[step * STEP..offset])
    }

    fn place(&self, offset: usize) -> Place {
        let offset = offset.min(self.text.len());
        let line = self.starts.partition_point(|&start| start <= offset);
        let start = self.starts[line - 1];
        let column = self.characters_before(offset) - self.characters_before(start) + 1;
        let number = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        Place {
            file: self.file,
            line: number(line),
            column: number(column),
        }
    }

    fn table(
        &self,
        place: Place,
        table: &DeTable<'_>,
        depth: usize,
        total: &mut Size,
    ) -> Result<Node, Refusal> {
        let mut entries: Vec<(&Spanned<DeString<'_>>, _)> = table.iter().collect();
        entries.sort_by_key(|(key, _)| key.span().start);
        let mut fields = IndexMap::with_capacity(entries.len());
        for (key, value) in entries {
            let place = self.place(key.span().start);
            let node = self.value(place, value.get_ref(), depth + 1, total)?;
            fields.insert(key.get_ref().to_string(), node);
        }
        Ok(Node::new(place, Tree::Map(fields)))
    }

    fn value(
        &self,
        place: Place,
        value: &DeValue<'_>,
        depth: usize,
        total: &mut Size,
    ) -> Result<Node, Refusal> {
        if depth > MAX_HEIGHT {
            let message = format!("nested too deeply, expected at most {MAX_HEIGHT} levels");
            return Err(Refusal::at(place, message));
        }
        total.values += 1;
        if total.exceeds(MAX_SIZE) {
            let message = format!("too large: more than {} values", MAX_SIZE.values);
            return Err(Refusal::at(place, message));
        }
        let not_finite = |text: &str| Refusal::at(place, format!("`{text}` is not finite"));
        let tree = match value {
            DeValue::String(text) => Tree::Text(text.to_string()),
            DeValue::Boolean(b) => Tree::Bool(*b),
            DeValue::Datetime(date) => Tree::Text(date.to_string()),
            DeValue::Integer(integer) => {
                let parsed = i64::from_str_radix(integer.as_str(), integer.radix());
                let number = parsed.map_err(|_| {
                    let message = format!("`{integer}` is too large for a number");
                    Refusal::at(place, message)
                })?;
                Tree::Number(number.into())
            }
            DeValue::Float(float) => {
                let number = float.as_str().parse().ok().and_then(Number::from_f64);
                Tree::Number(number.ok_or_else(|| not_finite(float.as_str()))?)
            }
            DeValue::Array(items) => Tree::List(
                items
                    .iter()
                    .map(|item| {
                        let place = self.place(item.span().start);
                        self.value(place, item.get_ref(), depth + 1, total)
                    })
                    .collect::<Result<_, _>>()?,
            ),
            DeValue::Table(table) => return self.table(place, table, depth, total),
        };
        Ok(Node::new(place, tree))
    }
}

/// Characters that start in a piece of UTF-8.
fn count(bytes: &[u8]) -> usize {
    bytes.iter().filter(|&&byte| byte & 0xC0 != 0x80).count()
}
