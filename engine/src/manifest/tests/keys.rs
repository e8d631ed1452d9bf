//! What a manifest says decides its keys; how it says it does not.

use std::collections::BTreeMap;
use std::fs;

use proptest::prelude::*;
use proptest::sample::Index;
use serde_json::json;

use super::*;
use crate::context::Input;
use crate::digest::Digest;
use crate::key::canonical;
use crate::plan::{Plan, PlannedInput, key_document};
use crate::store::Store;

/// A folder with some texts.
struct World(tempfile::TempDir);

impl World {
    fn new(texts: &[&[u8]]) -> Self {
        let world = Self(tempfile::tempdir().unwrap());
        let folder = world.0.path().join("data");
        fs::create_dir(&folder).unwrap();
        for (i, text) in texts.iter().enumerate() {
            fs::write(folder.join(format!("{i}.txt")), text).unwrap();
        }
        world
    }

    /// The keys of every action of a manifest, without its name, where it can be computed without
    /// running: what an action reads from another one is stood for by the key of that one.
    fn keys(&self, file: &str, text: &str) -> Vec<String> {
        let path = self.0.path().join(file);
        let manifest = Manifest::parse(&path, text.to_owned(), REGISTRY)
            .unwrap_or_else(|issues| panic!("{issues}\n{text}"));
        let store = tempfile::tempdir().unwrap();
        let plan = Plan::build(&manifest, &Store::open(store.path()).unwrap()).unwrap();
        let mut keys = BTreeMap::new();
        for &id in plan.order() {
            let action = plan.action(id);
            let mut inputs: BTreeMap<String, Input> = BTreeMap::new();
            for (port, input) in &action.inputs {
                let input = match input {
                    PlannedInput::External(input) => (**input).clone(),
                    PlannedInput::Action {
                        action,
                        port,
                        index,
                    } => {
                        let made: &String = &keys[action];
                        let output = format!("{made} {port} {index}");
                        stand_in(&output, &plan.action(*action).outputs, port)
                    }
                    PlannedInput::Splits { port, parts } => {
                        let made = parts.iter().map(|(split, action, index)| {
                            format!("{split} {} {port} {index}", keys[action])
                        });
                        let (_, first, _) = parts[0];
                        let output = made.collect::<Vec<_>>().join(" ");
                        stand_in(&output, &plan.action(first).outputs, port)
                    }
                };
                inputs.insert(port.clone(), input);
            }
            keys.insert(id, key_document(action, &inputs).key().to_string());
        }
        let mut keys: Vec<String> = keys.into_values().collect();
        keys.sort();
        keys
    }
}

/// An input of which only kind and digest matter.
fn stand_in(content: &str, outputs: &[crate::OutputPort], port: &str) -> Input {
    let output = outputs.iter().find(|output| output.name == *port).unwrap();
    Input {
        kind: output.kind.clone().into_owned(),
        digest: Digest::of(content.as_bytes()),
        files: BTreeMap::new(),
        shown: String::new(),
    }
}

/// A manifest as a value, to be changed and written in many ways.
fn experiment() -> Value {
    json!({
        "clinicadl": 1,
        "name": "demo",
        "seed": 3,
        "inputs": { "text": "data" },
        "stages": {
            "words": { "uses": "count", "inputs": { "text": "text" }, "with": { "factor": 2, "mode": "lines" } },
            "parts": { "uses": "fold", "inputs": { "count": "words" }, "with": { "n_splits": 3 } },
            "joined": { "uses": "join", "inputs": { "part": "parts", "count": "words.count" } },
        },
    })
}

/// The same mapping in another order, at every level.
fn shuffled(value: &Value, order: &[Index]) -> Value {
    match value {
        Value::Object(fields) => {
            let mut entries: Vec<(&String, &Value)> = fields.iter().collect();
            let mut shuffled = Map::new();
            for index in order.iter().cycle() {
                if entries.is_empty() {
                    break;
                }
                let (key, value) = entries.remove(index.index(entries.len()));
                shuffled.insert(key.clone(), self::shuffled(value, order));
            }
            Value::Object(shuffled)
        }
        other => other.clone(),
    }
}

/// A comment after every line.
fn with_comments(text: &str, comment: &str) -> String {
    text.lines()
        .map(|line| format!("{line} # {comment}\n# {comment}\n\n"))
        .collect()
}

