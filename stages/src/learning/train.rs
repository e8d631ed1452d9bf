//! Declaration of `train`: a network fitted to labelled images, once per split.

use std::collections::BTreeMap;

use engine::{Config, Drawn, Imported, InputPort, OutputPort, ParamIssue, Ports, RunsIn, Stage};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::names::{LossName, Precision, SamplerName, Task, VotingName};
use super::networks::torchscript::TORCH_SCRIPT;
use super::networks::{NETWORKS, NetworkParams, cnn, declared};
use super::optimizers::OptimizerParams;
use super::schedulers::SchedulerParams;
use super::{
    check_selection_metrics, inside_split, selection_column, selects_model_file,
    selects_tensor_file,
};
use crate::augmentation::AugmentationParams;

engine::params! {
    /// Parameters of `train`.
    pub struct TrainParams {
        /// What is learnt. Default `classification`.
        semantic task: Task = Task::Classification,
        /// Column of the split tables that holds the label, numbers in a regression; a reconstruction has
        /// none. Default `diagnosis`, `age` in a regression.
        semantic label: Option<String> = None,
        /// Label to output node; several labels may share one. Empty (default): labels sorted, 0, 1, …
        semantic label_code: BTreeMap<String, u32> = BTreeMap::new(),
        /// Rows are kept when their column `diagnosis` is listed. Empty (default): all rows.
        semantic diagnoses: Vec<String> = Vec::new(),
        /// Architecture and its parameters.
        semantic network: NetworkParams = NetworkParams::default(),
        /// Update rule and its parameters.
        semantic optimizer: OptimizerParams = OptimizerParams::default(),
        /// What is minimised; null (default): `CrossEntropyLoss` in a classification, else `MSELoss`.
        semantic loss: Option<LossName> = None,
        /// Weight of each class in the loss: `none` (default), `balanced` (all classes together weigh the
        /// same), or a number for labels; those that are not listed weigh 1.
        semantic class_weights: ClassWeights = ClassWeights::Named(ClassWeighting::None),
        /// Share of each label that is spread over all classes, 0 to 1. Default 0.
        #[schemars(range(min = 0.0, max = 1.0))]
        semantic label_smoothing: f64 = 0.0,
        /// Passes over the training set, at least 1. Default 20.
        #[schemars(range(min = 1))]
        semantic epochs: u32 = 20,
        /// Images per forward pass, at least 1. Default 8.
        #[schemars(range(min = 1))]
        semantic batch_size: u32 = 8,
        /// Batches whose gradients are averaged over their images into one update. Default 1.
        #[schemars(range(min = 1))]
        semantic accumulation_steps: u32 = 1,
        /// Updates are followed by an evaluation every so many batches; 0 (default): only at the end of an epoch.
        semantic evaluation_steps: u32 = 0,
        /// Epochs without improvement of the validation loss before stopping; 0 (default): never.
        semantic patience: u32 = 0,
        /// Relative decrease of the validation loss that counts as improvement, at least 0. Default 0.
        #[schemars(range(min = 0.0))]
        semantic tolerance: f64 = 0.0,
        /// Divide the learning rate by 10 after 10 epochs without improvement: the scheduler `plateau`
        /// with its defaults. Default false.
        semantic adaptive_learning_rate: bool = false,
        /// How the learning rate changes, and its options. Default `constant`.
        semantic scheduler: SchedulerParams = SchedulerParams::default(),
        /// Epochs in which the learning rate rises, update by update, to where the scheduler starts.
        /// Default 0.
        semantic warmup_epochs: u32 = 0,
        /// Longest gradient of all weights together; longer ones are scaled down. 0 (default): any.
        #[schemars(range(min = 0.0))]
        semantic gradient_clipping: f64 = 0.0,
        /// Keep the weights of every epoch too, in `all_models`. Default false.
        semantic save_all_models: bool = false,
        /// A best model is kept for each: `loss` or metrics of predictions. Default `[loss]`.
        #[schemars(length(min = 1))]
        semantic selection_metrics: Vec<String> = vec![super::LOSS.to_owned()],
        /// Order of the training set. Default `random`.
        semantic sampler: SamplerName = SamplerName::Random,
        /// Rescale each image to [0, 1]. Default true.
        semantic normalize: bool = true,
        /// Take every n-th voxel of a central part of the image. Default false.
        semantic size_reduction: bool = false,
        /// The n of `size_reduction`, 2 to 5. Default 2.
        #[schemars(range(min = 2, max = 5))]
        semantic size_reduction_factor: u32 = 2,
        /// Random changes of training images, in the order of their application, each with its options:
        /// `[{ name: Flip }, { name: Noise, std: [0, 0.05] }]`. Default none.
        semantic(neutral = Vec::new()) data_augmentation: Vec<AugmentationParams> = Vec::new(),
        /// Train on the first session of each participant only. Default false.
        semantic baseline: bool = false,
        /// Validate on every session rather than on the first. Default false.
        semantic validation_longitudinal: bool = false,
        /// Seed of the initial weights, the same in every split; null (default): from the manifest's seed.
        semantic weights_seed: Option<u32> = None,
        /// Seed of the order of images, advanced by one per epoch; null (default): from the manifest's seed.
        semantic sampler_seed: Option<u32> = None,
        /// Only use algorithms whose result does not depend on timing; always so on a CPU. Default false.
        semantic deterministic: bool = false,
        /// Evaluate the training set after each epoch too; best models are at the end in any case. Default true.
        semantic evaluate_training_set: bool = true,
        /// Resamples of the confidence intervals, at least 1. Default 3000.
        #[schemars(range(min = 1))]
        semantic bootstrap: u32 = 3000,
        /// Numbers that convolutions and fully connected layers compute with, in training and wherever
        /// the model predicts. Default `float32`.
        semantic precision: Precision = Precision::Float32,
        /// The model of input `source` to start from, by the metric that selected it. Default `loss`.
        semantic transfer_selection_metric: String = super::LOSS.to_owned(),
        /// With input `source`: only the last layers are fitted, so many of two tensors each; 0 (default):
        /// all.
        semantic nb_unfrozen_layer: u32 = 0,
        /// Parameters that are not fitted, by name or by the beginning of it up to a dot. Default none.
        semantic frozen: Vec<String> = Vec::new(),
        /// A network of its own for each part of the images: patch, region or slice. Default false: one
        /// network learns all parts.
        semantic(neutral = false) multi_network: bool = false,
        /// How parts vote for the class of their image: `balanced_accuracy` (default) or `accuracy`, weighted
        /// by theirs on the validation set, or `equal`.
        semantic(neutral = VotingName::BalancedAccuracy) voting: VotingName = VotingName::BalancedAccuracy,
        /// Parts whose (balanced) accuracy is below do not vote, 0 to 1. Default 0: all vote.
        #[schemars(range(min = 0.0, max = 1.0))]
        semantic(neutral = 0.0) selection_threshold: f64 = 0.0,
        /// Why training and validation may share participants; empty (default): they may not.
        semantic(neutral = String::new()) allow_leakage: String = String::new(),
        /// Compute maps a second time for gradients instead of keeping them: less memory, more time, the
        /// same result. Default false.
        resource gradient_checkpointing: bool = false,
        /// Threads that load images ahead; 0 loads in line. Default 2.
        #[schemars(range(max = 256))]
        resource n_proc: u32 = 2,
    }
}

