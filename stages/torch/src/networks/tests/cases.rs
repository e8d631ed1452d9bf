//! Every case of the reference files: names, shapes, initial weights, outputs, gradients and buffers of a
//! network are those of its Python class. A case more needs no test more.

use super::*;
use crate::error::During;

/// Files that hold cases.
const FILES: [&str; 1] = ["networks_1_6.json"];
/// Other vector instructions add in another order; layers add up.
const TOLERANCE: f64 = 1e-4;

fn cases() -> impl Iterator<Item = Value> {
    FILES.into_iter().flat_map(|file| {
        let cases = reference(file)["cases"].take();
        let Value::Array(cases) = cases else {
            panic!("`{file}` has no cases");
        };
        cases
    })
}

fn name(case: &Value) -> String {
    format!(
        "{} {}",
        case["network"].as_str().unwrap(),
        case["input_size"]
    )
}

fn built(case: &Value) -> (NetworkSpec, Box<dyn Network>, Session) {
    let session = Session::for_test();
    session.seed(case["seed"].as_u64().unwrap());
    let spec = NetworkSpec {
        declaration: declared(case["network"].as_str().unwrap()).unwrap(),
        input_size: serde_json::from_value(case["input_size"].clone()).unwrap(),
        output_size: case["output_size"].as_i64().unwrap(),
        options: case["options"].as_object().unwrap().clone(),
    };
    let network = build(&spec, &session).unwrap();
    (spec, network, session)
}

/// The first numbers of a tensor, its sum and its length.
fn summary(tensor: &Tensor) -> Vec<f64> {
    let flat = tensor.detach().to_kind(tch::Kind::Double).flatten(0, -1);
    let mut values = head(&flat, 3);
    values.push(flat.sum(None::<tch::Kind>).double_value(&[]));
    values.push(flat.norm().double_value(&[]));
    values
}

/// Compares summaries: the numbers relative to the length, the sum to what rounding can do to it.
#[track_caller]
fn assert_summary(tensor: &Tensor, expected: &Value, tolerance: f64, what: &str) {
    let (got, expected) = (summary(tensor), floats(expected));
    assert_eq!(got.len(), expected.len(), "{what}");
    let length = expected[expected.len() - 1];
    let numel = got.len();
    for (i, (got, expected)) in got.iter().zip(&expected).enumerate() {
        let allowed = if i + 2 == numel {
            // Errors of single numbers are a part of the length by √n; they may have one sign.
            tolerance * (expected.abs() + (tensor.numel() as f64).sqrt() * length)
        } else {
            tolerance * length.max(1e-3)
        };
        assert!(
            (got - expected).abs() <= allowed,
            "{what}[{i}]: got {got}, expected {expected}, allowed {allowed}"
        );
    }
}

#[test]
fn tensors_have_the_names_shapes_and_initial_values_of_the_python_class() {
    for case in cases() {
        let (_, network, _) = built(&case);
        let what = name(&case);
        let expected = case["tensors"].as_object().unwrap();
        let names: Vec<&String> = network.state().entries().iter().map(|e| &e.name).collect();
        assert_eq!(names, expected.keys().collect::<Vec<_>>(), "{what}");
        let mut count = 0;
        for entry in network.state().entries() {
            let expected = &expected[&entry.name];
            let what = format!("{what}: {}", entry.name);
            let shape: Vec<i64> = serde_json::from_value(expected["shape"].clone()).unwrap();
            assert_eq!(entry.tensor.size(), shape, "{what}");
            if entry.role != Role::Buffer {
                count += entry.tensor.numel();
            }
            if case["is_drawn"] == true {
                let tolerance = if entry.role == Role::Buffer {
                    1e-5
                } else {
                    2e-7
                };
                assert_summary(&entry.tensor, &expected["initial"], tolerance, &what);
            }
        }
        assert_eq!(count as u64, case["parameters"].as_u64().unwrap(), "{what}");
    }
}

