//! The stage `interpret`: attribution maps.
//!
//! # Source
//! Gradients as `VanillaBackProp` of ClinicaDL 1.6.1: Simonyan et al. 2014, arXiv:1312.6034. The map is
//! the signed gradient of one output with respect to the image that the network sees. Deviations: the
//! mean of a group is the sum over its images divided by their number; NIfTI files are in the image's
//! own space instead of an identity affine, without the channel axis.

use engine::{Context, Output, Run, StageError};
use maps::layout::{MapFormat, MapOf, SplitPath};
use maps::weights::write_pt;
use stages::io::nifti;
use stages::learning::names::AttributionMethod;
use stages::learning::{Interpret, InterpretParams};
use stages::metrics::LabelCode;
use stages::volume::{Affine, Volume};
use tch::{Device, Kind, Tensor};

use crate::artifact::write_data;
use crate::data::{Batch, Batches};
use crate::error::During;
use crate::implemented::Implemented;
use crate::model::{Tested, TrainedModel};
use crate::networks::{Mode, Network};
use crate::session::Session;
use crate::weights;

impl Run for Implemented<Interpret> {
    fn run(params: &InterpretParams, context: &Context) -> Result<(), StageError> {
        let session = Session::open(context.slots())?;
        let model = TrainedModel::open(context.input("model")?)?;
        let metrics = model.metrics(&params.selection_metrics)?;
        let node = target_node(&params.target, model.objective.outputs(), &model.code)?;
        // Labels explain nothing, but a group has one table, the same as for its predictions.
        let use_labels = model.knows_labels(context)?;
        let (cohort, certificate) = model.cohort(
            Tested {
                name: &params.data_group,
                use_labels,
                allow_leakage: &params.allow_leakage,
            },
            context,
        )?;
        let dataset = model.dataset(&cohort);
        let batches = Batches {
            size: params.batch_size as usize,
            threads: params.n_proc as usize,
            device: session.device(),
        };
        let output = context.output("attributions")?;
        let label = use_labels.then_some(model.label.as_deref()).flatten();
        if cohort.mode() != stages::extraction::Mode::Image {
            let mode = cohort.mode().name();
            let message = format!("`mode: {mode}`: attribution maps are made of whole images");
            return Err(StageError::new(message));
        }
        write_data(output, &params.data_group, &cohort, label)?;
        certificate.write(output, &format!("{}-interpret", params.data_group))?;
        let n_images = cohort.samples.len();
        let total = metrics.len() * n_images;
        let mut done = 0;
        for metric in &metrics {
            let network = model.load(metric, &session)?;
            let maps = MapWriter {
                output,
                metric,
                group: &params.data_group,
                name: params.folder_name(),
            };
            let mut mean = Mean::default();
            dataset.for_each_batch(&dataset.natural_order(), batches, None, |batch| {
                context.check_cancelled()?;
                let found = match params.method {
                    AttributionMethod::Gradients => {
                        gradients(network.as_ref(), &batch.images, node)?
                    }
                };
                if params.individual {
                    maps.write_batch(&batch, &found)?;
                }
                mean.add(&found, &batch.affines)?;
                done += batch.samples.len();
                context.progress(done, total, format!("model selected by {metric}"));
                Ok(())
            })?;
            if mean.has_several_spaces {
                context
                    .warn("images lie in different spaces, the mean map is in that of the first");
            }
            let (map, affine) = mean.finish(n_images)?;
            maps.write(MapOf::Mean, &map, affine)?;
        }
        Ok(())
    }
}

/// The output node of a label's name or of a number, of so many.
fn target_node(target: &str, nodes: usize, code: &LabelCode) -> Result<usize, StageError> {
    if nodes == 0 {
        let message = "the model reconstructs images: it has no output that a map could explain";
        return Err(StageError::new(message).hint("`predict` tells how near reconstructions are"));
    }
    if target.is_empty() {
        return Ok(0);
    }
    let number = target.parse().ok().filter(|&node| node < nodes);
    code.code(target).or(number).ok_or_else(|| {
        let mut labels: Vec<String> = code
            .iter()
            .map(|(label, node)| format!("`{label}` (node {node})"))
            .collect();
        if labels.is_empty() {
            labels.extend((0..nodes).map(|node| format!("`{node}`")));
        }
        StageError::new(format!(
            "target `{target}` is neither a label nor a node of the model, expected one of {}",
            labels.join(", ")
        ))
    })
}

