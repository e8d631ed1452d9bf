//! The other domain of a training: a source with many labels, beside the target that the model is for.
//!
//! ```text
//! images, splits ──────────────▶ source: training, validation
//! target_images, target_splits ▶ target: training with few labels, validation that selects
//! target_images, unlabelled ───▶ target: images without labels
//! ```

use std::collections::BTreeSet;

use engine::{Context, StageError};
use serde_json::{Map, Value};
use stages::leakage::{Group, Origin, SOURCE_VALIDATION};
use stages::learning::TrainParams;
use stages::metrics::LabelCode;
use stages::table::Table;

use crate::data::{Cohort, Dataset, Images};
use crate::losses::Criterion;
use crate::networks::{Network, TwoDomains};
use crate::tasks::{Objective, Target};
use crate::trainer::{Counts, DomainSteps, Samplers, SourceSets};

/// Where a domain is read from, and what its data groups are called.
#[derive(Debug, Clone, Copy)]
pub(crate) struct DomainPorts {
    pub(crate) images: &'static str,
    pub(crate) splits: &'static str,
    pub(crate) train: &'static str,
    pub(crate) validation: &'static str,
}

/// The only domain of an ordinary training.
pub(crate) const ONLY: DomainPorts = DomainPorts {
    images: "images",
    splits: "splits",
    train: maps::layout::TRAIN,
    validation: maps::layout::VALIDATION,
};

/// The domain that predictions are for.
pub(crate) const TARGET: DomainPorts = DomainPorts {
    images: "target_images",
    splits: "target_splits",
    ..ONLY
};

/// The domain with many labels.
pub(crate) const SOURCE: DomainPorts = DomainPorts {
    train: "source train",
    validation: SOURCE_VALIDATION,
    ..ONLY
};

/// The source, and the images that a network of two domains is fitted to.
pub(crate) struct SourceDomain {
    pub(crate) train: Cohort,
    pub(crate) validation: Cohort,
    /// Images of the source, labelled ones of the target, unlabelled ones of the target.
    pub(crate) images: Cohort,
    counts: Counts,
    /// The sessions of the target whose labels are not used.
    pub(crate) unlabelled: Group,
    /// How images of the target were extracted.
    pub(crate) target_extraction: Map<String, Value>,
}

impl SourceDomain {
    /// Puts the source beside the training set of the target.
    ///
    /// # Errors
    /// The domains do not fit together, or there are too few images for a batch.
    pub(crate) fn join(
        [train, validation]: [Cohort; 2],
        target: &Cohort,
        code: &LabelCode,
        params: &TrainParams,
        context: &Context,
    ) -> Result<Self, StageError> {
        let extracted = [&train.extraction, &target.extraction];
        if extracted[0].parts != extracted[1].parts || extracted[0].saved != extracted[1].saved {
            let [source, target] = extracted.map(|extraction| extraction.parts.mode().name());
            return Err(StageError::new(format!(
                "`images` (mode `{source}`) and `target_images` (mode `{target}`) were cut into parts in different ways"
            ))
            .hint("extract both with the same `mode`, its options and `save_features`"));
        }
        has_every_class(target, code)?;
        let table = Table::read(context.input("unlabelled")?.only_file()?)?;
        let images = Images::open(context.input(TARGET.images)?)?;
        let of = ("unlabelled", Origin::Train);
        let unlabelled = Cohort::build(&table, &images, None, of)?;
        tell_cohorts_alike(&[&train, target, &unlabelled])?;
        for cohort in [&train, &unlabelled] {
            let (n_images, size) = (cohort.samples.len(), params.batch_size);
            if n_images < size as usize {
                return Err(StageError::new(format!(
                    "`{}` has {n_images} images, expected at least the {size} of a batch",
                    cohort.shown
                ))
                .hint(format!("set `batch_size` to {n_images} or less")));
            }
        }
        let counts = Counts {
            source: train.samples.len(),
            labelled: target.samples.len(),
            unlabelled: unlabelled.samples.len(),
        };
        let parts = [&train, target, &unlabelled];
        let samples = parts.iter().flat_map(|cohort| &cohort.samples).cloned();
        Ok(Self {
            images: Cohort {
                samples: samples.collect(),
                ..train.clone()
            },
            train,
            validation,
            counts,
            unlabelled: unlabelled.group,
            target_extraction: images.extraction.record,
        })
    }

