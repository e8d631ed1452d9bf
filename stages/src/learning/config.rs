//! Parameters of trainings of ClinicaDL 1.6.1: its `train_config.toml`, and a `maps.json`.
//!
//! A TOML has sections, of which that of the task is used; a `maps.json` has the same keys without
//! sections, and some that tell what came out. What has no meaning here and changes no result is left
//! out; what would change one is refused with what to do instead.

use engine::manifest::did_you_mean;
use engine::{Config, Imported, ParamIssue};
use serde_json::{Map, Value, json};

use super::names::Task;
use super::networks::cnn::RANDOM_ARCHITECTURE as RANDOM;
use super::networks::declared;
use super::random_search;
use super::recorded;

/// Sections of a TOML and their keys, as in its file of defaults.
pub(super) const SECTIONS: &[(&str, &[&str])] = &[
    ("Model", &["architecture", "multi_network", "ssda_network"]),
    (
        "Architecture",
        &[
            "dropout",
            "latent_space_size",
            "feature_size",
            "n_conv",
            "io_layer_channels",
            "recons_weight",
            "kl_weight",
            "normalization",
        ],
    ),
    (
        "Classification",
        &[
            "selection_metrics",
            "label",
            "label_code",
            "selection_threshold",
            "loss",
        ],
    ),
    ("Regression", &["selection_metrics", "label", "loss"]),
    ("Reconstruction", &["selection_metrics", "loss"]),
    (
        "Computational",
        &[
            "gpu",
            "n_proc",
            "batch_size",
            "evaluation_steps",
            "fully_sharded_data_parallel",
            "amp",
        ],
    ),
    (
        "Reproducibility",
        &["seed", "deterministic", "compensation", "track_exp"],
    ),
    (
        "Transfer_learning",
        &[
            "transfer_path",
            "transfer_selection_metric",
            "nb_unfrozen_layer",
        ],
    ),
    ("Mode", &["use_extracted_features"]),
    (
        "Data",
        &[
            "multi_cohort",
            "diagnoses",
            "baseline",
            "valid_longitudinal",
            "normalize",
            "data_augmentation",
            "sampler",
            "size_reduction",
            "size_reduction_factor",
            "caps_target",
            "tsv_target_lab",
            "tsv_target_unlab",
            "preprocessing_dict_target",
        ],
    ),
    ("Cross_validation", &["n_splits", "split"]),
    (
        "Optimization",
        &[
            "optimizer",
            "epochs",
            "learning_rate",
            "adaptive_learning_rate",
            "weight_decay",
            "patience",
            "tolerance",
            "accumulation_steps",
            "profiler",
            "save_all_models",
        ],
    ),
    ("Informations", &["emissions_calculator"]),
];

/// The section of a random search.
pub(super) const OF_SEARCH: &str = "Random_Search";

/// Keys of a `maps.json` that tell where and what was learnt, or what came out.
const OUTCOMES: &[&str] = &[
    "network_task",
    "caps_directory",
    "tsv_path",
    "preprocessing_dict",
    "mode",
    "validation",
    "num_networks",
    "output_size",
    "input_size",
    "std_amp",
    "precision",
    "voting",
    "input_sizes",
];

/// Keys whose value is a parameter of the same or another name.
const SAME: &[(&str, &str)] = &[
    ("selection_metrics", "selection_metrics"),
    ("label", "label"),
    ("loss", "loss"),
    ("n_proc", "n_proc"),
    ("batch_size", "batch_size"),
    ("evaluation_steps", "evaluation_steps"),
    ("deterministic", "deterministic"),
    ("transfer_selection_metric", "transfer_selection_metric"),
    ("nb_unfrozen_layer", "nb_unfrozen_layer"),
    ("diagnoses", "diagnoses"),
    ("baseline", "baseline"),
    ("valid_longitudinal", "validation_longitudinal"),
    ("normalize", "normalize"),
    ("sampler", "sampler"),
    ("size_reduction", "size_reduction"),
    ("size_reduction_factor", "size_reduction_factor"),
    ("epochs", "epochs"),
    ("adaptive_learning_rate", "adaptive_learning_rate"),
    ("patience", "patience"),
    ("tolerance", "tolerance"),
    ("accumulation_steps", "accumulation_steps"),
    ("save_all_models", "save_all_models"),
    ("multi_network", "multi_network"),
    ("precision", "precision"),
];

