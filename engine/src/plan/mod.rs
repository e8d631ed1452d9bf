//! The plan: every action of a manifest, in a graph that is built once and never changes.
//!
//! A stage with a per-split input becomes one action per split; all others become one action. The
//! order of execution is one deterministic topological order: that of the manifest wherever the
//! graph leaves a choice.

mod assess;
mod draw;
mod explain;
mod last_run;
#[cfg(test)]
mod model;
mod needs;

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use petgraph::Direction;
use petgraph::algo::tarjan_scc;
use petgraph::graph::{DiGraph, NodeIndex};

pub use assess::{Assessment, Conditions, State, assess, inputs_of, key_document};
pub(crate) use assess::{changes, examine, remember_inputs};
pub use draw::{GraphFormat, draw};
pub use explain::{Earlier, Explanation, explain};
pub use last_run::LastRun;
pub(crate) use needs::{find_program, resolve as resolve_needs};

use crate::context::Input;
use crate::error::StageError;
use crate::inputs::{Listing, split_view, splits_of};
use crate::manifest::{Manifest, ResolvedStage, Source};
use crate::stage::{InputPort, OutputPort, Ports};
use crate::store::Store;

/// Names an action of a plan.
pub type ActionId = NodeIndex<u32>;

/// What will be done, and in which order.
#[derive(Debug)]
pub struct Plan {
    graph: DiGraph<PlannedAction, ()>,
    order: Vec<ActionId>,
    /// By action, sorted.
    dependencies: Vec<Vec<ActionId>>,
    /// By action, sorted.
    dependents: Vec<Vec<ActionId>>,
}

/// One action.
#[derive(Debug, Clone)]
pub struct PlannedAction {
    /// The stage's name in the manifest.
    pub stage_name: String,
    /// The stage as resolved.
    pub stage: Arc<ResolvedStage>,
    /// The split, for a stage that runs once per split.
    pub split: Option<usize>,
    /// Inputs by port.
    pub inputs: BTreeMap<String, PlannedInput>,
    /// Output ports.
    pub outputs: Vec<OutputPort>,
    /// What of the machine can change its result, by name.
    pub surroundings: Arc<BTreeMap<String, String>>,
}

impl PlannedAction {
    /// The name shown to people: `train (split 0)`.
    pub fn name(&self) -> String {
        match self.split {
            Some(split) => format!("{} (split {split})", self.stage_name),
            None => self.stage_name.clone(),
        }
    }
}

/// What an action reads.
#[derive(Debug, Clone)]
pub enum PlannedInput {
    /// Files from outside, hashed.
    External(Box<Input>),
    /// An artifact of an earlier action.
    Action {
        /// The action.
        action: ActionId,
        /// Its output port.
        port: String,
        /// Which of the port's artifacts: the split of a port that has several, else 0.
        index: usize,
    },
    /// The artifacts of all splits of an earlier stage.
    Splits {
        /// Its output port.
        port: String,
        /// Each split with its action, and which of the port's artifacts it is.
        parts: Vec<(usize, ActionId, usize)>,
    },
}

impl PlannedInput {
    /// The actions that it comes from.
    pub fn providers(&self) -> Vec<ActionId> {
        match self {
            Self::External(_) => Vec::new(),
            Self::Action { action, .. } => vec![*action],
            Self::Splits { parts, .. } => parts.iter().map(|(_, action, _)| *action).collect(),
        }
    }
}

/// Why a manifest cannot be planned.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PlanError {
    /// Stages wait for one another.
    #[error("stages form a cycle: {}", .0.iter().map(|s| format!("`{s}`")).collect::<Vec<_>>().join(" → "))]
    Cycle(Vec<String>),
    /// The splits of a stage's inputs do not fit.
    #[error("stage `{stage}`: {message}")]
    Splits {
        /// The stage's name.
        stage: String,
        /// What does not fit.
        message: String,
    },
    /// A program is not there.
    #[error("stage `{stage}`: program `{program}` is not on PATH")]
    Program {
        /// The stage's name.
        stage: String,
        /// The program.
        program: String,
    },
    /// An input cannot be read.
    #[error("input of stage `{stage}`: {source}")]
    Input {
        /// The stage's name.
        stage: String,
        /// Why.
        source: StageError,
    },
}

impl PlanError {
    /// What the user can do.
    pub fn hints(&self) -> Vec<String> {
        match self {
            Self::Input { source, .. } => source.hints.clone(),
            Self::Program { .. } => vec![
                "install it, or load its module; a script of your own is declared as an input"
                    .to_owned(),
            ],
            _ => Vec::new(),
        }
    }
}

