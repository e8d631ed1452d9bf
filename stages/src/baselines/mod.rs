//! Stage `baselines`: what a network has to beat.
//!
//! Three models that need no network, fitted to the training table of a split and nothing else: the share
//! of each class or the mean, a linear model of columns such as age and sex, and a linear model of voxels.
//! Their predictions have the tables of `predict`, so that `compare` reads both.

mod covariates;
mod fit;
mod group;
mod linear;
mod logistic;
mod matrix;
mod ridge;
mod scale;
#[cfg(test)]
mod tests;
mod voxels;

use std::collections::BTreeMap;

use engine::{Context, InputPort, OutputPort, ParamIssue, Ports, Run, Stage, StageError};
use maps::layout::{BASELINE, IMAGE_LEVEL, TRAIN, VALIDATION};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::extraction::Parts;
use crate::leakage::{Allowed, Certificate, Origin, separate};
use crate::learning::images::Images;
use crate::learning::labels::{DIAGNOSIS, keep_diagnoses, label_code};
use crate::learning::names::Task;
use crate::learning::{check_data_group, inside_split, selects_tensor_file};
use crate::predictions::{Predictions, write_data};
use crate::table::Table;
use group::{Data, Sources};

/// A model without a network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Baseline {
    /// The share of each class in the training, or the mean of the numbers.
    Majority,
    /// A linear model of columns of the tables.
    Covariates,
    /// A linear model of voxels.
    Voxels,
}

impl Baseline {
    /// Its name in manifests, and of its folder `baseline-<name>`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Majority => "majority",
            Self::Covariates => "covariates",
            Self::Voxels => "voxels",
        }
    }
}

engine::params! {
    /// Parameters of `baselines`.
    pub struct BaselinesParams {
        /// What is learnt: `classification` (default) or `regression`.
        semantic task: Task = Task::Classification,
        /// Column of the tables that holds the label. Default `diagnosis`, `age` in a regression.
        semantic label: Option<String> = None,
        /// Label to class; several labels may share one. Empty (default): labels sorted, 0, 1, …
        semantic label_code: BTreeMap<String, u32> = BTreeMap::new(),
        /// Rows are kept when their column `diagnosis` is listed. Empty (default): all rows.
        semantic diagnoses: Vec<String> = Vec::new(),
        /// Which models. Default: `majority` alone.
        #[schemars(length(min = 1))]
        semantic models: Vec<Baseline> = vec![Baseline::Majority],
        /// Columns that the model `covariates` takes, such as `age` and `sex`. Default: none.
        semantic covariates: Vec<String> = Vec::new(),
        /// What the sum of squared weights costs, above 0: scikit-learn's `alpha` of `Ridge`, and one by `C` of `LogisticRegression`. Default 1.
        semantic penalty: f64 = 1.0,
        /// The model `voxels` takes means of cubes of so many voxels a side, 1 to 64. Default 8.
        #[schemars(range(min = 1, max = 64))]
        semantic downsampling: u32 = 8,
        /// Rescale each image to 0 to 1 before, as training does. Default true.
        semantic normalize: bool = true,
        /// Fit to the first session of each participant only. Default false.
        semantic baseline: bool = false,
        /// Validate with all sessions instead of the first of each participant. Default false.
        semantic validation_longitudinal: bool = false,
        /// Name of the data group of the input `participants`. Default `test`.
        semantic data_group: String = "test".to_owned(),
        /// Why groups may share participants; empty (default): they may not.
        semantic allow_leakage: String = String::new(),
        /// Resamples of the confidence intervals, at least 1. Default 3000.
        #[schemars(range(min = 1))]
        semantic bootstrap: u32 = 3000,
    }
}

impl BaselinesParams {
    fn label(&self) -> &str {
        let default = match self.task {
            Task::Regression => "age",
            Task::Classification | Task::Reconstruction => DIAGNOSIS,
        };
        self.label.as_deref().unwrap_or(default)
    }
}

/// Models without a network.
#[derive(Debug)]
pub struct Baselines;

impl Stage for Baselines {
    const ID: &'static str = "baselines";
    const VERSION: u32 = 1;
    const SUMMARY: &'static str = "Fits models without a network, which a network has to beat.";
    type Params = BaselinesParams;

    fn is_seeded(_: &BaselinesParams) -> bool {
        true
    }

    fn ports(_: &BaselinesParams) -> Ports {
        let splits = "tables of training and validation sessions with their labels";
        let participants = "the participants and sessions of a data group to predict as well";
        let images = "extracted images, for the model `voxels`";
        let predictions = "predictions and metrics of each model on validation and data group";
        Ports {
            inputs: vec![
                InputPort::new("splits", &["splits"], splits).per_split(),
                InputPort::new("participants", &["table"], participants).optional(),
                InputPort::new("images", &["tensors"], images).optional(),
            ],
            outputs: vec![OutputPort::new("predictions", "predictions", predictions)],
        }
    }

