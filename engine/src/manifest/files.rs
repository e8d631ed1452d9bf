//! The manifest and its fragments, put together by section.
//!
//! A fragment says more of the same: params, inputs, stages, defaults, bounds, further fragments. What
//! belongs to the experiment as a whole (its name, seed, matrix and folder) is in the manifest itself.
//! A name has one definition, except that a file's params override those of what it includes.

use std::path::{Component, Path, PathBuf};

use indexmap::IndexMap;
use indexmap::map::Entry;

use super::SourceText;
use super::collect::Collector;
use super::names::{unfit, unfit_name, unfit_param};
use super::node::{Node, Place, shorten};
use super::source;
use super::version::{Version, version};

/// Files of one manifest.
const MAX_FILES: usize = 256;

/// Fragments inside of fragments.
const MAX_DEPTH: usize = 16;

/// Keys of the manifest itself.
const OF_MANIFEST: [&str; 14] = [
    "clinicadl",
    "name",
    "seed",
    "include",
    "params",
    "matrix",
    "search",
    "defaults",
    "inputs",
    "stages",
    "maps",
    "expect",
    "verify",
    "redact",
];

/// Those that a fragment may have too.
const OF_FRAGMENT: [&str; 7] = [
    "clinicadl",
    "include",
    "params",
    "defaults",
    "inputs",
    "stages",
    "expect",
];

/// An external input as written.
#[derive(Debug)]
pub(super) struct WrittenInput {
    pub(super) node: Node,
    /// The folder against which it is meant, relative to that of the manifest.
    pub(super) base: PathBuf,
}

/// Everything that was written, by section; nothing is substituted yet.
#[derive(Debug, Default)]
pub(super) struct Written {
    pub(super) sources: Vec<SourceText>,
    /// Name, seed, matrix and folder.
    pub(super) head: IndexMap<String, Node>,
    pub(super) params: IndexMap<String, Node>,
    pub(super) defaults: IndexMap<String, Node>,
    pub(super) inputs: IndexMap<String, WrittenInput>,
    pub(super) stages: IndexMap<String, Node>,
    pub(super) expect: Vec<Node>,
    /// The newest version that a file is written for, if it is newer than this program's.
    pub(super) newer: Option<Version>,
    /// Whether the manifest says which format it is in; fragments need not.
    pub(super) has_version: bool,
    /// Where stages are written, or should be.
    pub(super) stages_place: Option<Place>,
}

/// Reads files into a [`Written`].
struct Reader<'a> {
    /// The manifest's folder.
    folder: PathBuf,
    collector: &'a mut Collector,
    written: Written,
    /// Files read so far and the folders they are in, to read none twice.
    known: Vec<(PathBuf, State)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Open,
    Done,
}

/// Sections of one file, before they are put together with those of others.
type Sections = IndexMap<String, Node>;

/// Reads a manifest and everything it includes; `None` if nothing else can be said about it.
pub(super) fn gather(path: &Path, text: String, collector: &mut Collector) -> Option<Written> {
    let mut reader = Reader {
        folder: folder_of(path),
        collector,
        written: Written::default(),
        known: Vec::new(),
    };
    let name = path.file_name().map_or_else(PathBuf::new, PathBuf::from);
    let sections = reader.file(path, &name, text, &OF_MANIFEST)?;
    reader.sections(sections, Path::new(""), 0, path)?;
    Some(reader.written)
}

/// The folder of a file, `.` if there is none.
pub(super) fn folder_of(path: &Path) -> PathBuf {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
        _ => PathBuf::from("."),
    }
}

