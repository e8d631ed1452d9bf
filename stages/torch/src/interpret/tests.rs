//! Every method against Captum, places of parts against nibabel: `tests/reference/interpret` made the
//! vectors.

use serde_json::{Map, Value, json};
use stages::extraction::{Parts, Patches, Region, Regions, SliceMode, Slices};
use stages::learning::attribution::MethodParams;
use stages::learning::networks::declared;
use stages::volume::Affine;
use tch::{Kind, Tensor};

use super::method::{Explained, Explanation, METHODS, Subject, make, one_by_one};
use super::smooth_grad::averaged;
use crate::data::Transforms;
use crate::networks::{self, Mode, Network, NetworkSpec};
use crate::session::Session;
use crate::testing::{assert_close, floats, head, numbered_images, reference};
use crate::whole::{Frame, located};

/// From −1/2 to 1/2.
fn numbers(count: usize, start: usize) -> impl Iterator<Item = f64> {
    (0..count).map(move |i| ((i * 7919 + start) % 1009) as f64 / 1009.0 - 0.5)
}

fn fill(network: &dyn Network, seed: usize) {
    for entry in network.state().entries() {
        if entry.tensor.kind() != Kind::Float {
            continue;
        }
        let size = entry.tensor.size();
        let sum: usize = entry.name.bytes().map(usize::from).sum();
        let values = numbers(entry.tensor.numel(), sum * seed).map(|value| {
            if entry.name.ends_with("running_var") {
                value + 1.0
            } else if size.len() > 1 {
                value * 8.0 / (size[1..].iter().product::<i64>() as f64).sqrt()
            } else {
                value
            }
        });
        let values: Vec<f32> = values.map(|value| value as f32).collect();
        let values = Tensor::from_slice(&values).view(size.as_slice());
        tch::no_grad(|| entry.tensor.shallow_clone().copy_(&values));
    }
}

fn built(name: &str, case: &Value, session: &Session) -> Box<dyn Network> {
    let (network, options) = if name == "residual" {
        let options = json!({ "widen_factor": 0.0625, "conv1_t_size": 3 });
        ("ResNet18", options)
    } else {
        let conv =
            |channels| json!({ "conv": { "channels": channels, "kernel": 3, "padding": 1 } });
        let pool = json!({ "max_pool": { "kernel": 2 } });
        let layers = json!([
            conv(4), "batch_norm", "relu", pool, conv(8), "batch_norm", "relu", pool,
            "flatten", { "linear": 10 }, "relu", { "linear": "outputs" },
        ]);
        ("Layers", json!({ "layers": layers }))
    };
    let spec = NetworkSpec {
        declaration: declared(network).unwrap(),
        input_size: serde_json::from_value(case["input_size"].clone()).unwrap(),
        output_size: 3,
        options: serde_json::from_value(options).unwrap(),
        module: None,
    };
    let network = networks::build(&spec, session).unwrap();
    fill(network.as_ref(), case["seed"].as_u64().unwrap() as usize);
    network
}

fn options(name: &str) -> Value {
    match name.split_once(' ') {
        Some((name, level)) => json!({ "name": name, "level": level.parse::<u32>().unwrap() }),
        None if name == "IntegratedGradients" => {
            json!({ "name": name, "n_steps": 8, "baseline": 0.25 })
        }
        None if name == "Occlusion" => {
            json!({ "name": name, "window": 4, "stride": 3, "value": 0.1 })
        }
        None => json!(name),
    }
}

fn explain(subject: &Subject<'_>, images: &Tensor, name: &str) -> Explanation {
    if name == "SmoothGrad" {
        let size = images.size();
        let count = size.iter().product::<i64>() as usize;
        let noise = |sample: u32| {
            let drawn =
                numbers(count, 31 * (sample as usize + 1)).map(|value| (value * 0.2) as f32);
            Ok(Tensor::from_slice(&drawn.collect::<Vec<f32>>()).view(size.as_slice()))
        };
        return Explanation::of(averaged(subject, images, 3, noise).unwrap());
    }
    let method: MethodParams = serde_json::from_value(options(name)).unwrap();
    assert!(method.problems().is_empty(), "{name}");
    let explained = Explained {
        images,
        streams: &[],
    };
    make(&method).unwrap().explain(subject, explained).unwrap()
}

