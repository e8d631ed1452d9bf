//! The `maps.json` of a training: which keys, in which order, with which defaults.

use indexmap::IndexMap;
use serde_json::{Map, Value, json};

/// What a training was asked to do.
///
/// Keys of ClinicaDL 1.6.1 that are not here concern what this program does not do; they are written
/// with their defaults.
#[derive(Debug, Clone, PartialEq)]
pub struct TrainingParams {
    /// Name of the network.
    pub architecture: String,
    /// Whether the network is one for two domains.
    pub ssda_network: bool,
    /// Options of the network, which are keys of their own.
    pub options: Map<String, Value>,
    /// The metrics that select models.
    pub selection_metrics: Vec<String>,
    /// The column to learn.
    pub label: Option<String>,
    /// `classification`, `regression` or `reconstruction`.
    pub task: String,
    /// Number of outputs; 0 where those are an image.
    pub output_size: usize,
    /// The code of each label.
    pub label_code: IndexMap<String, i64>,
    /// Name of the loss.
    pub loss: String,
    /// Whether a GPU was asked for.
    pub gpu: bool,
    /// Loader processes asked for.
    pub n_proc: u32,
    /// Images per batch.
    pub batch_size: u32,
    /// Batches between evaluations inside an epoch; 0 for none.
    pub evaluation_steps: u32,
    /// Numbers that layers compute with: `float32`, or another one of mixed precision.
    pub precision: String,
    /// Seed of the training.
    pub seed: u64,
    /// Whether deterministic kernels were asked for.
    pub deterministic: bool,
    /// What determinism may cost: `memory` or `time`.
    pub compensation: String,
    /// The values of `diagnosis` that are kept.
    pub diagnoses: Vec<String>,
    /// Whether training uses only the first session of each participant.
    pub baseline: bool,
    /// Whether validation uses every session of each participant.
    pub valid_longitudinal: bool,
    /// Whether each image is scaled to 0..1.
    pub normalize: bool,
    /// Names of random transforms.
    pub data_augmentation: Vec<String>,
    /// `random` or `weighted`.
    pub sampler: String,
    /// Whether images are made smaller.
    pub size_reduction: bool,
    /// By which factor.
    pub size_reduction_factor: u32,
    /// Number of splits of the validation scheme.
    pub n_splits: u32,
    /// Name of the optimizer.
    pub optimizer: String,
    /// Greatest number of epochs.
    pub epochs: u32,
    /// Learning rate.
    pub learning_rate: f64,
    /// Whether it falls when the validation loss stalls.
    pub adaptive_learning_rate: bool,
    /// Weight decay.
    pub weight_decay: f64,
    /// Epochs without improvement before training stops; 0 for never.
    pub patience: u32,
    /// Smallest relative decrease that is an improvement.
    pub tolerance: f64,
    /// Batches per optimizer step.
    pub accumulation_steps: u32,
    /// Whether the weights of every epoch are kept.
    pub save_all_models: bool,
    /// The CAPS folder as typed; we write none.
    pub caps_directory: String,
    /// The folder of splits as typed; we write none.
    pub tsv_path: String,
    /// The extraction that prepared the images; of two domains, those of the source.
    pub preprocessing: Map<String, Value>,
    /// The extraction that prepared the images of the target, where there are two domains.
    pub preprocessing_target: Option<Map<String, Value>>,
    /// Shape of one input, channel first.
    pub input_size: Vec<usize>,
    /// Keys of this program; one of ClinicaDL 1.6.1 has this value instead.
    pub more: Map<String, Value>,
    /// Whether each part of an image has a network of its own.
    pub multi_network: bool,
    /// Number of parts of an image; 1 for whole images.
    pub num_networks: usize,
    /// Shape of the input of each network, where they differ; empty else.
    pub input_sizes: Vec<Vec<usize>>,
    /// How parts vote for a class of their image, where there are parts.
    pub voting: Option<String>,
    /// Parts whose score is below count for nothing in votes.
    pub selection_threshold: f64,
}

impl Default for TrainingParams {
    /// The defaults of ClinicaDL 1.6.1, on a CPU; no labels, no preprocessing and no input shape.
    fn default() -> Self {
        Self {
            architecture: "Conv5_FC3".to_owned(),
            ssda_network: false,
            options: Map::new(),
            selection_metrics: vec!["loss".to_owned()],
            label: Some("diagnosis".to_owned()),
            task: "classification".to_owned(),
            output_size: 0,
            label_code: IndexMap::new(),
            loss: "CrossEntropyLoss".to_owned(),
            gpu: false,
            n_proc: 2,
            batch_size: 8,
            evaluation_steps: 0,
            precision: "float32".to_owned(),
            seed: 0,
            deterministic: false,
            compensation: "memory".to_owned(),
            diagnoses: vec!["AD".to_owned(), "CN".to_owned()],
            baseline: false,
            valid_longitudinal: false,
            normalize: true,
            data_augmentation: Vec::new(),
            sampler: "random".to_owned(),
            size_reduction: false,
            size_reduction_factor: 2,
            n_splits: 0,
            optimizer: "Adam".to_owned(),
            epochs: 20,
            learning_rate: 1e-4,
            adaptive_learning_rate: false,
            weight_decay: 1e-4,
            patience: 0,
            tolerance: 0.0,
            accumulation_steps: 1,
            save_all_models: false,
            caps_directory: String::new(),
            tsv_path: String::new(),
            preprocessing: Map::new(),
            preprocessing_target: None,
            input_size: Vec::new(),
            more: Map::new(),
            multi_network: false,
            num_networks: 1,
            input_sizes: Vec::new(),
            voting: None,
            selection_threshold: 0.0,
        }
    }
}

