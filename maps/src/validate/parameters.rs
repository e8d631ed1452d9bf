//! `maps.json`: that every key is there, of its type and in its range, and that they fit one another.

use serde_json::Value;

use super::{Check, Facts, MapsIssue};
use crate::MapsError;
use crate::files::{MapsJson, RECONSTRUCTION_COLUMNS, REGRESSION_COLUMNS};
use crate::layout::{LEVELS, MAPS_JSON};

/// What a key may hold.
#[derive(Clone, Copy)]
enum Kind {
    /// True or false.
    Switch,
    /// A text, or null.
    Text,
    /// One of these.
    OneOf(&'static [&'static str]),
    /// A whole number, at least this.
    Count(u64),
    /// A number from one to the other, or null.
    Number(f64, f64),
    /// A list of texts.
    Texts,
    /// False, or a list of texts.
    Augmentation,
    /// False, or a text.
    TextOrFalse,
    /// An object.
    Object,
    /// A list.
    List,
}

const ANY: f64 = f64::MAX;

/// The keys of ClinicaDL 1.6.1 but those that [`facts`] looks at. A key that is missing has its default.
const KEYS: [(&str, Kind); 53] = [
    ("multi_network", Kind::Switch),
    ("ssda_network", Kind::Switch),
    ("dropout", Kind::Number(0.0, 1.0)),
    ("latent_space_size", Kind::Count(1)),
    ("feature_size", Kind::Count(0)),
    ("n_conv", Kind::Count(1)),
    ("io_layer_channels", Kind::Count(1)),
    ("recons_weight", Kind::Number(0.0, ANY)),
    ("kl_weight", Kind::Number(0.0, ANY)),
    ("normalization", Kind::Text),
    ("selection_threshold", Kind::Number(0.0, 1.0)),
    ("loss", Kind::Text),
    ("gpu", Kind::Switch),
    ("n_proc", Kind::Count(0)),
    ("batch_size", Kind::Count(1)),
    ("evaluation_steps", Kind::Count(0)),
    ("fully_sharded_data_parallel", Kind::Switch),
    ("amp", Kind::Switch),
    ("seed", Kind::Count(0)),
    ("deterministic", Kind::Switch),
    ("compensation", Kind::OneOf(&["memory", "time"])),
    ("track_exp", Kind::Text),
    ("transfer_path", Kind::TextOrFalse),
    ("transfer_selection_metric", Kind::Text),
    ("nb_unfrozen_layer", Kind::Count(0)),
    ("use_extracted_features", Kind::Switch),
    ("multi_cohort", Kind::Switch),
    ("diagnoses", Kind::Texts),
    ("baseline", Kind::Switch),
    ("valid_longitudinal", Kind::Switch),
    ("normalize", Kind::Switch),
    ("data_augmentation", Kind::Augmentation),
    ("sampler", Kind::OneOf(&["random", "weighted"])),
    ("size_reduction", Kind::Switch),
    ("size_reduction_factor", Kind::Count(1)),
    ("n_splits", Kind::Count(0)),
    ("optimizer", Kind::Text),
    ("epochs", Kind::Count(1)),
    ("learning_rate", Kind::Number(0.0, ANY)),
    ("adaptive_learning_rate", Kind::Switch),
    ("weight_decay", Kind::Number(0.0, ANY)),
    ("patience", Kind::Count(0)),
    ("tolerance", Kind::Number(0.0, ANY)),
    ("accumulation_steps", Kind::Count(1)),
    ("profiler", Kind::Switch),
    ("save_all_models", Kind::Switch),
    ("emissions_calculator", Kind::Switch),
    ("caps_directory", Kind::Text),
    ("tsv_path", Kind::Text),
    ("preprocessing_dict", Kind::Object),
    ("split", Kind::List),
    ("validation", Kind::OneOf(&["SingleSplit", "KFoldSplit"])),
    ("num_networks", Kind::Count(1)),
];

impl Kind {
    fn fits(self, value: &Value) -> bool {
        let is_texts = |value: &Value| {
            let items = value.as_array();
            items.is_some_and(|items| items.iter().all(Value::is_string))
        };
        match self {
            Self::Switch => value.is_boolean(),
            Self::Text => value.is_string() || value.is_null(),
            Self::OneOf(names) => value.as_str().is_some_and(|text| names.contains(&text)),
            Self::Count(least) => value.as_u64().is_some_and(|number| number >= least),
            Self::Number(least, most) => {
                let number = value.as_f64();
                value.is_null() || number.is_some_and(|number| (least..=most).contains(&number))
            }
            Self::Texts => is_texts(value),
            Self::Augmentation => value == &Value::Bool(false) || is_texts(value),
            Self::TextOrFalse => value == &Value::Bool(false) || value.is_string(),
            Self::Object => value.is_object(),
            Self::List => value.is_array(),
        }
    }

    fn expected(self) -> String {
        match self {
            Self::Switch => "true or false".to_owned(),
            Self::Text => "a string or null".to_owned(),
            Self::OneOf(names) => format!("`{}`", names.join("` or `")),
            Self::Count(least) => format!("an integer, at least {least}"),
            Self::Number(least, most) if most < ANY => format!("a number from {least} to {most}"),
            Self::Number(least, _) => format!("a number, at least {least}"),
            Self::Texts => "a list of strings".to_owned(),
            Self::Augmentation => "false or a list of strings".to_owned(),
            Self::TextOrFalse => "false or a string".to_owned(),
            Self::Object => "an object".to_owned(),
            Self::List => "a list".to_owned(),
        }
    }
}

