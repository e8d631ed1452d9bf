//! From what was written to a [`Manifest`]: params, cells, stages, connections, names and folders.

use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use indexmap::IndexMap;

use serde_json::{Map, Value};

use super::cells::{Cells, Reach};
use super::collect::Collector;
use super::connect::connect;
use super::files::{Written, gather, tidy};
use super::folder::{Project, folder_name, normal};
use super::kinds::Kinds;
use super::matrix::{self, Matrix};
use super::node::{Node, Place, key_path, shorten};
use super::params::{Keys, Params, Scope};
use super::schema::{Validator, remove};
use super::search::Space;
use super::stage::{Outcome, Stages};
use super::wire::{Expectation, HeadDoc};
use super::{Issues, Manifest, Overrides, Publication, drawn, overrides};
use crate::registry::Registry;
use crate::verify::VerifySettings;

/// Stages of all cells together.
const MAX_STAGES: usize = 200_000;

/// The parts of the head that may differ between cells.
#[derive(Debug, Clone)]
pub(super) struct Head {
    pub(super) name: String,
    pub(super) seed: u64,
    maps: Option<String>,
    expect: Vec<Expectation>,
    verify: VerifySettings,
}

pub(super) fn resolve(
    path: &Path,
    text: String,
    registry: Registry,
    asked: &Overrides,
) -> Result<Manifest, Issues> {
    let mut collector = Collector::default();
    let Some(mut written) = gather(path, text, &mut collector) else {
        return failed(collector, path);
    };
    drawn::apply(&mut written, registry, &mut collector);
    overrides::apply(asked, &mut written, &mut collector);
    let manifest = build(path, &written, registry, asked, &mut collector);
    match (collector.finish()?, manifest) {
        (warnings, Some(mut manifest)) => {
            manifest.warnings = warnings;
            manifest.sources = written.sources;
            Ok(manifest)
        }
        (_, None) => Err(nothing_said(path)),
    }
}

fn failed(collector: Collector, path: &Path) -> Result<Manifest, Issues> {
    collector.finish()?;
    Err(nothing_said(path))
}

/// Every refusal tells why; this is for one that forgot.
fn nothing_said(path: &Path) -> Issues {
    Issues::of_file(path, "cannot be used, which is a bug".to_owned(), None)
}