/// The network for two domains.
const TWO_DOMAINS: &str = super::networks::cnn::CONV5_FC3_SSDA.name;
/// Keys about the second domain.
const OF_DOMAINS: [&str; 5] = [
    "ssda_network",
    "caps_target",
    "tsv_target_lab",
    "tsv_target_unlab",
    "preprocessing_dict_target",
];

/// Networks that ClinicaDL builds with a dropout of its own, whatever is asked for.
const FIXED_DROPOUT: [&str; 2] = ["ResNet3D", "SqueezeExcitationCNN"];

/// The parameters of `train` that a file of ClinicaDL 1.6.1 means; `with` may name the task.
///
/// # Errors
/// Unknown sections and keys, and settings that this program has elsewhere or not at all.
pub(super) fn import(config: &Config<'_>) -> Result<Imported, Vec<ParamIssue>> {
    let Config {
        file: config,
        with,
        is_search,
    } = *config;
    let mut import = Import {
        is_search,
        ..Import::default()
    };
    let of_search = config.get(OF_SEARCH).and_then(|s| s.get("network_task"));
    let named = config.get("network_task").or(of_search);
    let named = named.or(with.get("task"));
    let task = match named.and_then(Value::as_str) {
        None => Task::Classification,
        Some(name) => match Task::ALL.iter().find(|task| task.name() == name) {
            Some(task) => *task,
            // The schema of the parameters tells.
            None => {
                return Ok(Imported {
                    with: Map::from_iter([("task".to_owned(), json!(name))]),
                    splits: None,
                });
            }
        },
    };
    if config.values().any(Value::is_object) && !config.contains_key("architecture") {
        import.sections(config, task);
    } else {
        import.flat(config);
    }
    let network = with.pointer("/network/name").and_then(Value::as_str);
    let with = import.params(task, network);
    let splits = import.splits();
    match import.issues.is_empty() {
        true => Ok(Imported { with, splits }),
        false => Err(import.issues),
    }
}

#[derive(Default)]
struct Import {
    is_search: bool,
    /// The keys that only a random search has, if it is one.
    of_search: Option<Map<String, Value>>,
    /// Values by key, with their path in the file.
    values: Map<String, Value>,
    paths: std::collections::BTreeMap<String, String>,
    issues: Vec<ParamIssue>,
}

impl Import {
    fn refuse(&mut self, path: &str, message: impl Into<String>) {
        self.issues.push(ParamIssue::new(path, message));
    }

    fn take(&mut self, key: &str, path: String, value: &Value) {
        self.values.insert(key.to_owned(), value.clone());
        self.paths.insert(key.to_owned(), path);
    }

    fn sections(&mut self, config: &Map<String, Value>, task: Task) {
        let tasks = Task::ALL.iter().map(|task| task.name());
        let tasks: Vec<&str> = tasks.collect();
        for (section, fields) in config {
            if section == OF_SEARCH {
                self.random_search(fields);
                continue;
            }
            let Some((_, keys)) = SECTIONS.iter().find(|(name, _)| name == section) else {
                let known = SECTIONS.iter().map(|(name, _)| *name);
                let message = unknown("section", section, known);
                self.refuse(section, message);
                continue;
            };
            let Some(fields) = fields.as_object() else {
                self.refuse(section, "expected a section");
                continue;
            };
            let lower = section.to_lowercase();
            let is_other = tasks.contains(&lower.as_str()) && lower != task.name();
            for (key, value) in fields {
                let path = format!("{section}.{key}");
                if !keys.contains(&key.as_str()) {
                    let message = unknown("key", key, keys.iter().copied());
                    self.refuse(&path, message);
                } else if !is_other {
                    self.take(key, path, value);
                }
            }
        }
    }

    /// What is drawn has its value by now.
    fn random_search(&mut self, fields: &Value) {
        if !self.is_search {
            let message = "this is a random search: give the manifest a `search`, such as `search: { trials: 20 }`, or remove the section";
            self.refuse(OF_SEARCH, message);
            return;
        }
        let mut own = Map::new();
        for (key, value) in fields.as_object().into_iter().flatten() {
            if random_search::is_own(key) {
                own.insert(key.clone(), value.clone());
            } else {
                self.take(key, format!("{OF_SEARCH}.{key}"), value);
            }
        }
        self.of_search = Some(own);
    }