impl Plan {
    /// Plans a manifest: orders its stages, reads and hashes its inputs, expands splits.
    ///
    /// # Errors
    /// A cycle, splits that do not fit together, an input that cannot be read.
    pub fn build(manifest: &Manifest, store: &Store) -> Result<Self, PlanError> {
        let mut graph = DiGraph::new();
        let mut order = Vec::new();
        let mut actions: BTreeMap<&str, Vec<ActionId>> = BTreeMap::new();
        let mut reader = Reader::new(manifest, store);
        for name in stage_order(manifest)? {
            let stage = Arc::new(manifest.stages[name].clone());
            let ports = stage.stage.ports(&stage.params);
            let resolved = &manifest.stages[name];
            let sources = reader.sources(name, resolved, &ports)?;
            let splits = splits_for(&graph, &actions, name, resolved, &ports, &sources)?;
            let needs = stage.stage.needs(&stage.params);
            let surroundings = Arc::new(needs::resolve(name, needs, store.stats())?);
            let mut added = Vec::new();
            for split in splits {
                let mut inputs = BTreeMap::new();
                for (port, source) in &sources {
                    let declared = ports.inputs.iter().find(|p| p.name == *port);
                    let per_split = declared.is_some_and(|p| p.per_split);
                    let input = match declared {
                        Some(port) if port.all_splits => Ok(gather(&graph, &actions, source)),
                        _ => connect(&graph, &actions, source, split.filter(|_| per_split)),
                    };
                    let input = input.map_err(|message| PlanError::Splits {
                        stage: name.to_owned(),
                        message: format!("input `{port}`: {message}"),
                    })?;
                    inputs.insert((*port).to_owned(), input);
                }
                let sources: BTreeSet<ActionId> =
                    inputs.values().flat_map(PlannedInput::providers).collect();
                let action = graph.add_node(PlannedAction {
                    stage_name: name.to_owned(),
                    stage: stage.clone(),
                    split,
                    inputs,
                    outputs: ports.outputs.clone(),
                    surroundings: surroundings.clone(),
                });
                for source in sources {
                    graph.add_edge(source, action, ());
                }
                added.push(action);
                order.push(action);
            }
            actions.insert(name, added);
        }
        let neighbours = |direction| {
            let of = |id| {
                let mut found: Vec<ActionId> = graph.neighbors_directed(id, direction).collect();
                found.sort();
                found
            };
            graph.node_indices().map(of).collect()
        };
        Ok(Self {
            dependencies: neighbours(Direction::Incoming),
            dependents: neighbours(Direction::Outgoing),
            graph,
            order,
        })
    }

    /// Every action, each after those it depends on.
    pub fn order(&self) -> &[ActionId] {
        &self.order
    }

    /// An action.
    pub fn action(&self, id: ActionId) -> &PlannedAction {
        &self.graph[id]
    }

    /// The actions that an action reads from, in order of the plan.
    pub fn dependencies(&self, id: ActionId) -> &[ActionId] {
        &self.dependencies[id.index()]
    }

    /// The actions that read from an action, in order of the plan.
    pub fn dependents(&self, id: ActionId) -> &[ActionId] {
        &self.dependents[id.index()]
    }
}

/// Stage names in execution order: as in the manifest, except that what is read comes first.
fn stage_order(manifest: &Manifest) -> Result<Vec<&str>, PlanError> {
    let mut graph = DiGraph::<&str, ()>::new();
    let nodes: BTreeMap<&str, NodeIndex> = manifest
        .stages
        .keys()
        .map(|name| (name.as_str(), graph.add_node(name)))
        .collect();
    for (name, stage) in &manifest.stages {
        for source in stage.inputs.values() {
            if let Source::Stage {
                stage: provider, ..
            } = source
            {
                graph.add_edge(nodes[provider.as_str()], nodes[name.as_str()], ());
            }
        }
    }
    for component in tarjan_scc(&graph) {
        let first = component[0];
        if component.len() > 1 || graph.contains_edge(first, first) {
            return Err(PlanError::Cycle(cycle_path(&graph, &component)));
        }
    }
    // Of the stages that are ready, always the first of the manifest.
    let mut missing: Vec<usize> = graph
        .node_indices()
        .map(|node| graph.neighbors_directed(node, Direction::Incoming).count())
        .collect();
    let mut ready: BTreeSet<NodeIndex> = graph
        .node_indices()
        .filter(|node| missing[node.index()] == 0)
        .collect();
    let mut order = Vec::with_capacity(graph.node_count());
    while let Some(node) = ready.pop_first() {
        order.push(graph[node]);
        for next in graph.neighbors(node) {
            missing[next.index()] -= 1;
            if missing[next.index()] == 0 {
                ready.insert(next);
            }
        }
    }
    Ok(order)
}

