//! The stage `interpret`: attribution maps.
//!
//! ```text
//! method ──▶ gradients, gradient_input, guided_backprop, grad_cam, integrated_gradients, smooth_grad,
//!            occlusion                     maps of a batch
//! turns                                    which network explains which images when
//! results ─▶ mean, regions, writer  what becomes of them: files and tables
//! sanity                                   the same maps of networks with random weights
//! ```
//!
//! # Source
//! ClinicaDL 1.6.1, `interpret`. Deviations: the mean of a group is the sum over its images, or parts of
//! one number, divided by how many they are; NIfTI files are in the image's own space instead of an
//! identity affine, without the channel axis; maps of parts are also put together to one of the image.

mod grad_cam;
mod gradient_input;
mod gradients;
mod guided_backprop;
mod integrated_gradients;
mod mean;
mod method;
mod occlusion;
mod regions;
mod results;
mod sanity;
mod smooth_grad;
mod target;
#[cfg(test)]
mod tests;
mod turns;
mod writer;

use engine::profile::span;
use engine::seed::Stream;
use engine::{Context, Run, StageError};
use stages::learning::{Interpret, InterpretParams};
use stages::table::canonical_session;

use self::method::{Explained, Subject, one_by_one};
use self::regions::Regions;
use self::results::Results;
use self::target::target_node;
use self::turns::turns;
use self::writer::Writer;
use crate::artifact::write_data;
use crate::data::{Batch, Batches, Cohort, Dataset};
use crate::implemented::Implemented;
use crate::model::{Tested, TrainedModel};
use crate::session::Session;

impl Run for Implemented<Interpret> {
    fn run(params: &InterpretParams, context: &Context) -> Result<(), StageError> {
        let session = Session::open(context.slots())?;
        let model = TrainedModel::open(context.input("model")?)?;
        let metrics = model.metrics(&params.selection_metrics)?;
        let node = target_node(&params.target, model.objective.outputs(), &model.code)?;
        let method = method::make(&params.method)?;
        let regions = Regions::open(context)?;
        // Labels explain nothing, but a group has one table, the same as for its predictions.
        let label = match model.knows_labels(context)? {
            true => model.label.as_deref(),
            false => None,
        };
        let (cohort, certificate) = model.cohort(
            Tested {
                name: &params.data_group,
                label,
                diagnoses: None,
                allow_leakage: &params.allow_leakage,
            },
            context,
        )?;
        if params.individual {
            cohort.check_names().map_err(|error| {
                error.hint(
                    "set `individual: false`, or interpret the cohorts as data groups of their own",
                )
            })?;
        }
        let networks = model.networks(&cohort)?;
        if params.sanity_check && networks.iter().any(Option::is_some) {
            let message = "`sanity_check`: each part of images has a network of its own, expected a single network";
            return Err(StageError::new(message).hint("leave `sanity_check` out"));
        }
        let own = networks.into_iter();
        let own = own.map(|part| (part, part.map(|part| cohort.of_part(part))));
        let own: Vec<(Option<usize>, Option<Cohort>)> = own.collect();
        let datasets = own.iter().map(|(part, of_part)| {
            let dataset = model.dataset_of(of_part.as_ref().unwrap_or(&cohort), *part);
            (*part, dataset)
        });
        let datasets: Vec<(Option<usize>, Dataset<'_>)> = datasets.collect();
        let whole = model.dataset(&cohort);
        let batches = Batches {
            size: params.batch_size as usize,
            threads: params.n_proc as usize,
            device: session.device(),
        };
        let output = context.output("attributions")?;
        write_data(output, &params.data_group, &cohort, label)?;
        certificate.write(output, &format!("{}-interpret", params.data_group))?;
        let total = metrics.len() * cohort.samples.len();
        let mut done = 0;
        let proceed = || context.check_cancelled();
        for metric in &metrics {
            let writer = Writer {
                output,
                metric,
                group: &params.data_group,
                name: params.folder_name(),
            };
            let mut results = Results::new(writer, &whole, params.individual, regions.as_ref());
            for turn in turns(&cohort, &datasets) {
                let network = model.load_network(metric, turn.part, &session)?;
                let subject = Subject {
                    network: network.as_ref(),
                    name: model.network_name(),
                    tape: session.tape(),
                    node,
                    proceed: &proceed,
                };
                let images = turn.dataset;
                images.for_each_batch(&turn.order, batches, None, |batch| {
                    let explained = Explained {
                        images: &batch.images,
                        streams: &streams(context, &batch),
                    };
                    let explaining = span("attribution");
                    let maps = one_by_one(method.as_ref(), &subject, explained)?;
                    drop(explaining);
                    let _writing = span("maps");
                    results.add(&batch, &maps)?;
                    done += batch.samples.len();
                    context.progress(done, total, format!("model selected by {metric}"));
                    Ok(())
                })?;
                if params.sanity_check {
                    let random = sanity::RandomWeights::draw(&model, &session, context)?;
                    let table = sanity::check(
                        &subject,
                        method.as_ref(),
                        &random,
                        images,
                        batches,
                        context,
                    )?;
                    writer.write_sanity(&table)?;
                }
            }
            results.finish(context)?;
        }
        Ok(())
    }
}

/// A random stream for each image of a batch, which follows from whose it is.
fn streams(context: &Context, batch: &Batch<'_>) -> Vec<Stream> {
    let noise = context.stream().child("noise");
    let samples = batch.samples.iter();
    samples
        .map(|sample| {
            let of_image = noise.child(&sample.cohort).child(&sample.participant);
            let session = canonical_session(&sample.session);
            of_image.child(session).child(sample.part)
        })
        .collect()
}