    /// The splits to run, all of them if none is listed.
    fn splits(&mut self) -> Option<Vec<usize>> {
        if !self.is_set("split") {
            return None;
        }
        let listed = self.values["split"].as_array();
        let numbers = listed.and_then(|items| {
            let numbers = items
                .iter()
                .map(|item| usize::try_from(item.as_u64()?).ok());
            numbers.collect::<Option<Vec<usize>>>()
        });
        if numbers.is_none() {
            let path = self.paths["split"].clone();
            self.refuse(&path, "expected a list of numbers of splits");
        }
        numbers
    }

    fn flat(&mut self, config: &Map<String, Value>) {
        let of_sections = SECTIONS.iter().flat_map(|(_, keys)| *keys);
        let network = config.get("architecture").and_then(Value::as_str);
        let options = network
            .and_then(declared)
            .map_or(Vec::new(), |network| (network.options.names)());
        let known = of_sections.chain(OUTCOMES).copied().chain(options);
        let known = known.chain(recorded::keys());
        let known: Vec<&str> = known.collect();
        for (key, value) in config {
            if known.contains(&key.as_str()) {
                self.take(key, key.clone(), value);
            } else {
                let message = unknown("key", key, known.iter().copied());
                self.refuse(key, message);
            }
        }
    }

    fn text(&self, key: &str) -> Option<&str> {
        self.values.get(key).and_then(Value::as_str)
    }

    /// Whether something is asked for: not false, not null, not empty.
    fn is_set(&self, key: &str) -> bool {
        match self.values.get(key) {
            None | Some(Value::Null | Value::Bool(false)) => false,
            Some(Value::String(text)) => !text.is_empty(),
            Some(Value::Array(items)) => !items.is_empty(),
            Some(Value::Object(fields)) => !fields.is_empty(),
            Some(Value::Number(number)) => number.as_f64() != Some(0.0),
            Some(Value::Bool(true)) => true,
        }
    }

    /// The parameters; options of the network are those of the one that wins.
    fn params(&mut self, task: Task, network: Option<&str>) -> Map<String, Value> {
        let mut params = Map::new();
        params.insert("task".to_owned(), json!(task.name()));
        for (key, param) in SAME {
            if let Some(value) = self.values.get(*key).filter(|value| !value.is_null()) {
                params.insert((*param).to_owned(), value.clone());
            }
        }
        // A number of layers without a source means nothing here, and 0 is the default.
        if !self.is_set("nb_unfrozen_layer") {
            params.shift_remove("nb_unfrozen_layer");
        }
        if self.is_set("label_code") {
            params.insert("label_code".to_owned(), self.values["label_code"].clone());
        }
        if task == Task::Classification {
            // There, the votes of parts weigh what their accuracy is.
            let voting = self.text("voting").unwrap_or("accuracy");
            params.insert("voting".to_owned(), json!(voting));
            if self.is_set("selection_threshold") {
                let threshold = self.values["selection_threshold"].clone();
                params.insert("selection_threshold".to_owned(), threshold);
            }
        }
        if let Some(seed) = self.values.get("seed").filter(|seed| !seed.is_null()) {
            params.insert("weights_seed".to_owned(), seed.clone());
            // There, orders start from 0 whatever the seed is.
            params.insert("sampler_seed".to_owned(), json!(0));
        }
        if self.is_set("amp") && !self.values.contains_key("precision") {
            params.insert("precision".to_owned(), json!("float16"));
        }
        let network = self.network(task, network);
        // Their paths are inputs of the stage, which a network for two domains asks for.
        if network["name"] != TWO_DOMAINS {
            self.refuse_domains();
        }
        params.insert("network".to_owned(), network);
        let mut optimizer = Map::new();
        for (key, option) in [
            ("optimizer", "name"),
            ("learning_rate", "learning_rate"),
            ("weight_decay", "weight_decay"),
        ] {
            if let Some(value) = self.values.get(key) {
                optimizer.insert(option.to_owned(), value.clone());
            }
        }
        let of_search = self.of_search.as_ref();
        if of_search.and_then(|own| own.get("wd_bool")) == Some(&json!(false)) {
            optimizer.insert("weight_decay".to_owned(), json!(0.0));
        }
        if !optimizer.is_empty() {
            params.insert("optimizer".to_owned(), Value::Object(optimizer));
        }
        if let Some(Value::Array(names)) = self.values.get("data_augmentation") {
            let names = names.iter().filter(|name| *name != "None");
            let all: Vec<Value> = names.map(|name| json!({ "name": name })).collect();
            params.insert("data_augmentation".to_owned(), Value::Array(all));
        }
        self.refuse_others();
        recorded::restore(&self.values, &mut params);
        params
    }

