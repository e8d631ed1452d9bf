//! Gradients with less memory: maps are computed a second time instead of being kept.
//!
//! The layers of a chain are cut into segments. A first pass keeps what goes into each; then, from the last
//! segment to the first, its maps are computed again, and the gradient of its output becomes that of its
//! parameters and of its input. The numbers are those of one pass with everything kept: the second pass
//! drops what the first one did, and accumulates no statistics.
//!
//! # Source
//! Chen et al. 2016, arXiv:1604.06174.

use engine::profile::span;
use tch::{TchError, Tensor};

use super::steps::{BACKWARD, FORWARD};
use crate::networks::{Layer, Mode, Outputs, forward_all};

/// Layers that are computed together.
struct Segment<'l> {
    layers: Vec<&'l dyn Layer>,
    input: Tensor,
}

/// The mean loss of a batch and the gradients of parameters, in their order, times a factor.
pub(super) fn gradients(
    chain: Vec<(String, &dyn Layer)>,
    images: &Tensor,
    factor: f64,
    parameters: &[Tensor],
    mean_of: impl Fn(&Outputs) -> Result<Tensor, TchError>,
) -> Result<(f64, Vec<Tensor>), TchError> {
    let layers: Vec<&dyn Layer> = chain.into_iter().map(|(_, layer)| layer).collect();
    let forward = span(FORWARD);
    let mut segments = tch::no_grad(|| first_pass(&layers, images))?;
    // Maps are computed a second time in it.
    let _backward = forward.then_backward(BACKWARD);
    let mut gradients: Vec<Option<Tensor>> = parameters.iter().map(|_| None).collect();
    let mut mean = None;
    // The gradient of what the segment gives; the loss has none yet.
    let mut of_output: Option<Tensor> = None;
    while let Some(Segment { layers, input }) = segments.pop() {
        let is_first = segments.is_empty();
        let input = match is_first {
            true => input,
            false => input.f_detach()?.f_set_requires_grad(true)?,
        };
        let output = forward_all(&layers, &input, Mode::TrainAgain)?;
        let root = match of_output.take() {
            None => {
                let loss = mean_of(&Outputs::of(output).in_float()?)?;
                mean = Some(loss.f_double_value(&[])?);
                loss.f_multiply_scalar(factor)?
            }
            // Its gradient with respect to the output is the given one.
            Some(gradient) => output.f_mul(&gradient)?.f_sum(None)?,
        };
        if !root.requires_grad() {
            continue;
        }
        let mut wanted: Vec<&Tensor> = parameters.iter().collect();
        wanted.extend((!is_first).then_some(&input));
        let mut found = Tensor::f_run_backward(&[root], &wanted, false, false)?;
        if !is_first {
            of_output = found.pop();
        }
        for (gradient, found) in gradients.iter_mut().zip(found) {
            // Only those of this segment are defined.
            if found.defined() {
                *gradient = Some(found);
            }
        }
    }
    let gradients = gradients.into_iter().map(Option::unwrap_or_default);
    let mean = mean.ok_or_else(|| TchError::Shape("there is no layer".to_owned()))?;
    Ok((mean, gradients.collect()))
}