/// Resolves everything; `None` only if a problem was reported.
fn build(
    path: &Path,
    written: &Written,
    registry: Registry,
    asked: &Overrides,
    collector: &mut Collector,
) -> Option<Manifest> {
    if !written.has_version {
        let message = "field `clinicadl` is missing".to_owned();
        let hint = "the first line says which format follows: `clinicadl: 1`".to_owned();
        collector.error(Place::of_file(0), "", message, Some(hint));
    }
    if written.stages.is_empty() {
        let message = match written.stages_place {
            Some(_) => "is empty, expected at least one stage".to_owned(),
            None => "field `stages` is missing".to_owned(),
        };
        let place = written.stages_place.unwrap_or(Place::of_file(0));
        let key = written.stages_place.map_or("", |_| "stages");
        collector.error(place, key, message, None);
    }
    let (varied, search) = (written.head.get("matrix"), written.head.get("search"));
    if let (Some(_), Some(node)) = (varied, search) {
        let message = "set this or `matrix`, not both".to_owned();
        let hint = "`method: grid` runs every combination".to_owned();
        collector.error(node.place, "search", message, Some(hint));
        return None;
    }
    let space = search.and_then(|node| Space::read(node, &written.params, collector));
    let keys = match (varied, &space) {
        (Some(node), _) => matrix::keys(node, &written.params, collector),
        (None, Some(space)) => space.keys(),
        (None, None) => Vec::new(),
    };
    let mut params = Params::new(&written.params, &keys, collector);
    let fixed = &asked.params;
    let matrix = match (varied, search.zip(space.as_ref())) {
        (Some(node), _) => matrix::expand(node, keys, &mut params, fixed, collector),
        (None, Some((node, space))) => space.trials(node, fixed, collector),
        (None, None) => Some(Matrix::none()),
    };
    // Without its cells, the stages are looked at with the declared values.
    let matrix = matrix.unwrap_or_else(Matrix::none);
    let several = matrix.cells.len() > 1;
    let total = matrix.cells.len() * (written.stages.len() + written.inputs.len());
    if several && total > MAX_STAGES {
        let message = format!(
            "{} cells with {} stages and inputs each are too many, expected at most {MAX_STAGES} \
             together",
            matrix.cells.len(),
            written.stages.len() + written.inputs.len()
        );
        let place = varied.or(search).map_or(Place::of_file(0), |n| n.place);
        collector.error(place, "stages", message, None);
        return None;
    }
    let mut heads = Heads::new(written, &mut params, collector);
    let inputs = Inputs::new(written, &mut params, collector);
    let mut stages = Stages::new(
        written,
        &mut params,
        Kinds::new(registry),
        several,
        collector,
    );
    params.warn_unused(collector);

    let reach = Reach {
        seed: heads.keys_of_seed,
        inputs: inputs.keys.iter().map(|(keys, _)| *keys).collect(),
        stages: stages.keys(),
    };
    let mut cells = Cells::new(written, reach);
    let mut of_cells: Vec<Rc<Head>> = Vec::with_capacity(matrix.cells.len());
    let folder = super::files::folder_of(path);
    for (number, cell) in matrix.cells.iter().enumerate() {
        let mut scope = Scope::of_cell(&params, matrix.given(cell));
        collector.cell = several.then(|| format!("`{}`", matrix.label(cell, |_| true)));
        let head = heads.in_cell(&matrix, number, &mut scope, collector);
        let paths = inputs.in_cell(&matrix, number, &folder, &mut scope, collector);
        let outcomes: Vec<Outcome> = (0..written.stages.len())
            .map(|index| stages.in_cell(index, cell, &mut scope, collector))
            .collect();
        if !outcomes.is_empty() && outcomes.iter().all(|o| matches!(o, Outcome::LeftOut)) {
            let place = written.stages_place.unwrap_or(Place::of_file(0));
            let message = "every stage is left out by its `when`".to_owned();
            collector.error(place, "stages", message, None);
        }
        let links = connect(written, &outcomes, collector);
        if collector.errors() == 0
            && let (Some(head), Some(paths)) = (head, paths)
        {
            cells.add(number, head.seed, &paths, &outcomes, links);
            of_cells.push(head);
        }
    }
    collector.cell = None;
    if collector.errors() > 0 {
        return None;
    }
    let built = cells.finish(&matrix);
    let folders = folders(path, &matrix, &of_cells, &heads, asked, written, collector)?;
    let first = of_cells.first()?;
    let publications: Vec<Publication> = of_cells
        .iter()
        .zip(built.of_cells)
        .zip(folders)
        .zip(&matrix.cells)
        .map(|(((head, stages), maps), cell)| Publication {
            label: matrix.label(cell, |_| true),
            params: given(&matrix, cell),
            seed: head.seed,
            expect: head
                .expect
                .iter()
                .filter(|e| {
                    // A bound on a stage is that of the cells that have it; one on a data group is everyone's.
                    let stage = stage_of(&e.metric);
                    stages.contains_key(stage) || !written.stages.contains_key(stage)
                })
                .cloned()
                .collect(),
            stages,
            maps,
        })
        .collect();
    let mut expect: Vec<Expectation> = Vec::new();
    for expectation in publications.iter().flat_map(|p| &p.expect) {
        if !expect.contains(expectation) {
            expect.push(expectation.clone());
        }
    }
    Some(Manifest {
        path: path.to_owned(),
        text: written
            .sources
            .first()
            .map_or_else(String::new, |s| s.text.clone()),
        sources: Vec::new(),
        name: first.name.clone(),
        seed: first.seed,
        inputs: built.inputs,
        stages: built.stages,
        maps: first.maps.clone(),
        expect,
        verify: first.verify.clone(),
        overrides: asked.params.clone(),
        warnings: Vec::new(),
        search: space.map(|space| space.comparison()),
        publications,
    })
}

fn given(matrix: &Matrix, cell: &matrix::Cell) -> Map<String, Value> {
    matrix
        .keys
        .iter()
        .zip(matrix.given(cell))
        .filter_map(|(key, value)| Some((key.clone(), value?.value.clone())))
        .collect()
}

fn stage_of(metric: &str) -> &str {
    metric.split('.').next().unwrap_or_default()
}

/// Name, seed, folder and bounds, read once for all cells that do not differ in what reaches them.
struct Heads {
    node: Node,
    keys: Keys,
    sound: bool,
    /// The matrix params that reach the folder.
    keys_of_maps: Keys,
    /// Those that reach the seed.
    keys_of_seed: Keys,
    validator: Validator,
    known: IndexMap<Vec<Option<usize>>, Option<Rc<Head>>>,
    name: Option<String>,
}

/// The values of the params in `keys`.
fn reached(matrix: &Matrix, number: usize, keys: Keys) -> Vec<Option<usize>> {
    let values = matrix.cells[number].values.iter().enumerate();
    values
        .map(|(key, value)| value.filter(|_| keys & (1 << key) != 0))
        .collect()
}

