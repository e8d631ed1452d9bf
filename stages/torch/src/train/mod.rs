//! The stage `train`.

mod outcome;

use std::collections::BTreeSet;
use std::ops::Range;

use engine::profile::span;
use engine::{Context, Output, Run, StageError};
use maps::files::{MapsJson, TrainingParams};
use maps::layout::{INFORMATION_LOG, MAPS_JSON, NETWORK_FILE, SplitPath, TRAIN, VALIDATION};
use maps::weights::{Checkpoint, write_pth, write_safetensors};
use stages::augmentation::Augmenter;
use stages::extraction::Mode;
use stages::leakage::{Allowed, Certificate, Group, Origin, SEEN, separate};
use stages::learning::names::{Precision, Task};
use stages::learning::schedulers::SchedulerParams;
use stages::learning::train::{ClassWeighting, ClassWeights};
use stages::learning::{Train, TrainParams, record, selection_column};
use stages::metrics::LabelCode;
use stages::table::Table;
use tch::{Device, Tensor};

use crate::artifact::{Course, write_data, write_history, write_seen};
use crate::checkpoint::{Checkpoints, Mark, Part};
use crate::data::cohort::{self, Labels, keep_diagnoses};
use crate::data::sampler::Sampler;
use crate::data::{Batches, Cohort, Dataset, Images, Transforms};
use crate::domains::{self, DomainPorts, SourceDomain};
use crate::error::During;
use crate::evaluation::{Evaluated, of_network};
use crate::implemented::Implemented;
use crate::losses::{self, Criterion, Weighting};
use crate::networks::{self, ModuleFile, Network, NetworkSpec};
use crate::optimizers::Optimizer;
use crate::session::Session;
use crate::tasks::{Objective, objective};
use crate::trainer::{
    EarlyStopping, Fitted, Length, OneDomain, Rates, Samplers, Schedule, Steps, Trainer, Turn,
};
use crate::transfer::Source;
use crate::weights;
use outcome::Outcome;

impl Run for Implemented<Train> {
    fn run(params: &TrainParams, context: &Context) -> Result<(), StageError> {
        let mut session = Session::open(context.slots())?;
        session.compute_in(params.precision);
        if params.precision == Precision::Float16 && session.device() == Device::Cpu {
            context.warn("`precision: float16` is slow without a GPU, `bfloat16` is fast");
        }
        if params.deterministic {
            session.require_deterministic()?;
        }
        let source = match context.optional_input("source") {
            None if params.nb_unfrozen_layer > 0 => {
                let message = "`nb_unfrozen_layer` keeps layers as they are, but there is no `source` of them";
                let hint = "give the stage an input `source`, or leave `nb_unfrozen_layer` out";
                return Err(StageError::new(message).hint(hint));
            }
            None => None,
            Some(input) => Some(Source::open(input, params, context)?),
        };
        let seen = source.as_ref().and_then(|source| source.seen.clone());
        let data = Data::read(params, seen, context)?;
        let networks: Vec<Option<usize>> = match params.multi_network {
            true => data.every_part()?.map(Some).collect(),
            false => vec![None],
        };
        if let Some(source) = &source {
            source.fits(networks.len())?;
        }
        let objective = objective(params.task, &data.code);
        let training = Training {
            params,
            context,
            session: &session,
            source: source.as_ref(),
            data: &data,
            objective: objective.as_ref(),
            output: context.output("model")?,
        };
        let mut outcome = Outcome::default();
        for (place, part) in networks.iter().enumerate() {
            let turn = Turn {
                part: *part,
                place,
                of: networks.len(),
            };
            training
                .fit(turn, &mut outcome)
                .map_err(|error| turn.named(error))?;
        }
        write_definition(&training, &outcome)?;
        outcome.write(&training)
    }
}

/// What the networks of a training have in common.
struct Training<'a> {
    params: &'a TrainParams,
    context: &'a Context,
    session: &'a Session,
    source: Option<&'a Source>,
    data: &'a Data,
    objective: &'a dyn Objective,
    output: &'a Output,
}

