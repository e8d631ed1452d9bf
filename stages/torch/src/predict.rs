//! The stage `predict`.

use engine::{Context, Run, StageError};
use stages::extraction::Mode;
use stages::learning::names::Task;
use stages::learning::{Predict, PredictParams};
use stages::voting::Weights;

use crate::artifact::{Place, write_data, write_evaluation};
use crate::data::Batches;
use crate::evaluation::{Evaluated, of_network};
use crate::export::opened;
use crate::implemented::Implemented;
use crate::model::{Tested, TrainedModel};
use crate::prediction::Work;
use crate::session::Session;
use crate::voting::{ImageLevel, has_images};

impl Run for Implemented<Predict> {
    fn run(params: &PredictParams, context: &Context) -> Result<(), StageError> {
        let mut session = Session::open(context.slots())?;
        let input = opened(context.input("model")?, context)?;
        let model = TrainedModel::open(&input)?;
        session.compute_in(model.precision);
        let metrics = model.metrics(&params.selection_metrics)?;
        let label = match params.use_labels {
            true => model.label_or(params.label.as_deref())?,
            false => None,
        };
        let (cohort, certificate) = model.cohort(
            Tested {
                name: &params.data_group,
                label,
                diagnoses: params.diagnoses.as_deref(),
                allow_leakage: &params.allow_leakage,
            },
            context,
        )?;
        let output = context.output("predictions")?;
        let group = params.data_group.as_str();
        let objective = model.objective.as_ref();
        // An image is its own truth.
        let with_truth = params.use_labels || model.label.is_none();
        write_data(output, group, &cohort, label)?;
        certificate.write(output, group)?;
        let leakage = certificate.watermark();
        let weights = weights_of_images(params, &model, cohort.mode(), &metrics, context)?;
        let work = Work {
            model: &model,
            metrics: &metrics,
            cohort: &cohort,
            group,
            batches: Batches {
                size: params.batch_size as usize,
                threads: params.n_proc as usize,
                device: session.device(),
            },
            with_truth,
            save: &params.save,
            session: &session,
            context,
        };
        let found = work.find()?;
        // The same resamples for every model, so that intervals compare.
        let stream = context.stream().child("bootstrap");
        let resamples = with_truth.then_some(params.bootstrap);
        let images = ImageLevel {
            output,
            objective,
            context,
            bootstrap: resamples,
        };
        for ((metric, found), weights) in metrics.iter().zip(found).zip(&weights) {
            context.check_cancelled()?;
            let place = Place {
                mode: cohort.mode(),
                leakage: leakage.as_deref(),
                metric,
                group,
            };
            let evaluated = found.networks.into_iter().map(|(network, evaluation)| {
                let stream = of_network(stream, network);
                let estimates = resamples.map(|n| evaluation.estimates(objective, n, &stream));
                Evaluated {
                    network,
                    evaluation,
                    estimates,
                }
            });
            let evaluated: Vec<Evaluated> = evaluated.collect();
            write_evaluation(output, place, objective, &evaluated)?;
            if let Some(weights) = weights {
                images.write(place, &evaluated, weights, &stream)?;
            }
            if !found.images.is_empty() {
                images.write_joined(place, &found.images, &stream)?;
            }
        }
        Ok(())
    }
}

/// What parts weigh in the predictions of images, by the metric that selected the model; `None` where images
/// have no predictions of their own.
///
/// # Errors
/// A rule of votes is given where there are none, or nothing tells the weights.
fn weights_of_images(
    params: &PredictParams,
    model: &TrainedModel<'_>,
    mode: Mode,
    metrics: &[String],
    context: &Context,
) -> Result<Vec<Option<Weights>>, StageError> {
    let task = model.objective.task();
    let has_images = has_images(task, mode);
    if has_images && task == Task::Classification {
        let voters = model.voters()?;
        let voters = voters.asked(params.voting, params.selection_threshold);
        let weights = metrics.iter();
        return weights
            .map(|metric| voters.weights(metric, context).map(Some))
            .collect();
    }
    let given = [
        ("voting", params.voting.is_some()),
        ("selection_threshold", params.selection_threshold.is_some()),
    ];
    if let Some((field, _)) = given.iter().find(|(_, given)| *given) {
        let (task, mode) = (task.name(), mode.name());
        let message = format!(
            "`{field}`: the model is a {task} of mode `{mode}`, expected a classification of parts of images"
        );
        return Err(StageError::new(message).hint(format!("leave `{field}` out")));
    }
    // Numbers are averaged.
    Ok(vec![has_images.then(Weights::equal); metrics.len()])
}
