//! What an exported file says of its model: `extra/clinicadl.json`.

use engine::{Context, Input, StageError};
use maps::files::MapsJson;
use maps::layout::{SplitPath, TRAIN_VALIDATION};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use stages::leakage::{Certificate, SEEN};
use stages::learning::names::Task;

use super::beside::Beside;
use super::trace::Traced;
use crate::model::TrainedModel;
use crate::voting::has_images;

/// Version of the format.
pub(super) const FORMAT: u32 = 1;

/// Keys of `maps.json` that a prediction depends on, beside the options of the network; no folder of anybody
/// is among them.
const KEYS: [&str; 22] = [
    "network_task",
    "mode",
    "label",
    "label_code",
    "output_size",
    "input_size",
    "input_sizes",
    "architecture",
    "normalize",
    "size_reduction",
    "size_reduction_factor",
    "preprocessing_dict",
    "preprocessing_dict_target",
    "diagnoses",
    "loss",
    "precision",
    "multi_network",
    "num_networks",
    "voting",
    "selection_threshold",
    "selection_metrics",
    "seed",
];

/// The document.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Document {
    pub(super) format: u32,
    /// The metric that selected the weights, by its column.
    pub(super) selection_metric: String,
    /// The split of the training.
    pub(super) split: Option<usize>,
    /// `[C, X, Y(, Z)]` of an image; where the size is reduced, the least.
    pub(super) image_size: Vec<i64>,
    /// What the module gives: `logits` of the classes, a `number`, or an `image`.
    pub(super) output: String,
    /// The part of images that the network is of; none of a network of all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) part: Option<usize>,
    /// Whether the network gives a distribution too.
    pub(super) is_variational: bool,
    /// Shapes of the image and the distribution in what `outputs` gives.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) beside: Option<Beside>,
    /// Keys of `maps.json`.
    pub(super) parameters: Map<String, Value>,
    /// Whom the model has seen: the table `leakage/seen.tsv`.
    pub(super) seen: Option<String>,
    /// Whom any split has seen, where nothing else is known: `groups/train+validation.tsv`.
    pub(super) train_validation: Option<String>,
    /// The certificate of the training.
    pub(super) certificate: Option<Value>,
    /// What votes of parts weigh: the table `voting.tsv`.
    pub(super) voting: Option<String>,
}

/// The document of a model.
///
/// # Errors
/// A file of the model cannot be read, or nothing tells whom it has seen.
pub(super) fn of(
    model: &TrainedModel<'_>,
    input: &Input,
    (metric, part): (&str, Option<usize>),
    traced: &Traced,
    context: &Context,
) -> Result<Vec<u8>, StageError> {
    let text = |path: &str| -> Result<Option<String>, StageError> {
        let Some(file) = input.file(path) else {
            return Ok(None);
        };
        let text = std::fs::read_to_string(&file.path);
        text.map(Some)
            .map_err(|e| StageError::io("read", &file.path, &e))
    };
    let seen = text(SEEN)?;
    let train_validation = match seen {
        Some(_) => None,
        None => Some(text(TRAIN_VALIDATION)?).flatten(),
    };
    if seen.is_none() && train_validation.is_none() {
        let shown = &input.shown;
        let message = format!(
            "`{shown}` does not tell whom the model has seen: it has neither `{SEEN}` nor `{TRAIN_VALIDATION}`"
        );
        return Err(StageError::new(message));
    }
    let certificate = text(&Certificate::path("training"))?;
    let certificate = certificate.map(|text| serde_json::from_str(&text));
    let voting = match has_images(model.objective.task(), model.parts()) {
        true => text(&SplitPath::Voting { metric }.in_artifact())?,
        false => None,
    };
    let document = Document {
        format: FORMAT,
        selection_metric: metric.to_owned(),
        split: context.split(),
        image_size: traced.image_size.clone(),
        output: match model.objective.task() {
            Task::Classification => "logits",
            Task::Regression => "number",
            Task::Reconstruction => "image",
        }
        .to_owned(),
        part,
        is_variational: traced.beside.is_some(),
        beside: traced.beside.clone(),
        parameters: parameters(model.definition(), &model.option_names()),
        seen,
        train_validation,
        certificate: certificate.transpose().map_err(StageError::internal)?,
        voting,
    };
    let text = serde_json::to_string_pretty(&document).map_err(StageError::internal)?;
    Ok((text + "\n").into_bytes())
}

fn parameters(definition: &MapsJson, options: &[String]) -> Map<String, Value> {
    let fields = definition.fields().iter();
    let is_kept = |key: &str| KEYS.contains(&key) || options.iter().any(|option| option == key);
    fields
        .filter(|(key, _)| is_kept(key))
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect()
}
