//! Stage `compare`: models beside one another, on the same images.
//!
//! Every metric of each model, its difference from the reference with an interval from resamples of
//! participants that both share, and tests that need no resamples. Splits are not independent of one
//! another, and seeds are no participants: neither is pooled; both have a spread of their own.

mod paired;
mod runs;
mod summary;

use std::collections::{BTreeMap, BTreeSet};

use engine::seed::Stream;
use engine::{
    Context, InputPort, OutputPort, ParamIssue, Ports, Run as RunStage, Stage, StageError,
};

use maps::layout::ensemble_of;

use crate::learning::{inside_split, is_folder_name};
use crate::metrics::{Interval, estimates_of};
use crate::predictions::{Answers, Predictions, is_prediction_of};
use paired::{Paired, delong_test, mcnemar};
use runs::{Named, Run};

engine::params! {
    /// Parameters of `compare`.
    pub struct CompareParams {
        /// The models, each an input of this stage, the reference first; of an input with several models one is chosen as `input/loss`, by its folder `best-loss`, `input/voxels` by `baseline-voxels`.
        #[schemars(length(min = 2))]
        semantic models: Vec<String> = Vec::new(),
        /// By model, further inputs: the same model trained with other seeds. Default: none.
        semantic seeds: BTreeMap<String, Vec<String>> = BTreeMap::new(),
        /// Name of the data group. Default `test`.
        semantic data_group: String = "test".to_owned(),
        /// Resamples of the confidence intervals, at least 1. Default 3000.
        #[schemars(range(min = 1))]
        semantic bootstrap: u32 = 3000,
    }
}

impl CompareParams {
    /// The inputs, each once.
    fn inputs(&self) -> BTreeSet<&str> {
        let models = self.models.iter().map(|model| Named::of(model).input);
        let seeds = self.seeds.values().flatten().map(String::as_str);
        models.chain(seeds).collect()
    }
}

/// Compares models.
#[derive(Debug)]
pub struct Compare;

impl Stage for Compare {
    const ID: &'static str = "compare";
    const VERSION: u32 = 1;
    const SUMMARY: &'static str = "Compares models on the same images, with intervals and tests.";
    type Params = CompareParams;

    fn is_seeded(_: &CompareParams) -> bool {
        true
    }

    fn ports(params: &CompareParams) -> Ports {
        let input = |name: &str| {
            let summary = "predictions of a model";
            let kinds = &["predictions", "model", "ensemble", "maps"];
            InputPort::new(name.to_owned(), kinds, summary).all_splits()
        };
        Ports {
            inputs: params.inputs().into_iter().map(input).collect(),
            outputs: vec![OutputPort::new(
                "comparison",
                "comparison",
                "differences, tests and spreads as tables, and a summary",
            )],
        }
    }

    fn check(params: &CompareParams) -> Vec<ParamIssue> {
        let mut issues = Vec::new();
        let mut refuse =
            |field: &str, message: String| issues.push(ParamIssue::new(field, message));
        if params.models.len() < 2 {
            let count = params.models.len();
            refuse(
                "models",
                format!("expected at least two models, got {count}"),
            );
        }
        for (i, model) in params.models.iter().enumerate() {
            let named = Named::of(model);
            if !is_folder_name(named.input) || !named.folder.is_none_or(is_folder_name) {
                let message = format!("`{model}` is no name, expected `input` or `input/model`");
                refuse("models", message);
            }
            if params.models[..i].contains(model) {
                refuse("models", format!("`{model}` is listed twice"));
            }
        }
        for (model, inputs) in &params.seeds {
            let field = format!("seeds.{model}");
            if !params.models.contains(model) {
                refuse(&field, format!("`{model}` is not among `models`"));
            }
            if let Some(wrong) = inputs.iter().find(|name| !is_folder_name(name)) {
                refuse(&field, format!("`{wrong}` is no name of an input"));
            }
            let distinct: BTreeSet<&String> = inputs.iter().collect();
            let own = Named::of(model).input;
            if distinct.len() < inputs.len() || inputs.iter().any(|name| name == own) {
                refuse(&field, "an input is listed twice".to_owned());
            }
        }
        if !is_folder_name(&params.data_group) {
            let group = &params.data_group;
            refuse(
                "data_group",
                format!("`{group}` cannot be the name of a data group"),
            );
        }
        issues
    }

    fn selects(params: &CompareParams, _: &str, path: &str) -> bool {
        let path = inside_split(path);
        let inside = ensemble_of(path).map_or(path, |(_, inside)| inside);
        is_prediction_of(&params.data_group, inside)
    }
}

/// A metric of a run on a split, beside that of the reference.
#[derive(Debug)]
struct Difference {
    metric: &'static str,
    value: f64,
    /// That of the reference, and the interval of the difference; none for the reference itself.
    beside: Option<(f64, Option<Interval>)>,
}

/// What is known of a run on a split.
#[derive(Debug)]
struct Compared {
    split: usize,
    model: String,
    run: String,
    reference: String,
    metrics: Vec<Difference>,
    tests: Vec<Paired>,
}

