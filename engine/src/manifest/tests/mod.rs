//! The language as a whole, on the engine's small stages.

mod fragments;
mod hostile;
mod keys;
mod language;
mod matrix;
mod search;
mod speed;
mod yaml;

use super::*;
use crate::testing::REGISTRY;

const GOOD: &str = "\
clinicadl: 1
name: demo
seed: 3
inputs: { text: . }
stages:
  words:
    uses: count
    inputs: { text: text }
    with: { factor: 2, mode: lines }
  parts:
    uses: fold
    inputs: { count: words }
  joined:
    uses: join
    inputs: { part: parts, count: words.count }
    splits: [1]
maps: out
";

fn parse(text: &str) -> Result<Manifest, Issues> {
    Manifest::parse(Path::new("m.yaml"), text.to_owned(), REGISTRY)
}

fn messages(text: &str) -> Vec<String> {
    let issues = parse(text).unwrap_err();
    issues
        .0
        .iter()
        .map(|i| {
            format!(
                "{i}{}",
                i.hint
                    .as_deref()
                    .map(|h| format!(" [{h}]"))
                    .unwrap_or_default()
            )
        })
        .collect()
}

#[test]
fn a_good_manifest_resolves_with_defaults_made_explicit() {
    let manifest = parse(GOOD).unwrap();
    assert_eq!(manifest.stages["words"].params["workers"], 1);
    let source = Source::Stage {
        stage: "words".into(),
        port: "count".into(),
    };
    assert_eq!(manifest.stages["parts"].inputs["count"], source);
}

#[test]
fn toml_says_the_same_as_yaml() {
    let toml = r#"
clinicadl = 1
name = "demo"
seed = 3
maps = "out"
[inputs]
text = "."
[stages.words]
uses = "count"
inputs = { text = "text" }
with = { factor = 2, mode = "lines" }
[stages.parts]
uses = "fold"
inputs = { count = "words" }
[stages.joined]
uses = "join"
inputs = { part = "parts", count = "words.count" }
splits = [1]
"#;
    let toml = Manifest::parse(Path::new("m.toml"), toml.into(), REGISTRY).unwrap();
    let yaml = parse(GOOD).unwrap();
    assert_eq!(format!("{:?}", toml.stages), format!("{:?}", yaml.stages));
}

#[test]
fn all_problems_are_reported_at_once_with_their_places() {
    let found = messages(
        "clinicadl: 1
name: demo
sead: 3
inputs:
  text: nowhere/to/be/found
stages:
  words:
    uses: coutn
  more:
    uses: count
    inputs: { txt: text }
    with:
      factor: 12
      mode: line
      wrokers: 2
  parts:
    uses: fold
    inputs: { count: mroe }
    with: { n_splits: two }
  joined:
    uses: join
    inputs: { part: more, count: more.number }
",
    );
    let expected = [
        "m.yaml:3:1: `sead`: unknown field `sead` [did you mean `seed`?]",
        "m.yaml:5:3: `inputs.text`: `nowhere/to/be/found` does not exist [paths are relative to the manifest]",
        "m.yaml:8:5: `stages.words.uses`: unknown stage `coutn` [did you mean `count`?]",
        "m.yaml:9:3: `stages.more`: input `text` (text) is not connected [it could be `text`]",
        "m.yaml:11:15: `stages.more.inputs.txt`: stage `count` has no input `txt` [did you mean `text`?]",
        "m.yaml:13:7: `stages.more.with.factor`: 12 is too large, expected at most 9",
        "m.yaml:14:7: `stages.more.with.mode`: `line` is not one of `words`, `lines` [did you mean `lines`?]",
        "m.yaml:15:7: `stages.more.with.wrokers`: unknown field `wrokers` [did you mean `workers`?]",
        "m.yaml:18:15: `stages.parts.inputs.count`: `mroe` is neither an input nor a stage [did you mean `more`?]",
        "m.yaml:19:13: `stages.parts.with.n_splits`: expected integer, got `two`",
        "m.yaml:22:15: `stages.joined.inputs.part`: `more` provides no part, which input `part` expects",
        "m.yaml:22:27: `stages.joined.inputs.count`: stage `more` has no output `number` [known: `count`]",
    ];
    for line in expected {
        assert!(
            found.iter().any(|f| f == line),
            "missing: {line}\nfound:\n{}",
            found.join("\n")
        );
    }
    assert_eq!(found.len(), expected.len(), "{}", found.join("\n"));
}

#[test]
fn syntax_errors_name_line_and_column() {
    let found = messages("clinicadl: 1\nname: [unclosed\n");
    assert!(found[0].starts_with("m.yaml:"), "{found:?}");
    assert!(found[0].contains("not valid YAML"), "{found:?}");
    let toml = Manifest::parse(Path::new("m.toml"), "name = = 1".into(), REGISTRY).unwrap_err();
    assert!(toml.to_string().starts_with("m.toml:1:8"), "{toml}");
}

#[test]
fn duplicate_keys_and_tags_are_refused() {
    assert!(messages("clinicadl: 1\nname: a\nname: b\nstages: {}\n")[0].contains("duplicate"));
    assert!(messages("clinicadl: 1\nname: !exec a\nstages: {}\n")[0].contains("tag"));
}

#[test]
fn a_newer_format_is_refused_before_anything_else() {
    let found = messages("clinicadl: 2\nanything: goes\n");
    assert_eq!(found.len(), 1);
    assert!(found[0].contains("format 2 is newer"), "{found:?}");
}

#[test]
fn a_check_across_parameters_names_its_field() {
    let text = GOOD.replace("factor: 2", "factor: 7");
    assert_eq!(
        messages(&text),
        ["m.yaml:9:13: `stages.words.with.factor`: 7 brings bad luck"]
    );
}

#[test]
fn resources_are_typed() {
    let text = GOOD.replace(
        "    with: { factor",
        "    resources: { memory: lots }\n    with: { factor",
    );
    assert!(messages(&text)[0].contains("`stages.words.resources.memory`"));
    let memory = |text: &str| Resources {
        memory: Some(text.into()),
        ..Resources::default()
    };
    assert_eq!(memory("16GiB").memory_bytes(), Some(16 << 30));
    assert_eq!(memory("5 MB").memory_bytes(), Some(5_000_000));
}

#[test]
fn the_schema_for_editors_knows_every_stage() {
    let schema = manifest_schema(REGISTRY).to_string();
    assert!(schema.contains("n_splits") && schema.contains("factor"));
}
