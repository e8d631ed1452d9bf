use serde_json::Value;

use super::*;
use crate::networks::Latent;
use crate::testing::{assert_close, floats, head, reference};

#[test]
fn the_table_holds_every_declared_loss() {
    let table: Vec<LossName> = LOSSES.iter().map(|loss| loss.name()).collect();
    assert_eq!(table, LossName::ALL);
}

#[test]
fn values_and_gradients_are_those_of_pytorch() {
    let reference = &reference("networks.json")["losses"];
    let targets: Vec<i64> = serde_json::from_value(reference["targets"].clone()).unwrap();
    let logits: Vec<f32> = floats(&reference["logits"])
        .iter()
        .map(|&x| x as f32)
        .collect();
    for loss in [&LOSSES[0], &LOSSES[1]] {
        let logits = Tensor::from_slice(&logits)
            .view([4, 3])
            .set_requires_grad(true);
        let outputs = Outputs::of(logits.shallow_clone());
        let targets = Tensor::from_slice(&targets);
        let mean = loss
            .mean(&outputs, &targets, &Weighting::default())
            .unwrap();
        let expected = &reference["losses"][loss.name().name()];
        assert_close(
            &[mean.double_value(&[])],
            &floats(&expected["mean"]),
            1e-6,
            "mean",
        );
        let gradient = &Tensor::f_run_backward(&[mean], &[logits], false, false).unwrap()[0];
        assert_close(
            &head(gradient, 12),
            &floats(&expected["gradient"]),
            1e-6,
            "gradient",
        );
    }
}

fn tensor(value: &Value, shape: &[i64]) -> Tensor {
    let numbers: Vec<f32> = floats(value).iter().map(|&x| x as f32).collect();
    Tensor::from_slice(&numbers).view(shape)
}

/// Every loss with weights, its value and the gradient of everything it depends on.
#[test]
fn weighted_losses_are_those_of_pytorch() {
    let reference = reference("losses.json");
    let cases = reference["cases"].as_array().unwrap();
    assert_eq!(cases.len(), LOSSES.len(), "every loss has a case");
    for case in cases {
        let name = case["loss"].as_str().unwrap();
        let loss = parse(name).unwrap();
        let is_variational = name.starts_with("VAE");
        let is_classification = loss
            .name()
            .tasks()
            .contains(&stages::learning::names::Task::Classification);
        let mut leaves = vec![match (is_classification, is_variational) {
            (true, _) => tensor(&reference["logits"], &[4, 3]),
            (_, true) => tensor(&reference["prediction"], &[3, 2, 4]),
            _ => tensor(&reference["prediction"], &[3, 2, 4]) * 3.0 - 1.0,
        }];
        if is_variational {
            let latent = ["mean", "log_variance"].map(|name| tensor(&reference[name], &[3, 5]));
            leaves.extend(latent);
        }
        let leaves: Vec<Tensor> = leaves
            .into_iter()
            .map(|leaf| leaf.set_requires_grad(true))
            .collect();
        let target = if is_classification {
            let classes: Vec<i64> = serde_json::from_value(reference["classes"].clone()).unwrap();
            Tensor::from_slice(&classes)
        } else {
            tensor(&reference["target"], &[3, 2, 4])
        };
        let outputs = Outputs {
            prediction: leaves[0].shallow_clone(),
            latent: is_variational.then(|| Latent {
                mean: leaves[1].shallow_clone(),
                log_variance: leaves[2].shallow_clone(),
            }),
        };
        let number = |name: &str, default| case[name].as_f64().unwrap_or(default);
        let weighting = Weighting {
            classes: case.get("weights").map(|weights| tensor(weights, &[3])),
            label_smoothing: number("smoothing", 0.0),
            reconstruction: number("reconstruction", 1.0),
            divergence: number("divergence", 1.0),
        };
        let value = loss.mean(&outputs, &target, &weighting).unwrap();
        assert_close(
            &[value.double_value(&[])],
            &floats(&case["value"]),
            1e-6,
            name,
        );
        let gradients = Tensor::f_run_backward(&[value], &leaves, false, false).unwrap();
        for (gradient, expected) in gradients.iter().zip(case["gradients"].as_array().unwrap()) {
            let expected = floats(expected);
            // Sums of float32 in another order.
            assert_close(&head(gradient, expected.len()), &expected, 2e-6, name);
        }
    }
}

/// ClinicaDL 1.6.1 divides its divergence by the size of the batch, but not its reconstruction.
#[test]
fn terms_of_variational_losses_are_those_of_clinicadl() {
    let reference = reference("losses.json");
    let outputs = || Outputs {
        prediction: tensor(&reference["prediction"], &[3, 2, 4]),
        latent: Some(Latent {
            mean: tensor(&reference["mean"], &[3, 5]),
            log_variance: tensor(&reference["log_variance"], &[3, 5]),
        }),
    };
    let target = tensor(&reference["target"], &[3, 2, 4]);
    let value = |name: &str, reconstruction, divergence| {
        let weighting = Weighting {
            reconstruction,
            divergence,
            ..Weighting::default()
        };
        let loss = parse(name).unwrap();
        let mean = loss.mean(&outputs(), &target, &weighting).unwrap();
        mean.double_value(&[])
    };
    for name in ["VAEGaussianLoss", "VAEBernoulliLoss"] {
        let theirs = floats(&reference["clinicadl"][name]);
        let ours = [3.0 * value(name, 1.0, 0.0), value(name, 0.0, 1.0)];
        assert_close(&ours, &theirs, 1e-5, name);
    }
    let theirs = floats(&reference["clinicadl"]["VAEContinuousBernoulliLoss"]);
    let name = "VAEContinuousBernoulliLoss";
    let constant = -3.0 * value(name, 0.0, 0.0);
    let entropy = 3.0 * value(name, 1.0, 0.0) + constant;
    let divergence = value(name, 0.0, 1.0) + constant / 3.0;
    assert_close(&[divergence, entropy, constant], &theirs, 1e-5, name);
}
