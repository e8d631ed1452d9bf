//! What a `maps.json` tells of a training besides the keys of ClinicaDL 1.6.1, so that it can be done again.
//!
//! ClinicaDL ignores them. A parameter more is recorded by itself.

use engine::params::{FieldClass, Fields, semantic, to_value};
use serde_json::{Map, Value};

use super::train::TrainParams;

/// Parameters that ClinicaDL 1.6.1 has a key for, of this or another name.
const OF_CLINICADL: [&str; 24] = [
    "task",
    "label",
    "label_code",
    "diagnoses",
    "network",
    "loss",
    "epochs",
    "batch_size",
    "accumulation_steps",
    "evaluation_steps",
    "patience",
    "tolerance",
    "adaptive_learning_rate",
    "save_all_models",
    "selection_metrics",
    "sampler",
    "normalize",
    "size_reduction",
    "size_reduction_factor",
    "baseline",
    "validation_longitudinal",
    "deterministic",
    "multi_network",
    "selection_threshold",
];

/// Parameters whose names are keys of ClinicaDL that tell less, and their keys.
const RENAMED: [(&str, &str); 2] = [
    ("optimizer", "optimizer_options"),
    ("data_augmentation", "data_augmentation_options"),
];

/// A key that only this program writes, whatever the parameters are.
const MARK: &str = "weights_seed";

fn key_of(param: &'static str) -> &'static str {
    let renamed = RENAMED.iter().find(|(name, _)| *name == param);
    renamed.map_or(param, |(_, key)| key)
}

/// Parameters and their keys.
fn recorded() -> impl Iterator<Item = (&'static engine::params::Field, &'static str)> {
    let fields = TrainParams::FIELDS.iter();
    let own = fields
        .filter(|field| field.class == FieldClass::Semantic && !OF_CLINICADL.contains(&field.name));
    own.map(|field| (field, key_of(field.name)))
}

/// The keys that it adds to those of ClinicaDL.
pub(super) fn keys() -> impl Iterator<Item = &'static str> {
    recorded().map(|(_, key)| key)
}

/// Keys and values for a `maps.json`.
pub fn record(params: &TrainParams) -> Map<String, Value> {
    let all = semantic(&to_value(params), TrainParams::FIELDS);
    let entries = recorded().filter_map(|(field, key)| {
        let value = all.get(field.name)?.clone();
        // Of mixed precision ClinicaDL has a key that does not say which.
        let is_told = field.name == "precision" && value == "float32";
        (!is_told).then(|| (key.to_owned(), value))
    });
    entries.collect()
}

/// Puts what is recorded in the place of what the keys of ClinicaDL say of it.
pub(super) fn restore(values: &Map<String, Value>, params: &mut Map<String, Value>) {
    if !values.contains_key(MARK) {
        return;
    }
    for (field, key) in recorded() {
        let neutral = || field.neutral.map(|neutral| neutral());
        if let Some(value) = values.get(key).cloned().or_else(neutral) {
            params.insert(field.name.to_owned(), value);
        }
    }
    // For ClinicaDL, its one scheduler is a switch.
    let scheduler = params.get("scheduler").and_then(|s| s.get("name"));
    if scheduler.is_some_and(|name| name != "constant") {
        params.shift_remove("adaptive_learning_rate");
    }
}