/// A shortest way round a strongly connected component: `a → b → a`.
fn cycle_path(graph: &DiGraph<&str, ()>, component: &[NodeIndex]) -> Vec<String> {
    let start = *component.iter().min().expect("a component has a node");
    let inside: BTreeSet<NodeIndex> = component.iter().copied().collect();
    let mut previous: BTreeMap<NodeIndex, NodeIndex> = BTreeMap::new();
    let mut queue = std::collections::VecDeque::from([start]);
    while let Some(node) = queue.pop_front() {
        let mut next: Vec<_> = graph
            .neighbors(node)
            .filter(|n| inside.contains(n))
            .collect();
        next.sort();
        for neighbour in next {
            if neighbour == start {
                let mut path = vec![start, node];
                let mut at = node;
                while at != start {
                    at = previous[&at];
                    path.push(at);
                }
                path.reverse();
                if node == start {
                    path.truncate(2);
                }
                return path.into_iter().map(|n| graph[n].to_owned()).collect();
            }
            if let Entry::Vacant(unseen) = previous.entry(neighbour) {
                unseen.insert(node);
                queue.push_back(neighbour);
            }
        }
    }
    vec![graph[start].to_owned()]
}

/// What a port reads, external files already hashed.
enum ReadSource<'a> {
    External(Input),
    Stage { stage: &'a str, port: &'a str },
}

/// Reads external inputs; a folder that many stages read is listed once.
struct Reader<'a> {
    manifest: &'a Manifest,
    store: &'a Store,
    listed: BTreeMap<&'a str, Listing>,
}

impl<'a> Reader<'a> {
    fn new(manifest: &'a Manifest, store: &'a Store) -> Self {
        Self {
            manifest,
            store,
            listed: BTreeMap::new(),
        }
    }

    fn sources(
        &mut self,
        name: &str,
        stage: &'a ResolvedStage,
        ports: &Ports,
    ) -> Result<BTreeMap<&'a str, ReadSource<'a>>, PlanError> {
        let mut sources = BTreeMap::new();
        for (port, source) in &stage.inputs {
            let source = match source {
                Source::Stage { stage, port } => ReadSource::Stage { stage, port },
                Source::External { name: input, kind } => {
                    let read = self.external(stage, ports, port, input, kind);
                    ReadSource::External(read.map_err(|source| PlanError::Input {
                        stage: name.to_owned(),
                        source,
                    })?)
                }
            };
            sources.insert(port.as_str(), source);
        }
        Ok(sources)
    }

    fn external(
        &mut self,
        stage: &ResolvedStage,
        ports: &Ports,
        port: &str,
        input: &'a str,
        kind: &str,
    ) -> Result<Input, StageError> {
        let selector = stage.stage.selector(&stage.params);
        let per_split = ports.inputs.iter().any(|p| p.name == port && p.per_split);
        let selects = |path: &str| match path.split_once('/') {
            // A stage that runs per split selects among the files that its split shows it.
            Some((folder, inside)) if per_split && folder.starts_with("split-") => {
                selector(port, inside)
            }
            _ => selector(port, path),
        };
        let shown = self
            .manifest
            .inputs
            .get(input)
            .map_or(input, String::as_str);
        let listing = match self.listed.entry(input) {
            Entry::Occupied(listed) => listed.into_mut(),
            Entry::Vacant(new) => new.insert(Listing::of(&self.manifest.input_path(input))?),
        };
        listing.read(kind, shown, &selects, self.store.stats())
    }
}

