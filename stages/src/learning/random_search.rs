//! The `random_search.toml` of ClinicaDL 1.6.1.
//!
//! What is a list there is drawn, by a law that depends on the key; a search of the manifest draws it.
//!
//! # Source
//! `clinicadl/random_search` of ClinicaDL 1.6.1, by what its documentation says. There, defaults and other
//! sections overwrite `[Random_Search]`, and keys without a law are left out; here all of them count, and
//! what is said twice is refused.

use engine::{Drawn, DrawnFrom, ParamIssue};
use serde_json::{Map, Value, json};

use super::config::{OF_SEARCH, SECTIONS, unknown};

/// How a list is understood.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Law {
    /// One of the list.
    Choice,
    /// An integer from the first to the second.
    Integer,
    /// A number from the first to the second.
    Uniform,
    /// Ten to the power of minus such a number.
    Exponent,
}

/// Keys of trainings and their laws; a list of any other is a list.
const LAWS: &[(&str, Law)] = &[
    ("accumulation_steps", Law::Integer),
    ("baseline", Law::Choice),
    ("dropout", Law::Uniform),
    ("learning_rate", Law::Exponent),
    ("multi_network", Law::Choice),
    ("normalize", Law::Choice),
    ("optimizer", Law::Choice),
    ("sampler", Law::Choice),
    ("transfer_selection_metric", Law::Choice),
    ("weight_decay", Law::Exponent),
];

/// Keys of the architecture and their laws.
const OF_ARCHITECTURE: &[(&str, Law)] = &[
    ("n_convblocks", Law::Integer),
    ("first_conv_width", Law::Choice),
    ("n_fcblocks", Law::Integer),
    ("d_reduction", Law::Choice),
    ("network_normalization", Law::Choice),
    ("n_conv", Law::Choice),
    ("wd_bool", Law::Choice),
];

/// Other keys that only a random search has: the data, which are inputs here, and a bound.
const OTHERS: &[&str] = &[
    "network_task",
    "tsv_path",
    "caps_directory",
    "preprocessing_json",
    "mode",
    "channels_limit",
];

/// Keys without which there is no random search.
const NEEDED: &[&str] = &["n_convblocks", "first_conv_width", "n_fcblocks"];

/// Values that some keys can have.
const NAMES: &[(&str, &[&str])] = &[
    ("d_reduction", &["MaxPooling", "stride"]),
    (
        "network_normalization",
        &["BatchNorm", "InstanceNorm", "None"],
    ),
];

/// More blocks than `RandomArchitecture` has.
const MAX_BLOCKS: i64 = 10;
/// Channels that are no longer doubled.
const CHANNELS_LIMIT: u64 = 512;

/// Whether only a random search has this key.
pub(super) fn is_own(key: &str) -> bool {
    OTHERS.contains(&key) || OF_ARCHITECTURE.iter().any(|(own, _)| *own == key)
}

/// What the file leaves to the search; nothing if it is none of a random search.
pub(super) fn space(file: &Map<String, Value>) -> Result<Vec<Drawn>, Vec<ParamIssue>> {
    let Some(own) = file.get(OF_SEARCH) else {
        return Ok(Vec::new());
    };
    let mut found = Found::default();
    let Some(own) = own.as_object() else {
        found.refuse(OF_SEARCH, "expected a section".to_owned());
        return Err(found.issues);
    };
    for key in NEEDED {
        if !own.contains_key(*key) {
            found.refuse(OF_SEARCH, format!("`{key}` is missing"));
        }
    }
    let of_trainings = || SECTIONS.iter().flat_map(|(_, keys)| *keys).copied();
    for (key, value) in own {
        let field = format!("{OF_SEARCH}.{key}");
        if !is_own(key) && !of_trainings().any(|known| known == key) {
            let own = OF_ARCHITECTURE.iter().map(|(own, _)| *own);
            let known = own.chain(OTHERS.iter().copied()).chain(of_trainings());
            found.refuse(&field, unknown("key", key, known));
            continue;
        }
        found.key(&field, key, value, own);
    }
    for (section, fields) in file {
        for (key, value) in fields.as_object().into_iter().flatten() {
            if section == OF_SEARCH || !LAWS.iter().any(|(known, _)| known == key) {
                continue;
            }
            let field = format!("{section}.{key}");
            if own.contains_key(key) {
                let message = format!("`{key}` is under `{OF_SEARCH}` too: say it once");
                found.refuse(&field, message);
            } else {
                found.key(&field, key, value, own);
            }
        }
    }
    match found.issues.is_empty() {
        true => Ok(found.drawn),
        false => Err(found.issues),
    }
}

