//! Semi-supervised domain adaptation: a source with many labels, a target with few.
//!
//! ```text
//! batch: B of the source │ 1 labelled of the target │ B unlabelled of the target
//!        head source       head target                 ─
//!        ── head domain, whose gradient is turned round before the features ──
//! ```
//!
//! # Source
//! ClinicaDL 1.6.1 `_train_ssdann` and `CNN_SSDA`, after Ganin and Lempitsky 2015, arXiv:1409.7495.
//! Deviations: domains are told apart with a plain cross entropy, also where the classes have another loss
//! or weights; of more labelled target images than batches all are used, in turn, not only the first.

use engine::StageError;
use engine::profile::span;
use engine::seed::Stream;
use stages::learning::names::SamplerName;
use tch::{Kind, Reduction, TchError, Tensor};

use super::Steps;
use super::steps::{BACKWARD, FORWARD, backward};
use crate::data::sampler::Sampler;
use crate::data::{Batch, Dataset};
use crate::error::During;
use crate::evaluation::{Evaluation, Evaluator};
use crate::losses::Criterion;
use crate::networks::domains::{Head, TwoDomains, reversed};
use crate::networks::{Mode, Outputs};
use crate::tasks::Objective;

/// Share of the domains in the loss.
const OF_DOMAINS: f64 = 0.1;
/// Labelled images of the target in a batch.
const LABELLED: usize = 1;

/// How many images there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) source: usize,
    pub(crate) labelled: usize,
    pub(crate) unlabelled: usize,
}

impl Counts {
    /// Batches that the source and the unlabelled images both fill.
    fn batches(self, size: usize) -> usize {
        self.source.min(self.unlabelled) / size
    }

    /// Batch after batch, from an order of each kind; what does not fill a batch is left out.
    fn interleave(
        self,
        size: usize,
        source: &[usize],
        labelled: &[usize],
        unlabelled: &[usize],
    ) -> Vec<usize> {
        let n_batches = self.batches(size);
        let images = source.chunks(size).zip(unlabelled.chunks(size));
        let batches = images.zip(labelled).take(n_batches);
        let mut order = Vec::with_capacity(n_batches * (2 * size + LABELLED));
        for ((source, unlabelled), place) in batches {
            order.extend(source);
            order.push(self.source + place % self.labelled);
            let after = self.source + self.labelled;
            order.extend(unlabelled.iter().map(|place| after + place));
        }
        order
    }
}

/// How the images of each kind are ordered.
#[derive(Debug, Clone)]
pub(crate) struct Samplers {
    source: Sampler,
    labelled: Sampler,
    unlabelled: Sampler,
}

impl Samplers {
    /// The source is ordered as asked for, the target at random.
    pub(crate) fn new(name: SamplerName, seed: Option<u32>, stream: &Stream) -> Self {
        let root = seed.map(|seed| Stream::root(seed.into()));
        let of = |what: &str| {
            let stream = root.as_ref().unwrap_or(stream).child(what);
            Sampler::new(SamplerName::Random, None, &stream)
        };
        Self {
            source: Sampler::new(name, seed, stream),
            labelled: of("labelled target"),
            unlabelled: of("unlabelled target"),
        }
    }
}

/// The batches of a training on two domains.
pub(crate) struct DomainSteps<'a> {
    pub(crate) network: &'a dyn TwoDomains,
    pub(crate) objective: &'a dyn Objective,
    /// Images of the source, then labelled ones of the target, then unlabelled ones.
    pub(crate) images: &'a Dataset<'a>,
    pub(crate) counts: Counts,
    pub(crate) samplers: Samplers,
    /// Images of the source in a batch, and unlabelled ones of the target.
    pub(crate) size: usize,
    /// Of the classes of the source, and of the target.
    pub(crate) criteria: [&'a Criterion; 2],
}

