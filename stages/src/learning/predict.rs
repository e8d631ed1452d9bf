//! Declaration of `predict`: the best models of a training applied to a data group, once per split.

use engine::{InputPort, OutputPort, ParamIssue, Ports, RunsIn, Stage};

use super::names::{SavedName, VotingName};
use super::train::threshold_problem;
use super::{
    check_data_group, check_selection_metrics, selects_exported_file, selects_model_file,
    selects_tensor_file, selects_voting_file,
};

engine::params! {
    /// Parameters of `predict`.
    pub struct PredictParams {
        /// Name of the data group, a folder of the MAPS. Default `test`.
        semantic data_group: String = "test".to_owned(),
        /// Read the labels and compute metrics; false predicts unlabelled images. Default true.
        semantic use_labels: bool = true,
        /// Column that predictions are compared with, whose labels mean what those of the training do;
        /// null (default): the one that was learnt.
        semantic(neutral = None) label: Option<String> = None,
        /// Diagnoses of the rows to predict, of column `diagnosis`; an empty list takes every row, null
        /// (default) those that the training took.
        semantic(neutral = None) diagnoses: Option<Vec<String>> = None,
        /// Files to write beside the tables, for each image and part: `tensors`, `nifti`, `latent`. Default
        /// none.
        semantic(neutral = Vec::new()) save: Vec<SavedName> = Vec::new(),
        /// Models to apply, by the metric that selected them. Empty (default): every one in the model.
        semantic selection_metrics: Vec<String> = Vec::new(),
        /// Images per forward pass, at least 1. Default 8.
        #[schemars(range(min = 1))]
        semantic batch_size: u32 = 8,
        /// How parts vote for the class of their image: `balanced_accuracy` or `accuracy`, weighted by theirs
        /// on the validation set of the training, or `equal`; null (default): as in the training.
        semantic(neutral = None) voting: Option<VotingName> = None,
        /// Parts whose (balanced) accuracy is below do not vote, 0 to 1; null (default): as in the training.
        #[schemars(range(min = 0.0, max = 1.0))]
        semantic(neutral = None) selection_threshold: Option<f64> = None,
        /// Why participants of the training may be predicted; empty (default): they may not.
        semantic allow_leakage: String = String::new(),
        /// Resamples of the confidence intervals, at least 1. Default 3000.
        #[schemars(range(min = 1))]
        semantic bootstrap: u32 = 3000,
        /// Threads that load images ahead; 0 loads in line. Default 2.
        #[schemars(range(max = 256))]
        resource n_proc: u32 = 2,
    }
}

/// Applies the best models of a training to a data group, once per split.
#[derive(Debug)]
pub struct Predict;

impl Stage for Predict {
    const ID: &'static str = "predict";
    const VERSION: u32 = 5;
    const SUMMARY: &'static str = "Predicts a class for each image of a data group.";
    const RUNS_IN: RunsIn = RunsIn::Worker;
    type Params = PredictParams;

    fn is_seeded(_: &PredictParams) -> bool {
        true
    }

    fn ports(_: &PredictParams) -> Ports {
        Ports {
            inputs: inputs(),
            outputs: vec![OutputPort::new(
                "predictions",
                "predictions",
                "predictions and metrics of each best model",
            )],
        }
    }

    fn check(params: &PredictParams) -> Vec<ParamIssue> {
        let mut issues = check_selection_metrics(&params.selection_metrics, None);
        issues.extend(check_data_group(&params.data_group));
        for (field, value) in [
            ("batch_size", params.batch_size),
            ("bootstrap", params.bootstrap),
        ] {
            if value == 0 {
                issues.push(ParamIssue::new(field, "expected at least 1, got 0"));
            }
        }
        if let Some(label) = &params.label {
            let message = match (label.is_empty(), params.use_labels) {
                (true, _) => "expected the name of a column, got an empty text",
                (_, false) => "labels are not used: leave it out, or set `use_labels: true`",
                _ => "",
            };
            if !message.is_empty() {
                issues.push(ParamIssue::new("label", message));
            }
        }
        for (i, saved) in params.save.iter().enumerate() {
            if params.save[..i].contains(saved) {
                let message = format!("`{}` is listed twice", saved.name());
                issues.push(ParamIssue::new(format!("save[{i}]"), message));
            }
        }
        if let Some(threshold) = params.selection_threshold {
            let voting = params.voting.unwrap_or(VotingName::BalancedAccuracy);
            let problem = threshold_problem(voting, threshold);
            issues.extend(problem.map(|message| ParamIssue::new("selection_threshold", message)));
        }
        issues
    }

    fn selects(params: &PredictParams, port: &str, path: &str) -> bool {
        match port {
            "model" => {
                let metrics = &params.selection_metrics;
                selects_model_file(metrics, path)
                    || selects_voting_file(metrics, path)
                    || selects_exported_file(metrics, path)
            }
            "images" => selects_tensor_file(path),
            _ => true,
        }
    }
}

/// A model may be a file of its own too.
fn inputs() -> Vec<InputPort> {
    let mut inputs = model_inputs();
    let model =
        "a trained model, a MAPS of this program or of ClinicaDL 1.6, or what `export` wrote";
    inputs[0] = InputPort::new("model", &["model", "module", "maps"], model).per_split();
    inputs
}

/// The inputs of every stage that applies a trained model.
pub(super) fn model_inputs() -> Vec<InputPort> {
    vec![
        InputPort::new(
            "model",
            &["model", "maps"],
            "a trained model, or a MAPS of this program or of ClinicaDL 1.6",
        )
        .per_split(),
        InputPort::new("images", &["tensors"], "extracted images"),
        InputPort::new(
            "participants",
            &["table"],
            "the participants and sessions of the data group",
        ),
    ]
}