impl Heads {
    fn new(written: &Written, params: &mut Params<'_>, collector: &mut Collector) -> Self {
        let mut fields: IndexMap<String, Node> = written.head.clone();
        fields.shift_remove("matrix");
        fields.shift_remove("search");
        let (mut keys, mut sound) = (0, true);
        let (mut keys_of_maps, mut keys_of_seed) = (0, 0);
        let expect = super::node::Tree::List(written.expect.clone());
        if !written.expect.is_empty() {
            let node = Node::new(written.expect[0].place, expect);
            fields.insert("expect".to_owned(), node);
        }
        for (name, node) in &fields {
            let (of_field, right) = params.reach(node, name, collector);
            keys |= of_field;
            sound &= right;
            if name == "redact" && node.live {
                let message = "cannot refer to params: it is read as it is written".to_owned();
                collector.error(node.place, name, message, None);
            }
            match name.as_str() {
                "maps" => keys_of_maps = of_field,
                "seed" => keys_of_seed = of_field,
                _ => {}
            }
        }
        Self {
            node: Node::new(Place::of_file(0), super::node::Tree::Map(fields)),
            keys,
            sound,
            keys_of_maps,
            keys_of_seed,
            validator: Validator::of::<HeadDoc>(),
            known: IndexMap::new(),
            name: None,
        }
    }

    fn in_cell(
        &mut self,
        matrix: &Matrix,
        number: usize,
        scope: &mut Scope<'_, '_>,
        collector: &mut Collector,
    ) -> Option<Rc<Head>> {
        if !self.sound {
            return None;
        }
        let values = reached(matrix, number, self.keys);
        if let Some(known) = self.known.get(&values) {
            return known.clone();
        }
        let head = self.read(scope, collector).map(Rc::new);
        self.known.insert(values, head.clone());
        head
    }

    fn read(&mut self, scope: &mut Scope<'_, '_>, collector: &mut Collector) -> Option<Head> {
        let mut value = scope.value(&self.node, collector)?;
        let findings = self.validator.findings(&value);
        let sound = findings.is_empty();
        for finding in findings {
            let (nearest, _) = self.node.nearest(&finding.pointer);
            let key = key_path("", &finding.pointer);
            collector.error(nearest.place, &key, finding.message, finding.hint);
            remove(&mut value, &finding.pointer);
        }
        if let Some(expect) = value.get("expect").and_then(Value::as_array) {
            self.check_metrics(expect, collector);
        }
        if !sound {
            return None;
        }
        let doc: HeadDoc = match serde_json::from_value(value) {
            Ok(doc) => doc,
            Err(error) => {
                collector.error(self.node.place, "", error.to_string(), None);
                return None;
            }
        };
        let place = |name: &str| self.node.get(name).map_or(self.node.place, |n| n.place);
        if doc.name.chars().any(char::is_control) {
            let message = "holds a control character".to_owned();
            collector.error(place("name"), "name", message, None);
        }
        let first = self.name.get_or_insert_with(|| doc.name.clone());
        if *first != doc.name {
            let message = format!(
                "differs between the cells of the matrix: `{}` and `{}`",
                shorten(first),
                shorten(&doc.name)
            );
            let hint = "cells are told apart by their params; the name is that of the whole";
            collector.error(place("name"), "name", message, Some(hint.to_owned()));
        }
        Some(Head {
            name: doc.name,
            seed: doc.seed,
            maps: doc.maps,
            expect: doc.expect,
            verify: doc.verify,
        })
    }

    /// Bounds are on metrics of stages that exist.
    fn check_metrics(&self, expect: &[Value], collector: &mut Collector) {
        for (i, entry) in expect.iter().enumerate() {
            let Some(metric) = entry.get("metric").and_then(Value::as_str) else {
                continue;
            };
            let (node, _) = self.node.nearest(&format!("/expect/{i}/metric"));
            let key = format!("expect.{i}.metric");
            if !metric.contains('.') {
                let message = format!(
                    "expected `group.metric` or `stage.metric`, got `{}`",
                    shorten(metric)
                );
                collector.error(node.place, &key, message, None);
            }
        }
    }
}

/// An input, and the values of the params it depends on.
type InputInCell = (usize, Vec<Option<usize>>);

/// External inputs.
struct Inputs<'a> {
    written: &'a Written,
    keys: Vec<(Keys, bool)>,
    known: RefCell<IndexMap<InputInCell, Option<String>>>,
}

impl<'a> Inputs<'a> {
    fn new(written: &'a Written, params: &mut Params<'_>, collector: &mut Collector) -> Self {
        let keys = written
            .inputs
            .iter()
            .map(|(name, input)| {
                if written.stages.contains_key(name) {
                    let message = format!("`{}` is also the name of a stage", shorten(name));
                    collector.error(input.node.place, &format!("inputs.{name}"), message, None);
                }
                params.reach(&input.node, &format!("inputs.{name}"), collector)
            })
            .collect();
        Self {
            written,
            keys,
            known: RefCell::default(),
        }
    }