impl Steps for DomainSteps<'_> {
    fn dataset(&self) -> &Dataset<'_> {
        self.images
    }

    fn batch_size(&self) -> usize {
        2 * self.size + LABELLED
    }

    /// As many as the source and the unlabelled images both fill.
    fn count(&self) -> usize {
        self.counts.batches(self.size)
    }

    fn order(&self, epoch: u32) -> Result<Vec<usize>, StageError> {
        let (counts, samplers) = (self.counts, &self.samplers);
        let strata = self.images.cohort.strata();
        let source = &strata[..counts.source];
        // Each labelled image of the target comes again until all batches of the source have one.
        let labelled = vec![0; counts.labelled.max(counts.source / self.size)];
        let unlabelled = vec![0; counts.unlabelled];
        Ok(counts.interleave(
            self.size,
            &samplers.source.order(source, epoch)?,
            &samplers.labelled.order(&labelled, epoch)?,
            &samplers.unlabelled.order(&unlabelled, epoch)?,
        ))
    }

    fn gradients(
        &self,
        batch: &Batch<'_>,
        epoch: u32,
        factor: f64,
        parameters: &[Tensor],
    ) -> Result<(f64, Vec<Tensor>), StageError> {
        let source = batch.part(0, self.size)?;
        let labelled = batch.part(self.size, LABELLED)?;
        let unlabelled = batch.part(self.size + LABELLED, self.size)?;
        let truth = [
            self.objective.target(&source)?,
            self.objective.target(&labelled)?,
        ];
        let images = [source.images, labelled.images, unlabelled.images];
        let forward = span(FORWARD);
        let loss = total(
            self.network,
            images.each_ref(),
            truth.each_ref(),
            self.criteria,
            alpha(epoch),
        );
        let _backward = forward.then_backward(BACKWARD);
        loss.and_then(|loss| backward(&loss, factor, parameters))
            .during("train the network")
    }
}

/// How much the features heed the domains, from 0 in the first epoch to nearly 1 in the tenth.
fn alpha(epoch: u32) -> f64 {
    let progress = f64::from(epoch) / 10.0;
    2.0 / (1.0 + (-10.0 * progress).exp()) - 1.0
}

/// The loss of a batch: of the classes of both domains, and a tenth of that of the domains.
fn total(
    network: &dyn TwoDomains,
    images: [&Tensor; 3],
    truth: [&Tensor; 2],
    criteria: [&Criterion; 2],
    alpha: f64,
) -> Result<Tensor, TchError> {
    let class = |head, features: &Tensor, truth: &Tensor, criterion: &Criterion| {
        let said = network.head(head, features, Mode::Train)?;
        criterion.mean(&Outputs::of(said), truth)
    };
    let domain = |features: &Tensor, node: i64| {
        let said = network.head(Head::Domain, &reversed(features, alpha)?, Mode::Train)?;
        let truth = Tensor::f_full([said.size()[0]], node, (Kind::Int64, said.device()))?;
        said.f_cross_entropy_loss::<Tensor>(&truth, None, Reduction::Mean, -100, 0.0)
    };
    let [source, labelled, unlabelled] = images.map(|x| network.features(x, Mode::Train));
    let (source, labelled, unlabelled) = (source?, labelled?, unlabelled?);
    let classes = class(Head::Source, &source, truth[0], criteria[0])?.f_add(&class(
        Head::Target,
        &labelled,
        truth[1],
        criteria[1],
    )?)?;
    let domains = domain(&source, 0)?
        .f_add(&domain(&labelled, 1)?)?
        .f_add(&domain(&unlabelled, 1)?)?;
    classes.f_add(&domains.f_mul_scalar(OF_DOMAINS)?)
}

/// The sets of the source, which are looked at beside those of the target.
pub(crate) struct SourceSets<'a> {
    pub(crate) network: &'a dyn TwoDomains,
    pub(crate) criterion: &'a Criterion,
    pub(crate) train: &'a Dataset<'a>,
    pub(crate) validation: &'a Dataset<'a>,
}