#[test]
fn every_method_is_that_of_captum() {
    let reference = reference("../interpret/methods.json");
    let mut seen = std::collections::BTreeSet::new();
    for (case_name, case) in reference["cases"].as_object().unwrap() {
        let session = Session::for_test();
        let network = built(case_name, case, &session);
        let size: Vec<i64> = serde_json::from_value(case["input_size"].clone()).unwrap();
        let images = numbered_images(2, &size);
        let outputs = tch::no_grad(|| network.forward(&images, Mode::Evaluate)).unwrap();
        assert_close(
            &head(&outputs, 6),
            &floats(&case["outputs"]),
            2e-6,
            "outputs",
        );
        let subject = Subject {
            network: network.as_ref(),
            name: case_name,
            tape: session.tape(),
            node: case["node"].as_u64().unwrap() as usize,
            proceed: &|| Ok(()),
        };
        for (name, expected) in case["maps"].as_object().unwrap() {
            let found = explain(&subject, &images, name);
            let expected = floats(expected);
            // The reference holds the second image; the first must not matter.
            let got = head(&found.maps.select(0, 1), expected.len());
            assert_eq!(found.maps.numel(), 2 * expected.len(), "{case_name} {name}");
            let largest = expected.iter().fold(0.0_f64, |most, v| most.max(v.abs()));
            let scaled = |values: &[f64]| values.iter().map(|v| v / largest).collect::<Vec<_>>();
            // 32 bits, added in another order.
            assert_close(
                &scaled(&got),
                &scaled(&expected),
                1e-5,
                &format!("{case_name} {name}"),
            );
            seen.insert(name.split(' ').next().unwrap().to_owned());
            if name == "IntegratedGradients" {
                let sums = head(
                    &found
                        .maps
                        .flatten(1, -1)
                        .sum_dim_intlist(1, false, Kind::Double),
                    2,
                );
                let delta: Vec<f64> = sums
                    .iter()
                    .zip(&found.promised)
                    .map(|(a, b)| a - b)
                    .collect();
                assert_close(&delta, &floats(&case["delta"]), 2e-6, "completeness");
            }
        }
    }
    let declared = METHODS.iter().map(|(name, _)| (*name).to_owned());
    assert_eq!(seen, declared.collect(), "a method without a reference");
}

#[test]
fn methods_are_those_that_manifests_know() {
    let declared = stages::learning::attribution::ATTRIBUTIONS.iter();
    let declared: Vec<&str> = declared.map(|(name, _)| *name).collect();
    let built: Vec<&str> = METHODS.iter().map(|(name, _)| *name).collect();
    assert_eq!(built, declared);
}

#[test]
fn gradients_are_those_of_pytorch() {
    for case in reference("networks.json")["networks"]
        .as_object()
        .unwrap()
        .values()
    {
        let session = Session::for_test();
        session.seed(case["seed"].as_u64().unwrap());
        let spec = NetworkSpec {
            declaration: declared("Conv5_FC3").unwrap(),
            input_size: serde_json::from_value(case["input_size"].clone()).unwrap(),
            output_size: case["output_size"].as_i64().unwrap(),
            options: Map::new(),
            module: None,
        };
        let network = networks::build(&spec, &session).unwrap();
        // The reference explains the first of three images; the others must not matter.
        let images = numbered_images(3, &spec.input_size);
        let subject = Subject {
            network: network.as_ref(),
            name: "Conv5_FC3",
            tape: session.tape(),
            node: 1,
            proceed: &|| Ok(()),
        };
        let gradients = explain(&subject, &images, "gradients").maps;
        let step = usize::try_from(case["image_gradient_step"].as_u64().unwrap()).unwrap();
        let first = head(&gradients, gradients.numel() / 3);
        let got: Vec<f64> = first.into_iter().step_by(step).collect();
        let expected = floats(&case["image_gradient"]);
        let largest = expected
            .iter()
            .fold(0.0_f64, |most, value| most.max(value.abs()));
        let scaled = |values: &[f64]| values.iter().map(|v| v / largest).collect::<Vec<_>>();
        assert!(largest > 0.0);
        // Five convolutions in another order of addition.
        assert_close(&scaled(&got), &scaled(&expected), 1e-4, "gradient");
    }
}

