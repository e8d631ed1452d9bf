//! `ro-crate-metadata.json`: the published folder as a Workflow Run RO-Crate.
//!
//! ```text
//! ./                        root dataset                        graph      entities and references
//! provenance/manifest.yaml  the workflow: its parameters,       workflow   what the manifest asks for
//! #stage-…  #step-…         stages (tools) and steps
//! #run  #action-…           what was done                       actions    what the run did
//! #artifact-…  #input-…     what went in and came out, by digest
//! split-0/…                 published files                     files
//! ```
//!
//! RO-Crate 1.1 with the profiles Process, Workflow and Provenance Run Crate 0.5. The terms that the
//! last adds are defined in the document, so that reading it needs one context only.

mod actions;
mod files;
mod graph;
mod workflow;

use std::collections::BTreeMap;

use serde_json::{Value, json};

pub(super) use files::{describe, encoding_format};
pub(super) use graph::{id_of, reference, references};

use super::checksums::FileSums;
use super::history::{History, Origins};
use super::manifest_path;
use graph::Graph;

/// The profiles that the folder conforms to, with their names and versions.
pub(super) const PROFILES: [(&str, &str, &str); 4] = [
    (
        "https://w3id.org/ro/wfrun/process/0.5",
        "Process Run Crate",
        "0.5",
    ),
    (
        "https://w3id.org/ro/wfrun/workflow/0.5",
        "Workflow Run Crate",
        "0.5",
    ),
    (
        "https://w3id.org/ro/wfrun/provenance/0.5",
        "Provenance Run Crate",
        "0.5",
    ),
    (
        "https://w3id.org/workflowhub/workflow-ro-crate/1.0",
        "Workflow RO-Crate",
        "1.0",
    ),
];

const ROOT: &str = "./";
const SPECIFICATION: &str = "https://w3id.org/ro/crate/1.1";
const CLINICADL: &str = "#clinicadl";
const LIBTORCH: &str = "#libtorch";
const OPERATOR: &str = "#operator";
const RUN: &str = "#run";

/// Terms of Workflow Run Crates that the context of RO-Crate 1.1 lacks.
const TERMS: [&str; 6] = [
    "ParameterConnection",
    "connection",
    "resourceUsage",
    "sha256",
    "sourceParameter",
    "targetParameter",
];

/// The crate of a run: `sums` are those of every file in the folder except the lists of checksums.
pub(super) fn document(
    history: &History<'_>,
    sums: &BTreeMap<String, FileSums>,
    origins: &Origins,
) -> Value {
    let mut graph = Graph::default();
    let manifest = manifest_path(history.account.manifest);
    describe_root(&mut graph, history, sums, &manifest);
    workflow::describe(&mut graph, history, &manifest);
    actions::describe(&mut graph, history, sums, origins);
    files::describe_all(&mut graph, sums, &manifest);
    let terms: serde_json::Map<String, Value> = TERMS
        .iter()
        .map(|term| {
            let iri = format!("https://w3id.org/ro/terms/workflow-run#{term}");
            ((*term).to_owned(), iri.into())
        })
        .collect();
    json!({
        "@context": ["https://w3id.org/ro/crate/1.1/context", terms],
        "@graph": graph.into_entities(),
    })
}

fn describe_root(
    graph: &mut Graph,
    history: &History<'_>,
    sums: &BTreeMap<String, FileSums>,
    manifest: &str,
) {
    let profiles = PROFILES.map(|(id, _, _)| id.to_owned());
    graph.add(
        super::RO_CRATE,
        "CreativeWork",
        json!({
            "about": reference(ROOT),
            "conformsTo": references([SPECIFICATION.to_owned(), profiles[3].clone()]),
        }),
    );
    let actions = history.actions.iter().map(actions::action_id);
    let name = &history.account.manifest.name;
    graph.add(
        ROOT,
        "Dataset",
        json!({
            "name": name,
            "description": format!(
                "Results of the experiment `{name}` with the record of how they were made."
            ),
            "datePublished": super::timestamp(history.account.ended),
            "license": reference("#license"),
            "conformsTo": references(profiles),
            "mainEntity": reference(&super::history::uri(manifest)),
            "hasPart": references(files::listed(sums)),
            "mentions": references(
                [RUN.to_owned(), actions::ORGANIZE.to_owned()].into_iter().chain(actions)
            ),
            "exampleOfWork": reference(workflow::RESULTS),
        }),
    );
    for (id, name, version) in PROFILES {
        graph.add(
            id,
            "CreativeWork",
            json!({ "name": name, "version": version }),
        );
    }
    graph.add(
        "#license",
        "CreativeWork",
        json!({
            "name": "No licence declared",
            "description": "The authors have not declared under which terms these results may be used.",
        }),
    );
    graph.add(
        OPERATOR,
        "Person",
        json!({
            "name": "not recorded",
            "description": "Who ran the experiment is not recorded.",
        }),
    );
    graph.add(
        CLINICADL,
        "SoftwareApplication",
        json!({
            "name": "clinicadl",
            "description": "Runs experiments of deep learning on neuroimaging data.",
            "softwareVersion": env!("CARGO_PKG_VERSION"),
        }),
    );
    if let Some(version) = history.libtorch() {
        graph.add(
            LIBTORCH,
            "SoftwareApplication",
            json!({
                "name": "libtorch",
                "softwareVersion": version,
                "url": "https://pytorch.org",
            }),
        );
    }
}
