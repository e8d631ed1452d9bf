//! A manifest of ten thousand stages: read in time that grows with its size only.

use std::fmt::Write;
use std::path::Path;
use std::time::Instant;

use super::super::source;
use crate::manifest::Manifest;
use crate::testing::REGISTRY;

/// A chain and a fan of `count` stages.
fn text(count: usize) -> String {
    let mut text = String::from(
        "clinicadl: 1\nname: large\nparams: { factor: 3 }\ninputs: { text: . }\nstages:\n",
    );
    for i in 0..count {
        // Writing to a String cannot fail.
        let _ = if i % 3 == 0 {
            writeln!(
                text,
                "  s{i}:\n    uses: count\n    inputs: {{ text: text }}\n    with:\n      factor: \
                 ${{params.factor}}\n      mode: lines\n      fault: \"{i}\""
            )
        } else {
            let from = i - i % 3;
            writeln!(
                text,
                "  s{i}:\n    uses: fold\n    inputs: {{ count: s{from}.count }}\n    with:\n      \
                 n_splits: {i}"
            )
        };
    }
    text
}

#[test]
fn ten_thousand_stages_are_read() {
    let text = text(10_000);
    let start = Instant::now();
    let node = source::parse(0, Path::new("m.yaml"), &text).unwrap();
    let parsed = start.elapsed();
    assert!(node.size.values > 50_000);
    let start = Instant::now();
    let manifest = Manifest::parse(Path::new("m.yaml"), text, REGISTRY).unwrap();
    let whole = start.elapsed();
    assert_eq!(manifest.stages.len(), 10_000);
    // For whoever looks: `cargo nextest run ten_thousand --no-capture`.
    eprintln!("10,000 stages: text {parsed:?}, manifest {whole:?}");
}
