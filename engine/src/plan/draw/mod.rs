//! The plan as a picture: text, DOT, Mermaid or SVG.

mod svg;

use std::fmt::Write;

use petgraph::visit::EdgeRef;

use super::{Assessment, Plan};

/// A way to draw a plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GraphFormat {
    /// Indented lines for terminals.
    Text,
    /// Graphviz.
    Dot,
    /// Mermaid, as shown by code forges.
    Mermaid,
    /// A picture that needs no other file, one box per stage.
    Svg,
}

/// Draws a plan with the state of each action.
pub fn draw(plan: &Plan, assessment: &Assessment, format: GraphFormat) -> String {
    match format {
        GraphFormat::Text => text(plan, assessment),
        GraphFormat::Dot => dot(plan, assessment),
        GraphFormat::Mermaid => mermaid(plan, assessment),
        GraphFormat::Svg => svg::svg(plan, assessment),
    }
}

fn text(plan: &Plan, assessment: &Assessment) -> String {
    let mut out = String::new();
    for &id in plan.order() {
        let action = plan.action(id);
        let from: Vec<String> = plan
            .dependencies(id)
            .iter()
            .map(|&d| plan.action(d).name())
            .collect();
        let arrow = if from.is_empty() {
            String::new()
        } else {
            format!(" ← {}", from.join(", "))
        };
        let state = assessment.word(id);
        // Writing to a String cannot fail.
        let _ = writeln!(
            out,
            "{state:>5}  {} [{}]{arrow}",
            action.name(),
            action.stage.stage.id()
        );
    }
    out
}

fn dot(plan: &Plan, assessment: &Assessment) -> String {
    let mut out =
        String::from("digraph experiment {\n  rankdir=LR;\n  node [shape=box, style=rounded];\n");
    for &id in plan.order() {
        let action = plan.action(id);
        let style = match assessment.word(id) {
            "hit" => "color=gray50",
            "run" => "color=black, penwidth=2",
            _ => "style=\"rounded,dashed\"",
        };
        let _ = writeln!(
            out,
            "  n{} [label=\"{}\\n{}\", {style}];",
            id.index(),
            action.name().replace('"', "\\\""),
            action.stage.stage.id()
        );
    }
    for edge in plan.graph.edge_references() {
        let _ = writeln!(
            out,
            "  n{} -> n{};",
            edge.source().index(),
            edge.target().index()
        );
    }
    out.push_str("}\n");
    out
}

fn mermaid(plan: &Plan, assessment: &Assessment) -> String {
    let mut out = String::from("flowchart LR\n");
    for &id in plan.order() {
        let action = plan.action(id);
        let name = action.name().replace('"', "#quot;");
        let _ = writeln!(
            out,
            "  n{}[\"{name}<br/>{}\"]:::{}",
            id.index(),
            action.stage.stage.id(),
            assessment.word(id)
        );
    }
    for edge in plan.graph.edge_references() {
        let _ = writeln!(
            out,
            "  n{} --> n{}",
            edge.source().index(),
            edge.target().index()
        );
    }
    out.push_str("  classDef hit stroke:#999\n  classDef run stroke-width:3px\n");
    out.push_str("  classDef maybe stroke-dasharray:4\n");
    out
}