    fn check(params: &BaselinesParams) -> Vec<ParamIssue> {
        let mut issues = check_data_group(&params.data_group);
        let mut refuse = |field: &str, message: &str| issues.push(ParamIssue::new(field, message));
        if params.task == Task::Reconstruction {
            refuse("task", "expected `classification` or `regression`");
        }
        if params.task == Task::Regression && !params.label_code.is_empty() {
            refuse("label_code", "a regression has no classes");
        }
        if params.models.is_empty() {
            refuse("models", "expected at least one model");
        }
        for (i, model) in params.models.iter().enumerate() {
            if params.models[..i].contains(model) {
                refuse("models", &format!("`{}` is listed twice", model.name()));
            }
        }
        let with_covariates = params.models.contains(&Baseline::Covariates);
        match (with_covariates, params.covariates.is_empty()) {
            (true, true) => refuse(
                "covariates",
                "the model `covariates` needs at least one column",
            ),
            (false, false) => refuse(
                "covariates",
                "no model takes them: add `covariates` to `models`",
            ),
            _ => {}
        }
        if params.covariates.iter().any(|name| name == params.label()) {
            refuse("covariates", "the label cannot predict itself");
        }
        if !(params.penalty > 0.0 && params.penalty.is_finite()) {
            refuse(
                "penalty",
                &format!("expected a number above 0, got {}", params.penalty),
            );
        }
        issues
    }

    fn selects(params: &BaselinesParams, port: &str, path: &str) -> bool {
        match port {
            "images" => selects_tensor_file(path),
            "splits" => {
                let (train, validation) = tables(params);
                [train, validation].contains(&inside_split(path))
            }
            _ => true,
        }
    }
}

/// The file names of the training and the validation table of a split.
fn tables(params: &BaselinesParams) -> (&'static str, &'static str) {
    let train = match params.baseline {
        true => "train_baseline.tsv",
        false => "train.tsv",
    };
    let validation = match params.validation_longitudinal {
        true => "validation.tsv",
        false => "validation_baseline.tsv",
    };
    (train, validation)
}

impl Run for Baselines {
    fn run(params: &BaselinesParams, context: &Context) -> Result<(), StageError> {
        let images = context
            .optional_input("images")
            .map(Images::open)
            .transpose()?;
        if params.models.contains(&Baseline::Voxels) {
            check_images(images.as_ref())?;
        }
        let groups = read(params, images.as_ref(), context)?;
        let output = context.output("predictions")?;
        let certificates = certify(&groups, params, context)?;
        for (group, certificate) in groups[1..].iter().zip(&certificates) {
            // Beside those of `predict` on the same group, which saw other images.
            certificate.write(output, &format!("baselines-{}", group.name))?;
            write_data(
                output,
                &group.name,
                group.rows.clone(),
                Some(params.label()),
            )?;
        }
        let stream = context.stream().child("bootstrap");
        for (done, &baseline) in params.models.iter().enumerate() {
            context.progress(done, params.models.len(), baseline.name());
            let answers = fit::answers(baseline, params, &groups, context)?;
            let of_groups = groups.iter().zip(answers).skip(1).zip(&certificates);
            for ((group, answers), certificate) in of_groups {
                let predictions = Predictions {
                    rows: group.identities(),
                    level: IMAGE_LEVEL.to_owned(),
                    leakage: certificate.watermark(),
                    answers,
                };
                // The same resamples for every model, so that intervals compare.
                let stream = stream.child(&group.name);
                let estimates = predictions.estimates(params.bootstrap as usize, &stream);
                let model = format!("{BASELINE}{}", baseline.name());
                predictions.write(output, &model, &group.name, &estimates)?;
            }
        }
        context.progress(params.models.len(), params.models.len(), "fitted");
        Ok(())
    }
}

fn check_images(images: Option<&Images>) -> Result<(), StageError> {
    let Some(images) = images else {
        let message = "the model `voxels` needs images, and input `images` is not connected";
        return Err(StageError::new(message).hint("connect extracted images, or leave it out"));
    };
    if images.extraction.parts != Parts::Image {
        let (shown, mode) = (images.shown(), images.extraction.parts.mode().name());
        let message =
            format!("`{shown}` holds images of mode `{mode}`, the model `voxels` takes `image`");
        return Err(StageError::new(message).hint("extract whole images"));
    }
    Ok(())
}

/// Training, validation and, where it is connected, the data group.
fn read(
    params: &BaselinesParams,
    images: Option<&Images>,
    context: &Context,
) -> Result<Vec<Data>, StageError> {
    let splits = context.input("splits")?;
    let (train, validation) = tables(params);
    let read = |name: &str| -> Result<Table, StageError> {
        keep_diagnoses(Table::read(splits.require(name)?)?, &params.diagnoses)
    };
    let (train, validation) = (read(train)?, read(validation)?);
    let label = params.label();
    let code = match params.task {
        Task::Classification => Some(label_code(&train, label, &params.label_code)?),
        Task::Regression | Task::Reconstruction => None,
    };
    let code = code.as_ref();
    let sources = Sources {
        label,
        code,
        images,
    };
    let mut groups = vec![
        Data::of(TRAIN, train, Origin::Train, sources)?,
        Data::of(VALIDATION, validation, Origin::Validation, sources)?,
    ];
    if let Some(input) = context.optional_input("participants") {
        let table = keep_diagnoses(Table::read(input.only_file()?)?, &params.diagnoses)?;
        // Of those who are tested the origin does not matter.
        groups.push(Data::of(
            &params.data_group,
            table,
            Origin::Validation,
            sources,
        )?);
    }
    Ok(groups)
}

/// Makes sure that groups share nobody: what was compared for each group but the training.
fn certify(
    groups: &[Data],
    params: &BaselinesParams,
    context: &Context,
) -> Result<Vec<Certificate>, StageError> {
    let allowed = Allowed {
        reason: &params.allow_leakage,
    };
    let train = &groups[0].group;
    let certificates = groups[1..].iter().map(|group| {
        let mut certificate = Certificate::default();
        separate(train, &group.group, allowed, &mut certificate, context)?;
        Ok(certificate)
    });
    certificates.collect()
}
