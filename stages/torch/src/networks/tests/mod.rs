mod cases;

use super::*;
use crate::losses;
use crate::state::Role;
use crate::testing::{assert_close, floats, head, numbered_images, reference};

/// Vectors were made with the vector instructions of one machine; others add in another order.
const TOLERANCE: f64 = 2e-5;

fn spec(case: &Value) -> NetworkSpec {
    NetworkSpec {
        declaration: declared("Conv5_FC3").unwrap(),
        input_size: serde_json::from_value(case["input_size"].clone()).unwrap(),
        output_size: case["output_size"].as_i64().unwrap(),
        options: Map::new(),
    }
}

fn for_each_case(check: impl Fn(&Value, &dyn Network)) {
    let reference = reference("networks.json");
    for (name, case) in reference["networks"].as_object().unwrap() {
        let session = Session::for_test();
        session.seed(case["seed"].as_u64().unwrap());
        let network = build(&spec(case), &session).unwrap();
        network.state().require_gradients().unwrap();
        assert!(!name.is_empty());
        check(case, network.as_ref());
    }
}

#[test]
fn the_table_holds_every_declared_network() {
    let names = |kinds: &[&Declaration]| -> Vec<&str> { kinds.iter().map(|k| k.name).collect() };
    let table: Vec<&Declaration> = NETWORKS.iter().map(|kind| kind.declaration).collect();
    let declared = names(stages::learning::networks::NETWORKS);
    assert_eq!(names(&table), declared);
    assert!(declared.is_sorted());
}

#[test]
fn initial_weights_are_those_of_clinicadl_bit_for_bit() {
    for_each_case(|case, network| {
        let expected = case["initial"].as_object().unwrap();
        let names: Vec<&String> = network.state().entries().iter().map(|e| &e.name).collect();
        assert_eq!(
            names,
            expected.keys().collect::<Vec<_>>(),
            "order of the state dict"
        );
        for entry in network.state().entries() {
            let shape: Vec<i64> =
                serde_json::from_value(case["shapes"][&entry.name].clone()).unwrap();
            assert_eq!(entry.tensor.size(), shape, "{}", entry.name);
            let expected = floats(&expected[&entry.name]);
            let got = head(&entry.tensor, expected.len());
            if entry.role == Role::Parameter {
                assert_eq!(got, expected, "{}", entry.name);
            } else {
                // Running statistics come out of a convolution.
                assert_close(&got, &expected, TOLERANCE, &entry.name);
            }
        }
    });
}

#[test]
fn outputs_are_those_of_clinicadl() {
    for_each_case(|case, network| {
        let images = numbered_images(3, &spec(case).input_size);
        let outputs = tch::no_grad(|| network.forward(&images, Mode::Evaluate)).unwrap();
        let expected = floats(&case["evaluated"]);
        assert_close(
            &head(&outputs, expected.len()),
            &expected,
            TOLERANCE,
            "outputs",
        );
    });
}

#[test]
fn gradients_and_running_statistics_are_those_of_clinicadl() {
    for_each_case(|case, network| {
        let images = numbered_images(3, &spec(case).input_size);
        let labels: Vec<i64> = serde_json::from_value(case["labels"].clone()).unwrap();
        let outputs = network.outputs(&images, Mode::Train).unwrap();
        let loss = losses::parse("CrossEntropyLoss")
            .unwrap()
            .mean(
                &outputs,
                &Tensor::from_slice(&labels),
                &losses::Weighting::default(),
            )
            .unwrap();
        assert_close(
            &[loss.double_value(&[])],
            &floats(&case["loss"]),
            TOLERANCE,
            "loss",
        );
        let parameters = network.state().parameters();
        let gradients = Tensor::f_run_backward(&[loss], &parameters, false, false).unwrap();
        let names = network
            .state()
            .entries()
            .iter()
            .filter(|e| e.role == Role::Parameter);
        for (entry, gradient) in names.zip(gradients) {
            let expected = floats(&case["gradients"][&entry.name]);
            // Biases before a batch norm have no influence: their gradient is rounding noise.
            assert_close(
                &head(&gradient, expected.len()),
                &expected,
                2e-4,
                &entry.name,
            );
        }
        for entry in network
            .state()
            .entries()
            .iter()
            .filter(|e| e.role == Role::Buffer)
        {
            let expected = floats(&case["buffers_after"][&entry.name]);
            assert_close(
                &head(&entry.tensor, expected.len()),
                &expected,
                1e-4,
                &entry.name,
            );
        }
    });
}

#[test]
fn the_text_is_that_of_pytorch() {
    for_each_case(|case, network| {
        assert_eq!(network.describe(), case["layers"].as_str().unwrap());
    });
}

#[test]
fn images_too_small_are_refused() {
    let session = Session::for_test();
    let mut spec = NetworkSpec {
        declaration: declared("Conv5_FC3").unwrap(),
        input_size: vec![1, 16, 16, 16],
        output_size: 2,
        options: Map::new(),
    };
    let error = build(&spec, &session).err().unwrap();
    assert!(error.message.contains("at least 17"), "{}", error.message);
    spec.input_size = vec![1, 16, 17, 1];
    assert!(build(&spec, &session).is_ok());
    for input_size in [
        vec![],
        vec![1, 40],
        vec![1, 40, 0, 40],
        vec![1, 2, 3, 4, 50],
    ] {
        spec.input_size = input_size;
        assert!(build(&spec, &session).is_err());
    }
}
