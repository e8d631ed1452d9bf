//! The networks of ClinicaDL 2.0: a configuration object as a name and options.
//!
//! # Source
//! ClinicaDL 2.0.0 `clinicadl/networks/nn/utils/config.py` and the classes beside it. What it writes for
//! every layer and axis is one number here where all are the same.

use serde_json::{Map, Value, json};

/// A network as a `maps.json` has it.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Translated {
    pub(super) name: String,
    /// Channel first; `None` where ClinicaDL does not tell.
    pub(super) input_size: Option<Vec<usize>>,
    /// 0 where the outputs are an image.
    pub(super) output_size: usize,
    pub(super) options: Map<String, Value>,
    /// What has no counterpart.
    pub(super) notes: Vec<String>,
}

/// Options that stand for what both programs do.
const SILENT: [(&str, &str); 4] = [
    ("adn_ordering", "\"NDA\""),
    ("output_act", "null"),
    ("pretrained", "false"),
    ("dilation", "1"),
];

/// Networks whose tensors have the names of ClinicaDL 2.0.
const SAME: [&str; 4] = ["AutoEncoder", "CNN", "MLP", "VAE"];

/// Translates the object `network` of a `model.json`; `None` where it is none of ClinicaDL.
pub(super) fn translate(network: &Value) -> Option<Translated> {
    let name = network["name_"].as_str()?.to_owned();
    let mut translated = Translated {
        input_size: sizes(&network["in_shape"]),
        output_size: size(&network["num_outputs"]).unwrap_or(0),
        ..Translated::default()
    };
    if !SAME.contains(&name.as_str()) {
        translated.notes.push(format!(
            "the tensors of `{name}` have other names here: its weights are carried and cannot be used"
        ));
    }
    let fields = network.as_object()?;
    let mut flat = Map::new();
    for (key, value) in fields {
        match key.as_str() {
            "name_" | "in_shape" | "num_outputs" | "num_inputs" => {}
            "out_channels" if Some(value) == network["in_shape"].get(0) => {}
            "conv_args" | "mlp_args" => {
                let arguments = layers(value, &mut translated.notes);
                if !arguments.is_empty() {
                    translated
                        .options
                        .insert(key.clone(), Value::Object(arguments));
                }
            }
            _ => {
                flat.insert(key.clone(), value.clone());
            }
        }
    }
    let flat = layers(&Value::Object(flat), &mut translated.notes);
    if name == "MLP" {
        // Its layers are its own arguments.
        translated
            .options
            .insert("mlp_args".to_owned(), Value::Object(flat));
    } else {
        translated.options.extend(flat);
    }
    translated.name = name;
    Some(translated)
}

/// Arguments of layers.
fn layers(arguments: &Value, notes: &mut Vec<String>) -> Map<String, Value> {
    let mut translated = Map::new();
    for (key, value) in arguments.as_object().into_iter().flatten() {
        let value = plain(value);
        if SILENT.contains(&(key, value.to_string().as_str())) {
            continue;
        }
        let value = match (key.as_str(), value) {
            ("dropout", Value::Null) => continue,
            ("norm", Value::Null) => json!("none"),
            ("pooling", Value::Array(poolings)) if poolings.is_empty() => continue,
            ("pooling", pooling) => match pooled(&pooling) {
                Some(name) => json!(name),
                None => {
                    notes.push(format!("pooling {pooling} has no counterpart"));
                    continue;
                }
            },
            (key, value) if SILENT.iter().any(|(silent, _)| *silent == key) => {
                notes.push(format!("`{key}`: {value} has no counterpart"));
                continue;
            }
            (_, value) => value,
        };
        translated.insert(key.clone(), value);
    }
    translated
}

/// One number where all layers and axes have the same.
fn plain(value: &Value) -> Value {
    let Value::Array(layers) = value else {
        return value.clone();
    };
    let axes = |layer: &Value| match layer {
        Value::Array(axes) if axes.iter().all(|n| n.is_u64() && Some(n) == axes.first()) => {
            axes.first().cloned()
        }
        _ => None,
    };
    let each: Option<Vec<Value>> = layers.iter().map(axes).collect();
    match each {
        Some(each) if !each.is_empty() => {
            if each.iter().all(|n| Some(n) == each.first()) {
                each[0].clone()
            } else {
                Value::Array(each)
            }
        }
        _ => value.clone(),
    }
}