/// What takes the place of a value, and the params that it needs.
type Replaced = (Value, Vec<(String, DrawnFrom)>);

/// What was found so far.
#[derive(Default)]
struct Found {
    drawn: Vec<Drawn>,
    issues: Vec<ParamIssue>,
}

impl Found {
    fn refuse(&mut self, field: &str, message: String) {
        self.issues.push(ParamIssue::new(field, message));
    }

    fn key(&mut self, field: &str, key: &str, value: &Value, own: &Map<String, Value>) {
        let mut laws = LAWS.iter().chain(OF_ARCHITECTURE);
        let Some((_, law)) = laws.find(|(known, _)| *known == key) else {
            return;
        };
        match Self::drawn(key, *law, value, own) {
            Ok(Some((value, params))) => self.drawn.push(Drawn {
                field: field.to_owned(),
                value,
                params,
            }),
            Ok(None) => {}
            Err(message) => self.refuse(field, message),
        }
    }

    /// What takes the place of a value; `None` where it stays.
    fn drawn(
        key: &str,
        law: Law,
        value: &Value,
        own: &Map<String, Value>,
    ) -> Result<Option<Replaced>, String> {
        let Some(items) = value.as_array() else {
            one_of(key, value)?;
            in_bounds(key, value)?;
            return match law {
                Law::Exponent => Ok(Some((power(key, value)?, Vec::new()))),
                _ => Ok(None),
            };
        };
        let range = match law {
            Law::Choice => {
                items.iter().try_for_each(|item| one_of(key, item))?;
                if items.is_empty() {
                    return Err("expected at least one value".to_owned());
                }
                DrawnFrom::Choice(items.clone())
            }
            Law::Integer => {
                let (least, most) = two(items, Value::as_i64, "integers")?;
                items.iter().try_for_each(|item| in_bounds(key, item))?;
                DrawnFrom::Integer(least, most)
            }
            Law::Uniform | Law::Exponent => {
                let (least, most) = two(items, Value::as_f64, "numbers")?;
                match law {
                    Law::Uniform => DrawnFrom::Uniform(least, most),
                    _ => DrawnFrom::LogUniform(10_f64.powf(-most), 10_f64.powf(-least)),
                }
            }
        };
        let reference = |name: &str| Value::from(format!("${{params.{name}}}"));
        if key != "n_conv" {
            return Ok(Some((reference(key), vec![(key.to_owned(), range)])));
        }
        // Each block has a number of its own.
        let blocks = own.get("n_convblocks").map_or(0, most_of);
        let names = (0..blocks).map(|block| format!("n_conv{block}"));
        let names: Vec<String> = names.collect();
        let value = names.iter().map(|name| reference(name)).collect();
        let params = names.into_iter().map(|name| (name, range.clone()));
        Ok(Some((value, params.collect())))
    }
}

/// The greatest number of blocks.
fn most_of(value: &Value) -> i64 {
    let last = value.as_array().and_then(|items| items.last());
    last.unwrap_or(value)
        .as_i64()
        .unwrap_or(0)
        .clamp(0, MAX_BLOCKS)
}