impl Training<'_> {
    /// Fits a network and evaluates its best models, on all parts of images or on one.
    fn fit(&self, turn: Turn, outcome: &mut Outcome) -> Result<(), StageError> {
        let Self {
            params,
            context,
            session,
            data,
            objective,
            output,
            ..
        } = *self;
        let of_part = turn.part.map(|part| {
            let cohorts = [&data.train, &data.validation];
            cohorts.map(|cohort| cohort.of_part(part))
        });
        let [train, validation] = match &of_part {
            None => [&data.train, &data.validation],
            Some([train, validation]) => [train, validation],
        };
        let transforms = Transforms {
            normalize: params.normalize,
            size_reduction: params
                .size_reduction
                .then_some(params.size_reduction_factor),
        };
        let train = Dataset::measure(train, transforms)?;
        let validation = Dataset::new(validation, transforms, train.input_size.clone());
        let declaration = networks::find(&params.network.name)?;
        let options = params.network.complete().map_err(|issues| {
            let messages = issues.into_iter().map(|issue| issue.message);
            StageError::internal(messages.collect::<Vec<_>>().join("; "))
        })?;
        let spec = NetworkSpec {
            declaration,
            input_size: train.input_size.iter().map(|&axis| axis as i64).collect(),
            output_size: objective.outputs() as i64,
            options,
            module: match context.optional_input("network") {
                Some(input) => Some(ModuleFile::read(input.only_file()?)?),
                None => None,
            },
        };
        // The network of a part does not depend on those of the others.
        let stream = of_network(context.stream(), turn.part);
        let drawn = stream.child("weights").seed();
        session.seed(params.weights_seed.map_or(drawn, u64::from));
        let building = span("network");
        let mut network = networks::build(&spec, session)?;
        if let Some(source) = self.source {
            let count = source.apply(network.as_ref(), turn.part)?;
            context.info(format!("starting from {count} tensors of another training"));
        }
        drop(building);
        freeze(params, self.source.is_some(), network.as_mut(), context)?;
        let criterion_for =
            |cohort: &Cohort| criterion(params, &spec, &cohort.strata(), &data.code, session);
        let criterion = criterion_for(train.cohort)?;
        let source_domain = match &data.source_domain {
            Some(domain) => Some(domain.open(&train, criterion_for(&domain.train)?)?),
            None => None,
        };
        let orders = stream.child("sampler");
        let (sampler, seed) = (params.sampler, params.sampler_seed);
        let steps: Box<dyn Steps> = match &source_domain {
            None => Box::new(OneDomain {
                network: network.as_ref(),
                objective,
                criterion: &criterion,
                train: &train,
                sampler: Sampler::new(sampler, seed, &orders),
                batch_size: params.batch_size as usize,
                gradient_checkpointing: params.gradient_checkpointing,
            }),
            Some(domain) => Box::new(domain.steps(
                network.as_ref(),
                objective,
                &criterion,
                Samplers::new(sampler, seed, &orders),
                params.batch_size,
            )?),
        };
        let trainer = Trainer {
            context,
            stream,
            turn,
            session,
            network: network.as_ref(),
            objective,
            criterion: &criterion,
            steps: steps.as_ref(),
            train: &train,
            validation: &validation,
            source: match &source_domain {
                Some(domain) => Some(domain.sets(network.as_ref())?),
                None => None,
            },
            augmenter: Augmenter::new(&params.data_augmentation),
            batches: Batches {
                size: params.batch_size as usize,
                threads: params.n_proc as usize,
                device: session.device(),
            },
            schedule: schedule(params, steps.count())?,
        };
        let optimizer = Optimizer::new(&params.optimizer, network.state().parameters())?;
        let checkpoints = Checkpoints::of_network(context.scratch()?, turn.part)?;
        let fitted = trainer.fit(optimizer, &checkpoints)?;
        write_courses(output, &trainer, &fitted)?;
        if params.save_all_models {
            write_all(output, &trainer, params, &fitted, &checkpoints)?;
        }
        keep_best(output, &trainer, params, &fitted, &checkpoints, outcome)?;
        outcome.describe(network.describe());
        outcome.specs.push(spec);
        Ok(())
    }
}

/// What a training reads.
struct Data {
    code: LabelCode,
    train: Cohort,
    validation: Cohort,
    /// The diagnoses found, for `maps.json`.
    diagnoses: Vec<String>,
    /// How the images were extracted.
    extraction: serde_json::Map<String, serde_json::Value>,
    /// Whom the weights that it starts from have seen.
    source: Option<Group>,
    /// The other domain, of a network for two.
    source_domain: Option<SourceDomain>,
    /// How training and validation were compared.
    certificate: Certificate,
}

impl Data {
    fn read(
        params: &TrainParams,
        source: Option<Group>,
        context: &Context,
    ) -> Result<Self, StageError> {
        let mut data = if params.has_two_domains() {
            Self::of_two_domains(params, context)?
        } else {
            Self::of_domain(params, domains::ONLY, None, context)?
        };
        data.source = source;
        data.separate(params, context)?;
        Ok(data)
    }