/// Checks the parameters, and gives what other files have to agree with.
pub(super) fn check(check: &mut Check, parameters: &MapsJson) -> Facts {
    let text = std::fs::read_to_string(check.folder.join(MAPS_JSON)).unwrap_or_default();
    let mut keys = Keys { check, text };
    for (key, kind) in KEYS {
        let value = parameters.fields().get(key);
        if let Some(value) = value.filter(|value| !kind.fits(value)) {
            let expected = kind.expected();
            let message = format!("key `{key}`: expected {expected}, got `{value}`");
            keys.report(key, message);
        }
    }
    facts(&mut keys, parameters)
}

/// Issues with keys, each with the line of its key.
struct Keys<'a> {
    check: &'a mut Check,
    text: String,
}

impl Keys<'_> {
    fn report(&mut self, key: &str, message: String) {
        let issue = MapsIssue::new(MAPS_JSON, message).at(self.line(key));
        self.check.issues.push(issue);
    }

    fn keep<T>(&mut self, result: Result<T, MapsError>) -> Option<T> {
        result
            .map_err(|error| {
                let line = error.key().and_then(|key| self.line(key));
                let issue = MapsIssue::of_error(MAPS_JSON, &error).at(line);
                self.check.issues.push(issue);
            })
            .ok()
    }

    /// The first line that begins with a key; none for one that had another name before.
    fn line(&self, key: &str) -> Option<u64> {
        let key = format!("\"{}\":", key.split('.').next_back()?);
        let mut lines = self.text.lines();
        let found = lines.position(|line| line.trim_start().starts_with(&key))?;
        Some(found as u64 + 1)
    }
}

fn facts(keys: &mut Keys<'_>, parameters: &MapsJson) -> Facts {
    let architecture = keys.keep(parameters.architecture()).map(str::to_owned);
    let task = keys.keep(parameters.network_task()).unwrap_or_default();
    let known = ["classification", "regression", "reconstruction"];
    if !task.is_empty() && !known.contains(&task) {
        let known = known.join("` or `");
        let message = format!("key `network_task`: expected `{known}`, got `{task}`");
        keys.report("network_task", message);
    }
    let mode = keys.keep(parameters.mode()).unwrap_or_default();
    let networks = match keys.keep(parameters.networks()) {
        None => Vec::new(),
        Some(None) => vec![None],
        Some(Some(count)) => (0..count).map(Some).collect(),
    };
    if !mode.is_empty() && !LEVELS.contains(&mode) {
        let known = LEVELS.join("` or `");
        keys.report(
            "mode",
            format!("key `mode`: expected `{known}`, got `{mode}`"),
        );
    }
    let label = keys.keep(parameters.label()).flatten().map(str::to_owned);
    let input_size = keys.keep(parameters.input_size());
    if let Some(sizes) = input_size
        && (!(3..=4).contains(&sizes.len()) || sizes.contains(&0))
    {
        let message =
            format!("key `input_size`: expected channels and two or three sizes, got {sizes:?}");
        keys.report("input_size", message);
    }
    let output_size = match task {
        "reconstruction" => None,
        _ => keys.keep(parameters.output_size()),
    };
    let selection_metrics = keys.keep(parameters.selection_metrics());
    if selection_metrics.as_ref().is_some_and(Vec::is_empty) {
        keys.report(
            "selection_metrics",
            "has no metric in `selection_metrics`".to_owned(),
        );
    }
    let switch = |key: &str| parameters.switch(key).unwrap_or(false);
    let mut facts = Facts {
        is_known: true,
        columns: match task {
            "regression" => Some(&REGRESSION_COLUMNS),
            "reconstruction" => Some(&RECONSTRUCTION_COLUMNS),
            _ => None,
        },
        label,
        mode: mode.to_owned(),
        networks,
        has_two_domains: switch("ssda_network"),
        is_drawn: parameters
            .text("sampler")
            .is_ok_and(|name| name == "weighted"),
        selection_metrics: selection_metrics.unwrap_or_default(),
        architecture,
        ..Facts::default()
    };
    if task == "regression" && output_size.is_some_and(|size| size != 1) {
        let size = output_size.unwrap_or_default();
        let message = format!("key `output_size`: expected 1 in a regression, got `{size}`");
        keys.report("output_size", message);
    }
    if task == "classification" {
        let code = keys.keep(parameters.label_code()).unwrap_or_default();
        if code.is_empty() {
            keys.report("label_code", "has no labels in `label_code`".to_owned());
        }
        facts.n_classes = output_size.unwrap_or(0);
        for (label, code) in &code {
            if usize::try_from(*code).map_or(true, |code| code >= facts.n_classes) {
                let message = format!(
                    "code {code} of label `{label}` is beyond the {} outputs of the network",
                    facts.n_classes
                );
                keys.report(label, message);
            }
        }
        facts.label_code = code;
    }
    facts
}
