//! What a training says of itself: `maps.json`, whom it saw, and its network in words.

use engine::StageError;
use maps::files::{MapsJson, TrainingParams};
use maps::layout::{INFORMATION_LOG, MAPS_JSON, NETWORK_FILE, TRAIN, VALIDATION};
use stages::extraction::Mode;
use stages::leakage::{Group, SEEN};
use stages::learning::names::Task;
use stages::learning::record;

use super::Training;
use super::outcome::Outcome;
use super::setup::selection;
use crate::artifact::{write_data, write_seen};
use crate::networks::NetworkSpec;

/// Writes what was trained on what.
///
/// Nothing here depends on resources: number of threads and device are written as defaults.
pub(super) fn write_definition(
    training: &Training<'_>,
    outcome: &Outcome,
) -> Result<(), StageError> {
    let Training {
        params,
        data,
        output,
        ..
    } = training;
    let spec = outcome.first_spec()?;
    let size = |spec: &NetworkSpec| spec.input_size.iter().map(|&axis| axis as usize).collect();
    let mut sizes: Vec<Vec<usize>> = outcome.specs.iter().map(size).collect();
    if sizes.iter().all(|size| *size == sizes[0]) {
        sizes.clear();
    }
    let has_votes = params.task == Task::Classification && data.train.mode() != Mode::Image;
    let code = data
        .code
        .iter()
        .map(|(label, node)| (label.to_owned(), node as i64));
    let definition = MapsJson::of_training(&TrainingParams {
        architecture: params.network.name.clone(),
        ssda_network: data.source_domain.is_some(),
        options: spec.options.clone(),
        selection_metrics: selection(params),
        task: params.task.name().to_owned(),
        label: params.learnt().map(str::to_owned),
        label_code: code.collect(),
        loss: params.loss().name().to_owned(),
        output_size: spec.output_size as usize,
        precision: params.precision.name().to_owned(),
        batch_size: params.batch_size,
        evaluation_steps: params.evaluation_steps,
        seed: params.weights_seed.unwrap_or(0).into(),
        deterministic: params.deterministic,
        diagnoses: data.diagnoses.clone(),
        baseline: params.baseline,
        valid_longitudinal: params.validation_longitudinal,
        normalize: params.normalize,
        data_augmentation: {
            let all = params.data_augmentation.iter();
            all.map(|augmentation| augmentation.name.clone()).collect()
        },
        sampler: params.sampler.name().to_owned(),
        size_reduction: params.size_reduction,
        size_reduction_factor: params.size_reduction_factor,
        optimizer: params.optimizer.name.clone(),
        epochs: params.epochs,
        learning_rate: params.optimizer.learning_rate(),
        adaptive_learning_rate: params.adaptive_learning_rate || params.scheduler.name == "plateau",
        weight_decay: params.optimizer.weight_decay(),
        patience: params.patience,
        tolerance: params.tolerance,
        accumulation_steps: params.accumulation_steps,
        save_all_models: params.save_all_models,
        preprocessing: data.extraction.clone(),
        preprocessing_target: {
            let domain = data.source_domain.as_ref();
            domain.map(|domain| domain.target_extraction.clone())
        },
        input_size: size(spec),
        multi_network: params.multi_network,
        num_networks: data.train.parts_per_image,
        input_sizes: sizes,
        voting: has_votes.then(|| params.voting.name().to_owned()),
        selection_threshold: params.selection_threshold,
        more: record(params),
        ..TrainingParams::default()
    });
    output.write(MAPS_JSON, &definition.to_bytes())?;
    if let Some(module) = &spec.module {
        output.write(NETWORK_FILE, &module.bytes)?;
    }
    let information = format!("- Model :\t{}\n", outcome.description);
    output.write(INFORMATION_LOG, information.as_bytes())?;
    let mut cohorts = vec![&data.train, &data.validation];
    if let Some(domain) = &data.source_domain {
        cohorts.extend([&domain.images, &domain.validation]);
    }
    write_seen(output, &cohorts)?;
    let seen = Group::seen(&data.groups().concat())?;
    output.write(SEEN, &seen)?;
    data.certificate.write(output, "training")?;
    write_data(output, TRAIN, &data.train, params.learnt())?;
    write_data(output, VALIDATION, &data.validation, params.learnt())
}
