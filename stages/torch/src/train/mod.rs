//! The stage `train`.
//!
//! ```text
//! data         what is read, and how its sides are compared
//! setup        what parameters mean
//! definition   what a training says of itself
//! models       what is left of a network that was fitted
//! outcome      what all networks found
//! ```

mod data;
mod definition;
mod models;
mod outcome;
mod setup;

use engine::profile::span;
use engine::{Context, Output, Run, StageError};
use stages::augmentation::Augmenter;
use stages::learning::names::Precision;
use stages::learning::{Train, TrainParams};
use tch::Device;

use crate::checkpoint::Checkpoints;
use crate::data::sampler::Sampler;
use crate::data::{Batches, Cohort, Dataset, Transforms};
use crate::evaluation::of_network;
use crate::implemented::Implemented;
use crate::networks::{self, ModuleFile, NetworkSpec};
use crate::optimizers::Optimizer;
use crate::session::Session;
use crate::tasks::{Objective, objective};
use crate::trainer::{OneDomain, Samplers, Steps, Trainer, Turn};
use crate::transfer::Source;
use data::Data;
use definition::write_definition;
use models::{keep_best, write_all, write_courses};
use outcome::Outcome;
use setup::{criterion, freeze, schedule};

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
