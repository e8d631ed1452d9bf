//! Every case of the reference files: names, shapes, initial weights, text, outputs, gradients and buffers
//! of a network are those of its Python class. A case more needs no test more.

use std::panic::{AssertUnwindSafe, catch_unwind};

use stages::learning::names::Precision;

use super::*;
use crate::testing::{KEPT, Summary};

/// Files that hold cases.
const FILES: [&str; 6] = [
    "networks_1_6_cnn.json",
    "networks_1_6_autoencoder.json",
    "networks_1_6_vae.json",
    "networks_2_0.json",
    "networks_monai.json",
    "networks_ssda.json",
];
/// Other vector instructions add in another order; layers add up.
pub(super) const TOLERANCE: f64 = 1e-4;
/// Gradients pass through twice as many layers; where two voxels of a pooling window are equal but for
/// rounding, one or the other gets all. With two threads instead of one PyTorch differs from itself by 4e-4.
const OF_GRADIENTS: f64 = 1e-3;
/// Of running means, whose deviations are about 1. Behind layers that normalise numbers that are nearly equal,
/// PyTorch differs from itself by 6e-5 between processors (AVX2 and AVX-512), and by 1e-6 in the outputs.
pub(super) const OF_STATISTICS: f64 = 2e-4;
/// A gradient that is a smaller part of the longest one is none.
const NOISE: f64 = 1e-5;

fn for_each_case(check: impl Fn(&str, &Value, &dyn Network, &Session)) {
    for_each_spec(|what, case, spec, session| {
        session.seed(case["seed"].as_u64().unwrap());
        let network = build(spec, session).unwrap_or_else(|e| panic!("{what}: {e}"));
        check(what, case, network.as_ref(), session);
    });
}

fn for_each_spec(check: impl Fn(&str, &Value, &NetworkSpec, &mut Session)) {
    for file in FILES {
        let cases = reference(file)["cases"].take();
        let case = |case: &Value| {
            let what = format!("{} {}", case["network"], case["input_size"]);
            let mut session = Session::for_test();
            let spec = NetworkSpec {
                declaration: declared(case["network"].as_str().unwrap()).unwrap(),
                input_size: serde_json::from_value(case["input_size"].clone()).unwrap(),
                output_size: case["output_size"].as_i64().unwrap(),
                options: case["options"].as_object().unwrap().clone(),
                module: None,
            };
            check(&what, case, &spec, &mut session);
        };
        // One that fails does not hide the others.
        let cases = cases.as_array().unwrap();
        let fails = |one: &&Value| catch_unwind(AssertUnwindSafe(|| case(one))).is_err();
        let failed = cases.iter().filter(fails).count();
        assert_eq!(failed, 0, "`{file}`: cases that failed");
    }
}

#[test]
fn tensors_and_text_are_those_of_the_python_class() {
    for_each_case(|what, case, network, _| {
        let entries = network.state().entries();
        let parameters = entries.iter().filter(|entry| entry.role != Role::Buffer);
        let count: usize = parameters.map(|entry| entry.tensor.numel()).sum();
        assert_eq!(count as u64, case["parameters"].as_u64().unwrap(), "{what}");
        // Of networks that differ from another one by the number of their blocks only.
        let Some(expected) = case["tensors"].as_object() else {
            return;
        };
        let names: Vec<&String> = entries.iter().map(|e| &e.name).collect();
        assert_eq!(names, expected.keys().collect::<Vec<_>>(), "{what}");
        for entry in entries {
            let expected = &expected[&entry.name];
            let what = format!("{what}: {}", entry.name);
            let shape: Vec<i64> = serde_json::from_value(expected["shape"].clone()).unwrap();
            assert_eq!(entry.tensor.size(), shape, "{what}");
            // Uniform numbers are the same bits on every machine, told with the nine digits that make
            // them out. Normal ones pass through a logarithm, buffers through convolutions.
            let (tolerance, noise) = match (entry.role, case["is_normal"].as_bool()) {
                (Role::Buffer, _) => (TOLERANCE, OF_STATISTICS),
                (_, Some(true)) => (1e-6, 0.0),
                _ => (1e-8, 0.0),
            };
            Summary::of(&entry.tensor).assert_close(&expected["initial"], tolerance, noise, &what);
        }
        match case["text"].as_str() {
            Some(text) => assert_eq!(network.describe(), text, "{what}"),
            // ClinicaDL has no text of it: every layer is told.
            None => {
                let text = network.describe();
                let kernels = entries
                    .iter()
                    .filter(|e| e.role == Role::Parameter && e.tensor.dim() > 1)
                    .filter(|e| e.name.ends_with("weight"));
                let layers = text.matches("Conv").count() + text.matches("Linear(").count();
                assert!(layers >= kernels.count(), "{what}: {text}");
            }
        }
    });
}

