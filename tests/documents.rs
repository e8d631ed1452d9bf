//! Schemas, example manifests and documents agree with the code.

use std::fs;
use std::path::PathBuf;

use serde_json::{Map, Value, json};

use crate::support::{clinicadl, root};

#[test]
fn the_committed_schema_is_the_current_one() {
    let path = root().join("schemas/manifest.schema.json");
    let current = clinicadl(&["schema"]).success().stdout;
    if std::env::var_os("UPDATE").is_some() {
        fs::write(&path, &current).unwrap();
    }
    let committed = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        committed == current,
        "run `UPDATE=1 cargo test --test integration documents`"
    );
}

#[test]
fn every_example_names_its_schema_and_parses_without_its_data() {
    let registry = engine::Registry::new(stages::STAGES);
    let mut examples = 0;
    for entry in fs::read_dir(root().join("pipelines")).unwrap() {
        let path = entry.unwrap().path();
        // Scripts lie beside the manifests that run them.
        if path.extension().is_some_and(|extension| extension == "awk") {
            continue;
        }
        let text = fs::read_to_string(&path).unwrap();
        if path
            .extension()
            .is_some_and(|extension| extension == "yaml")
        {
            assert!(
                text.starts_with("# yaml-language-server: $schema=../schemas/manifest.schema.json")
            );
        }
        examples += 1;
        let Err(issues) = engine::manifest::Manifest::parse(&path, text, registry) else {
            continue;
        };
        // The data of an example is made or fetched by its first use.
        let other: Vec<_> = issues
            .0
            .iter()
            .filter(|i| !i.message.contains("does not exist"))
            .collect();
        assert!(other.is_empty(), "{}: {other:#?}", path.display());
    }
    assert!(examples > 0);
}

#[test]
fn the_documents_stay_within_their_size_and_name_real_commands() {
    let read = |name: &str| fs::read_to_string(root().join(name)).unwrap();
    assert!(read("ARCHITECTURE.md").lines().count() <= 200);
    let help = clinicadl(&["--help"]).success().stdout;
    for line in read("README.md").lines() {
        let Some(rest) = line.trim().strip_prefix("clinicadl ") else {
            continue;
        };
        let verb = rest.split_whitespace().next().unwrap_or_default();
        assert!(
            help.contains(&format!("  {verb} ")) || verb.starts_with('-'),
            "`{line}`"
        );
    }
}

/// A fenced example of a document.
struct Example {
    /// File and line.
    place: String,
    language: String,
    text: String,
}

/// The manifests, whole or in part, that documents show.
fn examples() -> Vec<Example> {
    let mut documents: Vec<PathBuf> = fs::read_dir(root().join("docs"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "md"))
        .collect();
    documents.sort();
    documents.insert(0, root().join("README.md"));
    let mut examples: Vec<Example> = Vec::new();
    for path in documents {
        let text = fs::read_to_string(&path).unwrap();
        let name = path.strip_prefix(root()).unwrap().display().to_string();
        let mut open: Option<Example> = None;
        for (number, line) in text.lines().enumerate() {
            match (line.strip_prefix("```"), &mut open) {
                (Some(language), None) => {
                    open = Some(Example {
                        place: format!("{name}:{}", number + 1),
                        language: language.to_owned(),
                        text: String::new(),
                    });
                }
                (Some(_), Some(_)) => examples.extend(open.take()),
                (None, Some(example)) => {
                    example.text.push_str(line);
                    example.text.push('\n');
                }
                (None, None) => {}
            }
        }
    }
    examples.retain(|example| matches!(example.language.as_str(), "yaml" | "toml"));
    examples
}