    /// The target, with the source beside it; classes are those of the source.
    fn of_two_domains(params: &TrainParams, context: &Context) -> Result<Self, StageError> {
        let source = Self::of_domain(params, domains::SOURCE, None, context)?;
        let mut data = Self::of_domain(params, domains::TARGET, Some(source.code), context)?;
        let sets = [source.train, source.validation];
        let domain = SourceDomain::join(sets, &data.train, &data.code, params, context)?;
        data.extraction = source.extraction;
        data.diagnoses.extend(source.diagnoses);
        data.diagnoses.sort();
        data.diagnoses.dedup();
        data.source_domain = Some(domain);
        Ok(data)
    }

    /// The sets of one domain, with the code of its labels unless that is known.
    fn of_domain(
        params: &TrainParams,
        ports: DomainPorts,
        code: Option<LabelCode>,
        context: &Context,
    ) -> Result<Self, StageError> {
        let images = Images::open(context.input(ports.images)?)?;
        let splits = context.input(ports.splits)?;
        let (train, validation) = params.tables();
        let read = |name: &str| -> Result<Table, StageError> {
            keep_diagnoses(Table::read(splits.require(name)?)?, &params.diagnoses)
        };
        let (train, validation) = (read(train)?, read(validation)?);
        let code = match (code, params.task) {
            (Some(known), _) => known,
            (None, Task::Classification) => {
                let column = params.learnt().unwrap_or_default();
                cohort::label_code(&train, column, &params.label_code)?
            }
            (None, Task::Regression | Task::Reconstruction) => LabelCode::default(),
        };
        let labels = params.learnt().map(|column| Labels {
            column,
            code: (params.task == Task::Classification).then_some(&code),
        });
        let mut diagnoses = BTreeSet::new();
        for table in [&train, &validation] {
            if let Ok(texts) = table.texts(cohort::DIAGNOSIS) {
                diagnoses.extend(texts.into_iter().map(str::to_owned));
            }
        }
        let of_train = (ports.train, Origin::Train);
        let of_validation = (ports.validation, Origin::Validation);
        Ok(Self {
            train: Cohort::build(&train, &images, labels, of_train)?,
            validation: Cohort::build(&validation, &images, labels, of_validation)?,
            code,
            diagnoses: diagnoses.into_iter().collect(),
            extraction: images.extraction.record,
            source: None,
            source_domain: None,
            certificate: Certificate::default(),
        })
    }

    /// Everybody whom the network is fitted to, and everybody whom it is validated on.
    fn groups(&self) -> [Vec<&Group>; 2] {
        let mut fitted = vec![&self.train.group];
        let mut validated = vec![&self.validation.group];
        if let Some(domain) = &self.source_domain {
            fitted.extend([&domain.unlabelled, &domain.train.group]);
            validated.push(&domain.validation.group);
        }
        fitted.extend(&self.source);
        [fitted, validated]
    }

    /// Compares the former with the latter.
    fn separate(&mut self, params: &TrainParams, context: &Context) -> Result<(), StageError> {
        let allowed = Allowed {
            reason: &params.allow_leakage,
        };
        let mut certificate = Certificate::default();
        let [fitted, validated] = self.groups();
        for validation in validated {
            for group in &fitted {
                separate(group, validation, allowed, &mut certificate, context)?;
            }
        }
        self.certificate = certificate;
        Ok(())
    }

    /// The parts of images, each of which is to have a network of its own.
    ///
    /// # Errors
    /// Images are whole, or a table lacks a part.
    fn every_part(&self) -> Result<Range<usize>, StageError> {
        let count = self.train.parts_per_image;
        for cohort in [&self.train, &self.validation] {
            let (shown, mode) = (&cohort.shown, cohort.mode().name());
            if cohort.mode() == Mode::Image {
                let message =
                    "`multi_network`: the images were extracted whole, expected parts of them";
                let hint = "extract them with `mode: patch`, `roi` or `slice`, or leave `multi_network` out";
                return Err(StageError::new(message).hint(hint));
            }
            let parts = cohort.parts();
            if let Some(missing) = (0..count).find(|part| !parts.contains(part)) {
                let last = count - 1;
                let message = format!(
                    "`multi_network`: `{shown}` has no image with part {missing}, expected parts 0 to {last}, each for its network"
                );
                let hint = format!("list it in column `{mode}_id`, or leave that column out");
                return Err(StageError::new(message).hint(hint));
            }
        }
        Ok(0..count)
    }
}

