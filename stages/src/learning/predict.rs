//! Declaration of `predict`: the best models of a training applied to a data group, once per split.

use engine::{InputPort, OutputPort, ParamIssue, Ports, RunsIn, Stage};

use super::{check_data_group, check_selection_metrics, selects_model_file, selects_tensor_file};

engine::params! {
    /// Parameters of `predict`.
    pub struct PredictParams {
        /// Name of the data group, a folder of the MAPS. Default `test`.
        semantic data_group: String = "test".to_owned(),
        /// Read the labels and compute metrics; false predicts unlabelled images. Default true.
        semantic use_labels: bool = true,
        /// Models to apply, by the metric that selected them. Empty (default): every one in the model.
        semantic selection_metrics: Vec<String> = Vec::new(),
        /// Images per forward pass, at least 1. Default 8.
        #[schemars(range(min = 1))]
        semantic batch_size: u32 = 8,
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
    const VERSION: u32 = 3;
    const SUMMARY: &'static str = "Predicts a class for each image of a data group.";
    const RUNS_IN: RunsIn = RunsIn::Worker;
    type Params = PredictParams;

    fn is_seeded(_: &PredictParams) -> bool {
        true
    }

    fn ports(_: &PredictParams) -> Ports {
        Ports {
            inputs: model_inputs(),
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
        issues
    }

    fn selects(params: &PredictParams, port: &str, path: &str) -> bool {
        match port {
            "model" => selects_model_file(&params.selection_metrics, path),
            "images" => selects_tensor_file(path),
            _ => true,
        }
    }
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