/// Two numbers, the smaller one first.
fn two<T: PartialOrd + Copy>(
    items: &[Value],
    number: fn(&Value) -> Option<T>,
    what: &str,
) -> Result<(T, T), String> {
    let numbers: Option<Vec<T>> = items.iter().map(number).collect();
    match numbers.as_deref() {
        Some(&[least, most]) if least <= most => Ok((least, most)),
        _ => Err(format!("expected two {what}, the smaller one first")),
    }
}

/// A text that stands for something stands for something known.
fn one_of(key: &str, value: &Value) -> Result<(), String> {
    let Some((_, names)) = NAMES.iter().find(|(known, _)| *known == key) else {
        return Ok(());
    };
    let text = value.as_str();
    if text.is_some_and(|text| names.contains(&text)) {
        return Ok(());
    }
    let known: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
    Err(format!("expected one of {}, got {value}", known.join(", ")))
}

/// Numbers of blocks are those that the network can have.
fn in_bounds(key: &str, value: &Value) -> Result<(), String> {
    let most = match key {
        "n_convblocks" => MAX_BLOCKS,
        "n_fcblocks" | "accumulation_steps" => i64::MAX,
        _ => return Ok(()),
    };
    if value.as_i64().is_some_and(|n| (1..=most).contains(&n)) {
        return Ok(());
    }
    Err(match most {
        i64::MAX => format!("expected at least 1, got {value}"),
        most => format!("expected 1 to {most}, got {value}"),
    })
}

/// Ten to the power of minus a number, which has to be meant so.
fn power(key: &str, value: &Value) -> Result<Value, String> {
    match value.as_f64() {
        Some(exponent) if exponent >= 1.0 => Ok(json!(10_f64.powf(-exponent))),
        Some(exponent) => {
            let meant = 10_f64.powf(-exponent);
            let mut message = format!(
                "a random search takes 10 to the power of minus this, here {meant:.5}: write 4 for 0.0001"
            );
            if key == "weight_decay" {
                message += ", and `wd_bool = false` for none";
            }
            Err(message)
        }
        None => Err(format!("expected a number, got {value}")),
    }
}

/// The options of the network, of a file whose values are drawn.
pub(super) fn architecture(own: &Map<String, Value>) -> Map<String, Value> {
    let number = |key: &str| own.get(key).and_then(Value::as_u64);
    let limit = number("channels_limit").unwrap_or(CHANNELS_LIMIT);
    let reduction = own.get("d_reduction").cloned();
    let reduction = reduction.unwrap_or(json!("MaxPooling"));
    let convolutions = |block: usize| match own.get("n_conv") {
        None => json!(1),
        Some(Value::Array(each)) => each.get(block).cloned().unwrap_or(json!(1)),
        Some(all) => all.clone(),
    };
    let mut blocks = Map::new();
    let (mut input, mut output) = (Value::Null, number("first_conv_width").unwrap_or(0));
    for block in 0..usize::try_from(number("n_convblocks").unwrap_or(0)).unwrap_or(0) {
        let described = json!({
            "in_channels": input, "out_channels": output, "n_conv": convolutions(block),
            "d_reduction": reduction,
        });
        blocks.insert(format!("conv{block}"), described);
        input = json!(output);
        if output < limit {
            output *= 2;
        }
    }
    let mut options = Map::from_iter([("convolutions_dict".to_owned(), Value::Object(blocks))]);
    if let Some(layers) = own.get("n_fcblocks") {
        options.insert("n_fcblocks".to_owned(), layers.clone());
    }
    if let Some(name) = own.get("network_normalization") {
        let normalization = match name.as_str() {
            Some("None") => Value::Null,
            _ => name.clone(),
        };
        options.insert("network_normalization".to_owned(), normalization);
    }
    options
}

#[cfg(test)]
mod tests {
    use engine::Registry;
    use engine::manifest::{Issues, Manifest};

    use super::*;

