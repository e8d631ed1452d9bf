//! What the networks of a training found, until the tables of all of them are written.

use engine::StageError;
use indexmap::IndexMap;
use maps::layout::{TRAIN, VALIDATION};
use stages::learning::names::Task;
use stages::voting::Weights;

use super::Training;
use crate::artifact::{Place, predictions_of, write_evaluation};
use crate::evaluation::Evaluated;
use crate::networks::NetworkSpec;
use crate::voting::{ImageLevel, Rule, has_images, scores, store_weights};

/// The best models of all networks on both sets.
#[derive(Default)]
pub(super) struct Outcome {
    /// One for each network.
    pub(super) specs: Vec<NetworkSpec>,
    /// The first network, in words.
    pub(super) description: String,
    /// By selection metric, network by network.
    best: IndexMap<String, Found>,
}

#[derive(Default)]
struct Found {
    train: Vec<Evaluated>,
    validation: Vec<Evaluated>,
}

impl Outcome {
    /// Keeps what a model found on the training and the validation set.
    pub(super) fn keep(&mut self, metric: &str, [train, validation]: [Evaluated; 2]) {
        let found = self.best.entry(metric.to_owned()).or_default();
        found.train.push(train);
        found.validation.push(validation);
    }

    /// Keeps the words of the first network; the others differ in the size of their input at most.
    pub(super) fn describe(&mut self, network: String) {
        if self.description.is_empty() {
            self.description = network;
        }
    }

    pub(super) fn first_spec(&self) -> Result<&NetworkSpec, StageError> {
        let spec = self.specs.first();
        spec.ok_or_else(|| StageError::internal("no network was trained"))
    }

    /// Writes the predictions on both sets, of parts and of the images that they belong to.
    pub(super) fn write(&self, training: &Training<'_>) -> Result<(), StageError> {
        let Training {
            params,
            context,
            data,
            objective,
            output,
            ..
        } = *training;
        let leakage = data.certificate.watermark();
        let mode = data.train.mode();
        let images = ImageLevel {
            output,
            objective,
            context,
            bootstrap: Some(params.bootstrap),
        };
        for (metric, found) in &self.best {
            let place = |group| Place {
                mode,
                leakage: leakage.as_deref(),
                metric,
                group,
            };
            let groups = [(TRAIN, &found.train), (VALIDATION, &found.validation)];
            for (group, evaluated) in groups {
                write_evaluation(output, place(group), objective, evaluated)?;
            }
            if !has_images(params.task, mode) {
                continue;
            }
            let weights = if params.task == Task::Classification {
                let rule = Rule {
                    voting: params.voting,
                    threshold: params.selection_threshold,
                };
                let validation = predictions_of(&found.validation);
                let scores = scores(&validation, data.code.classes());
                store_weights(output, place(VALIDATION), &scores, rule, context)?
            } else {
                Weights::equal()
            };
            for (group, evaluated) in groups {
                let stream = context.stream().child("bootstrap").child(group);
                images.write(place(group), evaluated, &weights, &stream)?;
            }
        }
        Ok(())
    }
}
