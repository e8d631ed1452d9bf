//! The heads of a network for two domains, and the gradient that is turned round.

use stages::learning::names::Precision;

use super::cases::{TOLERANCE, buffers, gradients, images};
use super::sketch::assert_all;
use super::*;
use crate::networks::domains::{Head, reversed};
use crate::testing::Summary;

const HEADS: [(&str, Head); 3] = [
    ("source", Head::Source),
    ("target", Head::Target),
    ("domain", Head::Domain),
];

/// What the heads say about a batch.
fn said(network: &dyn Network, images: &Tensor, mode: Mode, alpha: f64) -> [Tensor; 3] {
    let domains = network.two_domains().unwrap();
    let features = domains.features(images, mode).unwrap();
    HEADS.map(|(_, head)| {
        let turned = match head {
            Head::Domain => reversed(&features, alpha).unwrap(),
            _ => features.shallow_clone(),
        };
        domains.head(head, &turned, mode).unwrap()
    })
}

#[test]
fn heads_gradients_and_statistics_are_those_of_the_python_class() {
    let mut compared = 0;
    for case in reference("networks_ssda.json")["cases"].as_array().unwrap() {
        let expected = &case["heads"];
        if expected.is_null() {
            continue;
        }
        let what = format!("{}", case["input_size"]);
        let session = Session::for_test();
        session.seed(case["seed"].as_u64().unwrap());
        let spec = NetworkSpec {
            declaration: declared("Conv5_FC3_SSDA").unwrap(),
            input_size: serde_json::from_value(case["input_size"].clone()).unwrap(),
            output_size: case["output_size"].as_i64().unwrap(),
            options: case["options"].as_object().unwrap().clone(),
            module: None,
        };
        let network = build(&spec, &session).unwrap();
        let network = network.as_ref();
        network.state().require_gradients().unwrap();
        let images = images(case, 2);
        let alpha = expected["alpha"].as_f64().unwrap();
        session.seed(11);
        let outputs = said(network, &images, Mode::Train, alpha);
        let close = |outputs: &[Tensor; 3], expected: &Value, mode: &str| {
            for ((name, _), tensor) in HEADS.iter().zip(outputs) {
                let what = format!("{what}: {mode} {name}");
                Summary::of(tensor).assert_close(&expected[*name], TOLERANCE, 0.0, &what);
            }
        };
        close(&outputs, &expected["said"], "said");
        let weighted = outputs.iter().zip([1.0, 2.0, 3.0]);
        let loss: Tensor = weighted
            .map(|(x, weight)| x.square().mean(Kind::Float) * weight)
            .sum();
        let sum = expected["loss"].as_f64().unwrap();
        assert_close(&[loss.double_value(&[])], &[sum], TOLERANCE, "loss");
        let found = gradients(network, &loss);
        assert_all(&what, &found, &expected["gradients"], Bits::ThirtyTwo);
        let found = buffers(network);
        assert_all(&what, &found, &expected["buffers"], Bits::ThirtyTwo);
        let evaluated = tch::no_grad(|| said(network, &images, Mode::Evaluate, alpha));
        close(&evaluated, &expected["evaluated"], "evaluated");
        // What the network predicts is what the head of the target says.
        let predicted = tch::no_grad(|| network.forward(&images, Mode::Evaluate)).unwrap();
        assert!(predicted.equal(&evaluated[1]), "{what}");
        compared += 1;
    }
    assert_eq!(compared, 2);
}

#[test]
fn a_gradient_that_is_turned_round_leaves_the_numbers_as_they_are() {
    let x = Tensor::from_slice(&[0.1_f32, -3.0, 1e-30]).set_requires_grad(true);
    let same = reversed(&x, 0.25).unwrap();
    assert_eq!(head(&same, 3), head(&x, 3));
    let gradient = Tensor::f_run_backward(&[same.sum(Kind::Float)], &[&x], false, false).unwrap();
    assert_eq!(head(&gradient[0], 3), [-0.25; 3]);
}

#[test]
fn heads_of_sixteen_bits_say_nearly_the_same_in_thirty_two() {
    let spec = spec_of("Conv5_FC3_SSDA", &[1, 20, 18, 19], serde_json::json!({}));
    let images = numbered_images(2, &spec.input_size);
    let mut session = Session::for_test();
    let mut all = |precision| {
        session.compute_in(precision);
        session.seed(5);
        let network = build(&spec, &session).unwrap();
        tch::no_grad(|| said(network.as_ref(), &images, Mode::Evaluate, 0.5))
    };
    let whole = all(Precision::Float32);
    for (whole, rounded) in whole.iter().zip(all(Precision::Bfloat16)) {
        assert_eq!(rounded.kind(), Kind::Float);
        let error = (&rounded - whole).norm() / whole.norm();
        let error = error.double_value(&[]);
        assert!(error > 0.0 && error < 0.1, "{error}");
    }
}