    /// The sets as the network takes them, in the size of the target.
    ///
    /// # Errors
    /// Images of the source have another size.
    pub(crate) fn open<'a>(
        &'a self,
        target: &Dataset<'_>,
        criterion: Criterion,
    ) -> Result<Opened<'a>, StageError> {
        let train = Dataset::measure(&self.train, target.transforms)?;
        if train.input_size != target.input_size {
            return Err(StageError::new(format!(
                "images of the source have shape {:?}, those of the target {:?}: one network takes one size",
                train.input_size, target.input_size
            ))
            .hint("register or crop both domains to one grid"));
        }
        let of =
            |cohort: &'a Cohort| Dataset::new(cohort, target.transforms, target.input_size.clone());
        let mut images = of(&self.images);
        images.share(0, &train);
        images.share(self.counts.source, target);
        Ok(Opened {
            train,
            validation: of(&self.validation),
            images,
            counts: self.counts,
            criterion,
        })
    }
}

/// The source, ready to be trained on.
pub(crate) struct Opened<'a> {
    train: Dataset<'a>,
    validation: Dataset<'a>,
    images: Dataset<'a>,
    counts: Counts,
    /// The loss of its classes.
    criterion: Criterion,
}

impl Opened<'_> {
    /// The batches of a training.
    ///
    /// # Errors
    /// The network is not one for two domains.
    pub(crate) fn steps<'s>(
        &'s self,
        network: &'s dyn Network,
        objective: &'s dyn Objective,
        target: &'s Criterion,
        samplers: Samplers,
        size: u32,
    ) -> Result<DomainSteps<'s>, StageError> {
        Ok(DomainSteps {
            network: two_domains(network)?,
            objective,
            images: &self.images,
            counts: self.counts,
            samplers,
            size: size as usize,
            criteria: [&self.criterion, target],
        })
    }

    /// The sets that are evaluated beside those of the target.
    ///
    /// # Errors
    /// The network is not one for two domains.
    pub(crate) fn sets<'s>(
        &'s self,
        network: &'s dyn Network,
    ) -> Result<SourceSets<'s>, StageError> {
        Ok(SourceSets {
            network: two_domains(network)?,
            criterion: &self.criterion,
            train: &self.train,
            validation: &self.validation,
        })
    }
}

fn two_domains(network: &dyn Network) -> Result<&dyn TwoDomains, StageError> {
    let heads = network.two_domains();
    heads.ok_or_else(|| StageError::internal("the network is not one for two domains"))
}

/// A head learns no class of which the target has no labelled image.
fn has_every_class(target: &Cohort, code: &LabelCode) -> Result<(), StageError> {
    let samples = target.samples.iter().filter_map(|sample| sample.target);
    let present: BTreeSet<usize> = samples
        .filter_map(|target| match target {
            Target::Class(node) => Some(node),
            Target::Number(_) => None,
        })
        .collect();
    let absent = code.iter().filter(|(_, node)| !present.contains(node));
    let absent: Vec<String> = absent.map(|(label, _)| format!("`{label}`")).collect();
    if absent.is_empty() {
        return Ok(());
    }
    Err(StageError::new(format!(
        "no labelled training session of the target (`{}`) has label {}, which the source has",
        target.shown,
        absent.join(" or ")
    ))
    .hint(
        "the target needs a labelled image of each class, or leave the class out with `diagnoses`",
    ))
}

/// Names without a cohort would be compared with names of a cohort: nobody could tell who is who.
fn tell_cohorts_alike(cohorts: &[&Cohort]) -> Result<(), StageError> {
    let (with, without): (Vec<&Cohort>, Vec<&Cohort>) = cohorts
        .iter()
        .partition(|cohort| cohort.group.has_cohorts());
    match (with.first(), without.first()) {
        (Some(with), Some(without)) => Err(StageError::new(format!(
            "`{}` names the cohorts of its participants and `{}` does not",
            with.shown, without.shown
        ))
        .hint("give the tables of both domains a column `cohort`, or none of them")),
        _ => Ok(()),
    }
}