/// Weights that are a formula, where those of the Python class are not drawn.
fn fill(network: &dyn Network) {
    tch::no_grad(|| {
        for entry in network.state().entries() {
            let mut parameter = entry.tensor.shallow_clone();
            if entry.name.ends_with("bias") {
                drop(parameter.zero_());
            }
            let shape = parameter.size();
            if shape.len() > 1 {
                let count = parameter.numel();
                let scale = 1.0 / (count as f64 / shape[0] as f64).sqrt();
                let values: Vec<f32> = (0..count)
                    .map(|i| (f64::from((i * 7919 % 1009) as f32 / 1009.0 - 0.5) * scale) as f32)
                    .collect();
                parameter.copy_(&Tensor::from_slice(&values).view(shape.as_slice()));
            }
        }
    });
}

#[test]
fn outputs_gradients_and_statistics_are_those_of_the_python_class() {
    for case in cases() {
        let (spec, network, session) = built(&case);
        let what = name(&case);
        if case["is_drawn"] != true {
            fill(network.as_ref());
        }
        network.state().require_gradients().unwrap();
        session.seed(11);
        let images = numbered_images(2, &spec.input_size);
        let outputs = network
            .outputs(&images, Mode::Train)
            .during("test")
            .unwrap_or_else(|e| panic!("{what}: {e}"));
        let mut loss = outputs.prediction.square().mean(tch::Kind::Float);
        let expected = &case["outputs"];
        assert_summary(
            &outputs.prediction,
            &expected["prediction"],
            TOLERANCE,
            &what,
        );
        if let Some(latent) = &outputs.latent {
            for (field, tensor) in [
                ("mean", &latent.mean),
                ("log_variance", &latent.log_variance),
            ] {
                loss += tensor.square().mean(tch::Kind::Float) * 0.1;
                assert_summary(
                    tensor,
                    &expected[field],
                    TOLERANCE,
                    &format!("{what}: {field}"),
                );
            }
        }
        let expected = floats(&case["loss"]);
        assert_close(&[loss.double_value(&[])], &expected, TOLERANCE, &what);
        let parameters = network.state().parameters();
        let gradients = Tensor::f_run_backward(&[loss], &parameters, false, false).unwrap();
        let entries = network.state().entries().iter();
        let fitted: Vec<&String> = entries
            .filter(|entry| entry.role == Role::Parameter)
            .map(|entry| &entry.name)
            .collect();
        let expected = case["gradients"].as_object().unwrap();
        assert_eq!(fitted, expected.keys().collect::<Vec<_>>(), "{what}");
        let length = |value: &Value| *floats(value).last().unwrap();
        let largest = expected.values().map(length).fold(0.0, f64::max);
        for (name, gradient) in fitted.into_iter().zip(&gradients) {
            // Biases before a normalisation have no influence: their gradient is rounding noise.
            let of_all = 2e-5 * largest;
            if length(&expected[name]) > of_all {
                let tolerance = 5.0 * TOLERANCE;
                assert_summary(
                    gradient,
                    &expected[name],
                    tolerance,
                    &format!("{what}: ∂{name}"),
                );
            } else {
                assert!(
                    *summary(gradient).last().unwrap() <= 2.0 * of_all,
                    "{what}: ∂{name}"
                );
            }
        }
        for entry in network
            .state()
            .entries()
            .iter()
            .filter(|e| e.role == Role::Buffer)
        {
            let what = format!("{what}: {}", entry.name);
            assert_summary(
                &entry.tensor,
                &case["buffers"][&entry.name],
                TOLERANCE,
                &what,
            );
        }
    }
}

#[test]
fn a_network_describes_each_of_its_layers() {
    for case in cases() {
        let (_, network, _) = built(&case);
        let text = network.describe();
        let weights = network.state().entries().iter();
        let kernels = weights.filter(|e| e.role == Role::Parameter && e.tensor.dim() > 1);
        let layers = text.matches("Conv").count() + text.matches("Linear(").count();
        assert!(layers >= kernels.count(), "{}: {text}", name(&case));
    }
}