    fn file(more: Value) -> Map<String, Value> {
        let mut file = json!({
            "Random_Search": {
                "network_task": "classification", "tsv_path": "labels", "caps_directory": "caps",
                "preprocessing_json": "extract.json", "n_convblocks": [3, 5],
                "first_conv_width": [1, 3], "n_fcblocks": [1, 2],
            },
        });
        for (section, fields) in more.as_object().unwrap() {
            for (key, value) in fields.as_object().unwrap() {
                file[section][key] = value.clone();
            }
        }
        file.as_object().unwrap().clone()
    }

    fn messages(more: Value) -> Vec<String> {
        let issues = space(&file(more)).unwrap_err();
        let told = issues.into_iter();
        told.map(|issue| format!("{}: {}", issue.field, issue.message))
            .collect()
    }

    #[test]
    fn lists_are_drawn_by_the_law_of_their_key_wherever_they_are() {
        let drawn = space(&file(json!({
            "Random_Search": { "dropout": [0, 0.9], "n_conv": [1, 2], "optimizer": ["Adam", "SGD"], "diagnoses": ["AD", "CN"] },
            "Optimization": { "learning_rate": [2, 5], "weight_decay": 3, "epochs": 30 },
        })))
        .unwrap();
        let all: Vec<(String, Value)> = drawn
            .iter()
            .flat_map(|one| &one.params)
            .map(|(name, range)| (name.clone(), range.to_value()))
            .collect();
        let found = |name: &str| {
            all.iter()
                .find(|(known, _)| known == name)
                .unwrap()
                .1
                .clone()
        };
        assert_eq!(found("n_convblocks"), json!({ "integer": [3, 5] }));
        assert_eq!(found("first_conv_width"), json!({ "choice": [1, 3] }));
        assert_eq!(found("n_fcblocks"), json!({ "integer": [1, 2] }));
        assert_eq!(found("dropout"), json!({ "uniform": [0.0, 0.9] }));
        assert_eq!(found("optimizer"), json!({ "choice": ["Adam", "SGD"] }));
        assert_eq!(
            found("learning_rate"),
            json!({ "log_uniform": [1e-5, 1e-2] })
        );
        for block in 0..5 {
            assert_eq!(
                found(&format!("n_conv{block}")),
                json!({ "choice": [1, 2] })
            );
        }
        assert_eq!(all.len(), 11);
        let of = |field: &str| drawn.iter().find(|one| one.field == field).unwrap();
        assert_eq!(
            of("Optimization.learning_rate").value,
            "${params.learning_rate}"
        );
        assert_eq!(of("Optimization.weight_decay").value, json!(1e-3));
        assert_eq!(
            of("Random_Search.n_conv").value.as_array().unwrap().len(),
            5
        );
    }

    #[test]
    fn what_cannot_be_drawn_from_is_told_at_its_key() {
        let told = messages(json!({
            "Random_Search": {
                "n_convblocks": [3, 12], "first_conv_width": [], "n_fcblocks": [2, 1], "d_reduction": "maxpooling",
                "dropuot": 0.5, "learning_rate": 1e-4, "network_normalization": ["BatchNorm", "GroupNorm"],
                "weight_decay": 0, "dropout": [0, 0.5],
            },
            "Architecture": { "dropout": 0.3 },
        }));
        let expected = [
            "Random_Search.n_convblocks: expected 1 to 10, got 12",
            "Random_Search.first_conv_width: expected at least one value",
            "Random_Search.n_fcblocks: expected two integers, the smaller one first",
            "Random_Search.d_reduction: expected one of `MaxPooling`, `stride`, got \"maxpooling\"",
            "Random_Search.dropuot: ClinicaDL 1.6.1 has no key `dropuot`, did you mean `dropout`?",
            "Random_Search.learning_rate: a random search takes 10 to the power of minus this, here 0.99977",
            "Random_Search.network_normalization: expected one of",
            "Random_Search.weight_decay: a random search takes 10 to the power of minus this, here 1.00000",
            "Architecture.dropout: `dropout` is under `Random_Search` too",
        ];
        assert_eq!(told.len(), expected.len(), "{told:#?}");
        for (told, expected) in told.iter().zip(expected) {
            assert!(told.starts_with(expected), "{told}");
        }
        let empty = json!({ "Random_Search": { "n_fcblocks": 1 } });
        let issues = space(empty.as_object().unwrap()).unwrap_err();
        assert_eq!(issues[0].message, "`n_convblocks` is missing");
        assert!(space(&Map::new()).unwrap().is_empty());
    }

