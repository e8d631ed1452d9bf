//! YAML to [`Node`]s, from the events of the parser: the only module that knows YAML.
//!
//! Plain scalars are typed by the core schema of YAML 1.2. What YAML 1.1 read differently (`yes`, `010`,
//! `1_000`) stays text, and gets a hint where something else was expected. Tags, merge keys, several
//! documents and keys that are not scalars are refused. Aliases are expanded within a budget: a text of
//! a few lines that stands for gigabytes is refused when it grows beyond it.

use indexmap::IndexMap;

use indexmap::map::Entry;
use saphyr_parser::{Event, Marker, Parser, ScalarStyle, Span};
use serde_json::{Number, Value};

use super::node::{MAX_HEIGHT, Node, Place, Size, Tree, shorten};
use super::source::{MAX_SIZE, Refusal};

/// Reads a text.
pub(super) fn parse(file: u32, text: &str) -> Result<Node, Refusal> {
    let mut builder = Builder {
        file,
        open: Vec::new(),
        anchors: IndexMap::new(),
        total: Size::default(),
        root: None,
    };
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    for event in Parser::new_from_str(text) {
        let (event, span) = event.map_err(|error| {
            let place = place(file, error.marker());
            match error.info() {
                // The parser has a limit of its own, further up.
                "recursion limit exceeded" => Refusal::at(place, too_deep()),
                info => Refusal::at(place, format!("not valid YAML: {info}")),
            }
        })?;
        builder.event(event, span)?;
    }
    Ok(builder
        .root
        .unwrap_or_else(|| Node::new(Place::of_file(file), Tree::Null)))
}

/// Reads one value written in YAML, such as a parameter on a command line.
///
/// # Errors
/// The text is not YAML, or not a value that a manifest can hold.
pub fn yaml_value(text: &str) -> Result<Value, String> {
    match parse(0, text) {
        Ok(node) => Ok(node.to_value()),
        Err(refusal) => Err(refusal.message),
    }
}

fn place(file: u32, marker: &Marker) -> Place {
    let number = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    Place {
        file,
        line: number(marker.line()),
        column: number(marker.col() + 1),
    }
}

/// A list or mapping that is not closed yet.
struct Open {
    place: Place,
    anchor: usize,
    container: Container,
}

enum Container {
    List(Vec<Node>),
    Map {
        fields: IndexMap<String, Node>,
        /// The key whose value comes next.
        key: Option<(String, Place)>,
    },
}

struct Builder {
    file: u32,
    open: Vec<Open>,
    /// Finished values that aliases may name.
    anchors: IndexMap<usize, Node>,
    /// Of everything that was kept so far, copies included.
    total: Size,
    root: Option<Node>,
}

impl Builder {
    fn event(&mut self, event: Event<'_>, span: Span) -> Result<(), Refusal> {
        let place = place(self.file, &span.start);
        let refuse = |message: String| Err(Refusal::at(place, message));
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                let is_text = match tag {
                    None => style != ScalarStyle::Plain,
                    Some(tag) if tag.is_yaml_core_schema() && tag.suffix == "str" => true,
                    Some(tag) => return refuse(not_allowed(&tag)),
                };
                if let Some(Open {
                    container: Container::Map { fields, key, .. },
                    ..
                }) = self.open.last_mut()
                    && key.is_none()
                {
                    let name = text.into_owned();
                    if !is_text && name == "<<" {
                        let hint = "values that several stages share belong in `defaults:`";
                        return Err(Refusal::at(place, "merge keys are not supported").hint(hint));
                    }
                    if let Some(first) = fields.get(&name) {
                        let message = format!(
                            "duplicate key `{}`, first on line {}",
                            shorten(&name),
                            first.place.line
                        );
                        return refuse(message);
                    }
                    *key = Some((name, place));
                    return Ok(());
                }
                let tree = if is_text {
                    Tree::Text(text.into_owned())
                } else {
                    plain(&text).map_err(|message| Refusal::at(place, message))?
                };
                self.close(anchor, Node::new(place, tree))
            }
            Event::SequenceStart(anchor, tag) => {
                self.start(place, anchor, tag.as_deref(), Container::List(Vec::new()))
            }
            Event::MappingStart(anchor, tag) => {
                let container = Container::Map {
                    fields: IndexMap::new(),
                    key: None,
                };
                self.start(place, anchor, tag.as_deref(), container)
            }
            Event::SequenceEnd | Event::MappingEnd => {
                let Some(open) = self.open.pop() else {
                    return Ok(());
                };
                let tree = match open.container {
                    Container::List(items) => Tree::List(items),
                    Container::Map { fields, .. } => Tree::Map(fields),
                };
                // What is below is counted already.
                self.total.values += 1;
                self.keep(open.anchor, Node::new(open.place, tree))
            }
            Event::Alias(anchor) => {
                let Some(node) = self.anchors.get(&anchor) else {
                    return refuse("an alias stands inside of what it names".to_owned());
                };
                if self.open.len() + node.height > MAX_HEIGHT {
                    return refuse(too_deep());
                }
                // Counted before it is copied.
                self.total.add(node.size);
                self.check_size(place)?;
                let mut node = node.clone();
                node.place = place;
                self.insert(node)
            }
            Event::DocumentStart(_) if self.root.is_some() => refuse(
                "a second document starts here, expected one manifest in the file".to_owned(),
            ),
            Event::DocumentStart(_)
            | Event::DocumentEnd
            | Event::StreamStart
            | Event::StreamEnd
            | Event::Nothing => Ok(()),
        }
    }

    fn start(
        &mut self,
        place: Place,
        anchor: usize,
        tag: Option<&saphyr_parser::Tag>,
        container: Container,
    ) -> Result<(), Refusal> {
        if let Some(tag) = tag {
            return Err(Refusal::at(place, not_allowed(tag)));
        }
        if self.open.len() >= MAX_HEIGHT {
            return Err(Refusal::at(place, too_deep()));
        }
        if let Some(Open {
            container: Container::Map { key: None, .. },
            ..
        }) = self.open.last()
        {
            return Err(Refusal::at(
                place,
                "a list or mapping cannot be a key, expected a name",
            ));
        }
        self.open.push(Open {
            place,
            anchor,
            container,
        });
        Ok(())
    }

    /// Counts a value without others below it, and keeps it.
    fn close(&mut self, anchor: usize, node: Node) -> Result<(), Refusal> {
        self.total.add(node.size);
        self.keep(anchor, node)
    }

    fn keep(&mut self, anchor: usize, node: Node) -> Result<(), Refusal> {
        if anchor != 0 {
            self.total.add(node.size);
            self.check_size(node.place)?;
            self.anchors.insert(anchor, node.clone());
        }
        self.insert(node)
    }

    /// Puts a value where it belongs.
    fn insert(&mut self, mut node: Node) -> Result<(), Refusal> {
        self.check_size(node.place)?;
        match self.open.last_mut() {
            None => self.root = Some(node),
            Some(Open {
                container: Container::List(items),
                ..
            }) => items.push(node),
            Some(Open {
                container: Container::Map { fields, key },
                ..
            }) => {
                let Some((name, place)) = key.take() else {
                    return Err(Refusal::at(
                        node.place,
                        "an alias cannot be a key, expected a name",
                    ));
                };
                self.total.bytes += name.len();
                node.place = place;
                match fields.entry(name) {
                    Entry::Vacant(free) => drop(free.insert(node)),
                    // Refused when the key was read.
                    Entry::Occupied(_) => {}
                }
            }
        }
        Ok(())
    }

    fn check_size(&self, place: Place) -> Result<(), Refusal> {
        if self.total.exceeds(MAX_SIZE) {
            let message = format!(
                "too large: more than {} values or {} MiB of text once aliases are expanded",
                MAX_SIZE.values,
                MAX_SIZE.bytes >> 20
            );
            return Err(Refusal::at(place, message));
        }
        Ok(())
    }
}