#[test]
fn outputs_gradients_and_statistics_are_those_of_the_python_class() {
    for_each_case(|what, case, network, session| {
        let Some(expected) = case["outputs"].as_object() else {
            return;
        };
        network.state().require_gradients().unwrap();
        let input_size: Vec<i64> = serde_json::from_value(case["input_size"].clone()).unwrap();
        let images = numbered_images(2, &input_size);
        session.seed(11);
        let (predictions, latent) = outputs(network, &images);
        let mut loss = Tensor::from(0.0_f32);
        for (name, tensor) in &predictions {
            loss += tensor.square().mean(Kind::Float);
            let what = format!("{what}: {name}");
            Summary::of(tensor).assert_close(&expected[*name], TOLERANCE, 0.0, &what);
        }
        assert_eq!(latent.len() + predictions.len(), expected.len(), "{what}");
        for (name, tensor) in &latent {
            loss += tensor.square().mean(Kind::Float) * 0.1;
            let what = format!("{what}: {name}");
            Summary::of(tensor).assert_close(&expected[*name], TOLERANCE, 0.0, &what);
        }
        let expected = case["loss"].as_f64().unwrap();
        assert!(
            (loss.double_value(&[]) - expected).abs() <= TOLERANCE * expected,
            "{what}: loss"
        );
        assert_gradients(what, case, network, &loss);
        for entry in network.state().entries() {
            if entry.role == Role::Buffer {
                let (what, expected) = (
                    format!("{what}: {}", entry.name),
                    &case["buffers"][&entry.name],
                );
                Summary::of(&entry.tensor).assert_close(expected, TOLERANCE, OF_STATISTICS, &what);
            }
        }
        let evaluated = tch::no_grad(|| network.forward(&images, Mode::Evaluate)).unwrap();
        let what = format!("{what}: evaluated");
        Summary::of(&evaluated).assert_close(&case["evaluated"], TOLERANCE, 0.0, &what);
    });
}

#[test]
fn sixteen_bits_give_nearly_the_same() {
    for_each_spec(|what, case, spec, session| {
        // The same builds without outputs have the same layers.
        if case["outputs"].is_null() {
            return;
        }
        let images = numbered_images(2, &spec.input_size);
        let mut predicted = |precision| {
            session.compute_in(precision);
            session.seed(case["seed"].as_u64().unwrap());
            let network = build(spec, session).unwrap();
            // Before batch norms have seen the few numbers of these small images.
            let predicted = tch::no_grad(|| network.forward(&images, Mode::Evaluate)).unwrap();
            network.state().require_gradients().unwrap();
            session.seed(11);
            let (mut all, latent) = outputs(network.as_ref(), &images);
            all.extend(latent);
            let terms = all.iter().map(|(_, x)| x.square().mean(Kind::Float));
            let loss: Tensor = terms.sum();
            let parameters = network.state().parameters();
            let gradients = Tensor::f_run_backward(&[&loss], &parameters, false, false).unwrap();
            for gradient in gradients {
                assert_eq!(gradient.kind(), Kind::Float, "{what}");
                assert_eq!(gradient.isfinite().all().int64_value(&[]), 1, "{what}");
            }
            predicted
        };
        let whole = predicted(Precision::Float32);
        // Without an instruction for it, this takes 30 times as long on a processor.
        let is_small = spec.input_size.len() == 3 && what.contains("Conv5");
        let float16 = is_small.then_some(Precision::Float16);
        for precision in [Precision::Bfloat16].into_iter().chain(float16) {
            // Rounded voxels are often equal, so that unpooling puts some elsewhere.
            let tolerance = if what.contains("AE_Conv") { 0.5 } else { 0.1 };
            let rounded = predicted(precision);
            assert_eq!(rounded.kind(), Kind::Float, "{what}");
            let error = (&rounded - &whole).norm() / whole.norm();
            let error = error.double_value(&[]);
            assert!(error < tolerance, "{what}: {precision:?} {error}");
        }
    });
}

type Named = Vec<(&'static str, Tensor)>;

/// What a network makes of a batch in training: predictions, and what describes a distribution.
fn outputs(network: &dyn Network, images: &Tensor) -> (Named, Named) {
    let outputs = network.outputs(images, Mode::Train).unwrap();
    let latent = outputs.latent.map_or(Vec::new(), |latent| {
        vec![("mean", latent.mean), ("log_variance", latent.log_variance)]
    });
    (vec![("prediction", outputs.prediction)], latent)
}

/// Fails where a gradient is not that of the `gradients` of a case.
pub(crate) fn assert_gradients(what: &str, case: &Value, network: &dyn Network, loss: &Tensor) {
    let parameters = network.state().parameters();
    let gradients = Tensor::f_run_backward(&[loss], &parameters, false, false).unwrap();
    let entries = network.state().entries().iter();
    let fitted: Vec<&String> = entries
        .filter(|entry| entry.role == Role::Parameter)
        .map(|entry| &entry.name)
        .collect();
    let expected = case["gradients"].as_object().unwrap();
    assert_eq!(fitted, expected.keys().collect::<Vec<_>>(), "{what}");
    let lengths = expected.values().map(|kept| *floats(kept).last().unwrap());
    let longest = lengths.fold(0.0, f64::max);
    for (name, gradient) in fitted.into_iter().zip(&gradients) {
        let what = format!("{what}: ∂{name}");
        let got = Summary::of(gradient);
        // Biases before a normalisation have no influence: their gradient is rounding noise.
        if floats(&expected[name])[KEPT.min(got.count) + 1] <= NOISE * longest {
            assert!(
                got.length <= 2.0 * NOISE * longest,
                "{what}: {}",
                got.length
            );
        } else {
            got.assert_close(&expected[name], OF_GRADIENTS, 1e-7 * longest, &what);
        }
    }
}