/// The largest difference of maps of images together and one by one, by the largest number.
fn difference_in_64_bits(method: Value) -> f64 {
    let session = Session::for_test();
    session.seed(3);
    let spec = NetworkSpec {
        declaration: declared("Conv5_FC3").unwrap(),
        input_size: vec![1, 18, 18, 18],
        output_size: 2,
        options: Map::new(),
        module: None,
    };
    let network = networks::build(&spec, &session).unwrap();
    for entry in network.state().entries() {
        let mut tensor = entry.tensor.shallow_clone();
        if tensor.kind() == Kind::Float {
            tensor.set_data(&tensor.to_kind(Kind::Double));
        }
    }
    let images = numbered_images(3, &spec.input_size).to_kind(Kind::Double);
    let subject = Subject {
        network: network.as_ref(),
        name: "Conv5_FC3",
        tape: session.tape(),
        node: 1,
        proceed: &|| Ok(()),
    };
    let method: MethodParams = serde_json::from_value(method).unwrap();
    let method = make(&method).unwrap();
    let root = engine::seed::Stream::root(1);
    let streams: Vec<_> = (0..3).map(|i| root.child(i)).collect();
    let explained = Explained {
        images: &images,
        streams: &streams,
    };
    let together = method.explain(&subject, explained).unwrap().maps;
    let alone = one_by_one(method.as_ref(), &subject, explained)
        .unwrap()
        .maps;
    let most = (&together - &alone).abs().max().double_value(&[]);
    most / alone.abs().max().double_value(&[])
}

#[test]
fn images_influence_each_other_by_rounding_alone() {
    for method in [
        json!("gradients"),
        json!("GuidedBackprop"),
        json!("GradCAM"),
        json!({ "name": "IntegratedGradients", "n_steps": 4 }),
        json!({ "name": "SmoothGrad", "n_samples": 2 }),
    ] {
        let difference = difference_in_64_bits(method.clone());
        // Maps are rounded to 32 bits in the end. With 32 bits throughout, `IntegratedGradients` of 50
        // steps differ by 1.6e-4: where two numbers are nearly equal, a ReLU or a pooling decides otherwise.
        assert!(difference <= 1e-7, "{method}: {difference}");
    }
}

#[test]
fn parts_are_where_nibabel_has_them() {
    for case in reference("../interpret/places.json")["places"]
        .as_array()
        .unwrap()
    {
        let affine: Affine = serde_json::from_value(case["affine"].clone()).unwrap();
        let [x, y, z]: [usize; 3] = serde_json::from_value(case["shape"].clone()).unwrap();
        let frame = Frame {
            shape: Some([1, x, y, z]),
            affine,
        };
        let patches = || {
            Parts::Patch(Patches {
                size: 18,
                stride: 2,
            })
        };
        let mut mask = vec![0.0; x * y * z];
        for i in 3..9 {
            for j in 5..20 {
                mask[(i * y + j) * z + 2..(i * y + j) * z + 21].fill(1.0);
            }
        }
        let roi = Parts::Roi(Regions {
            regions: vec![Region::new("box", "", [x, y, z], &mask).unwrap()],
            uncropped: false,
            custom_template: String::new(),
            custom_mask_pattern: String::new(),
            template: String::new(),
            mask_pattern: String::new(),
        });
        let slices = Parts::Slice(Slices {
            direction: 1,
            mode: SliceMode::Single,
            discarded: [4, 2],
        });
        for (name, parts, part, reduction) in [
            ("image reduced", Parts::Image, 0, Some(2)),
            ("patch", patches(), 13, None),
            ("patch reduced", patches(), 13, Some(2)),
            ("slice", slices, 3, None),
            ("roi", roi, 0, None),
        ] {
            let transforms = Transforms {
                normalize: true,
                size_reduction: reduction,
            };
            let placed = located(&parts, transforms, frame, part).unwrap();
            let (_, place) = placed.place.as_ref().unwrap();
            let shape: [usize; 3] = serde_json::from_value(case[name]["shape"].clone()).unwrap();
            assert_eq!(place.shape(), shape, "{name}");
            let got: Vec<f64> = placed.space.affine.unwrap().into_iter().flatten().collect();
            assert_close(&got, &floats(&case[name]["affine"]), 1e-12, name);
        }
    }
}