impl Reader<'_> {
    /// Parses a file and looks at its top level; `None` if that is hopeless.
    fn file(
        &mut self,
        shown: &Path,
        relative: &Path,
        text: String,
        keys: &[&str],
    ) -> Option<Sections> {
        let number = u32::try_from(self.collector.files.len()).unwrap_or(u32::MAX);
        self.collector.files.push(shown.to_owned());
        let parsed = source::parse(number, shown, &text);
        self.written.sources.push(SourceText {
            path: relative.to_string_lossy().into_owned(),
            text,
        });
        let node = match parsed {
            Ok(node) => node,
            Err(refusal) => {
                self.collector.refuse(refusal);
                return None;
            }
        };
        let place = node.place;
        let super::node::Tree::Map(mut sections) = node.tree else {
            let message = format!("expected a mapping, got {}", node.describe());
            self.collector.error(place, "", message, None);
            return None;
        };
        let mut newer = None;
        if let Some(node) = sections.get("clinicadl") {
            self.written.has_version |= number == 0;
            newer = version(node, self.collector);
            // What another format means is unknown.
            newer?;
        }
        let newer = newer.filter(|version| version.is_newer());
        self.written.newer = self.written.newer.max(newer);
        sections.retain(|key, node| {
            if keys.contains(&key.as_str()) {
                return true;
            }
            let name = shorten(key);
            if OF_MANIFEST.contains(&key.as_str()) {
                let message = format!("`{name}` belongs in the manifest, not in a fragment");
                self.collector.error(node.place, key, message, None);
            } else if let Some(version) = newer {
                let message = format!(
                    "unknown field `{name}` is ignored: the file is written for format {version}, \
                     this program reads {}",
                    Version::CURRENT
                );
                let hint = format!("a clinicadl that reads format {version} knows it");
                self.collector.warn(node.place, key, message, Some(hint));
            } else {
                let message = format!("unknown field `{name}`");
                let hint = self.collector.suggest(key, keys.iter().copied());
                self.collector.error(node.place, key, message, hint);
            }
            false
        });
        Some(sections)
    }

    /// Adds the sections of a file, after those of what it includes.
    fn sections(
        &mut self,
        mut sections: Sections,
        base: &Path,
        depth: usize,
        path: &Path,
    ) -> Option<()> {
        let canonical = path.canonicalize().unwrap_or_else(|_| path.to_owned());
        self.known.push((canonical, State::Open));
        let at = self.known.len() - 1;
        let own = sections
            .shift_remove("params")
            .and_then(|node| self.map("params", node))
            .unwrap_or_default();
        if let Some(include) = sections.shift_remove("include") {
            self.include(&include, base, depth, &own)?;
        }
        for (name, node) in own {
            if let Some(why) = unfit_param(&name) {
                let message = unfit(&name, "a param's name", why);
                let key = format!("params.{}", shorten(&name));
                self.collector.error(node.place, &key, message, None);
            }
            self.written.params.insert(name, node);
        }
        for (section, node) in sections {
            match section.as_str() {
                "clinicadl" => {}
                "inputs" => {
                    for (name, node) in self.map("inputs", node)? {
                        self.check_name(&name, node.place, "inputs", "an input's name");
                        let input = WrittenInput {
                            node,
                            base: base.to_owned(),
                        };
                        match self.written.inputs.entry(name) {
                            Entry::Vacant(free) => drop(free.insert(input)),
                            Entry::Occupied(taken) => {
                                let (name, first) = (taken.key(), taken.get().node.place);
                                twice(self.collector, "inputs", name, input.node.place, first);
                            }
                        }
                    }
                }
                "stages" => {
                    self.written.stages_place.get_or_insert(node.place);
                    for (name, node) in self.map("stages", node)? {
                        self.check_name(&name, node.place, "stages", "a stage's name");
                        let node = self.with_config(&name, node, base);
                        match self.written.stages.entry(name) {
                            Entry::Vacant(free) => drop(free.insert(node)),
                            Entry::Occupied(taken) => {
                                let (name, first) = (taken.key(), taken.get().place);
                                twice(self.collector, "stages", name, node.place, first);
                            }
                        }
                    }
                }
                "defaults" => {
                    for (kind, node) in self.map("defaults", node)? {
                        match self.written.defaults.entry(kind) {
                            Entry::Vacant(free) => drop(free.insert(node)),
                            Entry::Occupied(taken) => {
                                let (kind, first) = (taken.key(), taken.get().place);
                                twice(self.collector, "defaults", kind, node.place, first);
                            }
                        }
                    }
                }
                "expect" => match node.tree {
                    super::node::Tree::List(items) => self.written.expect.extend(items),
                    _ => {
                        let message = format!("expected a list, got {}", node.describe());
                        self.collector.error(node.place, "expect", message, None);
                    }
                },
                _ => drop(self.written.head.insert(section, node)),
            }
        }
        self.known[at].1 = State::Done;
        Some(())
    }

    fn map(&mut self, key: &str, node: Node) -> Option<IndexMap<String, Node>> {
        match node.tree {
            super::node::Tree::Map(fields) => Some(fields),
            // `params:` with nothing below it.
            super::node::Tree::Null => Some(IndexMap::new()),
            _ => {
                let message = format!("expected a mapping, got {}", node.describe());
                self.collector.error(node.place, key, message, None);
                None
            }
        }
    }

    fn check_name(&mut self, name: &str, place: Place, section: &str, of: &str) {
        if let Some(why) = unfit_name(name) {
            let key = format!("{section}.{}", shorten(name));
            self.collector
                .error(place, &key, unfit(name, of, why), None);
        }
    }

    /// Reads fragments; `own` are the params of the file that includes them.
    fn include(
        &mut self,
        list: &Node,
        base: &Path,
        depth: usize,
        own: &IndexMap<String, Node>,
    ) -> Option<()> {
        let Some(items) = list.as_list() else {
            let message = format!("expected a list of files, got {}", list.describe());
            self.collector.error(list.place, "include", message, None);
            return Some(());
        };
        let outer = std::mem::take(&mut self.written.params);
        for (i, item) in items.iter().enumerate() {
            let key = format!("include.{i}");
            let before = std::mem::take(&mut self.written.params);
            self.fragment(item, &key, base, depth);
            let added = std::mem::replace(&mut self.written.params, before);
            for (name, node) in added {
                match self.written.params.entry(name) {
                    Entry::Vacant(free) => drop(free.insert(node)),
                    // Whoever includes both decides.
                    Entry::Occupied(taken) if own.contains_key(taken.key()) => {}
                    Entry::Occupied(taken) => {
                        let (name, first) = (taken.key(), taken.get().place);
                        twice(self.collector, "params", name, node.place, first);
                    }
                }
            }
        }
        let added = std::mem::replace(&mut self.written.params, outer);
        self.written.params.extend(added);
        Some(())
    }

    fn fragment(&mut self, item: &Node, key: &str, base: &Path, depth: usize) {
        if depth >= MAX_DEPTH {
            let message = format!("fragments include fragments more than {MAX_DEPTH} deep");
            self.collector.error(item.place, key, message, None);
            return;
        }
        let Some((relative, shown)) = self.locate(item, key, base) else {
            return;
        };
        let canonical = shown.canonicalize().unwrap_or_else(|_| shown.clone());
        match self.known.iter().find(|(known, _)| *known == canonical) {
            Some((_, State::Open)) => {
                let message = format!("`{}` includes itself", shown.display());
                self.collector.error(item.place, key, message, None);
                return;
            }
            // Two fragments may need the same third one.
            Some((_, State::Done)) => return,
            None => {}
        }
        let Some(text) = self.text(item, key, &shown) else {
            return;
        };
        let below = relative.parent().unwrap_or(Path::new("")).to_owned();
        if let Some(sections) = self.file(&shown, &relative, text, &OF_FRAGMENT) {
            self.sections(sections, &below, depth + 1, &shown);
        }
    }

    /// A stage with what its `config` names in the place of the name.
    fn with_config(&mut self, stage: &str, node: Node, base: &Path) -> Node {
        let Some(item) = node.get("config").cloned() else {
            return node;
        };
        let super::node::Tree::Map(mut fields) = node.tree else {
            return node;
        };
        fields.shift_remove("config");
        let key = format!("stages.{}.config", shorten(stage));
        if let Some(config) = self.config(&item, &key, base) {
            fields.insert("config".to_owned(), config);
        }
        Node::new(node.place, super::node::Tree::Map(fields))
    }

    fn config(&mut self, item: &Node, key: &str, base: &Path) -> Option<Node> {
        let (relative, shown) = self.locate(item, key, base)?;
        let text = self.text(item, key, &shown)?;
        let number = u32::try_from(self.collector.files.len()).unwrap_or(u32::MAX);
        self.collector.files.push(shown.clone());
        let parsed = source::parse(number, &shown, &text);
        self.written.sources.push(SourceText {
            path: relative.to_string_lossy().into_owned(),
            text,
        });
        match parsed {
            Ok(node) if node.as_map().is_some() => Some(node),
            Ok(node) => {
                let message = format!("expected a mapping, got {}", node.describe());
                self.collector.error(node.place, "", message, None);
                None
            }
            Err(refusal) => {
                self.collector.refuse(refusal);
                None
            }
        }
    }

    /// A file that is named, relative to the manifest and to here.
    fn locate(&mut self, item: &Node, key: &str, base: &Path) -> Option<(PathBuf, PathBuf)> {
        let mut refuse = |message: String, hint: Option<&str>| {
            let hint = hint.map(str::to_owned);
            self.collector.error(item.place, key, message, hint);
            None
        };
        let Some(name) = item.as_text() else {
            return refuse(format!("expected a file, got {}", item.describe()), None);
        };
        let name = Path::new(name);
        let relative_to = "files are relative to the file that names them";
        if name.is_absolute() || name.as_os_str().is_empty() {
            let message = format!(
                "`{}` is not a relative path",
                shorten(&name.to_string_lossy())
            );
            return refuse(message, Some(relative_to));
        }
        if self.written.sources.len() >= MAX_FILES {
            return refuse(format!("more than {MAX_FILES} files"), None);
        }
        let relative = tidy(&base.join(name));
        let shown = tidy(&self.folder.join(&relative));
        match shown.metadata() {
            Ok(metadata) if metadata.is_file() => Some((relative, shown)),
            Ok(_) => refuse(format!("`{}` is not a file", shown.display()), None),
            Err(error) => {
                let message = if error.kind() == std::io::ErrorKind::NotFound {
                    format!("`{}` does not exist", shown.display())
                } else {
                    format!("failed to read `{}`: {error}", shown.display())
                };
                refuse(message, Some(relative_to))
            }
        }
    }

    fn text(&mut self, item: &Node, key: &str, shown: &Path) -> Option<String> {
        match source::read(shown) {
            Ok(text) => Some(text),
            Err(error) => {
                let message = format!("failed to read `{}`: {error}", shown.display());
                self.collector.error(item.place, key, message, None);
                None
            }
        }
    }
}

/// Reports a second definition.
fn twice(collector: &mut Collector, section: &str, name: &str, place: Place, first: Place) {
    let message = format!(
        "`{}` is defined twice, first in {}",
        shorten(name),
        collector.shown(first)
    );
    let key = format!("{section}.{}", shorten(name));
    collector.error(place, &key, message, None);
}

/// A path without `.`, and without `x/..` where nothing else can be meant.
pub(super) fn tidy(path: &Path) -> PathBuf {
    let mut tidy = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            other => tidy.push(other),
        }
    }
    if tidy.as_os_str().is_empty() {
        tidy.push(".");
    }
    tidy
}