fn too_deep() -> String {
    format!("nested too deeply, expected at most {MAX_HEIGHT} levels")
}

fn not_allowed(tag: &saphyr_parser::Tag) -> String {
    let name = match tag.handle.as_str() {
        "tag:yaml.org,2002:" => format!("!!{}", tag.suffix),
        handle => format!("{handle}{}", tag.suffix),
    };
    format!("tag `{}` is not allowed in a manifest", shorten(&name))
}

/// The value of a scalar without quotes: the core schema of YAML 1.2.
fn plain(text: &str) -> Result<Tree, String> {
    Ok(match text {
        "" | "~" | "null" | "Null" | "NULL" => Tree::Null,
        "true" | "True" | "TRUE" => Tree::Bool(true),
        "false" | "False" | "FALSE" => Tree::Bool(false),
        _ => match text.as_bytes()[0] {
            b'0'..=b'9' | b'+' | b'-' | b'.' => match number(text)? {
                Some(number) => Tree::Number(number),
                None => Tree::Text(text.to_owned()),
            },
            _ => Tree::Text(text.to_owned()),
        },
    })
}

/// The number that a plain scalar is; `None` for a text.
fn number(text: &str) -> Result<Option<Number>, String> {
    let radix = |digits: &str, radix| u64::from_str_radix(digits, radix).ok().map(Number::from);
    if let Some(digits) = text.strip_prefix("0x").filter(|d| unsigned(d)) {
        return Ok(radix(digits, 16));
    }
    if let Some(digits) = text.strip_prefix("0o").filter(|d| unsigned(d)) {
        return Ok(radix(digits, 8));
    }
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    if let ".inf" | ".Inf" | ".INF" = digits {
        return Err(format!("`{text}` is not a finite number"));
    }
    if let ".nan" | ".NaN" | ".NAN" = text {
        return Err(format!("`{text}` is not a finite number"));
    }
    if !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()) {
        if digits.len() > 1 && digits.starts_with('0') {
            // 8 for some readers and 10 for others.
            return Ok(None);
        }
        let integer = text.strip_prefix('+').unwrap_or(text);
        if let Ok(n) = integer.parse::<u64>() {
            return Ok(Some(n.into()));
        }
        if let Ok(n) = integer.parse::<i64>() {
            return Ok(Some(n.into()));
        }
    } else if !is_float(digits) {
        return Ok(None);
    }
    let float: f64 = match text.parse() {
        Ok(float) => float,
        Err(_) => return Ok(None),
    };
    match Number::from_f64(float) {
        Some(number) => Ok(Some(number)),
        None => Err(format!("`{}` is not a finite number", shorten(text))),
    }
}

fn unsigned(digits: &str) -> bool {
    !digits.starts_with('+')
}

/// `(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?`
fn is_float(text: &str) -> bool {
    let (mantissa, exponent) = match text.find(['e', 'E']) {
        Some(at) => (&text[..at], Some(&text[at + 1..])),
        None => (text, None),
    };
    let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let exponent = exponent.map(|e| e.strip_prefix(['+', '-']).unwrap_or(e));
    digits(whole)
        && digits(fraction)
        && !(whole.is_empty() && fraction.is_empty())
        && exponent.is_none_or(|e| !e.is_empty() && digits(e))
}