    fn network(&mut self, task: Task, wanted: Option<&str>) -> Value {
        let own = self.text("architecture").filter(|name| *name != "default");
        let own = own.map(str::to_owned);
        let is_random = self.of_search.is_some();
        if is_random && own.as_deref().is_some_and(|name| name != RANDOM.name) {
            let message = format!("a random search trains `{}`", RANDOM.name);
            let path = self.paths["architecture"].clone();
            self.refuse(&path, message);
        }
        let own = match is_random {
            true => Some(RANDOM.name),
            false => own.as_deref(),
        };
        let name = wanted.or(own).unwrap_or(match task {
            Task::Reconstruction => "AE_Conv5_FC3",
            Task::Classification | Task::Regression => "Conv5_FC3",
        });
        let mut network = Map::from_iter([("name".to_owned(), json!(name))]);
        if let Some(own) = self.of_search.as_ref().filter(|_| name == RANDOM.name) {
            network.extend(random_search::architecture(own));
        }
        let options = declared(name).map_or(Vec::new(), |network| (network.options.names)());
        for option in options {
            if option == "dropout" && FIXED_DROPOUT.contains(&name) {
                continue;
            }
            if let Some(value) = self.values.get(option) {
                network.insert(option.to_owned(), value.clone());
            }
        }
        Value::Object(network)
    }

    /// A second domain beside a network for one.
    fn refuse_domains(&mut self) {
        let message = format!(
            "two domains are learnt by `network: {{ name: {TWO_DOMAINS} }}` with inputs `target_images`, `target_splits` and `unlabelled`"
        );
        for key in OF_DOMAINS {
            if self.is_set(key) {
                let path = self.paths[key].clone();
                self.refuse(&path, message.clone());
            }
        }
    }

    /// What would change the result and is elsewhere, or nowhere.
    fn refuse_others(&mut self) {
        for (key, instead) in [
            (
                "fully_sharded_data_parallel",
                "trainings run on one device here: set it to false",
            ),
            (
                "transfer_path",
                "connect what to start from as input `source` of the stage",
            ),
            (
                "track_exp",
                "tracking servers are not written to: see the tables and event files",
            ),
        ] {
            if self.is_set(key) {
                let path = self.paths[key].clone();
                self.refuse(&path, instead);
            }
        }
    }
}

pub(super) fn unknown<'k>(what: &str, name: &str, known: impl Iterator<Item = &'k str>) -> String {
    let guess = did_you_mean(name, known);
    let guess = guess.map_or(String::new(), |guess| format!(", did you mean `{guess}`?"));
    format!("ClinicaDL 1.6.1 has no {what} `{name}`{guess}")
}

#[cfg(test)]
mod tests {
    use engine::Stage;

    use super::super::{Train, TrainParams};
    use super::*;

    fn given<'a>(config: &'a Value, with: &'a Value) -> Config<'a> {
        Config {
            file: config.as_object().unwrap(),
            with,
            is_search: false,
        }
    }

    fn imported(config: &Value, with: Value) -> TrainParams {
        let imported = import(&given(config, &with)).unwrap();
        serde_json::from_value(Value::Object(imported.with)).unwrap()
    }

    fn messages(config: Value) -> Vec<String> {
        let issues = import(&given(&config, &json!({}))).unwrap_err();
        let all = issues.into_iter();
        all.map(|issue| format!("{}: {}", issue.field, issue.message))
            .collect()
    }