/// How classes are weighed in the loss.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum ClassWeights {
    /// By a rule.
    Named(ClassWeighting),
    /// A weight for each label, above 0.
    Given(BTreeMap<String, f64>),
}

/// A rule that gives weights to classes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ClassWeighting {
    /// All images weigh the same.
    None,
    /// All classes weigh the same: an image weighs n / (K nᵧ).
    Balanced,
}

/// Fits a network to labelled images, once per split.
#[derive(Debug)]
pub struct Train;

impl Stage for Train {
    const ID: &'static str = "train";
    const VERSION: u32 = 6;
    const SUMMARY: &'static str = "Trains a network on each split and keeps the best models.";
    const RUNS_IN: RunsIn = RunsIn::Worker;
    type Params = TrainParams;

    fn is_seeded(_: &TrainParams) -> bool {
        true
    }

    fn ports(params: &TrainParams) -> Ports {
        let mut inputs = vec![
            InputPort::new("images", &["tensors"], "extracted images"),
            InputPort::new(
                "splits",
                &["splits"],
                "tables of training and validation sessions with their labels",
            )
            .per_split(),
            InputPort::new(
                "source",
                &["model", "maps", "weights"],
                "what to start from: a model, a MAPS of this program or of ClinicaDL 1.6, or a file of weights",
            )
            .per_split()
            .optional(),
        ];
        let of_target = [
            InputPort::new(
                "target_images",
                &["tensors"],
                "for two domains: extracted images of the target",
            ),
            InputPort::new(
                "target_splits",
                &["splits"],
                "for two domains: tables of training (few) and validation sessions of the target",
            )
            .per_split(),
            InputPort::new(
                "unlabelled",
                &["table"],
                "for two domains: sessions of the target whose labels are not used",
            ),
        ];
        inputs.extend(of_target.map(|port| match params.has_two_domains() {
            true => port,
            false => {
                port.closed("it is for two domains: choose `network: { name: Conv5_FC3_SSDA }`")
            }
        }));
        let mut ports = Ports {
            inputs,
            outputs: vec![OutputPort::new(
                "model",
                "model",
                "best models, their predictions and the history of the training",
            )],
        };
        if params.network.name == TORCH_SCRIPT.name {
            let summary = "the network: a module of TorchScript, written by `torch.jit.save`";
            ports
                .inputs
                .push(InputPort::new("network", &["module"], summary));
        }
        ports
    }

