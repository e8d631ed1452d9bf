use serde_json::Value;

use super::*;
use crate::testing::{assert_close, floats, head, reference};

fn tensors(values: &Value) -> Vec<Tensor> {
    let values: Vec<Vec<f32>> = serde_json::from_value(values.clone()).unwrap();
    values.iter().map(|v| Tensor::from_slice(v)).collect()
}

fn params(case: &Value) -> OptimizerParams {
    let mut params = case["optimizer"].as_object().unwrap().clone();
    params.insert("learning_rate".to_owned(), 0.01.into());
    params.insert("weight_decay".to_owned(), 0.1.into());
    let params: OptimizerParams = serde_json::from_value(Value::Object(params)).unwrap();
    assert!(params.problems().is_empty());
    params
}

fn start(case: &Value, reference: &Value) -> Optimizer {
    let parameters = tensors(&reference["starts"])
        .into_iter()
        .map(|tensor| tensor.set_requires_grad(true))
        .collect();
    Optimizer::new(&params(case), parameters).unwrap()
}

fn cases(reference: &Value) -> Vec<Value> {
    reference["cases"].as_array().unwrap().clone()
}

fn step(optimizer: &mut Optimizer, reference: &Value, step: usize) {
    if step == 5 {
        optimizer.set_learning_rate(0.001);
    }
    let mut gradients: Vec<Tensor> = optimizer
        .parameters
        .iter()
        .zip(tensors(&reference["slopes"]))
        .map(|(parameter, slope)| {
            let number = step as f64 + 1.0;
            parameter.detach() * 0.5 + slope.f_multiply_scalar(number).unwrap()
        })
        .collect();
    optimizer.step(&mut gradients).unwrap();
}

fn weights(optimizer: &Optimizer) -> Vec<f64> {
    optimizer
        .parameters
        .iter()
        .flat_map(|p| head(p, p.numel()))
        .collect()
}

#[test]
fn the_table_holds_every_declared_optimizer() {
    use stages::learning::optimizers::OPTIMIZERS;
    let table: Vec<&str> = RULES.iter().map(|(name, _)| *name).collect();
    let declared: Vec<&str> = OPTIMIZERS.iter().map(|(name, _)| *name).collect();
    assert_eq!(table, declared);
    let reference = reference("optimizers.json");
    for name in declared {
        let mut cases = cases(&reference).into_iter();
        assert!(
            cases.any(|case| case["optimizer"]["name"] == name),
            "{name}"
        );
    }
}

#[test]
fn every_step_is_that_of_pytorch() {
    let reference = reference("optimizers.json");
    for case in cases(&reference) {
        let mut optimizer = start(&case, &reference);
        let trace = case["weights_after_each_step"].as_array().unwrap();
        assert_eq!(trace.len(), 20);
        for (i, expected) in trace.iter().enumerate() {
            step(&mut optimizer, &reference, i);
            // Twenty steps of float32 arithmetic, with factors multiplied in another order.
            let label = format!("{} step {i}", case["optimizer"]);
            assert_close(&weights(&optimizer), &floats(expected), 1e-6, &label);
        }
    }
}

#[test]
fn an_optimizer_goes_on_bit_for_bit_from_what_it_remembers() {
    let reference = reference("optimizers.json");
    for case in cases(&reference) {
        let mut whole = start(&case, &reference);
        let mut first = start(&case, &reference);
        for i in 0..8 {
            step(&mut whole, &reference, i);
        }
        for i in 0..4 {
            step(&mut first, &reference, i);
        }
        let mut second = start(&case, &reference);
        for (mut to, from) in second
            .parameters
            .iter()
            .map(Tensor::detach)
            .zip(&first.parameters)
        {
            to.copy_(from);
        }
        for ((_, to), (_, from)) in second.tensors().zip(first.tensors()) {
            to.shallow_clone().copy_(from);
        }
        let memory = serde_json::to_string(first.memory()).unwrap();
        second.restore(serde_json::from_str(&memory).unwrap());
        for i in 4..8 {
            step(&mut second, &reference, i);
        }
        assert_eq!(weights(&second), weights(&whole), "{}", case["optimizer"]);
    }
}
