//! The plan as an SVG: one box per stage, from top to bottom.
//!
//! The folds of a stage share a box that counts their states: an experiment of hundreds of actions
//! stays readable. Layers, order within a layer and coordinates follow Sugiyama's method
//! (`rust-sugiyama`); nothing outside the file is needed to show it.

use std::collections::BTreeMap;
use std::fmt::Write;

use petgraph::Direction;
use petgraph::algo::toposort;
use petgraph::stable_graph::{NodeIndex, StableDiGraph};
use rust_sugiyama::configure::Config;
use rust_sugiyama::from_graph;

use crate::plan::{Assessment, Plan, PlannedInput};

const HEIGHT: f64 = 46.0;
const MARGIN: f64 = 20.0;
/// Width of a character of the 13 px font, generous for wide letters.
const CHARACTER: f64 = 8.0;

/// A box, or a bend of an edge that passes a layer.
struct Node {
    title: String,
    subtitle: String,
    class: &'static str,
}

type Graph = StableDiGraph<Node, ()>;

/// The class of a bend.
const BEND: &str = "bend";

impl Node {
    fn bend() -> Self {
        Self {
            title: String::new(),
            subtitle: String::new(),
            class: BEND,
        }
    }

    #[expect(clippy::cast_precision_loss, reason = "lengths of names")]
    fn width(&self) -> f64 {
        if self.class == BEND {
            return 1.0;
        }
        let longest = self
            .title
            .chars()
            .count()
            .max(self.subtitle.chars().count());
        (longest as f64).mul_add(CHARACTER, 24.0).max(90.0)
    }
}

/// Counts of actions by state.
#[derive(Default)]
struct States {
    hit: usize,
    run: usize,
    maybe: usize,
}

impl States {
    fn count(&mut self, word: &str) {
        match word {
            "hit" => self.hit += 1,
            "run" => self.run += 1,
            _ => self.maybe += 1,
        }
    }

    fn class(&self) -> &'static str {
        match self {
            Self { run: 1.., .. } => "run",
            Self { maybe: 1.., .. } => "maybe",
            _ => "hit",
        }
    }

    /// `hit`, or `3 hit, 2 run` for a stage of several actions.
    fn told(&self) -> String {
        let parts = [(self.hit, "hit"), (self.run, "run"), (self.maybe, "maybe")];
        if self.hit + self.run + self.maybe == 1 {
            return self.class().to_owned();
        }
        let told: Vec<String> = parts
            .iter()
            .filter(|(count, _)| *count > 0)
            .map(|(count, word)| format!("{count} {word}"))
            .collect();
        told.join(", ")
    }
}

pub(super) fn svg(plan: &Plan, assessment: &Assessment) -> String {
    let mut graph = stages(plan, assessment);
    let edges = bend_long_edges(&mut graph);
    let config = Config {
        vertex_spacing: 36.0,
        ..Config::default()
    };
    let mut places: BTreeMap<NodeIndex, (f64, f64)> = BTreeMap::new();
    let mut right = MARGIN;
    let mut bottom = MARGIN;
    let mut parts = from_graph(&graph, &|_, node| (node.width(), HEIGHT), &config);
    // Unconnected parts stand side by side, in order of the manifest.
    parts.sort_by_key(|(part, _, _)| part.iter().map(|(node, _)| *node).min());
    for (part, _, _) in parts {
        let left = |&(node, (x, _)): &(NodeIndex, (f64, f64))| x - graph[node].width() / 2.0;
        let start = part.iter().map(left).fold(f64::INFINITY, f64::min);
        let top = part
            .iter()
            .map(|(_, (_, y))| *y)
            .fold(f64::INFINITY, f64::min);
        let mut end = right;
        for (node, (x, y)) in part {
            let place = (x - start + right, y - top + MARGIN + HEIGHT / 2.0);
            end = end.max(place.0 + graph[node].width() / 2.0);
            bottom = bottom.max(place.1 + HEIGHT / 2.0);
            places.insert(node, place);
        }
        right = end + MARGIN;
    }
    draw(&graph, &edges, &places, (right, bottom + MARGIN))
}

/// The graph of inputs and stages.
fn stages(plan: &Plan, assessment: &Assessment) -> Graph {
    let mut graph = StableDiGraph::new();
    let mut states: BTreeMap<&str, States> = BTreeMap::new();
    for &id in plan.order() {
        let stage = plan.action(id).stage_name.as_str();
        states.entry(stage).or_default().count(assessment.word(id));
    }
    let mut nodes: BTreeMap<String, NodeIndex> = BTreeMap::new();
    for &id in plan.order() {
        let action = plan.action(id);
        let stage = format!("stage {}", action.stage_name);
        if nodes.contains_key(&stage) {
            continue;
        }
        let told = &states[action.stage_name.as_str()];
        let node = graph.add_node(Node {
            title: action.stage_name.clone(),
            subtitle: format!("{}: {}", action.stage.stage.id(), told.told()),
            class: told.class(),
        });
        nodes.insert(stage, node);
        for input in action.inputs.values() {
            for provider in input.providers() {
                let from = nodes[&format!("stage {}", plan.action(provider).stage_name)];
                graph.update_edge(from, node, ());
            }
            if let PlannedInput::External(input) = input {
                // A split's view of a folder is shown as the folder.
                let shown = input.shown.split(" (split ").next().unwrap_or_default();
                let from = *nodes.entry(format!("input {shown}")).or_insert_with(|| {
                    graph.add_node(Node {
                        title: shown.to_owned(),
                        subtitle: input.kind.clone(),
                        class: "input",
                    })
                });
                graph.update_edge(from, node, ());
            }
        }
    }
    graph
}

