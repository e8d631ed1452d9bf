//! From configuration objects to `maps.json`.

use std::collections::BTreeMap;

use indexmap::IndexMap;
use serde_json::{Map, Value, json};

use super::super::ImportError;
use super::super::draft::Draft;
use super::super::network::{Translated, translate};
use super::{Facts, json, level_of};
use crate::MapsError;
use crate::files::TrainingParams;
use crate::layout::IMAGE_LEVEL;

const MODEL: &str = "model.json";

/// Losses of classes; the others are of numbers.
const OF_CLASSES: [&str; 5] = [
    "BCELoss",
    "BCEWithLogitsLoss",
    "CrossEntropyLoss",
    "MultiMarginLoss",
    "NLLLoss",
];

/// Networks whose outputs are images: with labels they segment.
const OF_IMAGES: [&str; 6] = [
    "AttentionUNet",
    "AutoEncoder",
    "ConvDecoder",
    "Generator",
    "UNet",
    "VAE",
];

/// Reads what was trained, and how.
pub(super) fn read(
    draft: &mut Draft,
    splits: BTreeMap<usize, String>,
) -> Result<(TrainingParams, Facts), ImportError> {
    let model = json(draft, MODEL)?.unwrap_or_default();
    let unknown = |what: String, expected| ImportError::Unknown {
        file: MODEL.to_owned(),
        what,
        expected,
    };
    let Some(network) = translate(&model["network"]) else {
        let kind = model["name_"].as_str().unwrap_or("no model").to_owned();
        let what = format!("`{kind}` without a network of ClinicaDL");
        return Err(unknown(what, "a network of ClinicaDL 2.0"));
    };
    for note in &network.notes {
        draft.note(MODEL, note);
    }
    let loss = model["loss"]["name_"]
        .as_str()
        .unwrap_or("MSELoss")
        .to_owned();
    let task = match model["name_"].as_str() {
        Some("ReconstructionModel") => "reconstruction",
        Some("SupervisedModel") if OF_IMAGES.contains(&network.name.as_str()) => {
            let what = "a segmentation".to_owned();
            return Err(unknown(
                what,
                "a classification, regression or reconstruction",
            ));
        }
        Some("SupervisedModel") if OF_CLASSES.contains(&loss.as_str()) => "classification",
        Some("SupervisedModel") => "regression",
        other => {
            let what = format!("`{}`", other.unwrap_or("no model"));
            return Err(unknown(what, "`SupervisedModel` or `ReconstructionModel`"));
        }
    };
    let label = model["label_key"].as_str().map(str::to_owned);
    let label = label.filter(|_| task != "reconstruction");
    let first = splits.keys().next().copied().unwrap_or(0);
    let folder = format!("training/data/train/split-{first}");
    let dataset = json(draft, &format!("{folder}/dataset.json"))?.unwrap_or_default();
    let extraction = &dataset["transforms"]["extraction"];
    let level = level_of(extraction["name_"].as_str().unwrap_or("Image"));
    let mut params = TrainingParams {
        task: task.to_owned(),
        label: label.clone(),
        loss,
        normalize: transforms(draft, &dataset, &format!("{folder}/dataset.json")),
        preprocessing: preprocessing(draft, &dataset, level, &folder),
        // Rows are chosen before they reach ClinicaDL 2.0.
        diagnoses: Vec::new(),
        n_splits: if splits.len() > 1 {
            u32::try_from(splits.len()).unwrap_or(u32::MAX)
        } else {
            0
        },
        ..TrainingParams::default()
    };
    optimization(draft, &mut params, &model, first)?;
    of_network(draft, &mut params, &network);
    inference(draft, &model);
    let facts = Facts {
        splits,
        names: metrics(draft)?,
        level,
        label,
        classes: (task == "classification").then_some(network.output_size),
        architecture: network.name,
    };
    Ok((params, facts))
}

fn of_network(draft: &mut Draft, params: &mut TrainingParams, network: &Translated) {
    params.architecture.clone_from(&network.name);
    params.options.clone_from(&network.options);
    params.output_size = network.output_size;
    match &network.input_size {
        Some(sizes) => params.input_size.clone_from(sizes),
        None => draft.note(
            MODEL,
            "does not tell the size of images: write `input_size` into the imported `maps.json`",
        ),
    }
    if params.task == "classification" {
        let codes = 0..i64::try_from(network.output_size.max(2)).unwrap_or(2);
        let codes = codes.map(|code| (code.to_string(), code));
        params.label_code = codes.collect::<IndexMap<String, i64>>();
        draft.note(
            MODEL,
            "does not tell which label an output stands for: labels are `0`, `1`, … until the imported \
             `label_code` says otherwise",
        );
    }
}

