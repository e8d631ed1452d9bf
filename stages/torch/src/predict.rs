//! The stage `predict`.

use engine::{Context, Run, StageError};
use stages::learning::{Predict, PredictParams};

use crate::artifact::{Place, write_data, write_evaluation};
use crate::data::Batches;
use crate::evaluation::Evaluator;
use crate::implemented::Implemented;
use crate::model::{Tested, TrainedModel};
use crate::session::Session;

impl Run for Implemented<Predict> {
    fn run(params: &PredictParams, context: &Context) -> Result<(), StageError> {
        let mut session = Session::open(context.slots())?;
        let model = TrainedModel::open(context.input("model")?)?;
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
        let dataset = model.dataset(&cohort);
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
        // The same resamples for every model, so that intervals compare.
        let stream = context.stream().child("bootstrap");
        for (done, metric) in metrics.iter().enumerate() {
            context.progress(done, metrics.len(), format!("model selected by {metric}"));
            let network = model.load(metric, &session)?;
            let evaluator = Evaluator {
                network: network.as_ref(),
                objective,
                criterion: with_truth.then_some(&model.criterion),
                batches,
            };
            let proceed = || context.check_cancelled();
            let evaluation = evaluator.evaluate(&dataset, &proceed)?;
            let estimates =
                with_truth.then(|| evaluation.estimates(objective, params.bootstrap, &stream));
            let place = Place {
                mode: cohort.mode(),
                leakage: leakage.as_deref(),
                metric,
                group,
            };
            write_evaluation(output, place, objective, &evaluation, estimates.as_deref())?;
        }
        context.progress(metrics.len(), metrics.len(), "predicted");
        Ok(())
    }
}