/// Gives every edge a bend in each layer that it passes, so that it runs between boxes and not behind
/// them. Returns the edges as paths of nodes.
fn bend_long_edges(graph: &mut Graph) -> Vec<Vec<NodeIndex>> {
    let layers = layers(graph);
    let mut edges: Vec<(NodeIndex, NodeIndex)> = graph
        .edge_indices()
        .filter_map(|edge| graph.edge_endpoints(edge))
        .collect();
    edges.sort();
    graph.clear_edges();
    edges
        .into_iter()
        .map(|(from, to)| {
            let mut path = vec![from];
            for _ in layers[&from] + 1..layers[&to] {
                path.push(graph.add_node(Node::bend()));
            }
            path.push(to);
            for pair in path.windows(2) {
                graph.add_edge(pair[0], pair[1], ());
            }
            path
        })
        .collect()
}

/// The layer of each node: below all it reads, and an input just above what reads it first.
fn layers(graph: &Graph) -> BTreeMap<NodeIndex, usize> {
    let mut layers: BTreeMap<NodeIndex, usize> = BTreeMap::new();
    for node in toposort(graph, None).unwrap_or_default() {
        let above = graph.neighbors_directed(node, Direction::Incoming);
        let layer = above.map(|above| layers[&above] + 1).max().unwrap_or(0);
        layers.insert(node, layer);
    }
    for node in graph.node_indices() {
        let is_source = graph.neighbors_directed(node, Direction::Incoming).count() == 0;
        if is_source && let Some(first) = graph.neighbors(node).map(|below| layers[&below]).min() {
            layers.insert(node, first - 1);
        }
    }
    layers
}

const STYLE: &str = "\
    text { font: 13px system-ui, sans-serif; text-anchor: middle; fill: #1a1a1a }
    .sub { font-size: 11px; fill: #555 }
    rect { fill: #fff; stroke: #888 }
    .input rect { fill: #f2f2f2; stroke: none }
    .run rect { stroke: #b35900; stroke-width: 2.5 }
    .maybe rect { stroke: #b35900; stroke-dasharray: 5 4 }
    .hit rect { stroke: #2a7d3f }
    path { fill: none; stroke: #999; stroke-width: 1.2 }
";

fn draw(
    graph: &Graph,
    edges: &[Vec<NodeIndex>],
    places: &BTreeMap<NodeIndex, (f64, f64)>,
    (width, height): (f64, f64),
) -> String {
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width:.0}\" height=\"{height:.0}\" \
         viewBox=\"0 0 {width:.0} {height:.0}\">\n<style>\n{STYLE}</style>\n\
         <defs><marker id=\"end\" viewBox=\"0 0 8 8\" refX=\"7\" refY=\"4\" markerWidth=\"7\" \
         markerHeight=\"7\" orient=\"auto\"><path d=\"M0 0 8 4 0 8z\" style=\"fill: #999; stroke: \
         none\"/></marker></defs>\n<rect width=\"100%\" height=\"100%\" style=\"stroke: none\"/>\n"
    );
    for path in edges {
        // Writing to a String cannot fail.
        let _ = writeln!(
            out,
            "<path d=\"{}\" marker-end=\"url(#end)\"/>",
            curve(path, places)
        );
    }
    for (&index, &(x, y)) in places {
        let node = &graph[index];
        if node.class == BEND {
            continue;
        }
        let width = node.width();
        let radius = if node.class == "input" { 20 } else { 6 };
        let _ = writeln!(
            out,
            "<g class=\"{}\"><rect x=\"{:.1}\" y=\"{:.1}\" width=\"{width:.1}\" \
             height=\"{HEIGHT}\" rx=\"{radius}\"/><text x=\"{x:.1}\" y=\"{:.1}\">{}</text>\
             <text class=\"sub\" x=\"{x:.1}\" y=\"{:.1}\">{}</text></g>",
            node.class,
            x - width / 2.0,
            y - HEIGHT / 2.0,
            y - 4.0,
            escaped(&node.title),
            y + 13.0,
            escaped(&node.subtitle),
        );
    }
    out.push_str("</svg>\n");
    out
}

/// A smooth path that leaves and enters every place vertically.
fn curve(path: &[NodeIndex], places: &BTreeMap<NodeIndex, (f64, f64)>) -> String {
    let mut out = String::new();
    for (i, pair) in path.windows(2).enumerate() {
        let ((x1, y1), (x2, y2)) = (places[&pair[0]], places[&pair[1]]);
        // A bend is passed straight over the height of its layer.
        let (y1, y2) = (y1 + HEIGHT / 2.0, y2 - HEIGHT / 2.0);
        let middle = f64::midpoint(y1, y2);
        let start = if i == 0 { 'M' } else { 'L' };
        let _ = write!(
            out,
            "{start}{x1:.1} {y1:.1}C{x1:.1} {middle:.1} {x2:.1} {middle:.1} {x2:.1} {y2:.1}"
        );
    }
    out
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}