    #[test]
    fn the_sections_of_a_task_become_parameters() {
        let config = json!({
            "Model": { "architecture": "default", "multi_network": true },
            "Architecture": { "dropout": 0.5, "latent_space_size": 64, "normalization": "batch" },
            "Classification": { "label": "diagnosis", "label_code": {}, "loss": "CrossEntropyLoss", "selection_threshold": 0.6 },
            "Regression": { "label": "age", "loss": "L1Loss" },
            "Computational": { "gpu": true, "batch_size": 3, "amp": true },
            "Reproducibility": { "seed": 7, "track_exp": "" },
            "Data": { "diagnoses": ["AD", "CN"], "data_augmentation": ["Noise", "Flip"], "valid_longitudinal": true },
            "Optimization": { "optimizer": "SGD", "learning_rate": 0.1, "weight_decay": 0.0, "epochs": 4 },
        });
        let params = imported(&config, json!({}));
        assert!(Train::check(&params).is_empty());
        assert_eq!(params.learnt(), Some("diagnosis"));
        assert_eq!(params.network.name, "Conv5_FC3");
        assert_eq!(params.network.complete().unwrap()["dropout"], 0.5);
        assert_eq!((params.batch_size, params.epochs), (3, 4));
        assert_eq!(
            (params.weights_seed, params.sampler_seed),
            (Some(7), Some(0))
        );
        assert_eq!(params.optimizer.name, "SGD");
        assert!((params.optimizer.learning_rate() - 0.1).abs() < 1e-12);
        assert_eq!(params.precision.name(), "float16");
        assert!(params.multi_network);
        assert_eq!(params.voting.name(), "accuracy");
        assert!((params.selection_threshold - 0.6).abs() < 1e-12);
        assert!(params.validation_longitudinal);
        let names = params.data_augmentation.iter().map(|one| one.name.as_str());
        assert_eq!(names.collect::<Vec<_>>(), ["Noise", "Flip"]);
        // The section of another task, and its default network.
        let params = imported(&config, json!({ "task": "regression" }));
        assert_eq!(params.learnt(), Some("age"));
        assert_eq!(params.loss().name(), "L1Loss");
        let params = imported(&config, json!({ "task": "reconstruction" }));
        assert_eq!(params.network.name, "AE_Conv5_FC3");
        assert!(Train::check(&params).is_empty());
    }

    #[test]
    fn a_network_that_is_chosen_beside_the_file_gets_the_options_that_it_has() {
        let config = json!({ "Architecture": { "dropout": 0.5, "recons_weight": 3 } });
        let with = json!({ "task": "reconstruction", "network": { "name": "CVAE_3D" } });
        let params = imported(&config, with);
        let options = params.network.complete().unwrap();
        assert_eq!(options["recons_weight"], 3.0);
        assert!(!options.contains_key("dropout"));
    }

    #[test]
    fn what_is_unknown_or_elsewhere_is_told() {
        let told = messages(json!({
            "Model": { "architecure": "Conv5_FC3", "ssda_network": true },
            "Optimisation": { "epochs": 3 },
            "Transfer_learning": { "transfer_path": "old_maps" },
            "Cross_validation": { "split": [0, "x"] },
            "Random_Search": { "n_convblocks": [1, 2] },
        }));
        let expected = [
            "Model.architecure: ClinicaDL 1.6.1 has no key `architecure`, did you mean `architecture`?",
            "Optimisation: ClinicaDL 1.6.1 has no section `Optimisation`, did you mean `Optimization`?",
            "Random_Search: this is a random search: give the manifest a `search`",
            "Model.ssda_network: two domains",
            "Transfer_learning.transfer_path: connect",
            "Cross_validation.split: expected a list of numbers",
        ];
        assert_eq!(told.len(), expected.len(), "{told:#?}");
        for (told, expected) in told.iter().zip(expected) {
            assert!(told.starts_with(expected), "{told}");
        }
    }

    #[test]
    fn two_domains_are_those_of_their_network_and_inputs() {
        let of = |architecture: &str| {
            json!({
                "Model": { "architecture": architecture, "ssda_network": true },
                "Data": { "caps_target": "caps", "tsv_target_lab": "split", "tsv_target_unlab": "" },
            })
        };
        let told = messages(of("Conv5_FC3"));
        assert_eq!(told.len(), 3, "{told:#?}");
        assert!(told[0].starts_with(
            "Model.ssda_network: two domains are learnt by `network: { name: Conv5_FC3_SSDA }`"
        ));
        assert!(told[1].starts_with("Data.caps_target: "), "{told:#?}");
        assert!(told[2].starts_with("Data.tsv_target_lab: "), "{told:#?}");
        let params = imported(&of("Conv5_FC3_SSDA"), json!({}));
        assert!(params.has_two_domains());
        // A file of the network for one, beside which the other is chosen.
        let with = json!({ "network": { "name": "Conv5_FC3_SSDA" } });
        assert!(imported(&of("default"), with).has_two_domains());
    }

    #[test]
    fn the_dropout_that_clinicadl_ignores_is_left_out() {
        let config =
            json!({ "architecture": "ResNet3D", "dropout": 0.0, "network_task": "classification" });
        let params = imported(&config, json!({}));
        assert_eq!(params.network.complete().unwrap()["dropout"], 0.8);
    }
}
