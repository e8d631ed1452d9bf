//! Every case of the reference files: names, shapes, initial weights, text, outputs, gradients and buffers
//! of a network are those of its Python class. A case more needs no test more.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};

use stages::learning::names::Precision;

use super::*;
use crate::testing::Summary;

/// Files that hold cases.
const FILES: [&str; 6] = [
    "networks_1_6_cnn.json",
    "networks_1_6_autoencoder.json",
    "networks_1_6_vae.json",
    "networks_2_0.json",
    "networks_monai.json",
    "networks_ssda.json",
];
/// Of outputs. Other vector instructions add in another order; layers add up.
pub(super) const TOLERANCE: f64 = 1e-4;
/// In 64 bits; seven digits are kept.
const OF_DOUBLES: f64 = 1e-6;
/// Of running means of a new network, whose deviations are about 1. Images of zeros passed through it, and
/// behind layers that normalise numbers that are nearly equal, PyTorch differs from itself by 6e-5 between
/// processors (AVX2 and AVX-512), and by 1e-6 in the outputs.
pub(super) const OF_STATISTICS: f64 = 2e-4;

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

/// The first case of each network with a small one: a pass of these takes a moment.
pub(crate) fn small_specs() -> Vec<NetworkSpec> {
    const MOST_PARAMETERS: u64 = 2_000_000;
    const MOST_VOXELS: i64 = 45_000;
    let mut specs: Vec<NetworkSpec> = Vec::new();
    for file in FILES {
        let cases = reference(file)["cases"].take();
        for case in cases.as_array().unwrap() {
            let declaration = declared(case["network"].as_str().unwrap()).unwrap();
            let is_known = specs
                .iter()
                .any(|spec| spec.declaration.name == declaration.name);
            let input_size: Vec<i64> = serde_json::from_value(case["input_size"].clone()).unwrap();
            let is_large = input_size.iter().product::<i64>() > MOST_VOXELS;
            if is_known || is_large || case["parameters"].as_u64().unwrap() > MOST_PARAMETERS {
                continue;
            }
            specs.push(NetworkSpec {
                declaration,
                input_size,
                output_size: case["output_size"].as_i64().unwrap(),
                options: case["options"].as_object().unwrap().clone(),
                module: None,
            });
        }
    }
    specs
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
fn a_network_to_be_filled_has_the_tensors_of_one_that_draws() {
    let mut seen = BTreeSet::new();
    let seen = RefCell::new(&mut seen);
    for_each_spec(|what, case, spec, session| {
        // Size and options do not matter here, and the largest take long to draw.
        let is_small = case["parameters"].as_u64().unwrap() < 5_000_000;
        let is_known = !is_small || case["outputs"].is_null();
        if is_known || !seen.borrow_mut().insert(spec.declaration.name) {
            return;
        }
        let drawn = build(spec, session).unwrap();
        let filled = session.to_be_replaced(|| build(spec, session)).unwrap();
        let layout = |network: &dyn Network| -> Vec<(String, Vec<i64>)> {
            let entries = network.state().entries().iter();
            entries.map(|e| (e.name.clone(), e.tensor.size())).collect()
        };
        assert_eq!(layout(filled.as_ref()), layout(drawn.as_ref()), "{what}");
        let weights = crate::weights::in_memory(drawn.state());
        crate::weights::load_state_dict(filled.state(), &weights, what).unwrap();
        let images = images(case, 1);
        let say = |network: &dyn Network| {
            let outputs = tch::no_grad(|| network.outputs(&images, Mode::Evaluate));
            outputs.unwrap().prediction
        };
        assert!(say(filled.as_ref()).equal(&say(drawn.as_ref())), "{what}");
    });
}

#[test]
fn outputs_gradients_and_statistics_are_those_of_the_python_class() {
    for_each_case(|what, case, network, session| {
        if case["outputs"].is_null() {
            return;
        }
        let images = images(case, 2);
        // Behind hundreds of layers and batch norms of few voxels, PyTorch too is further off.
        let tolerance = TOLERANCE.max(4.0 * case["rounding"].as_f64().unwrap_or(0.0));
        let loss = assert_outputs(what, case, network, session, &images, tolerance);
        for (which, tensors) in [
            ("gradients", gradients(network, &loss)),
            ("buffers", buffers(network)),
        ] {
            sketch::assert_all(what, &as_kept(case, tensors), &case[which], Bits::ThirtyTwo);
        }
        let evaluated = tch::no_grad(|| network.forward(&images, Mode::Evaluate)).unwrap();
        let what = format!("{what}: evaluated");
        Summary::of(&evaluated).assert_close(&case["evaluated"], tolerance, 0.0, &what);
    });
}

#[test]
fn in_64_bits_gradients_are_those_of_the_python_class_to_many_digits() {
    // Convolutions in 64 bits take their time: of two sizes of images one is enough here.
    let seen = RefCell::new(BTreeSet::new());
    for_each_spec(|what, case, spec, session| {
        let built = format!(
            "{} {} {}",
            case["network"],
            case["options"],
            spec.input_size.len()
        );
        if case["outputs"].is_null() || !seen.borrow_mut().insert(built) {
            return;
        }
        session.seed(case["seed"].as_u64().unwrap());
        let network = build(spec, session).unwrap();
        let network = network.as_ref();
        for entry in network.state().entries() {
            let mut tensor = entry.tensor.shallow_clone();
            if tensor.kind() == Kind::Float {
                tensor.set_data(&tensor.to_kind(Kind::Double));
            }
        }
        let images = images(case, 2).to_kind(Kind::Double);
        let loss = assert_outputs(what, case, network, session, &images, OF_DOUBLES);
        let gradients = as_kept(case, gradients(network, &loss));
        sketch::assert_all(what, &gradients, &case["gradients"], Bits::SixtyFour);
    });
}

/// The images of a case: `((3 (i² mod p) + 7919 i) mod p) / p`, numbered through.
pub(crate) fn images(case: &Value, batch: i64) -> Tensor {
    const PRIME: i64 = 999_983;
    let mut shape = vec![batch];
    shape.extend(floats(&case["input_size"]).iter().map(|&n| n as i64));
    let numbers = Tensor::arange(
        shape.iter().product::<i64>(),
        (Kind::Int64, tch::Device::Cpu),
    );
    let squares = (&numbers * &numbers).remainder(PRIME) * 3;
    let voxels = (squares + numbers * 7919).remainder(PRIME);
    (voxels.to_kind(Kind::Float) / PRIME as f64).view(shape.as_slice())
}

/// The loss of a training pass, whose outputs are compared.
fn assert_outputs(
    what: &str,
    case: &Value,
    network: &dyn Network,
    session: &Session,
    images: &Tensor,
    tolerance: f64,
) -> Tensor {
    network.state().require_gradients().unwrap();
    session.seed(11);
    let (predictions, latent) = outputs(network, images);
    let expected = case["outputs"].as_object().unwrap();
    assert_eq!(latent.len() + predictions.len(), expected.len(), "{what}");
    for (name, tensor) in predictions.iter().chain(&latent) {
        let what = format!("{what}: {name}");
        Summary::of(tensor).assert_close(&expected[*name], tolerance, 0.0, &what);
    }
    let mean = |tensor: &Tensor| tensor.square().mean(None);
    let loss: Tensor = predictions.iter().map(|(_, tensor)| mean(tensor)).sum();
    let loss = latent
        .iter()
        .fold(loss, |loss, (_, tensor)| loss + mean(tensor) * 0.1);
    let expected = case["loss"].as_f64().unwrap();
    let error = (loss.double_value(&[]) - expected).abs();
    assert!(error <= tolerance * expected, "{what}: loss");
    loss
}

#[test]
fn sixteen_bits_give_nearly_the_same() {
    for_each_spec(|what, case, spec, session| {
        // The same builds without tensors have the same layers.
        if case["outputs"].is_null() || case["tensors"].is_null() {
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

/// As the reference keeps them.
fn as_kept(case: &Value, tensors: Vec<(String, Tensor)>) -> Vec<(String, Tensor)> {
    match case["tensors"].is_null() {
        true => sketch::by_block(tensors),
        false => tensors,
    }
}

/// Running statistics, by name.
pub(super) fn buffers(network: &dyn Network) -> Vec<(String, Tensor)> {
    let entries = network.state().entries().iter();
    let buffers = entries.filter(|entry| entry.role == Role::Buffer);
    buffers
        .map(|entry| (entry.name.clone(), entry.tensor.shallow_clone()))
        .collect()
}

/// Gradients of what is fitted, by name.
pub(crate) fn gradients(network: &dyn Network, loss: &Tensor) -> Vec<(String, Tensor)> {
    let parameters = network.state().parameters();
    let gradients = Tensor::f_run_backward(&[loss], &parameters, false, false).unwrap();
    let entries = network.state().entries().iter();
    let fitted = entries.filter(|entry| entry.role == Role::Parameter);
    fitted
        .map(|entry| entry.name.clone())
        .zip(gradients)
        .collect()
}
