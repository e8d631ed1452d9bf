//! Manifests of several files.

use std::fs;

use super::*;

/// Files in a folder; the manifest is `m.yaml`.
struct Files(tempfile::TempDir);

impl Files {
    fn new(files: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        Self(folder)
    }

    fn load(&self) -> Result<Manifest, Issues> {
        Manifest::load(&self.0.path().join("m.yaml"), REGISTRY)
    }

    /// Messages with paths relative to the folder.
    fn messages(&self) -> Vec<String> {
        let prefix = format!("{}/", self.0.path().display());
        let issues = self.load().unwrap_err();
        issues
            .0
            .iter()
            .map(|i| i.to_string().replace(&prefix, ""))
            .collect()
    }
}

const MAIN: &str = "\
clinicadl: 1
name: demo
include: [parts/data.yaml, parts/stages.toml]
params: { factor: 5 }
stages:
  parts: { uses: fold, inputs: { count: words } }
";

const DATA: &str = "params: { factor: 1, name: a.txt }\ninputs: { text: '${params.name}' }\n";

const STAGES: &str = "\
[stages.words]
uses = \"count\"
inputs = { text = \"text\" }
with = { factor = \"${params.factor}\" }
";

#[test]
fn fragments_add_to_the_manifest_and_its_params_win() {
    let files = Files::new(&[
        ("m.yaml", MAIN),
        ("parts/data.yaml", DATA),
        ("parts/stages.toml", STAGES),
        ("parts/a.txt", "one"),
    ]);
    let manifest = files.load().unwrap();
    assert_eq!(manifest.stages["words"].params["factor"], 5);
    assert_eq!(manifest.inputs["text"], "parts/a.txt");
    assert!(manifest.input_path("text").is_file());
    let sources: Vec<&str> = manifest.sources.iter().map(|s| s.path.as_str()).collect();
    assert_eq!(sources, ["m.yaml", "parts/data.yaml", "parts/stages.toml"]);
    assert_eq!(manifest.sources[1].text, DATA);
}

#[test]
fn a_problem_in_a_fragment_is_told_there() {
    let files = Files::new(&[
        ("m.yaml", MAIN),
        ("parts/data.yaml", DATA),
        ("parts/stages.toml", &STAGES.replace("factor =", "fcator =")),
    ]);
    assert_eq!(
        files.messages(),
        [
            "parts/data.yaml:2:11: `inputs.text`: `parts/a.txt` does not exist",
            "parts/stages.toml:4:10: `stages.words.with.fcator`: unknown field `fcator`",
        ]
    );
}

#[test]
fn a_second_definition_names_both_places() {
    let files = Files::new(&[
        ("m.yaml", &MAIN.replace("params: { factor: 5 }\n", "")),
        (
            "parts/data.yaml",
            &format!("{DATA}stages:\n  parts: {{ uses: fold }}\n"),
        ),
        (
            "parts/stages.toml",
            &format!("params = {{ factor = 2 }}\n{STAGES}"),
        ),
        ("parts/a.txt", ""),
    ]);
    assert_eq!(
        files.messages(),
        [
            "m.yaml:5:3: `stages.parts`: `parts` is defined twice, first in parts/data.yaml:4",
            "parts/data.yaml:4:3: `stages.parts`: input `count` (number) is not connected",
            "parts/stages.toml:1:12: `params.factor`: `factor` is defined twice, first in parts/data.yaml:1",
        ]
    );
}

#[test]
fn circles_missing_files_and_what_is_no_fragment_are_refused() {
    let main =
        "clinicadl: 1\nname: demo\ninclude: [a.yaml, gone.yaml, /etc/passwd, folder, bad.yaml]\n";
    let files = Files::new(&[
        ("m.yaml", main),
        ("a.yaml", "include: [b.yaml]\n"),
        ("b.yaml", "include: [./a.yaml]\nmaps: out\nnmae: x\n"),
        ("folder/x", ""),
        ("bad.yaml", "a: [\n"),
    ]);
    let found = files.messages();
    let expected = [
        "m.yaml: field `stages` is missing",
        "m.yaml:3:19: `include.1`: `gone.yaml` does not exist",
        "m.yaml:3:30: `include.2`: `/etc/passwd` is not a relative path",
        "m.yaml:3:43: `include.3`: `folder` is not a file",
        "b.yaml:1:11: `include.0`: `a.yaml` includes itself",
        "b.yaml:2:1: `maps`: `maps` belongs in the manifest, not in a fragment",
        "b.yaml:3:1: `nmae`: unknown field `nmae`",
    ];
    for line in expected {
        assert!(
            found.iter().any(|f| f == line),
            "missing {line} in {found:#?}"
        );
    }
    assert!(
        found
            .iter()
            .any(|f| f.starts_with("bad.yaml:") && f.contains("not valid YAML"))
    );
    assert_eq!(found.len(), expected.len() + 1, "{found:#?}");
}

#[test]
fn two_fragments_may_need_the_same_third_one() {
    let main = "clinicadl: 1\nname: demo\ninclude: [a.yaml, b.yaml]\n";
    let files = Files::new(&[
        ("m.yaml", main),
        ("a.yaml", "include: [c.yaml]\n"),
        ("b.yaml", "include: [sub/../c.yaml]\n"),
        (
            "c.yaml",
            "inputs: { text: . }\nstages: { words: { uses: count, inputs: { text: text } } }\n",
        ),
        ("sub/x", ""),
    ]);
    assert_eq!(files.load().unwrap().stages.len(), 1);
}

#[test]
fn fragments_inside_of_fragments_end_somewhere() {
    let mut files = vec![(
        "m.yaml".to_owned(),
        "clinicadl: 1\nname: x\ninclude: [f0.yaml]\n".to_owned(),
    )];
    for i in 0..40 {
        files.push((
            format!("f{i}.yaml"),
            format!("include: [f{}.yaml]\n", i + 1),
        ));
    }
    let files: Vec<(&str, &str)> = files
        .iter()
        .map(|(n, t)| (n.as_str(), t.as_str()))
        .collect();
    let found = Files::new(&files).messages();
    assert!(
        found.iter().any(|m| m.contains("more than 16 deep")),
        "{found:#?}"
    );
}