    fn import(config: &Config<'_>) -> Result<Imported, Vec<ParamIssue>> {
        super::config::import(config)
    }

    fn space(file: &Map<String, Value>) -> Result<Vec<Drawn>, Vec<ParamIssue>> {
        super::random_search::space(file)
    }

    fn check(params: &TrainParams) -> Vec<ParamIssue> {
        let mut issues = check_selection_metrics(&params.selection_metrics, Some(params.task));
        let mut refuse =
            |field: &str, message: String| issues.push(ParamIssue::new(field, message));
        if params.selection_metrics.is_empty() {
            refuse(
                "selection_metrics",
                "expected at least one metric".to_owned(),
            );
        }
        for issue in params.scheduler.problems() {
            refuse(&format!("scheduler.{}", issue.field), issue.message);
        }
        if params.adaptive_learning_rate && params.scheduler != SchedulerParams::default() {
            let message = "set this or `scheduler`, not both".to_owned();
            refuse("adaptive_learning_rate", message);
        }
        for issue in params.network.problems() {
            refuse(&format!("network.{}", issue.field), issue.message);
        }
        for (place, augmentation) in params.data_augmentation.iter().enumerate() {
            for issue in augmentation.problems() {
                let field = format!("data_augmentation.{place}.{}", issue.field);
                refuse(&field, issue.message);
            }
        }
        for issue in params.optimizer.problems() {
            refuse(&format!("optimizer.{}", issue.field), issue.message);
        }
        for (field, value) in [
            ("gradient_clipping", params.gradient_clipping),
            ("tolerance", params.tolerance),
        ] {
            if !(value >= 0.0 && value.is_finite()) {
                refuse(field, format!("expected at least 0, got {value}"));
            }
        }
        for (field, value) in [
            ("epochs", params.epochs),
            ("batch_size", params.batch_size),
            ("accumulation_steps", params.accumulation_steps),
            ("bootstrap", params.bootstrap),
        ] {
            if value == 0 {
                refuse(field, "expected at least 1, got 0".to_owned());
            }
        }
        if !(2..=5).contains(&params.size_reduction_factor) {
            let factor = params.size_reduction_factor;
            refuse(
                "size_reduction_factor",
                format!("expected 2, 3, 4 or 5, got {factor}"),
            );
        }
        if selection_column(&params.transfer_selection_metric).is_none() {
            let message = format!("unknown metric `{}`", params.transfer_selection_metric);
            refuse("transfer_selection_metric", message);
        }
        if params.nb_unfrozen_layer > 0 && !params.frozen.is_empty() {
            let message = "set this or `nb_unfrozen_layer`, not both".to_owned();
            refuse("frozen", message);
        }
        if params.warmup_epochs >= params.epochs.max(1) {
            let message = format!("expected fewer than the {} epochs", params.epochs);
            refuse("warmup_epochs", message);
        }
        if params.gradient_checkpointing
            && declared(&params.network.name).is_some_and(|network| !network.is_chain())
        {
            let name = &params.network.name;
            let message = format!(
                "expected false: `{name}` is no chain of layers, whose maps could be computed again part by part"
            );
            refuse("gradient_checkpointing", message);
        }
        if params.network.name == TORCH_SCRIPT.name && params.precision != Precision::Float32 {
            let message =
                "expected `float32`: a module of TorchScript says itself what it computes with";
            refuse("precision", message.to_owned());
        }
        for (field, message) in params.task_problems() {
            refuse(field, message);
        }
        if let Some(problem) = label_code_problem(&params.label_code) {
            refuse("label_code", problem);
        }
        issues
    }

