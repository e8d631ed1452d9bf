//! What the models of a training say about a data group.
//!
//! Every image is read once and passes through all models. What was found is kept segment by segment:
//! memory does not grow with the number of images but for what is said of them, and a prediction that was
//! interrupted goes on to the same bytes.
//!
//! ```text
//! course    the segments, and which network sees which parts when
//! kept      what is found of a segment, in the scratch folder
//! saving    tensors and images, and what parts say put together
//! ```

mod course;
mod kept;
mod saving;

use engine::profile::span;
use engine::{Context, StageError};
use stages::learning::names::SavedName;
use tch::{TchError, Tensor};

use self::course::{Segment, numbered, segments};
use self::kept::{Kept, Scratch};
use self::saving::{Saving, Seen, Wanted};
use crate::data::{Batch, Batches, Cohort, Dataset, Shared};
use crate::error::During;
use crate::evaluation::{Evaluation, Evaluator, Prediction};
use crate::exact::Exact;
use crate::model::TrainedModel;
use crate::networks::{Mode, Network, Outputs};
use crate::session::Session;
use crate::tasks::Said;

/// What is predicted, and how.
pub(crate) struct Work<'a> {
    pub(crate) model: &'a TrainedModel<'a>,
    /// Column names of the metrics that selected the models.
    pub(crate) metrics: &'a [String],
    pub(crate) cohort: &'a Cohort,
    pub(crate) group: &'a str,
    pub(crate) batches: Batches,
    /// Whether predictions are compared with something.
    pub(crate) with_truth: bool,
    /// What is written beside the tables.
    pub(crate) save: &'a [SavedName],
    pub(crate) session: &'a Session,
    pub(crate) context: &'a Context,
}

/// What a model found.
pub(crate) struct Found {
    /// Of each network, with the part that it is of.
    pub(crate) networks: Vec<(Option<usize>, Evaluation)>,
    /// Of reconstructions of images, put together from those of their parts.
    pub(crate) images: Vec<Prediction>,
}

/// A network of every model, and the parts that it is of.
struct Member<'a> {
    part: Option<usize>,
    dataset: Dataset<'a>,
}