/// Other names for stages and inputs, wherever they stand.
fn renamed(value: &Value, names: &[String]) -> Value {
    let mut text = value.to_string();
    for (i, old) in ["text", "words", "parts", "joined"].iter().enumerate() {
        let new = format!("{}-{i}", names[i]);
        // Kinds of stages and ports have other names than these, or stand before a colon below them.
        text = text
            .replace(
                &format!("\"{old}\":\"data\""),
                &format!("\"{new}\":\"data\""),
            )
            .replace(
                &format!("\"{old}\":{{\"uses\""),
                &format!("\"{new}\":{{\"uses\""),
            )
            .replace(&format!(":\"{old}\""), &format!(":\"{new}\""))
            .replace(&format!(":\"{old}."), &format!(":\"{new}."));
    }
    serde_json::from_str(&text).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn order_comments_format_and_place_do_not_matter(
        order in proptest::collection::vec(any::<Index>(), 3..9),
        comment in "[a-z:{}\\[\\]&*! ]{0,20}",
    ) {
        let world = World::new(&[b"one two", b"three"]);
        let value = experiment();
        let expected = world.keys("m.yaml", &value.to_string());
        prop_assert_eq!(expected.len(), 5);
        let other = shuffled(&value, &order);
        let block = serde_yaml::to_string(&other).unwrap();
        let toml = ::toml::to_string(&other).unwrap();
        prop_assert_eq!(&world.keys("m.yaml", &block), &expected);
        prop_assert_eq!(&world.keys("m.yaml", &with_comments(&block, &comment)), &expected);
        prop_assert_eq!(&world.keys("m.toml", &toml), &expected);
        let moved = World::new(&[b"one two", b"three"]);
        prop_assert_eq!(&moved.keys("other.yaml", &block), &expected);
    }

    #[test]
    fn names_do_not_matter(names in proptest::collection::vec("[a-z][a-z0-9 _-]{0,8}[a-z]", 4)) {
        let world = World::new(&[b"one two"]);
        let value = experiment();
        prop_assert_eq!(
            world.keys("m.yaml", &renamed(&value, &names).to_string()),
            world.keys("m.yaml", &value.to_string())
        );
    }

    #[test]
    fn every_byte_of_every_input_matters(
        text in proptest::collection::vec(any::<u8>(), 1..40),
        at in any::<Index>(),
        bit in 0..8_u8,
    ) {
        let manifest = experiment().to_string();
        let mut other = text.clone();
        other[at.index(text.len())] ^= 1 << bit;
        let keys = World::new(&[&text, b"x"]).keys("m.yaml", &manifest);
        let changed = World::new(&[&other, b"x"]).keys("m.yaml", &manifest);
        prop_assert!(keys.iter().all(|key| !changed.contains(key)));
        let longer = World::new(&[&[text.as_slice(), b"\0"].concat(), b"x"]);
        prop_assert!(longer.keys("m.yaml", &manifest).iter().all(|key| !keys.contains(key)));
    }
}

#[test]
fn params_includes_and_defaults_say_the_same_as_what_they_stand_for() {
    let world = World::new(&[b"one two"]);
    let expected = world.keys("m.yaml", &experiment().to_string());
    let text = "\
clinicadl: \"1.0\"
name: another name
seed: ${params.seed}
params: { seed: 3, mode: lines, splits: { n: 3 } }
include: [fragments/data.yaml]
defaults: { count: { with: { factor: 2, mode: '${params.mode}' }, resources: { cpus: 2 } } }
stages:
  joined: { uses: join, inputs: { part: parts, count: words }, retries: 2, timeout: 5min }
  words: { uses: count, inputs: { text: text }, with: { workers: 9 } }
";
    fs::create_dir(world.0.path().join("fragments")).unwrap();
    let fragment = "\
inputs: { text: ../data }
stages: { parts: { uses: fold, inputs: { count: words }, with: { n_splits: '${params.splits.n}' } } }
";
    fs::write(world.0.path().join("fragments/data.yaml"), fragment).unwrap();
    assert_eq!(world.keys("m.yaml", text), expected);
}

#[test]
fn a_cell_of_a_matrix_has_the_keys_of_the_experiment_without_it() {
    let world = World::new(&[b"one two"]);
    let mut value = experiment();
    value["params"] = json!({ "n": 1, "seed": 0 });
    value["matrix"] = json!({ "n": [2, 3], "seed": [3, 4] });
    value["seed"] = json!("${params.seed}");
    value["stages"]["parts"]["with"]["n_splits"] = json!("${params.n}");
    let all = world.keys("m.yaml", &value.to_string());
    for n in [2, 3] {
        for seed in [3, 4] {
            let mut one = experiment();
            one["seed"] = json!(seed);
            one["stages"]["parts"]["with"]["n_splits"] = json!(n);
            for key in world.keys("m.yaml", &one.to_string()) {
                assert!(all.contains(&key), "n={n}, seed={seed}");
            }
        }
    }
    // `words` once; `parts` four times; `joined` for each of their splits.
    assert_eq!(all.len(), 1 + 4 + 2 * (2 + 3));
}