    fn selects(params: &TrainParams, port: &str, path: &str) -> bool {
        match port {
            "images" | "target_images" => selects_tensor_file(path),
            "source" => {
                let metrics = [params.transfer_selection_metric.clone()];
                let is_file = !path.contains('/')
                    && [".pth", ".safetensors", ".tar", ".pt"]
                        .iter()
                        .any(|end| path.ends_with(end));
                is_file || selects_model_file(&metrics, path)
            }
            "splits" | "target_splits" => {
                let (train, validation) = params.tables();
                let path = inside_split(path);
                path == train || path == validation
            }
            _ => true,
        }
    }
}

impl TrainParams {
    /// The column that is learnt; none in a reconstruction.
    pub fn learnt(&self) -> Option<&str> {
        let default = match self.task {
            Task::Classification => "diagnosis",
            Task::Regression => "age",
            Task::Reconstruction => return None,
        };
        Some(self.label.as_deref().unwrap_or(default))
    }

    /// Whether the network is one for two domains, a source with many labels and a target with few.
    pub fn has_two_domains(&self) -> bool {
        self.network.name == cnn::CONV5_FC3_SSDA.name
    }

    /// What is minimised.
    pub fn loss(&self) -> LossName {
        self.loss.unwrap_or(LossName::default_of(self.task))
    }

    /// The folder name of the metric that selects the model to start from.
    pub fn transfer_metric(&self) -> &str {
        let name = &self.transfer_selection_metric;
        selection_column(name).unwrap_or(name)
    }

