use super::*;
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
