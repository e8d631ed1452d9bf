//! Guards the hand-raised versions of stages: bytes that change without a new version would leave
//! stale results in every store.

use std::collections::BTreeMap;
use std::fs;

use serde_json::Value;

use crate::support::{Project, root};

const MANIFEST: &str = "\
clinicadl: 1
name: golden
seed: 7
inputs: { caps: caps, labels: labels.tsv }
stages:
  extract: { uses: prepare-data, inputs: { caps: caps } }
  holdout: { uses: split, inputs: { labels: labels }, with: { n_test: 6, balance: [age, sex], p_threshold: 0.3 } }
  folds: { uses: kfold, inputs: { labels: holdout.train }, with: { n_splits: 3 } }
";

/// The stages whose arithmetic is exact on every platform. What libtorch computes, and what uses
/// transcendental functions of the C library, is compared with oracles within tolerances instead.
#[test]
fn results_change_only_together_with_a_stage_version() {
    let project = Project::with_caps(20);
    project.write("experiment.yaml", MANIFEST);
    project.run().success();
    let plan = project.clinicadl(&["explain", "experiment.yaml", "extract", "--json"]);
    let mut now = results(&plan.success().stdout);
    for stage in ["holdout", "folds"] {
        let told = project.clinicadl(&["explain", "experiment.yaml", stage, "--json"]);
        now.extend(results(&told.success().stdout));
    }
    let path = root().join("tests/reference/golden.json");
    if std::env::var_os("UPDATE").is_some() {
        let text = serde_json::to_string_pretty(&now).unwrap();
        fs::write(&path, format!("{text}\n")).unwrap();
    }
    let committed = fs::read_to_string(&path).unwrap_or_default();
    let committed: BTreeMap<String, Value> = serde_json::from_str(&committed).unwrap();
    assert_eq!(
        now, committed,
        "raise VERSION of each stage whose bytes changed, then run `UPDATE=1 cargo test --test \
         integration golden`"
    );
}

/// Digests of outputs by `stage version port`.
fn results(explained: &str) -> BTreeMap<String, Value> {
    let explained: Value = serde_json::from_str(explained).unwrap();
    let action = &explained["actions"][0];
    assert_eq!(action["state"], "hit");
    let document = &action["document"];
    action["outputs"]
        .as_object()
        .unwrap()
        .iter()
        .map(|(port, artifacts)| {
            let name = format!(
                "{} {} {port}",
                document["stage"].as_str().unwrap(),
                document["version"]
            );
            let digests = artifacts.as_array().unwrap().iter();
            (name, digests.map(|a| a["digest"].clone()).collect())
        })
        .collect()
}