    /// What does not suit the task.
    fn task_problems(&self) -> Vec<(&'static str, String)> {
        let mut problems = Vec::new();
        if self.multi_network && self.has_two_domains() {
            let message = "expected false: of two domains one network learns all parts".to_owned();
            problems.push(("multi_network", message));
        }
        let task = self.task.name();
        let is_classification = self.task == Task::Classification;
        match self.label.as_deref() {
            Some("") => problems.push(("label", "expected the name of a column".to_owned())),
            Some(_) if self.task == Task::Reconstruction => {
                problems.push(("label", "a reconstruction has no label".to_owned()));
            }
            _ => {}
        }
        let loss = self.loss();
        if !loss.tasks().contains(&self.task) {
            let known = LossName::ALL
                .iter()
                .filter(|loss| loss.tasks().contains(&self.task));
            let known: Vec<String> = known.map(|loss| format!("`{}`", loss.name())).collect();
            let message = format!(
                "`{}` is no loss of a {task}, expected one of {}",
                loss.name(),
                known.join(", ")
            );
            problems.push(("loss", message));
        }
        if let Some(network) = declared(&self.network.name)
            && !network.tasks.contains(&self.task)
        {
            let able = NETWORKS
                .iter()
                .filter(|network| network.tasks.contains(&self.task));
            let able: Vec<String> = able.map(|network| format!("`{}`", network.name)).collect();
            let message = format!(
                "`{}` cannot learn a {task}, expected one of {}",
                network.name,
                able.join(", ")
            );
            problems.push(("network.name", message));
        }
        if !is_classification && !self.label_code.is_empty() {
            problems.push(("label_code", format!("a {task} has no classes")));
        }
        match &self.class_weights {
            ClassWeights::Named(ClassWeighting::None) => {}
            _ if !is_classification => {
                problems.push(("class_weights", format!("a {task} has no classes")));
            }
            ClassWeights::Given(given) => {
                let wrong = given
                    .iter()
                    .find(|(_, weight)| !(**weight > 0.0 && weight.is_finite()));
                if let Some((label, weight)) = wrong {
                    let message = format!("`{label}`: expected a number above 0, got {weight}");
                    problems.push(("class_weights", message));
                }
            }
            ClassWeights::Named(ClassWeighting::Balanced) => {}
        }
        let smoothing = self.label_smoothing;
        if !(0.0..=1.0).contains(&smoothing) {
            problems.push((
                "label_smoothing",
                format!("expected 0 to 1, got {smoothing}"),
            ));
        } else if smoothing > 0.0 && loss != LossName::CrossEntropy {
            let message = "only `CrossEntropyLoss` has it".to_owned();
            problems.push(("label_smoothing", message));
        }
        let votes = [
            ("voting", self.voting != VotingName::BalancedAccuracy),
            ("selection_threshold", self.selection_threshold != 0.0),
        ];
        for (field, _) in votes
            .iter()
            .filter(|(_, given)| *given && !is_classification)
        {
            problems.push((*field, format!("parts vote for classes, a {task} has none")));
        }
        if is_classification
            && let Some(message) = threshold_problem(self.voting, self.selection_threshold)
        {
            problems.push(("selection_threshold", message));
        }
        if self.sampler == SamplerName::Weighted && self.task == Task::Reconstruction {
            let message = "a reconstruction has no classes to draw equally often".to_owned();
            problems.push(("sampler", message));
        }
        problems
    }

    /// The file names of the training and the validation table of a split.
    pub fn tables(&self) -> (&'static str, &'static str) {
        let train = if self.baseline {
            "train_baseline.tsv"
        } else {
            "train.tsv"
        };
        let validation = if self.validation_longitudinal {
            "validation.tsv"
        } else {
            "validation_baseline.tsv"
        };
        (train, validation)
    }
}

/// What is wrong with the score below which parts do not vote.
pub(super) fn threshold_problem(voting: VotingName, threshold: f64) -> Option<String> {
    if !(0.0..=1.0).contains(&threshold) {
        return Some(format!("expected 0 to 1, got {threshold}"));
    }
    let is_idle = voting == VotingName::Equal && threshold > 0.0;
    is_idle.then(|| "with `voting: equal` parts have no score that could be below".to_owned())
}

/// Nodes must be 0, 1, … without a gap, and at least two.
fn label_code_problem(code: &BTreeMap<String, u32>) -> Option<String> {
    if code.is_empty() {
        return None;
    }
    let nodes: std::collections::BTreeSet<u32> = code.values().copied().collect();
    if nodes.len() < 2 {
        return Some("expected at least two classes".to_owned());
    }
    nodes
        .iter()
        .zip(0..)
        .find(|&(&node, expected)| node != expected)
        .map(|(node, expected)| {
            format!("expected node {expected}, got {node}: nodes are 0, 1, … without a gap")
        })
}