/// What examples of a part of a manifest take for granted: stages and inputs that others have shown.
fn around() -> Value {
    let table = |name: &str| format!("data/{name}.tsv");
    json!({
        "clinicadl": 1,
        "name": "example",
        "inputs": {
            "caps": "data/caps", "adni-caps": "data/adni", "aibl-caps": "data/aibl",
            "labels": table("labels"), "adni-labels": table("adni"), "aibl-labels": table("aibl"),
            "tensors": "data/tensors", "test-table": table("test"), "old_lists": "data/lists",
            "aal2": "data/aal2.nii.gz", "aal2_names": table("aal2"), "container": "data/image.sif",
            "pretrain": "data/maps",
        },
        "stages": {
            "extract": { "uses": "prepare-data", "inputs": { "caps": "caps" } },
            "holdout": { "uses": "split", "inputs": { "labels": "labels" }, "with": { "n_test": 0.2 } },
            "folds": { "uses": "kfold", "inputs": { "labels": "holdout.train" }, "with": { "n_splits": 5 } },
            "train": { "uses": "train", "inputs": { "images": "extract", "splits": "folds" } },
            "test": {
                "uses": "predict",
                "inputs": { "model": "train", "images": "extract", "participants": "holdout.test" },
            },
        },
        "maps": "results/example",
    })
}

/// A whole manifest of a part of one: sections, stages, or parameters of `train`, as they are indented.
fn completed(example: &Example) -> String {
    let text = &example.text;
    if text.lines().any(|line| line.starts_with("clinicadl")) {
        return text.clone();
    }
    let part = |text: &str| -> Map<String, Value> {
        let value: Value = engine::manifest::yaml_value(text)
            .unwrap_or_else(|e| panic!("{}: {e:?}", example.place));
        value.as_object().cloned().unwrap_or_default()
    };
    let indent = text.len() - text.trim_start_matches(' ').len();
    let part = match indent {
        0 => part(text),
        2 => Map::from_iter([("stages".to_owned(), Value::Object(part(text)))]),
        _ => {
            let mut stages = around()["stages"].take();
            stages["train"]["with"] = Value::Object(part(text));
            // Not every network has the task that is the default.
            Map::from_iter([("stages".to_owned(), stages)])
        }
    };
    let mut whole = around();
    for (section, value) in part {
        match (whole.get_mut(&section), value) {
            (Some(Value::Object(known)), Value::Object(own)) => known.extend(own),
            (_, value) => whole[section.as_str()] = value,
        }
    }
    // A name is of an input or of a stage, as the example says.
    let names: Vec<String> = whole["stages"]
        .as_object()
        .unwrap()
        .keys()
        .cloned()
        .collect();
    let inputs = whole["inputs"].as_object_mut().unwrap();
    inputs.retain(|name, _| !names.contains(name));
    whole.to_string()
}

#[test]
fn every_manifest_in_the_documents_has_no_problem_but_its_data() {
    let examples = examples();
    assert!(examples.len() > 30, "{}", examples.len());
    let folder = tempfile::tempdir().unwrap();
    // Fragments say in their first line where they are.
    let is_fragment = |example: &&Example| example.text.starts_with("# fragments/");
    for fragment in examples.iter().filter(is_fragment) {
        let name = fragment.text.lines().next().unwrap();
        let path = folder.path().join(name.trim_start_matches("# "));
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, &fragment.text).unwrap();
    }
    // Files of ClinicaDL 1.6.1 that examples read.
    for (name, text) in [
        ("train_config.toml", "[Optimization]\nepochs = 3\n"),
        (
            "random_search.toml",
            "[Random_Search]\nepochs = 3\nn_convblocks = [1, 3]\nfirst_conv_width = [4, 8]\nn_fcblocks = [1, 2]\n",
        ),
    ] {
        fs::write(folder.path().join(name), text).unwrap();
    }
    let registry = engine::Registry::new(stages::STAGES);
    let mut told = Vec::new();
    for example in examples.iter().filter(|example| !is_fragment(example)) {
        let text = completed(example);
        let path = folder.path().join(format!("example.{}", example.language));
        let Err(issues) = engine::manifest::Manifest::parse(&path, text, registry) else {
            continue;
        };
        let problems = issues.0.iter().map(|issue| &issue.message);
        let problems = problems.filter(|message| !message.contains("does not exist"));
        told.extend(problems.map(|message| format!("{}: {message}", example.place)));
    }
    assert!(told.is_empty(), "{}", told.join("\n"));
}