/// The splits a stage runs for: `[None]` for one action.
fn splits_for(
    graph: &DiGraph<PlannedAction, ()>,
    actions: &BTreeMap<&str, Vec<ActionId>>,
    name: &str,
    stage: &ResolvedStage,
    ports: &Ports,
    sources: &BTreeMap<&str, ReadSource<'_>>,
) -> Result<Vec<Option<usize>>, PlanError> {
    let problem = |message: String| PlanError::Splits {
        stage: name.to_owned(),
        message,
    };
    let mut found: Option<(&InputPort, Vec<usize>)> = None;
    for port in ports.inputs.iter().filter(|port| port.per_split) {
        let Some(source) = sources.get(&*port.name) else {
            continue;
        };
        let splits = match source {
            ReadSource::External(input) => splits_of(input),
            ReadSource::Stage { stage, port } => provided_splits(graph, &actions[stage], port),
        };
        if splits.is_empty() {
            return Err(problem(format!(
                "input `{}` holds no splits, expected folders `split-0`, `split-1`, …",
                port.name
            )));
        }
        match &found {
            Some((first, others)) if *others != splits => {
                return Err(problem(format!(
                    "inputs `{}` and `{}` have different splits: {others:?} and {splits:?}",
                    first.name, port.name
                )));
            }
            _ => found = Some((port, splits)),
        }
    }
    let Some((_, splits)) = found else {
        return Ok(vec![None]);
    };
    match &stage.splits {
        None => Ok(splits.into_iter().map(Some).collect()),
        Some(wanted) => {
            let missing: Vec<_> = wanted
                .iter()
                .filter(|split| !splits.contains(split))
                .collect();
            if wanted.is_empty() || !missing.is_empty() {
                return Err(problem(format!(
                    "`splits` asks for {wanted:?} of {splits:?}"
                )));
            }
            Ok(splits
                .into_iter()
                .filter(|split| wanted.contains(split))
                .map(Some)
                .collect())
        }
    }
}

fn provided_splits(
    graph: &DiGraph<PlannedAction, ()>,
    actions: &[ActionId],
    port: &str,
) -> Vec<usize> {
    match actions {
        [only] if graph[*only].split.is_none() => graph[*only]
            .outputs
            .iter()
            .find(|output| output.name == port)
            .and_then(|output| output.splits)
            .map_or_else(Vec::new, |count| (0..count).collect()),
        many => many
            .iter()
            .filter_map(|&action| graph[action].split)
            .collect(),
    }
}

/// Connects a port that sees all splits.
fn gather(
    graph: &DiGraph<PlannedAction, ()>,
    actions: &BTreeMap<&str, Vec<ActionId>>,
    source: &ReadSource<'_>,
) -> PlannedInput {
    let (stage, port) = match source {
        ReadSource::External(input) => return PlannedInput::External(Box::new(input.clone())),
        ReadSource::Stage { stage, port } => (stage, *port),
    };
    let found = &actions[stage];
    let splits = provided_splits(graph, found, port);
    let parts = match (found.as_slice(), splits.as_slice()) {
        // One artifact without splits: what there is counts as the first.
        ([only], []) => vec![(0, *only, 0)],
        ([only], splits) if graph[*only].split.is_none() => {
            splits.iter().map(|&split| (split, *only, split)).collect()
        }
        (many, splits) => {
            let pairs = splits.iter().zip(many);
            pairs.map(|(&split, &action)| (split, action, 0)).collect()
        }
    };
    PlannedInput::Splits {
        port: port.to_owned(),
        parts,
    }
}

/// Connects one port of one action; `split` is given for a per-split port.
fn connect(
    graph: &DiGraph<PlannedAction, ()>,
    actions: &BTreeMap<&str, Vec<ActionId>>,
    source: &ReadSource<'_>,
    split: Option<usize>,
) -> Result<PlannedInput, String> {
    match (source, split) {
        (ReadSource::External(input), None) => Ok(PlannedInput::External(Box::new(input.clone()))),
        (ReadSource::External(input), Some(split)) => {
            Ok(PlannedInput::External(Box::new(split_view(input, split))))
        }
        (ReadSource::Stage { stage, port }, split) => {
            let port = (*port).to_owned();
            match (actions[stage].as_slice(), split) {
                ([only], split) if graph[*only].split.is_none() => Ok(PlannedInput::Action {
                    action: *only,
                    port,
                    index: split.unwrap_or(0),
                }),
                (many, Some(split)) => many
                    .iter()
                    .find(|&&action| graph[action].split == Some(split))
                    .map(|&action| PlannedInput::Action {
                        action,
                        port,
                        index: 0,
                    })
                    .ok_or_else(|| format!("`{stage}` does not run split {split}")),
                (_, None) => Err(format!(
                    "`{stage}` runs once per split, expected one artifact"
                )),
            }
        }
    }
}

#[cfg(test)]
mod tests;
