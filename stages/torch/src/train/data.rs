//! What a training reads, and how its sides are compared.

use std::collections::BTreeSet;
use std::ops::Range;

use engine::{Context, StageError};
use stages::extraction::Mode;
use stages::leakage::{Allowed, Certificate, Group, Origin, separate};
use stages::learning::TrainParams;
use stages::learning::names::Task;
use stages::metrics::LabelCode;
use stages::table::Table;

use crate::data::cohort::{self, Labels, keep_diagnoses};
use crate::data::{Cohort, Images};
use crate::domains::{self, DomainPorts, SourceDomain};

/// What a training reads.
pub(super) struct Data {
    pub(super) code: LabelCode,
    pub(super) train: Cohort,
    pub(super) validation: Cohort,
    /// The diagnoses found, for `maps.json`.
    pub(super) diagnoses: Vec<String>,
    /// How the images were extracted.
    pub(super) extraction: serde_json::Map<String, serde_json::Value>,
    /// Whom the weights that it starts from have seen.
    pub(super) source: Option<Group>,
    /// The other domain, of a network for two.
    pub(super) source_domain: Option<SourceDomain>,
    /// How training and validation were compared.
    pub(super) certificate: Certificate,
}

impl Data {
    pub(super) fn read(
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
    pub(super) fn groups(&self) -> [Vec<&Group>; 2] {
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
    pub(super) fn every_part(&self) -> Result<Range<usize>, StageError> {
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