    #[test]
    fn channels_are_doubled_up_to_the_limit_which_may_be_passed() {
        let own = json!({
            "n_convblocks": 4, "first_conv_width": 32, "channels_limit": 48, "n_conv": [1, 2, 3, 1],
            "n_fcblocks": 2, "network_normalization": "None",
        });
        let options = architecture(own.as_object().unwrap());
        let block = |number: usize, key: &str| {
            options["convolutions_dict"][format!("conv{number}")][key].clone()
        };
        let widths = [0, 1, 2, 3].map(|number| block(number, "out_channels"));
        assert_eq!(widths, [json!(32), json!(64), json!(64), json!(64)]);
        assert_eq!(block(0, "in_channels"), Value::Null);
        assert_eq!(block(3, "in_channels"), 64);
        assert_eq!(block(2, "n_conv"), 3);
        assert_eq!(block(0, "d_reduction"), "MaxPooling");
        assert_eq!(options["network_normalization"], Value::Null);
    }

    /// The file that ClinicaDL 1.6.1 is tested with, in other words.
    const EXAMPLE: &str = "\
[Random_Search]
caps_directory = \"caps\"
tsv_path = \"labels\"
preprocessing_json = \"extract_roi.json\"
network_task = \"classification\"
n_convblocks = [3, 5]
first_conv_width = [1, 3]
n_fcblocks = [1, 2]
[Cross_validation]
n_splits = 2
split = [0]
[Optimization]
epochs = 1
patience = 0
tolerance = 0.0
";

    const MANIFEST: &str = "\
clinicadl: 1
name: random
search: { trials: 12, seed: SEED }
inputs: { images: ., folds: . }
stages:
  train:
    uses: train
    inputs: { images: images, splits: folds }
    config: random_search.toml
maps: out
";