/// The pooling of windows of two voxels that all layers have.
fn pooled(pooling: &Value) -> Option<&str> {
    let of_layer = |layer: &'_ Value| -> Option<bool> {
        let options = layer.get(1)?.as_object()?;
        let is_two = |value: &Value| plain_axes(value) == Some(2);
        Some(options.iter().all(|(key, value)| match key.as_str() {
            "kernel_size" | "stride" => is_two(value),
            _ => false,
        }))
    };
    let layers = pooling.as_array()?;
    let name = layers.first()?.get(0)?.as_str()?;
    let is_same = |layer: &Value| {
        layer.get(0).and_then(Value::as_str) == Some(name) && of_layer(layer) == Some(true)
    };
    layers.iter().all(is_same).then_some(name)
}

fn plain_axes(value: &Value) -> Option<u64> {
    match value {
        Value::Array(axes) => {
            let first = axes.first()?.as_u64()?;
            axes.iter()
                .all(|axis| axis.as_u64() == Some(first))
                .then_some(first)
        }
        other => other.as_u64(),
    }
}

fn size(value: &Value) -> Option<usize> {
    usize::try_from(value.as_u64()?).ok()
}

fn sizes(value: &Value) -> Option<Vec<usize>> {
    value.as_array()?.iter().map(size).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As ClinicaDL 2.0.0 writes it.
    fn autoencoder() -> Value {
        json!({
            "name_": "AutoEncoder", "in_shape": [1, 16, 16], "latent_size": 4,
            "conv_args": {
                "dropout": null, "channels": [2, 3], "kernel_size": [[3, 3], [3, 3]],
                "stride": [[1, 1], [2, 2]], "padding": [[0, 0], [0, 0]],
                "dilation": [[1, 1], [1, 1]], "norm": null, "adn_ordering": "NDA",
                "pooling": [["max", { "kernel_size": 2 }]], "pooling_indices": [0], "act": "prelu",
                "output_act": null, "bias": true
            },
            "mlp_args": { "dropout": 0.5, "hidden_dims": [5], "act": "prelu", "output_act": null,
                "norm": "batch", "bias": true, "adn_ordering": "NDA" },
            "out_channels": 1, "output_act": null, "unpooling_mode": "nearest"
        })
    }

    #[test]
    fn layers_that_are_alike_have_one_number() {
        let translated = translate(&autoencoder()).unwrap();
        assert_eq!(translated.name, "AutoEncoder");
        assert_eq!(translated.input_size, Some(vec![1, 16, 16]));
        assert_eq!(translated.output_size, 0);
        assert_eq!(translated.notes, Vec::<String>::new());
        let expected = json!({
            "conv_args": { "channels": [2, 3], "kernel_size": 3, "stride": [1, 2], "padding": 0,
                "norm": "none", "pooling": "max", "pooling_indices": [0], "act": "prelu",
                "bias": true },
            "mlp_args": { "dropout": 0.5, "hidden_dims": [5], "act": "prelu", "norm": "batch",
                "bias": true },
            "latent_size": 4, "unpooling_mode": "nearest",
        });
        assert_eq!(Value::Object(translated.options), expected);
    }

    #[test]
    fn what_has_no_counterpart_is_told() {
        let mut network = autoencoder();
        network["conv_args"]["dilation"] = json!([[2, 2], [2, 2]]);
        network["conv_args"]["pooling"] = json!([["max", { "kernel_size": 3 }]]);
        network["mlp_args"]["output_act"] = json!("softmax");
        let notes = translate(&network).unwrap().notes;
        assert_eq!(notes.len(), 3, "{notes:?}");
        assert!(
            notes.contains(&"`dilation`: 2 has no counterpart".to_owned()),
            "{notes:?}"
        );
        assert!(
            notes.iter().any(|note| note.starts_with("pooling")),
            "{notes:?}"
        );
    }

    #[test]
    fn networks_with_other_tensors_are_told() {
        let network = json!({ "name_": "ResNet18", "num_outputs": 2, "output_act": null, "pretrained": false });
        let translated = translate(&network).unwrap();
        assert_eq!((translated.input_size, translated.output_size), (None, 2));
        assert!(translated.notes[0].contains("other names"));
        assert_eq!(translate(&json!({ "network": 1 })), None);
    }
}