impl SourceSets<'_> {
    /// What the head of the source says about a set.
    ///
    /// # Errors
    /// As [`Evaluator::evaluate`].
    pub(super) fn evaluate(
        &self,
        evaluator: Evaluator<'_>,
        dataset: &Dataset<'_>,
        proceed: &dyn Fn() -> Result<(), StageError>,
    ) -> Result<Evaluation, StageError> {
        let evaluator = Evaluator {
            criterion: Some(self.criterion),
            ..evaluator
        };
        evaluator.evaluate_with(dataset, proceed, &|images| {
            let features = self.network.features(images, Mode::Evaluate)?;
            let said = self.network.head(Head::Source, &features, Mode::Evaluate)?;
            Ok(Outputs::of(said))
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;
    use stages::learning::networks::declared;

    use super::*;
    use crate::losses::{self, Weighting};
    use crate::networks::tests::cases::{gradients, images as numbered};
    use crate::networks::tests::sketch::{Bits, assert_all};
    use crate::networks::{self, NetworkSpec};
    use crate::session::Session;
    use crate::testing::{assert_close, reference};

    #[test]
    fn the_loss_of_a_batch_and_its_gradients_are_those_of_clinicadl() {
        let mut compared = 0;
        for case in reference("networks_ssda.json")["cases"].as_array().unwrap() {
            let step = &case["step"];
            if step.is_null() {
                continue;
            }
            let session = Session::for_test();
            session.seed(case["seed"].as_u64().unwrap());
            let spec = NetworkSpec {
                declaration: declared("Conv5_FC3_SSDA").unwrap(),
                input_size: serde_json::from_value(case["input_size"].clone()).unwrap(),
                output_size: case["output_size"].as_i64().unwrap(),
                options: serde_json::Map::new(),
                module: None,
            };
            let network = networks::build(&spec, &session).unwrap();
            network.state().require_gradients().unwrap();
            let batch = numbered(case, 5);
            let images =
                [(0, 2), (2, 1), (3, 2)].map(|(first, count)| batch.narrow(0, first, count));
            let labels = |domain: &Value| {
                let labels: Vec<i64> = serde_json::from_value(domain.clone()).unwrap();
                Tensor::from_slice(&labels)
            };
            let truth = [labels(&step["labels"][0]), labels(&step["labels"][1])];
            let criterion = Criterion {
                loss: losses::parse("CrossEntropyLoss").unwrap(),
                weighting: Weighting::default(),
            };
            let epoch = u32::try_from(step["epoch"].as_u64().unwrap()).unwrap();
            let loss = total(
                network.two_domains().unwrap(),
                images.each_ref(),
                truth.each_ref(),
                [&criterion; 2],
                alpha(epoch),
            )
            .unwrap();
            let expected = step["loss"].as_f64().unwrap();
            assert_close(&[loss.double_value(&[])], &[expected], 1e-5, "loss");
            let found = gradients(network.as_ref(), &loss);
            assert_all("step", &found, &step["gradients"], Bits::ThirtyTwo);
            compared += 1;
        }
        assert_eq!(compared, 2);
    }

    #[test]
    fn a_batch_has_images_of_each_kind_and_labelled_ones_come_again() {
        let counts = Counts {
            source: 7,
            labelled: 2,
            unlabelled: 9,
        };
        assert_eq!(counts.batches(2), 3);
        let source = [6, 5, 4, 3, 2, 1, 0];
        let unlabelled = [0, 1, 2, 3, 4, 5, 6, 7, 8];
        let order = counts.interleave(2, &source, &[2, 1, 0], &unlabelled);
        // 0 to 6 are of the source, 7 and 8 are labelled, 9 to 17 unlabelled.
        let expected = [6, 5, 7, 9, 10, 4, 3, 8, 11, 12, 2, 1, 7, 13, 14];
        assert_eq!(order, expected);
    }

    #[test]
    fn domains_are_heeded_more_from_epoch_to_epoch() {
        assert_eq!(alpha(0).to_bits(), 0.0_f64.to_bits());
        // 2 / (1 + e⁻³) − 1 and 2 / (1 + e⁻¹⁰) − 1.
        assert_close(
            &[alpha(3), alpha(10)],
            &[0.905_148_253_6, 0.999_909_204_3],
            1e-9,
            "alpha",
        );
    }
}
