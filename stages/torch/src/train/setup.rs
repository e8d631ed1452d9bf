//! What parameters of a training mean: frozen layers, the loss with its weights, the schedule.

use engine::{Context, StageError};
use stages::learning::names::Task;
use stages::learning::schedulers::SchedulerParams;
use stages::learning::train::{ClassWeighting, ClassWeights};
use stages::learning::{TrainParams, selection_column};
use stages::metrics::LabelCode;
use tch::Tensor;

use crate::error::During;
use crate::losses::{self, Criterion, Weighting};
use crate::networks::{Network, NetworkSpec};
use crate::session::Session;
use crate::trainer::{EarlyStopping, Length, Rates, Schedule};

/// Keeps the parameters that are not to be fitted as they are.
pub(super) fn freeze(
    params: &TrainParams,
    is_transferred: bool,
    network: &mut dyn Network,
    context: &Context,
) -> Result<(), StageError> {
    let state = network.state_mut();
    let all = state.parameters().len();
    // Two tensors a layer, from the end, as ClinicaDL 1.6.1 counts them.
    let unfrozen = 2 * params.nb_unfrozen_layer as usize;
    let frozen = if is_transferred && unfrozen > 0 {
        state.freeze(|position, _| position + unfrozen < all)
    } else {
        for name in &params.frozen {
            let mut names = state.entries().iter().map(|entry| entry.name.as_str());
            if !names.clone().any(|known| is_below(known, name)) {
                let last = names.next_back().unwrap_or_default();
                let message = format!("`frozen`: the network has no `{name}`");
                let hint = format!("its parameters have names such as `{last}`");
                return Err(StageError::new(message).hint(hint));
            }
        }
        let is_frozen = |name: &str| params.frozen.iter().any(|frozen| is_below(name, frozen));
        state.freeze(|_, name| is_frozen(name))
    };
    if frozen == all {
        return Err(StageError::new("`frozen`: no parameter is left to fit"));
    }
    if frozen > 0 {
        context.info(format!("{frozen} of {all} parameters are frozen"));
    }
    Ok(())
}

/// Whether a name is another one, or below it.
fn is_below(name: &str, above: &str) -> bool {
    let rest = name.strip_prefix(above);
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.') || above.ends_with('.'))
}

/// The loss with its weights.
pub(super) fn criterion(
    params: &TrainParams,
    spec: &NetworkSpec,
    strata: &[usize],
    code: &LabelCode,
    session: &Session,
) -> Result<Criterion, StageError> {
    let option = |name: &str| spec.options.get(name).and_then(serde_json::Value::as_f64);
    let classes = match params.task {
        Task::Classification => class_weights(params, strata, code, session)?,
        Task::Regression | Task::Reconstruction => None,
    };
    Ok(Criterion {
        loss: losses::parse(params.loss().name())?,
        weighting: Weighting {
            classes,
            label_smoothing: params.label_smoothing,
            reconstruction: option("recons_weight").unwrap_or(1.0),
            divergence: option("kl_weight").unwrap_or(1.0),
        },
    })
}

/// The weight of each class in the loss: as given, or such that every class weighs the same.
fn class_weights(
    params: &TrainParams,
    strata: &[usize],
    code: &LabelCode,
    session: &Session,
) -> Result<Option<Tensor>, StageError> {
    let mut weights = vec![1.0_f32; code.classes()];
    match &params.class_weights {
        ClassWeights::Named(ClassWeighting::None) => return Ok(None),
        ClassWeights::Named(ClassWeighting::Balanced) => {
            for (class, weight) in weights.iter_mut().enumerate() {
                let count = strata.iter().filter(|&&stratum| stratum == class).count();
                *weight = strata.len() as f32 / (code.classes() * count.max(1)) as f32;
            }
        }
        ClassWeights::Given(given) => {
            for (label, weight) in given {
                let class = code.code(label).ok_or_else(|| {
                    let known = code.iter().map(|(label, _)| format!("`{label}`"));
                    let known = known.collect::<Vec<_>>().join(", ");
                    StageError::new(format!(
                        "`class_weights` has label `{label}`, expected labels of {known}"
                    ))
                })?;
                weights[class] = *weight as f32;
            }
        }
    }
    Tensor::f_from_slice(&weights)
        .and_then(|weights| weights.f_to_device(session.device()))
        .map(Some)
        .during("weigh classes")
}

/// The epochs of a training, and how fast it learns in them.
///
/// # Errors
/// An option of the scheduler is wrong.
pub(super) fn schedule(params: &TrainParams, batches: usize) -> Result<Schedule, StageError> {
    let per_update = params.accumulation_steps.max(1) as usize;
    let length = Length {
        epochs: params.epochs,
        warmup_epochs: params.warmup_epochs,
        updates_per_epoch: u32::try_from(batches.div_ceil(per_update)).unwrap_or(u32::MAX),
    };
    let plateau = SchedulerParams::new("plateau", serde_json::Map::new());
    let scheduler = match params.adaptive_learning_rate {
        true => &plateau,
        false => &params.scheduler,
    };
    let rates = Rates::new(scheduler, params.optimizer.learning_rate(), length)?;
    Ok(Schedule {
        epochs: params.epochs,
        accumulation_steps: params.accumulation_steps.max(1) as usize,
        evaluation_steps: params.evaluation_steps as usize,
        evaluate_training_set: params.evaluate_training_set,
        selection: selection(params),
        stopping: EarlyStopping::new(params.patience, params.tolerance),
        rates,
        precision: params.precision,
        clipping: params.gradient_clipping,
        save_all: params.save_all_models,
    })
}

/// Selection metrics by the names of their folders.
pub(super) fn selection(params: &TrainParams) -> Vec<String> {
    let names = params.selection_metrics.iter();
    names
        .filter_map(|name| selection_column(name))
        .map(str::to_owned)
        .collect()
}