impl Work<'_> {
    /// Predicts the group with every model, in the order of the metrics.
    ///
    /// Files of images are in the output then.
    ///
    /// # Errors
    /// An image cannot be read, libtorch fails, what is to be saved does not exist, or the run is stopped.
    pub(crate) fn find(&self) -> Result<Vec<Found>, StageError> {
        let wanted = Wanted::of(self)?;
        let parts = self.model.networks(self.cohort)?;
        let own: Vec<Option<Cohort>> = parts
            .iter()
            .map(|part| part.map(|part| self.cohort.of_part(part)))
            .collect();
        let shared = Shared::of(self.cohort);
        let members: Vec<Member<'_>> = parts
            .into_iter()
            .zip(&own)
            .map(|(part, own)| {
                let dataset = self
                    .model
                    .dataset_of(own.as_ref().unwrap_or(self.cohort), part);
                Member {
                    part,
                    dataset: dataset.in_one_pass(&shared),
                }
            })
            .collect();
        let cohorts: Vec<&Cohort> = members.iter().map(|member| member.dataset.cohort).collect();
        let segments = segments(self.cohort, &cohorts, self.batches.size);
        let scratch = Scratch::new(self.context.scratch()?);
        let found = self.go_on(&members, &segments, &wanted, &scratch)?;
        self.gather(&members, &segments, found, &scratch)
    }

    /// What is kept of every segment, those that lack predicted now.
    fn go_on(
        &self,
        members: &[Member<'_>],
        segments: &[Segment],
        wanted: &Wanted,
        scratch: &Scratch,
    ) -> Result<Vec<Kept>, StageError> {
        let mut found: Vec<Kept> = (0..segments.len()).map_while(|k| scratch.read(k)).collect();
        let total = self.cohort.samples.len();
        let mut done: usize = segments[..found.len()].iter().map(Segment::samples).sum();
        if done > 0 {
            let message = format!("{done} of {total} were predicted before");
            self.context.info(message);
        }
        if found.len() == segments.len() {
            return Ok(found);
        }
        let networks = self.load(members)?;
        let whole = self.model.dataset(self.cohort);
        let mut saving = Saving::new(wanted, self, &whole, scratch);
        let zero = || vec![vec![Exact(0.0); members.len()]; self.metrics.len()];
        for (k, segment) in segments.iter().enumerate().skip(found.len()) {
            let losses = found.last().map_or_else(zero, |last| last.losses.clone());
            let mut kept = Kept::of(segment.turns.len(), losses);
            for (place, turn) in segment.turns.iter().enumerate() {
                let dataset = &members[turn.network].dataset;
                let networks = &networks[turn.network];
                dataset.for_each_batch(&turn.order, self.batches, None, |batch| {
                    self.context.check_cancelled()?;
                    let seen = self.look(networks, &batch, wanted)?;
                    for (model, seen) in seen.iter().enumerate() {
                        let said = &mut kept.said[model][place];
                        said.extend(seen.said.iter().map(Into::into));
                        kept.losses[model][turn.network].0 += seen.loss;
                    }
                    saving.add(&batch, &seen)?;
                    done += batch.samples.len();
                    self.context.progress(done, total, "predicted");
                    Ok(())
                })?;
            }
            let _span = span("checkpoint");
            (kept.images, kept.files) = saving.take();
            scratch.keep(k, &kept)?;
            found.push(kept);
        }
        Ok(found)
    }

    /// The networks by member, then by model.
    fn load(&self, members: &[Member<'_>]) -> Result<Vec<Vec<Box<dyn Network>>>, StageError> {
        let of = |member: &Member<'_>| {
            let metrics = self.metrics.iter();
            metrics
                .map(|metric| self.model.load_network(metric, member.part, self.session))
                .collect()
        };
        members.iter().map(of).collect()
    }

    /// What the networks of all models say about a batch.
    fn look(
        &self,
        networks: &[Box<dyn Network>],
        batch: &Batch<'_>,
        wanted: &Wanted,
    ) -> Result<Vec<Seen>, StageError> {
        let _span = span("evaluation");
        let look = |network: &dyn Network| {
            let run = || -> Result<(Outputs, Option<Tensor>), TchError> {
                let outputs = network.outputs(&batch.images, Mode::Evaluate)?;
                let code = match wanted.latent {
                    true => network.code(&batch.images, &outputs)?,
                    false => None,
                };
                Ok((outputs, code))
            };
            let (outputs, code) = tch::no_grad(run).during("evaluate the network")?;
            if wanted.latent && code.is_none() {
                let name = self.model.network_name();
                let message = format!(
                    "`save: latent`: network `{name}` has no code, expected an autoencoder"
                );
                return Err(StageError::new(message).hint("leave `latent` out of `save`"));
            }
            let evaluator = Evaluator {
                network,
                objective: self.model.objective.as_ref(),
                criterion: self.with_truth.then_some(&self.model.criterion),
                batches: self.batches,
                thorough: true,
            };
            let (said, loss) = evaluator.of_batch(batch, &outputs)?;
            Ok(Seen {
                said,
                loss,
                output: outputs.prediction,
                code,
            })
        };
        let networks = networks.iter();
        networks.map(|network| look(network.as_ref())).collect()
    }

    /// What every model found, of what is kept of the segments; their files go to the output.
    fn gather(
        &self,
        members: &[Member<'_>],
        segments: &[Segment],
        found: Vec<Kept>,
        scratch: &Scratch,
    ) -> Result<Vec<Found>, StageError> {
        let output = self.context.output("predictions")?;
        let lost = || StageError::internal("predictions of a segment are missing");
        let losses = found.last().map(|last| last.losses.clone());
        let losses = losses.ok_or_else(lost)?;
        let mut said: Vec<Vec<Vec<Option<Said>>>> = Vec::new();
        for _ in self.metrics {
            let rows = members
                .iter()
                .map(|m| vec![None; m.dataset.cohort.samples.len()]);
            said.push(rows.collect());
        }
        let mut images: Vec<Vec<(usize, Said)>> = vec![Vec::new(); self.metrics.len()];
        for (segment, kept) in segments.iter().zip(found) {
            scratch.put(&kept.files, output)?;
            for (model, turns) in kept.said.into_iter().enumerate() {
                for (turn, words) in segment.turns.iter().zip(turns) {
                    for (&position, words) in turn.order.iter().zip(words) {
                        said[model][turn.network][position] = Some(words.into());
                    }
                }
            }
            for (model, rows) in kept.images.into_iter().enumerate() {
                images[model].extend(rows.into_iter().map(|(image, words)| (image, words.into())));
            }
        }
        let numbers = numbered(self.cohort);
        let mut firsts = vec![None; numbers.len()];
        for sample in &self.cohort.samples {
            firsts[numbers[&sample.key()]].get_or_insert(sample);
        }
        let models = said.into_iter().zip(images).zip(losses);
        let models = models.map(|((said, mut images), losses)| {
            let networks = members.iter().zip(said).zip(losses);
            let networks = networks.map(|((member, said), loss)| {
                let samples = member.dataset.cohort.samples.iter().zip(said);
                let predictions = samples.map(|(sample, said)| Some(Prediction::of(sample, said?)));
                let predictions: Option<Vec<Prediction>> = predictions.collect();
                let predictions = predictions.ok_or_else(lost)?;
                let loss = self.with_truth.then(|| loss.0 / predictions.len() as f64);
                Ok((member.part, Evaluation { predictions, loss }))
            });
            images.sort_by_key(|(image, _)| *image);
            let images = images.into_iter().filter_map(|(image, said)| {
                let of_image = Prediction::of((*firsts.get(image)?)?, said);
                Some(Prediction {
                    part: 0,
                    ..of_image
                })
            });
            Ok(Found {
                networks: networks.collect::<Result<_, StageError>>()?,
                images: images.collect(),
            })
        });
        models.collect()
    }
}

impl Segment {
    /// Number of parts.
    fn samples(&self) -> usize {
        self.turns.iter().map(|turn| turn.order.len()).sum()
    }
}