    /// The paths in a cell, relative to the manifest's folder.
    fn in_cell(
        &self,
        matrix: &Matrix,
        number: usize,
        folder: &Path,
        scope: &mut Scope<'_, '_>,
        collector: &mut Collector,
    ) -> Option<Vec<String>> {
        let mut paths = Vec::with_capacity(self.keys.len());
        for (index, (keys, sound)) in self.keys.iter().enumerate() {
            let known = (index, reached(matrix, number, *keys));
            let found = self.known.borrow().get(&known).cloned();
            let path = match found {
                Some(path) => path,
                None => {
                    let path = if *sound {
                        self.read(index, folder, scope, collector)
                    } else {
                        None
                    };
                    self.known.borrow_mut().insert(known, path.clone());
                    path
                }
            };
            paths.push(path?);
        }
        Some(paths)
    }

    fn read(
        &self,
        index: usize,
        folder: &Path,
        scope: &mut Scope<'_, '_>,
        collector: &mut Collector,
    ) -> Option<String> {
        let (name, input) = self.written.inputs.get_index(index)?;
        let (place, key) = (input.node.place, format!("inputs.{name}"));
        let path = match scope.value(&input.node, collector)? {
            Value::String(path) => path,
            other => {
                let got = super::node::describe(&other);
                let message = format!("expected string, got {got}");
                collector.error(place, &key, message, None);
                return None;
            }
        };
        if path.contains('\0') {
            let message = format!("`{}` is not a path", shorten(&path));
            collector.error(place, &key, message, None);
            return None;
        }
        let path = if input.base.as_os_str().is_empty() {
            path
        } else {
            tidy(&input.base.join(path)).to_string_lossy().into_owned()
        };
        let full = folder.join(&path);
        if !full.exists() {
            let hint = if input.base.as_os_str().is_empty() {
                "paths are relative to the manifest"
            } else {
                "paths in a fragment are relative to the fragment"
            };
            let shown = full.strip_prefix(".").unwrap_or(&full).to_string_lossy();
            let message = format!("`{}` does not exist", shorten(&shown));
            collector.error(place, &key, message, Some(hint.to_owned()));
        }
        Some(path)
    }
}

/// The folder of each cell.
fn folders(
    path: &Path,
    matrix: &Matrix,
    of_cells: &[Rc<Head>],
    heads: &Heads,
    asked: &Overrides,
    written: &Written,
    collector: &mut Collector,
) -> Option<Vec<Option<PathBuf>>> {
    let mut project = Project::of(path);
    let every: Keys = matrix
        .keys
        .iter()
        .enumerate()
        .fold(0, |all, (key, _)| all | 1 << key);
    // Decided by what is written, so that a folder does not change when a cell is added.
    let labelled = matrix.declared && (asked.maps.is_some() || heads.keys_of_maps != every);
    let place = written
        .head
        .get("maps")
        .map_or(Place::of_file(0), |n| n.place);
    let mut folders = Vec::with_capacity(of_cells.len());
    for (head, cell) in of_cells.iter().zip(&matrix.cells) {
        let below = labelled.then(|| folder_name(&matrix.label(cell, |_| true)));
        let folder = match (&asked.maps, &head.maps) {
            (Some(asked), _) => Some(match &below {
                Some(below) => asked.join(below),
                None => asked.clone(),
            }),
            (None, Some(maps)) => {
                let maps = match &below {
                    Some(below) => format!("{}/{below}", maps.trim_end_matches('/')),
                    None => maps.clone(),
                };
                match project.publication(&maps) {
                    Ok(folder) => Some(folder),
                    Err((message, hint)) => {
                        collector.error(place, "maps", message, hint);
                        None
                    }
                }
            }
            (None, None) => None,
        };
        folders.push(folder);
    }
    let mut sorted: Vec<(PathBuf, usize)> = folders
        .iter()
        .enumerate()
        .filter_map(|(number, folder)| {
            let folder = folder.as_ref()?;
            Some((normal(folder).unwrap_or_else(|| folder.clone()), number))
        })
        .collect();
    sorted.sort();
    for pair in sorted.windows(2) {
        let [(first, a), (second, b)] = pair else {
            continue;
        };
        if second.starts_with(first) {
            let label = |number: usize| matrix.label(&matrix.cells[number], |_| true);
            let message = format!(
                "the cells `{}` and `{}` would publish to the same folder or one inside of the \
                 other: `{}` and `{}`",
                label(*a),
                label(*b),
                first.display(),
                second.display()
            );
            collector.error(place, "maps", message, None);
            break;
        }
    }
    (collector.errors() == 0).then_some(folders)
}
