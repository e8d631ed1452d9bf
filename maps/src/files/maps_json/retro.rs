//! Bringing the `maps.json` of older versions up to date.
//!
//! # Source
//! The rules of ClinicaDL 1.6.1, including that a MAPS is completed with the defaults of today. Two
//! deliberate differences: the flat keys `prepare_dl` and `custom_suffix` are taken over, which 1.6.1
//! misses for want of a comma, and a file without `mode` is read as far as it goes.

use serde_json::{Map, Value, json};

use super::training::validation_scheme;

const RENAMED: [(&str, &str); 4] = [
    ("model", "architecture"),
    ("multi", "multi_network"),
    ("minmaxnormalization", "normalize"),
    ("num_workers", "n_proc"),
];

const NEGATED: [(&str, &str); 2] = [("use_cpu", "gpu"), ("nondeterministic", "deterministic")];

/// Keys that were beside `preprocessing_dict` before they moved into it.
const PREPROCESSING: [&str; 16] = [
    "preprocessing",
    "use_uncropped_image",
    "prepare_dl",
    "custom_suffix",
    "tracer",
    "suvr_reference_region",
    "patch_size",
    "stride_size",
    "slice_direction",
    "slice_mode",
    "discarded_slices",
    "roi_list",
    "uncropped_roi",
    "roi_custom_suffix",
    "roi_custom_template",
    "roi_custom_mask_pattern",
];

/// Applies every rule.
pub(super) fn update(fields: &mut Map<String, Value>) {
    for (old, new) in RENAMED {
        if let Some(value) = fields.shift_remove(old) {
            fields.insert(new.to_owned(), value);
        }
    }
    fill(fields, "optimizer", || json!("Adam"));
    fill(fields, "loss", || Value::Null);
    for (old, new) in NEGATED {
        if let Some(value) = fields.get(old).and_then(Value::as_bool) {
            fields.shift_remove(old);
            fields.insert(new.to_owned(), json!(!value));
        }
    }
    let mode = fields.get("mode").cloned();
    update_preprocessing(fields, mode.as_ref());
    for (key, value) in defaults(fields) {
        fill(fields, &key, || value);
    }
    let n_splits = fields.get("n_splits").and_then(Value::as_u64).unwrap_or(0);
    fields.insert("validation".to_owned(), json!(validation_scheme(n_splits)));
}

fn fill(fields: &mut Map<String, Value>, key: &str, value: impl FnOnce() -> Value) {
    if !fields.contains_key(key) {
        fields.insert(key.to_owned(), value());
    }
}

fn update_preprocessing(fields: &mut Map<String, Value>, mode: Option<&Value>) {
    if !fields.contains_key("preprocessing_dict") {
        let mut assembled = Map::new();
        if let Some(mode) = mode {
            assembled.insert("mode".to_owned(), mode.clone());
        }
        for key in PREPROCESSING {
            if let Some(value) = fields.shift_remove(key) {
                assembled.insert(key.to_owned(), value);
            }
        }
        fields.insert("preprocessing_dict".to_owned(), Value::Object(assembled));
    }
    let Some(Value::Object(preprocessing)) = fields.get_mut("preprocessing_dict") else {
        return;
    };
    let mode = mode.and_then(Value::as_str);
    fill(preprocessing, "use_uncropped_image", || json!(false));
    if mode.is_some_and(|mode| mode != "image") {
        fill(preprocessing, "prepare_dl", || json!(false));
    }
    if mode == Some("slice") {
        fill(preprocessing, "slice_mode", || json!("rgb"));
    }
    if !preprocessing.contains_key("file_type")
        && let Some(file_type) = linear_file_type(preprocessing)
    {
        preprocessing.insert("file_type".to_owned(), file_type);
    }
}

/// Which files an old extraction of a linear pipeline read.
fn linear_file_type(preprocessing: &Map<String, Value>) -> Option<Value> {
    let pipeline = preprocessing.get("preprocessing")?.as_str()?;
    let modality = match pipeline {
        "t1-linear" => "T1w",
        "t2-linear" => "T2w",
        "flair-linear" => "flair",
        _ => return None,
    };
    let is_uncropped = preprocessing.get("use_uncropped_image")?.as_bool()?;
    let (infix, cropped) = if is_uncropped {
        ("", "")
    } else {
        (
            "_desc-Crop",
            "and cropped (matrix size 169×208×179, 1 mm isotropic voxels)",
        )
    };
    Some(json!({
        "pattern": format!("*space-MNI152NLin2009cSym{infix}_res-1x1x1_{modality}.nii.gz"),
        "description": format!(
            "{modality} Image registered in MNI152NLin2009cSym space using {pipeline} pipeline {cropped}"
        ),
        "needed_pipeline": pipeline,
    }))
}

/// What a key had by default before it existed.
fn defaults(fields: &Map<String, Value>) -> Map<String, Value> {
    let mut defaults = super::TrainingParams::default().fields();
    // Facts of a training cannot be guessed.
    for key in [
        "network_task",
        "caps_directory",
        "tsv_path",
        "preprocessing_dict",
        "mode",
        "validation",
        "num_networks",
        "output_size",
        "input_size",
    ] {
        defaults.shift_remove(key);
    }
    let task = fields.get("network_task").and_then(Value::as_str);
    if task != Some("classification") {
        for key in ["label", "label_code", "selection_threshold"] {
            defaults.shift_remove(key);
        }
    }
    if task == Some("regression") {
        defaults.insert("label".to_owned(), json!("age"));
    }
    defaults
}