/// Keeps the parameters that are not to be fitted as they are.
fn freeze(
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
fn criterion(
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

fn schedule(params: &TrainParams, batches: usize) -> Result<Schedule, StageError> {
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
fn selection(params: &TrainParams) -> Vec<String> {
    let names = params.selection_metrics.iter();
    names
        .filter_map(|name| selection_column(name))
        .map(str::to_owned)
        .collect()
}

/// Writes what was trained on what.
///
/// Nothing here depends on resources: number of threads and device are written as defaults.
fn write_definition(training: &Training<'_>, outcome: &Outcome) -> Result<(), StageError> {
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

/// Writes the history of the training; of two domains, that of each.
fn write_courses(
    output: &Output,
    trainer: &Trainer<'_>,
    fitted: &Fitted,
) -> Result<(), StageError> {
    let (columns, batches) = (trainer.objective.columns(), trainer.steps.count());
    let (history, part) = (fitted.history.iter(), trainer.turn.part);
    if trainer.source.is_none() {
        return write_history(output, Course::ONE_DOMAIN, part, &columns, history, batches);
    }
    let of_source = history.clone().filter_map(|row| row.source.as_deref());
    write_history(output, Course::SOURCE, part, &columns, of_source, batches)?;
    write_history(output, Course::TARGET, part, &columns, history, batches)
}

/// Writes the weights of every epoch.
fn write_all(
    output: &Output,
    trainer: &Trainer<'_>,
    params: &TrainParams,
    fitted: &Fitted,
    checkpoints: &Checkpoints,
) -> Result<(), StageError> {
    let epochs: BTreeSet<u32> = fitted.history.iter().map(|row| row.epoch).collect();
    for epoch in epochs {
        load_epoch(trainer, checkpoints, epoch)?;
        let archive = write_pth(&checkpoint(trainer, params, epoch)?);
        let path = SplitPath::EveryModel { epoch }.of_network(trainer.turn.part);
        output.write(&path, &archive)?;
    }
    Ok(())
}

/// Loads the weights of an epoch into the network.
fn load_epoch(
    trainer: &Trainer<'_>,
    checkpoints: &Checkpoints,
    epoch: u32,
) -> Result<(), StageError> {
    let stored = checkpoints.load(Part::Weights, Mark::end_of(epoch), None)?;
    weights::load_state_dict(trainer.network.state(), &stored, "checkpoint")
}

/// The weights of an epoch as they are in the network, in its order, which a safetensors file does not keep.
fn checkpoint(
    trainer: &Trainer<'_>,
    params: &TrainParams,
    epoch: u32,
) -> Result<Checkpoint, StageError> {
    Ok(Checkpoint {
        model: weights::state_dict(trainer.network.state())?,
        epoch: Some(epoch.into()),
        name: Some(params.network.name.clone()),
    })
}

/// Writes each best model, and keeps what it predicts on both sets.
///
/// Models selected by several metrics at the same epoch are evaluated once.
fn keep_best(
    output: &Output,
    trainer: &Trainer<'_>,
    params: &TrainParams,
    fitted: &Fitted,
    checkpoints: &Checkpoints,
    outcome: &mut Outcome,
) -> Result<(), StageError> {
    let part = trainer.turn.part;
    let epochs: BTreeSet<u32> = fitted.best.iter().map(|(_, epoch)| *epoch).collect();
    for epoch in epochs {
        load_epoch(trainer, checkpoints, epoch)?;
        let groups = [(TRAIN, trainer.train), (VALIDATION, trainer.validation)];
        let evaluated = groups.map(|(group, dataset)| {
            trainer
                .context
                .info(format!("evaluating epoch {} on {group}", epoch + 1));
            evaluate_best(trainer, params, group, dataset)
        });
        let [train, validation] = evaluated;
        let evaluated = [train?, validation?];
        let metrics = fitted.best.iter().filter(|(_, best)| *best == epoch);
        let metrics: Vec<&str> = metrics.map(|(metric, _)| metric.as_str()).collect();
        let checkpoint = checkpoint(trainer, params, epoch)?;
        // One of both files at a time: weights are large.
        let archive = write_pth(&checkpoint);
        for metric in &metrics {
            output.write(&SplitPath::Model { metric }.of_network(part), &archive)?;
        }
        drop(archive);
        let plain = write_safetensors(&checkpoint.model).map_err(StageError::internal)?;
        for metric in &metrics {
            output.write(&SplitPath::Safetensors { metric }.of_network(part), &plain)?;
            outcome.keep(metric, evaluated.clone());
        }
    }
    Ok(())
}

fn evaluate_best(
    trainer: &Trainer<'_>,
    params: &TrainParams,
    group: &str,
    dataset: &Dataset<'_>,
) -> Result<Evaluated, StageError> {
    let proceed = || trainer.context.check_cancelled();
    let evaluation = trainer.evaluator().evaluate(dataset, &proceed)?;
    let stream = trainer.stream.child("bootstrap").child(group);
    let estimates = evaluation.estimates(trainer.objective, params.bootstrap, &stream);
    Ok(Evaluated {
        network: trainer.turn.part,
        evaluation,
        estimates: Some(estimates),
    })
}