/// How the network was fitted.
fn optimization(
    draft: &mut Draft,
    params: &mut TrainingParams,
    model: &Value,
    split: usize,
) -> Result<(), MapsError> {
    let number = |value: &Value| value.as_u64().and_then(|n| u32::try_from(n).ok());
    let optimization = json(draft, "training/optimization.json")?.unwrap_or_default();
    params.epochs = number(&optimization["num_epochs"]).unwrap_or(params.epochs);
    params.accumulation_steps =
        number(&optimization["accumulation_steps"]).unwrap_or(params.accumulation_steps);
    let optimizer = &model["optimizer"];
    if let Some(name) = optimizer["name_"].as_str() {
        name.clone_into(&mut params.optimizer);
    }
    params.learning_rate = optimizer["lr"].as_f64().unwrap_or(params.learning_rate);
    params.weight_decay = optimizer["weight_decay"].as_f64().unwrap_or(0.0);
    let path = format!("training/split-{split}/computational.json");
    let machine = json(draft, &path)?.unwrap_or_default();
    params.gpu = machine["gpu"].as_bool().unwrap_or(false);
    params.seed = machine["seed"].as_u64().unwrap_or(0);
    params.deterministic = machine["deterministic"].as_bool().unwrap_or(false);
    if machine["amp"] == json!(true) {
        draft.note(
            &path,
            "mixed precision: here, predictions of this model have 32 bits",
        );
    }
    let path = format!("training/data/train/split-{split}/dataloader.json");
    let loader = json(draft, &path)?.unwrap_or_default();
    params.batch_size = number(&loader["batch_size"]).unwrap_or(params.batch_size);
    params.n_proc = number(&loader["num_workers"]).unwrap_or(params.n_proc);
    if !loader["sampling_weights"].is_null() {
        params.sampler = "weighted".to_owned();
    }
    Ok(())
}

/// What is done to images before the network sees them; gives whether they are scaled to 0..1.
fn transforms(draft: &mut Draft, dataset: &Value, path: &str) -> bool {
    let mut normalize = false;
    let all = &dataset["transforms"];
    for kind in ["image_transforms", "sample_transforms"] {
        for transform in all[kind].as_array().into_iter().flatten() {
            let is_whole = |key: &str, range: [f64; 2]| {
                let value = &transform[key];
                value.is_null()
                    || (0..2).all(|i| {
                        value[i]
                            .as_f64()
                            .is_some_and(|n| (n - range[i]).abs() < f64::EPSILON)
                    })
            };
            let name = transform["name_"].as_str().unwrap_or("unknown");
            let is_ours = name == "RescaleIntensity"
                && is_whole("out_min_max", [0.0, 1.0])
                && is_whole("percentiles", [0.0, 100.0])
                && transform["masking_method"].is_null()
                && transform["in_min_max"].is_null();
            if is_ours && !normalize {
                normalize = true;
            } else {
                let message = format!(
                    "transform `{name}` is not repeated here: images must have had it before"
                );
                draft.note(path, message);
            }
        }
    }
    let augmentations = all["augmentations"].as_array().into_iter().flatten();
    let names: Vec<&str> = augmentations.filter_map(|a| a["name_"].as_str()).collect();
    if !names.is_empty() {
        let message = format!(
            "augmentations of the training are left out: {}",
            names.join(", ")
        );
        draft.note(path, message);
    }
    normalize
}

/// The extraction, as far as ClinicaDL tells of it.
fn preprocessing(
    draft: &mut Draft,
    dataset: &Value,
    level: &str,
    folder: &str,
) -> Map<String, Value> {
    let mut record = Map::new();
    let file_type = &dataset["file_type"];
    let linear = ["t1_linear", "flair_linear"];
    if let Some(name) = file_type["data_type"]
        .as_str()
        .filter(|name| linear.contains(name))
    {
        record.insert("preprocessing".to_owned(), name.replace('_', "-").into());
        let is_cropped = file_type["with_entities"]["desc"].is_string();
        record.insert("use_uncropped_image".to_owned(), (!is_cropped).into());
    } else if dataset.is_object() {
        let message =
            "images were not read from a pipeline of Clinica: extract the same files to predict";
        draft.note(&format!("{folder}/dataset.json"), message);
    }
    record.insert("mode".to_owned(), level.into());
    if level != IMAGE_LEVEL {
        let extraction = &dataset["transforms"]["extraction"];
        record.insert("extraction_2_0".to_owned(), extraction.clone());
        let message = format!("parts of images have to be cut in the same way: {extraction}");
        draft.note(&format!("{folder}/dataset.json"), message);
    }
    record
}

/// What is made of outputs.
fn inference(draft: &mut Draft, model: &Value) {
    let inferer = &model["inferer"];
    let name = inferer["name_"].as_str().unwrap_or("SimpleInferer");
    if name != "SimpleInferer" {
        let message =
            format!("inferer `{name}` has no counterpart: each part is predicted by itself");
        draft.note(MODEL, message);
    }
    let steps = inferer["postprocessing"]["transforms"].as_array();
    if steps.is_some_and(|steps| !steps.is_empty()) {
        draft.note(
            MODEL,
            "postprocessing of outputs has no counterpart: left out",
        );
    }
}

/// What each metric is called here: those with the same definition as here, by their columns.
fn metrics(draft: &mut Draft) -> Result<BTreeMap<String, String>, MapsError> {
    let metrics = json(draft, "metrics.json")?.unwrap_or_default();
    let mut names: BTreeMap<String, String> = BTreeMap::new();
    for (name, metric) in metrics["metrics"].as_object().into_iter().flatten() {
        let ours = match metric["name_"].as_str() {
            Some("LossMetric") => "loss",
            Some("MAEMetric") => "MAE",
            Some("RMSEMetric") => "RMSE",
            _ => name,
        };
        let is_taken = names.values().any(|taken| taken == ours);
        let chosen = if is_taken { name } else { ours };
        if chosen == name && name != "loss" {
            let message = format!("metric `{name}` keeps its name: its definition may not be ours");
            draft.note("metrics.json", message);
        }
        names.insert(name.clone(), chosen.to_owned());
    }
    Ok(names)
}