/// Cuts the chain where maps become larger, and before each block.
fn first_pass<'l>(chain: &[&'l dyn Layer], images: &Tensor) -> Result<Vec<Segment<'l>>, TchError> {
    let mut segments: Vec<Segment<'l>> = Vec::new();
    let mut x = images.shallow_clone();
    let (mut done, mut is_fresh) = (0, false);
    while let Some(&layer) = chain.get(done) {
        let input = x.shallow_clone();
        // Nobody else has it: an activation may write over it, and gives no larger map.
        let is_free = is_fresh && !layer.is_block();
        let next = &chain[done + 1..];
        let (y, more) = layer.forward_with(x, is_free, next, Mode::TrainFirst)?;
        let layers = &chain[done..=done + more];
        match segments.last_mut() {
            Some(segment) if !layer.is_block() && y.numel() <= input.numel() => {
                segment.layers.extend(layers);
            }
            _ => segments.push(Segment {
                layers: layers.to_vec(),
                input,
            }),
        }
        done += layers.len();
        (x, is_fresh) = (y, chain[done - 1].is_fresh());
    }
    Ok(segments)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::{Value, json};
    use stages::learning::names::Precision;
    use stages::learning::networks::{NETWORKS, declared};
    use tch::Kind;

    use super::super::steps::backward;
    use super::*;
    use crate::networks::{NetworkSpec, build};
    use crate::session::Session;
    use crate::state::Role;
    use crate::testing::{numbered_images, reference};

    /// Files with cases of every network.
    const FILES: [&str; 5] = [
        "networks_1_6_cnn.json",
        "networks_1_6_autoencoder.json",
        "networks_1_6_vae.json",
        "networks_2_0.json",
        "networks_monai.json",
    ];

    fn mean_of(outputs: &Outputs) -> Result<Tensor, TchError> {
        outputs.prediction.f_square()?.f_mean(Kind::Float)
    }

    /// Loss, gradients and buffers after two batches, with everything kept or in segments.
    fn trained(spec: &NetworkSpec, session: &mut Session, in_segments: bool) -> Vec<Tensor> {
        session.seed(3);
        let network = build(spec, session).unwrap();
        network.state().require_gradients().unwrap();
        let parameters = network.state().parameters();
        let images = numbered_images(2, &spec.input_size);
        let mut found = Vec::new();
        for batch in 0..2 {
            session.seed(11 + batch);
            let (mean, gradients) = if in_segments {
                let chain = network.chain().unwrap();
                gradients(chain, &images, 3.0, &parameters, mean_of).unwrap()
            } else {
                let outputs = network.outputs(&images, Mode::Train).unwrap();
                backward(&mean_of(&outputs).unwrap(), 3.0, &parameters).unwrap()
            };
            found.push(Tensor::from(mean));
            found.extend(gradients);
        }
        let buffers = network.state().entries().iter();
        let buffers = buffers.filter(|entry| entry.role == Role::Buffer);
        found.extend(buffers.map(|entry| entry.tensor.shallow_clone()));
        found
    }

    /// The same options with dropout, where there is such an option.
    fn with_dropout(name: &str, options: &Value) -> Value {
        let mut options = options.clone();
        let known = (declared(name).unwrap().options.names)();
        for option in ["dropout", "dropout_rate"] {
            if known.contains(&option) {
                options[option] = json!(0.3);
            }
        }
        for args in ["conv_args", "mlp_args"] {
            if known.contains(&args) {
                if options[args].is_null() {
                    options[args] = json!({});
                }
                options[args]["dropout"] = json!(0.3);
            }
        }
        options
    }

    /// Every network of a file that is a chain, in one size of images.
    fn numbers_are_those_of_one_pass(file: &str) {
        let mut chains = std::collections::BTreeSet::new();
        let cases = reference(file)["cases"].take();
        for case in cases.as_array().unwrap() {
            let name = case["network"].as_str().unwrap();
            let network = declared(name).unwrap();
            // The same builds without outputs have the same layers, and so have other sizes of images.
            if !network.is_chain() || case["outputs"].is_null() || !chains.insert(name) {
                continue;
            }
            let options = with_dropout(name, &case["options"]);
            let spec = NetworkSpec {
                declaration: network,
                input_size: serde_json::from_value(case["input_size"].clone()).unwrap(),
                output_size: case["output_size"].as_i64().unwrap(),
                options: options.as_object().unwrap().clone(),
                module: None,
            };
            let mut session = Session::for_test();
            for precision in [Precision::Float32, Precision::Bfloat16] {
                session.compute_in(precision);
                let whole = trained(&spec, &mut session, false);
                let again = trained(&spec, &mut session, true);
                assert_eq!(whole.len(), again.len(), "{name}");
                for (i, (whole, again)) in whole.iter().zip(&again).enumerate() {
                    assert!(whole.equal(again), "{name} {precision:?}: tensor {i}");
                }
            }
        }
        assert!(!chains.is_empty(), "{file}");
    }

    // Tests of their own, so that they are computed side by side.
    #[test]
    fn networks_of_clinicadl_have_the_numbers_of_one_pass_bit_for_bit() {
        numbers_are_those_of_one_pass("networks_1_6_cnn.json");
        numbers_are_those_of_one_pass("networks_1_6_autoencoder.json");
        numbers_are_those_of_one_pass("networks_2_0.json");
    }

    #[test]
    fn networks_of_monai_have_the_numbers_of_one_pass_bit_for_bit() {
        numbers_are_those_of_one_pass("networks_monai.json");
    }

    #[test]
    fn chains_are_those_that_are_declared() {
        for file in FILES {
            let cases = reference(file)["cases"].take();
            for case in cases.as_array().unwrap() {
                let name = case["network"].as_str().unwrap();
                let declaration = declared(name).unwrap();
                let count = NETWORKS.iter().filter(|known| known.name == name).count();
                assert_eq!(count, 1);
                let spec = NetworkSpec {
                    declaration,
                    input_size: serde_json::from_value(case["input_size"].clone()).unwrap(),
                    output_size: case["output_size"].as_i64().unwrap(),
                    options: case["options"].as_object().unwrap().clone(),
                    module: None,
                };
                if case["outputs"].is_null() {
                    continue;
                }
                let session = Session::for_test();
                let network = build(&spec, &session).unwrap();
                let chain = network.chain();
                assert_eq!(chain.is_some(), declaration.is_chain(), "{name}");
                // Layers have the names of their tensors; reconstructions are not asked for them.
                let Some(chain) = chain.filter(|_| spec.output_size > 0) else {
                    continue;
                };
                let layers: BTreeSet<&str> = chain.iter().map(|(name, _)| name.as_str()).collect();
                assert_eq!(layers.len(), chain.len(), "{name}: {layers:?}");
                for entry in network.state().entries() {
                    let mut places = entry.name.match_indices('.');
                    let is_of_layer = places.any(|(end, _)| layers.contains(&entry.name[..end]));
                    let is_known = is_of_layer || entry.name == "cls_token";
                    assert!(
                        is_known || entry.role == Role::Frozen,
                        "{name}: {}",
                        entry.name
                    );
                }
            }
        }
    }

    #[test]
    fn memory_falls() {
        let spec = NetworkSpec {
            declaration: declared("AE_Conv5_FC3").unwrap(),
            input_size: vec![1, 96, 96, 96],
            output_size: 0,
            options: serde_json::Map::new(),
            module: None,
        };
        // Bytes are only counted while memory is kept.
        kernels::keep_memory();
        let mut session = Session::for_test();
        drop(trained(&spec, &mut session, true));
        let in_segments = kernels::most_memory();
        drop(trained(&spec, &mut session, false));
        // The most only rises: with everything kept it is higher.
        let whole = kernels::most_memory();
        assert!(
            whole > in_segments + in_segments / 10 || cfg!(not(target_os = "linux")),
            "{in_segments} {whole}"
        );
    }
}