/// Gradient of an output node with respect to each image of a batch, on the CPU.
fn gradients(network: &dyn Network, images: &Tensor, node: usize) -> Result<Tensor, StageError> {
    let images = images
        .f_set_requires_grad(true)
        .during("explain an image")?;
    let compute = || {
        let outputs = network.forward(&images, Mode::Evaluate)?;
        // Images do not influence each other in evaluation mode: the sum has the gradient of each.
        let output = outputs.f_select(1, node as i64)?.f_sum(Kind::Float)?;
        let gradients = Tensor::f_run_backward(&[output], &[&images], false, false)?;
        gradients[0].f_to_device(Device::Cpu)?.f_contiguous()
    };
    compute().during("explain an image")
}

/// The mean of maps, summed in double precision.
#[derive(Debug, Default)]
struct Mean {
    sum: Option<Tensor>,
    affine: Option<Affine>,
    has_several_spaces: bool,
}

impl Mean {
    fn add(&mut self, maps: &Tensor, affines: &[Affine]) -> Result<(), StageError> {
        let act = "average maps";
        let sum = maps
            .f_sum_dim_intlist(&[0_i64][..], false, Kind::Double)
            .during(act)?;
        self.sum = Some(match self.sum.take() {
            None => sum,
            Some(mut total) => total.f_add_(&sum).during(act)?,
        });
        for affine in affines {
            let first = self.affine.get_or_insert(*affine);
            self.has_several_spaces |= first != affine;
        }
        Ok(())
    }

    fn finish(self, n_images: usize) -> Result<(Tensor, Affine), StageError> {
        let (Some(mut sum), Some(affine)) = (self.sum, self.affine) else {
            return Err(StageError::internal("there is no map to average"));
        };
        let mean = sum
            .f_divide_scalar_(n_images as f64)
            .and_then(|mean| mean.f_to_kind(Kind::Float))
            .during("average maps")?;
        Ok((mean, affine))
    }
}

/// Writes the maps of one model.
struct MapWriter<'a> {
    output: &'a Output,
    metric: &'a str,
    group: &'a str,
    name: &'a str,
}

impl MapWriter<'_> {
    fn write_batch(&self, batch: &Batch<'_>, maps: &Tensor) -> Result<(), StageError> {
        for (i, sample) in batch.samples.iter().enumerate() {
            let of = MapOf::Image {
                participant: &sample.participant,
                session: &sample.session,
            };
            let map = maps.f_select(0, i as i64).during("write a map")?;
            self.write(of, &map, batch.affines[i])?;
        }
        Ok(())
    }

    /// Writes a map `[C, X, Y, Z]` as a tensor, and as an image if it has one channel.
    fn write(&self, of: MapOf<'_>, map: &Tensor, affine: Affine) -> Result<(), StageError> {
        let array = weights::to_array(map)?;
        let tensor = write_pt(&array);
        self.output
            .write(&self.path(of, MapFormat::Tensor), &tensor)?;
        if let ([1, x, y, z], Some(voxels)) = (array.shape(), array.as_f32()) {
            let volume = Volume {
                data: voxels.to_vec(),
                shape: [*x, *y, *z],
                affine,
            };
            let path = self.output.create_path(&self.path(of, MapFormat::Nifti))?;
            nifti::write(&path, &volume)?;
        }
        Ok(())
    }

    fn path(&self, of: MapOf<'_>, format: MapFormat) -> String {
        let path = SplitPath::Attribution {
            metric: self.metric,
            group: self.group,
            name: self.name,
            of,
            format,
        };
        path.in_artifact()
    }
}

#[cfg(test)]
mod tests {
    use stages::learning::networks::declared;

    use super::*;
    use crate::networks::{self, NetworkSpec};
    use crate::testing::{assert_close, floats, head, numbered_images, reference};

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
                options: serde_json::Map::new(),
                module: None,
            };
            let network = networks::build(&spec, &session).unwrap();
            // The reference explains the first of three images; the others must not matter.
            let images = numbered_images(3, &spec.input_size);
            let gradients = gradients(network.as_ref(), &images, 1).unwrap();
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

    #[test]
    fn a_target_is_a_label_or_a_node() {
        let code = LabelCode::derive(["AD", "CN"]);
        let none = LabelCode::default();
        assert_eq!(target_node("0", 1, &none).unwrap(), 0);
        let error = target_node("1", 1, &none).unwrap_err();
        assert!(error.message.ends_with("expected one of `0`"), "{error}");
        let error = target_node("", 0, &none).unwrap_err();
        assert!(error.message.contains("reconstructs images"), "{error}");
        assert_eq!(target_node("", 2, &code).unwrap(), 0);
        assert_eq!(target_node("CN", 2, &code).unwrap(), 1);
        assert_eq!(target_node("1", 2, &code).unwrap(), 1);
        let error = target_node("MCI", 2, &code).unwrap_err();
        assert!(
            error.message.contains("`AD` (node 0), `CN` (node 1)"),
            "{}",
            error.message
        );
        assert!(target_node("2", 2, &code).is_err());
    }
}
