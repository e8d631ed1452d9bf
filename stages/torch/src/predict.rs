//! The stage `predict`.

use engine::{Context, Run, StageError};
use stages::extraction::Mode;
use stages::learning::names::Task;
use stages::learning::{Predict, PredictParams};
use stages::voting::Weights;

use crate::artifact::{Place, write_data, write_evaluation};
use crate::data::Batches;
use crate::evaluation::{Evaluated, Evaluator, of_network};
use crate::export::opened;
use crate::implemented::Implemented;
use crate::model::{Tested, TrainedModel};
use crate::session::Session;
use crate::voting::{ImageLevel, has_images};

impl Run for Implemented<Predict> {
    fn run(params: &PredictParams, context: &Context) -> Result<(), StageError> {
        let mut session = Session::open(context.slots())?;
        let input = opened(context.input("model")?, context)?;
        let model = TrainedModel::open(&input)?;
        session.compute_in(model.precision);
        let metrics = model.metrics(&params.selection_metrics)?;
        let (cohort, certificate) = model.cohort(
            Tested {
                name: &params.data_group,
                use_labels: params.use_labels,
                allow_leakage: &params.allow_leakage,
            },
            context,
        )?;
        let batches = Batches {
            size: params.batch_size as usize,
            threads: params.n_proc as usize,
            device: session.device(),
        };
        let output = context.output("predictions")?;
        let group = params.data_group.as_str();
        let label = params
            .use_labels
            .then_some(model.label.as_deref())
            .flatten();
        let objective = model.objective.as_ref();
        // An image is its own truth.
        let with_truth = params.use_labels || model.label.is_none();
        write_data(output, group, &cohort, label)?;
        certificate.write(output, group)?;
        let leakage = certificate.watermark();
        let weights = weights_of_images(params, &model, cohort.mode(), &metrics, context)?;
        // The same resamples for every model, so that intervals compare.
        let stream = context.stream().child("bootstrap");
        let networks = model.networks(&cohort)?;
        let total = networks.len() * metrics.len();
        let mut found: Vec<Vec<Evaluated>> = vec![Vec::new(); metrics.len()];
        for (place, part) in networks.into_iter().enumerate() {
            let of_part = part.map(|part| cohort.of_part(part));
            let dataset = model.dataset_of(of_part.as_ref().unwrap_or(&cohort), part);
            for (number, metric) in metrics.iter().enumerate() {
                let told = match part {
                    None => format!("model selected by {metric}"),
                    Some(part) => format!("part {part}: model selected by {metric}"),
                };
                context.progress(place * metrics.len() + number, total, told);
                let network = model.load_network(metric, part, &session)?;
                let evaluator = Evaluator {
                    network: network.as_ref(),
                    objective,
                    criterion: with_truth.then_some(&model.criterion),
                    batches,
                    thorough: true,
                };
                let proceed = || context.check_cancelled();
                let evaluation = evaluator.evaluate(&dataset, &proceed)?;
                let stream = of_network(stream, part);
                let estimates =
                    with_truth.then(|| evaluation.estimates(objective, params.bootstrap, &stream));
                found[number].push(Evaluated {
                    network: part,
                    evaluation,
                    estimates,
                });
            }
        }
        let images = ImageLevel {
            output,
            objective,
            context,
            bootstrap: with_truth.then_some(params.bootstrap),
        };
        for ((metric, evaluated), weights) in metrics.iter().zip(&found).zip(&weights) {
            let place = Place {
                mode: cohort.mode(),
                leakage: leakage.as_deref(),
                metric,
                group,
            };
            write_evaluation(output, place, objective, evaluated)?;
            if let Some(weights) = weights {
                images.write(place, evaluated, weights, &stream)?;
            }
        }
        context.progress(total, total, "predicted");
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
