//! Declaration of `interpret`: maps of what the best models look at, once per split.

use engine::{InputPort, OutputPort, ParamIssue, Ports, RunsIn, Stage};

use super::attribution::MethodParams;
use super::predict::model_inputs;
use super::{
    check_data_group, check_selection_metrics, is_folder_name, selects_model_file,
    selects_tensor_file,
};

engine::params! {
    /// Parameters of `interpret`.
    pub struct InterpretParams {
        /// Attribution method, by its name or with options:
        /// `{ name: IntegratedGradients, n_steps: 100 }`. Default `gradients`.
        semantic method: MethodParams = MethodParams::default(),
        /// Name of the maps' folder, after `interpret-`. Empty (default): the method.
        semantic name: String = String::new(),
        /// The label whose output is explained, or the number of its node. Empty (default): node 0.
        semantic target: String = String::new(),
        /// Name of the data group, a folder of the MAPS. Default `test`.
        semantic data_group: String = "test".to_owned(),
        /// Write the map of each image besides the mean. Default true.
        semantic individual: bool = true,
        /// Models to explain, by the metric that selected them. Empty (default): every one in the model.
        semantic selection_metrics: Vec<String> = Vec::new(),
        /// Compare maps with those of networks whose weights are drawn anew, layer by layer. Default false.
        semantic(neutral = false) sanity_check: bool = false,
        /// Why participants of the training may be explained; empty (default): they may not.
        semantic allow_leakage: String = String::new(),
        /// Images that are read at once, at least 1. Each is explained by itself: maps do not depend on it.
        /// Default 8.
        #[schemars(range(min = 1))]
        resource batch_size: u32 = 8,
        /// Threads that load images ahead; 0 loads in line. Default 2.
        #[schemars(range(max = 256))]
        resource n_proc: u32 = 2,
    }
}

/// Maps what the best models of a training look at, once per split.
#[derive(Debug)]
pub struct Interpret;

impl Stage for Interpret {
    const ID: &'static str = "interpret";
    const VERSION: u32 = 3;
    const SUMMARY: &'static str = "Maps which voxels a model's output depends on.";
    const RUNS_IN: RunsIn = RunsIn::Worker;
    type Params = InterpretParams;

    fn is_seeded(params: &InterpretParams) -> bool {
        params.method.is_random() || params.sanity_check
    }

    fn ports(_: &InterpretParams) -> Ports {
        let mut inputs: Vec<InputPort> = model_inputs();
        inputs.push(
            InputPort::new(
                "atlas",
                &["volume"],
                "numbered regions, on any grid of the images' space",
            )
            .optional(),
        );
        inputs.push(
            InputPort::new(
                "regions",
                &["table"],
                "names of the regions: `roi_value` and `roi_name`, or `index` and `name`",
            )
            .optional(),
        );
        Ports {
            inputs,
            outputs: vec![OutputPort::new(
                "attributions",
                "attributions",
                "the mean map of the group and the map of each image, in the image's space, and their tables",
            )],
        }
    }

    fn check(params: &InterpretParams) -> Vec<ParamIssue> {
        let mut issues = check_selection_metrics(&params.selection_metrics, None);
        issues.extend(check_data_group(&params.data_group));
        for issue in params.method.problems() {
            issues.push(ParamIssue::new(
                format!("method.{}", issue.field),
                issue.message,
            ));
        }
        if !params.name.is_empty() && !is_folder_name(&params.name) {
            let message = format!(
                "`{}` cannot be a folder name, use letters, digits, `-`, `_`, `.` and `+`",
                params.name
            );
            issues.push(ParamIssue::new("name", message));
        }
        issues
    }

    fn selects(params: &InterpretParams, port: &str, path: &str) -> bool {
        match port {
            "model" => selects_model_file(&params.selection_metrics, path),
            "images" => selects_tensor_file(path),
            _ => true,
        }
    }
}

impl InterpretParams {
    /// The name of the maps' folder, after `interpret-`.
    pub fn folder_name(&self) -> &str {
        if self.name.is_empty() {
            self.method.name()
        } else {
            &self.name
        }
    }
}