/// Other values than the default that the schema of a parameter admits.
fn others(schema: &Value, root: &Value, default: &Value) -> Vec<Value> {
    if let Some(target) = schema.get("$ref").and_then(Value::as_str) {
        let target = root.pointer(target.trim_start_matches('#')).unwrap();
        return others(target, root, default);
    }
    let alternatives = ["oneOf", "anyOf", "allOf"]
        .iter()
        .filter_map(|keyword| schema.get(keyword)?.as_array())
        .flatten();
    let mut found: Vec<Value> = alternatives
        .flat_map(|s| others(s, root, default))
        .collect();
    found.extend(schema.get("const").cloned());
    found.extend(
        schema
            .get("enum")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
            .cloned(),
    );
    match default {
        Value::Bool(b) => found.push(json!(!b)),
        Value::Number(n) => found.extend((1..4).map(|i| json!(n.as_u64().unwrap_or(0) + i))),
        Value::String(_) if found.is_empty() => found.push(json!("other")),
        _ => {}
    }
    found.retain(|value| value != default);
    found
}

#[test]
fn every_semantic_parameter_of_every_stage_matters_and_no_other() {
    let world = World::new(&[b"one two"]);
    let mut looked_at = 0;
    for stage in REGISTRY.iter() {
        let schema = stage.schema();
        let defaults = stage.resolve(&json!({})).unwrap();
        let semantic = stage.semantic(&defaults);
        for (name, default) in defaults.as_object().unwrap() {
            let field = &schema["properties"][name];
            let values: Vec<Value> = others(field, &schema, default);
            assert!(
                !values.is_empty(),
                "`{}.{name}`: no other value",
                stage.id()
            );
            for value in values {
                let before = keys_of_kind(&world, stage, &json!({}));
                let after = keys_of_kind(&world, stage, &json!({ name.as_str(): value }));
                let matters = semantic.get(name).is_some() || before.1 != after.1;
                assert_eq!(
                    before.0 != after.0,
                    matters,
                    "`{}.{name}`: {default} and {value}",
                    stage.id()
                );
                looked_at += 1;
            }
        }
    }
    assert!(looked_at >= 8, "{looked_at}");
}

/// The keys of an experiment in which all stages of a kind have these parameters, and their canonical
/// semantic parameters.
fn keys_of_kind(world: &World, stage: &dyn AnyStage, with: &Value) -> (Vec<String>, String) {
    let mut value = experiment();
    for (_, one) in value["stages"].as_object_mut().unwrap() {
        if one["uses"] == stage.id() {
            one["with"] = with.clone();
        }
    }
    let resolved = stage.resolve(with).unwrap();
    (
        world.keys("m.yaml", &value.to_string()),
        canonical(&stage.semantic(&resolved)),
    )
}

#[test]
fn the_seed_matters_to_the_stages_that_draw_and_to_what_reads_them() {
    let world = World::new(&[b"one two"]);
    let mut value = experiment();
    let before = world.keys("m.yaml", &value.to_string());
    value["seed"] = json!(4);
    let after = world.keys("m.yaml", &value.to_string());
    // `count` draws nothing.
    assert_eq!(before.iter().filter(|key| after.contains(key)).count(), 1);
}

#[test]
fn a_view_of_a_split_has_a_digest_of_its_own() {
    let world = World::new(&[]);
    for split in 0..2 {
        let folder = world.0.path().join(format!("data/split-{split}"));
        fs::create_dir(&folder).unwrap();
        fs::write(folder.join("part"), format!("{split}")).unwrap();
    }
    let text = "\
clinicadl: 1
name: demo
inputs: { parts: data }
stages: { joined: { uses: join, inputs: { part: parts } } }
";
    let keys = world.keys("m.yaml", text);
    assert_eq!(keys.len(), 2);
    assert_ne!(keys[0], keys[1]);
    fs::write(world.0.path().join("data/split-1/part"), "changed").unwrap();
    let after = world.keys("m.yaml", text);
    assert_eq!(keys.iter().filter(|key| after.contains(key)).count(), 1);
}