    fn load(config: &str, manifest: &str) -> Result<Manifest, Issues> {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("random_search.toml"), config).unwrap();
        let path = folder.path().join("m.yaml");
        Manifest::parse(&path, manifest.to_owned(), Registry::new(crate::STAGES))
    }

    fn drawn(manifest: &Manifest) -> Vec<Value> {
        let trials = manifest.publications().iter();
        trials
            .map(|trial| {
                let stage = &manifest.stages[&trial.stages["train"]];
                stage.params["network"].clone()
            })
            .collect()
    }

    #[test]
    fn the_file_of_clinicadl_is_run_with_a_few_lines_of_manifest() {
        let manifest = MANIFEST.replace("SEED", "0");
        let found = load(EXAMPLE, &manifest).unwrap();
        assert_eq!(found.publications().len(), 12);
        for (trial, network) in found.publications().iter().zip(drawn(&found)) {
            let stage = &found.stages[&trial.stages["train"]];
            assert_eq!(stage.splits.as_deref(), Some(&[0][..]));
            assert_eq!(stage.params["epochs"], 1);
            assert_eq!(network["name"], "RandomArchitecture");
            let blocks = network["convolutions_dict"].as_object().unwrap();
            assert_eq!(
                blocks.len() as u64,
                trial.params["n_convblocks"].as_u64().unwrap()
            );
            assert!((3..=5).contains(&blocks.len()));
            let first = &blocks["conv0"]["out_channels"];
            assert_eq!(first, &trial.params["first_conv_width"]);
            assert_eq!(blocks["conv1"]["out_channels"], 2 * first.as_u64().unwrap());
            assert_eq!(network["n_fcblocks"], trial.params["n_fcblocks"]);
        }
        // Three, two and two choices: all twelve trials are different.
        assert_eq!(drawn(&load(EXAMPLE, &manifest).unwrap()), drawn(&found));
        let other = load(EXAMPLE, &MANIFEST.replace("SEED", "1")).unwrap();
        assert_ne!(drawn(&other), drawn(&found));
        // What is drawn for a key does not depend on others.
        let more = EXAMPLE.replace(
            "epochs = 1",
            "epochs = 1\nlearning_rate = [2, 5]\nweight_decay = 3",
        );
        let more = load(&more, &manifest.replace("trials: 12", "trials: 8")).unwrap();
        for (trial, before) in more.publications().iter().zip(found.publications()).take(4) {
            assert_eq!(trial.params["n_convblocks"], before.params["n_convblocks"]);
            let optimizer = &more.stages[&trial.stages["train"]].params["optimizer"];
            assert_eq!(optimizer["learning_rate"], trial.params["learning_rate"]);
            let rate = optimizer["learning_rate"].as_f64().unwrap();
            assert!((1e-5..=1e-2).contains(&rate), "{rate}");
            assert_eq!(optimizer["weight_decay"], json!(1e-3));
        }
    }

    #[test]
    fn problems_of_the_file_are_told_at_their_lines() {
        let manifest = MANIFEST.replace("SEED", "0");
        let told = |config: &str, manifest: &str| load(config, manifest).unwrap_err().to_string();
        let wrong = EXAMPLE.replace("n_fcblocks = [1, 2]", "n_fcblocs = [1, 2]\nn_conv = [1, 2]");
        let text = told(&wrong, &manifest);
        assert!(text.contains("random_search.toml:8:"), "{text}");
        assert!(text.contains("did you mean `n_fcblocks`?"), "{text}");
        assert!(text.contains("`n_fcblocks` is missing"), "{text}");
        let wrong = EXAMPLE.replace("epochs = 1", "epochs = 1\nlearning_rate = 1e-4");
        let text = told(&wrong, &manifest);
        assert!(text.contains("random_search.toml:14:"), "{text}");
        assert!(text.contains("here 0.99977"), "{text}");
        let without = manifest.replace("search: { trials: 12, seed: 0 }\n", "");
        let text = told(EXAMPLE, &without);
        assert!(text.contains("give the manifest a `search`"), "{text}");
        let taken = manifest.replace(
            "inputs: { images: ., ",
            "params: { n_convblocks: 3 }\ninputs: { images: ., ",
        );
        let text = told(EXAMPLE, &taken);
        assert!(
            text.contains("`n_convblocks` is drawn by this file, and a param already"),
            "{text}"
        );
        let other = format!("{EXAMPLE}[Model]\narchitecture = \"Conv5_FC3\"\n");
        let text = told(&other, &manifest);
        assert!(
            text.contains("a random search trains `RandomArchitecture`"),
            "{text}"
        );
    }

    #[test]
    fn without_weight_decay_there_is_none() {
        let config = EXAMPLE.replace("n_fcblocks = [1, 2]", "n_fcblocks = [1, 2]\nwd_bool = [false]\nn_conv = [1, 2]\nnetwork_normalization = \"None\"");
        let found = load(&config, &MANIFEST.replace("SEED", "0")).unwrap();
        let mut seen = std::collections::BTreeSet::new();
        for trial in found.publications() {
            let params = &found.stages[&trial.stages["train"]].params;
            assert_eq!(params["optimizer"]["weight_decay"], json!(0.0));
            assert_eq!(params["network"]["network_normalization"], Value::Null);
            for (name, block) in params["network"]["convolutions_dict"].as_object().unwrap() {
                assert_eq!(
                    block["n_conv"],
                    trial.params[&name.replace("conv", "n_conv")]
                );
                seen.insert(block["n_conv"].as_u64().unwrap());
            }
        }
        assert_eq!(seen.into_iter().collect::<Vec<_>>(), [1, 2]);
    }
}