impl TrainingParams {
    /// Every key of ClinicaDL 1.6.1 in its order.
    pub(super) fn fields(&self) -> Map<String, Value> {
        let augmentation = match self.data_augmentation.as_slice() {
            [] => Value::Bool(false),
            names => json!(names),
        };
        let label_code = (self.task == "classification").then_some(&self.label_code);
        let is_mixed = self.precision != "float32";
        let threshold = label_code.map(|_| self.selection_threshold);
        let fields = [
            ("architecture", json!(self.architecture)),
            ("multi_network", json!(self.multi_network)),
            ("ssda_network", json!(self.ssda_network)),
            ("dropout", json!(0.0)),
            ("latent_space_size", json!(128)),
            ("feature_size", json!(1024)),
            ("n_conv", json!(4)),
            ("io_layer_channels", json!(8)),
            ("recons_weight", json!(1)),
            ("kl_weight", json!(1)),
            ("normalization", json!("batch")),
            ("selection_metrics", json!(self.selection_metrics)),
            ("label", json!(self.label)),
            ("label_code", json!(label_code)),
            ("selection_threshold", json!(threshold)),
            ("loss", json!(self.loss)),
            ("gpu", json!(self.gpu)),
            ("n_proc", json!(self.n_proc)),
            ("batch_size", json!(self.batch_size)),
            ("evaluation_steps", json!(self.evaluation_steps)),
            ("fully_sharded_data_parallel", json!(false)),
            ("amp", json!(is_mixed)),
            ("seed", json!(self.seed)),
            ("deterministic", json!(self.deterministic)),
            ("compensation", json!(self.compensation)),
            ("track_exp", json!("")),
            ("transfer_path", json!(false)),
            ("transfer_selection_metric", json!("loss")),
            ("nb_unfrozen_layer", json!(0)),
            ("use_extracted_features", json!(false)),
            ("multi_cohort", json!(false)),
            ("diagnoses", json!(self.diagnoses)),
            ("baseline", json!(self.baseline)),
            ("valid_longitudinal", json!(self.valid_longitudinal)),
            ("normalize", json!(self.normalize)),
            ("data_augmentation", json!(augmentation)),
            ("sampler", json!(self.sampler)),
            ("size_reduction", json!(self.size_reduction)),
            ("size_reduction_factor", json!(self.size_reduction_factor)),
            ("caps_target", json!("")),
            ("tsv_target_lab", json!("")),
            ("tsv_target_unlab", json!("")),
            (
                "preprocessing_dict_target",
                self.preprocessing_target
                    .clone()
                    .map_or(json!(""), Value::Object),
            ),
            ("n_splits", json!(self.n_splits)),
            ("optimizer", json!(self.optimizer)),
            ("epochs", json!(self.epochs)),
            ("learning_rate", json!(self.learning_rate)),
            ("adaptive_learning_rate", json!(self.adaptive_learning_rate)),
            ("weight_decay", json!(self.weight_decay)),
            ("patience", json!(self.patience)),
            ("tolerance", json!(self.tolerance)),
            ("accumulation_steps", json!(self.accumulation_steps)),
            ("profiler", json!(false)),
            ("save_all_models", json!(self.save_all_models)),
            ("emissions_calculator", json!(false)),
            ("network_task", json!(self.task)),
            ("caps_directory", json!(self.caps_directory)),
            ("tsv_path", json!(self.tsv_path)),
            ("preprocessing_dict", json!(self.preprocessing)),
            (
                "mode",
                self.preprocessing
                    .get("mode")
                    .cloned()
                    .unwrap_or(json!("image")),
            ),
            ("split", json!([])),
            ("validation", json!(validation_scheme(self.n_splits.into()))),
            ("num_networks", json!(self.num_networks)),
            ("output_size", json!(self.output_size)),
            ("input_size", json!(self.input_size)),
        ];
        let mut fields: Map<String, Value> = fields
            .into_iter()
            .map(|(key, value)| (key.to_owned(), value))
            .collect();
        if is_mixed {
            // A key of this program: `amp` does not say which numbers.
            fields.insert("precision".to_owned(), json!(self.precision));
        }
        // Keys of this program: how parts vote, and sizes of regions that are not all the same.
        if let Some(voting) = &self.voting {
            fields.insert("voting".to_owned(), json!(voting));
        }
        if !self.input_sizes.is_empty() {
            fields.insert("input_sizes".to_owned(), json!(self.input_sizes));
        }
        fields.extend(self.options.clone());
        fields.extend(self.more.clone());
        fields
    }
}

/// The name of the validation scheme that so many splits mean.
pub(super) fn validation_scheme(n_splits: u64) -> &'static str {
    if n_splits > 1 {
        "KFoldSplit"
    } else {
        "SingleSplit"
    }
}