impl RunStage for Compare {
    fn run(params: &CompareParams, context: &Context) -> Result<(), StageError> {
        let runs = runs::read(params, context)?;
        let stream = context.stream().child("bootstrap");
        let references: Vec<&Run> = runs
            .iter()
            .filter(|run| run.model == params.models[0])
            .collect();
        let mut all = Vec::new();
        let mut position = BTreeMap::new();
        for (done, run) in runs.iter().enumerate() {
            context.progress(done, runs.len(), run.name.clone());
            // Each seed is compared with that of the reference at its place, or with the only one.
            let place: &mut usize = position.entry(&run.model).or_default();
            let reference = references.get(*place).or(references.first());
            *place += 1;
            for (split, predictions) in &run.splits {
                context.check_cancelled()?;
                // The same resamples for every model, so that differences compare.
                let stream = stream.child(format!("split-{split}"));
                let of_reference = reference.and_then(|run| Some((*run, run.splits.get(split)?)));
                let beside = of_reference.filter(|_| run.model != params.models[0]);
                let resamples = params.bootstrap as usize;
                let metrics = differences(predictions, beside.map(|(_, p)| p), resamples, &stream);
                all.push(Compared {
                    split: *split,
                    model: run.model.clone(),
                    run: run.name.clone(),
                    reference: beside.map_or(String::new(), |(run, _)| run.name.clone()),
                    metrics,
                    tests: beside.map_or_else(Vec::new, |(_, p)| tests(predictions, p)),
                });
            }
        }
        context.progress(runs.len(), runs.len(), "compared");
        let several = runs
            .iter()
            .flat_map(|run| run.splits.values())
            .any(has_several);
        if several {
            context.warn("participants have several images: McNemar's test, which takes images for independent, is left out");
        }
        let leakage: BTreeSet<&str> = runs
            .iter()
            .flat_map(|run| run.splits.values().filter_map(|p| p.leakage.as_deref()))
            .collect();
        let output = context.output("comparison")?;
        output.write("comparison.tsv", &summary::differences(&all))?;
        output.write("tests.tsv", &summary::tests(&all))?;
        output.write("spread.tsv", &summary::spreads(&all))?;
        let text = summary::text(params, &all, &leakage);
        output.write("summary.txt", text.as_bytes())
    }
}

fn differences(
    predictions: &Predictions,
    reference: Option<&Predictions>,
    resamples: usize,
    stream: &Stream,
) -> Vec<Difference> {
    let columns = predictions.answers.columns();
    let all: Vec<usize> = (0..predictions.rows.len()).collect();
    let values = predictions.answers.values(&all);
    let Some(reference) = reference else {
        let each = columns.iter().zip(values);
        let alone = each.map(|(column, value)| Difference {
            metric: column.id,
            value,
            beside: None,
        });
        return alone.collect();
    };
    let beside = reference.answers.values(&all);
    let difference = |images: &[usize]| {
        let (a, b) = (
            predictions.answers.values(images),
            reference.answers.values(images),
        );
        a.into_iter().zip(b).map(|(a, b)| a - b).collect()
    };
    let participants = predictions.participants();
    let estimates = estimates_of(&columns, difference, &participants, resamples, stream);
    let each = estimates.into_iter().zip(values).zip(beside);
    each.map(|((estimate, value), reference)| Difference {
        metric: estimate.metric.id,
        value,
        beside: Some((reference, estimate.interval)),
    })
    .collect()
}

/// Tests of classes; numbers and images have none.
fn tests(model: &Predictions, reference: &Predictions) -> Vec<Paired> {
    let (Answers::Classes(a), Answers::Classes(b)) = (&model.answers, &reference.answers) else {
        return Vec::new();
    };
    let mut tests = Vec::new();
    if !has_several(model) {
        let right = |i: usize| (a.predicted[i] == a.truth[i], b.predicted[i] == b.truth[i]);
        let (mut only_model, mut only_reference) = (0, 0);
        for i in 0..a.truth.len() {
            only_model += u64::from(right(i) == (true, false));
            only_reference += u64::from(right(i) == (false, true));
        }
        tests.extend(mcnemar(only_model, only_reference));
    }
    let participants = model.participants();
    let classes = if a.classes == 2 { 0..1 } else { 0..a.classes };
    tests.extend(classes.filter_map(|class| {
        let is_member: Vec<bool> = a.truth.iter().map(|&truth| truth == class).collect();
        let images = 0..a.truth.len();
        let (of_a, of_b): (Vec<f64>, Vec<f64>) = images
            .map(|i| {
                (
                    a.as_ref().probability(i, class),
                    b.as_ref().probability(i, class),
                )
            })
            .unzip();
        let name = match a.classes {
            2 => "delong".to_owned(),
            _ => format!("delong-{class}"),
        };
        delong_test(name, &is_member, [&of_a, &of_b], &participants)
    }));
    tests
}

/// Whether a participant has several images, or parts of them.
fn has_several(predictions: &Predictions) -> bool {
    let participants = predictions.participants();
    let distinct: BTreeSet<&str> = participants.iter().copied().collect();
    distinct.len() < participants.len()
}

#[cfg(test)]
mod tests_of_stage;
