//! A baseline fitted to the training group, and what it says of every group.

use engine::{Context, StageError};

use super::covariates::Encoder;
use super::group::{Data, Truth};
use super::linear::Span;
use super::logistic::Logistic;
use super::matrix::Matrix;
use super::ridge::Ridge;
use super::scale::Scale;
use super::voxels::Reading;
use super::{Baseline, BaselinesParams};
use crate::metrics::OwnedOutcomes;
use crate::predictions::Answers;

/// What a baseline says of each group; it is fitted to the first of them alone.
pub(super) fn answers(
    baseline: Baseline,
    params: &BaselinesParams,
    groups: &[Data],
    context: &Context,
) -> Result<Vec<Answers>, StageError> {
    let Some(train) = groups.first() else {
        return Ok(Vec::new());
    };
    let features: Vec<Matrix> = match baseline {
        Baseline::Majority => groups
            .iter()
            .map(|group| Matrix::zeros(group.rows.len(), 0))
            .collect(),
        Baseline::Covariates => {
            let encoder = Encoder::of(&train.table, &params.covariates)?;
            let all = groups.iter().map(|group| encoder.features(&group.table));
            scaled(all.collect::<Result<_, _>>()?)
        }
        Baseline::Voxels => {
            let reading = Reading {
                block: params.downsampling as usize,
                normalize: params.normalize,
            };
            let mut size = None;
            let all = groups.iter().map(|group| {
                let files: Vec<_> = group.files.iter().collect();
                reading.features(&files, &mut size, context)
            });
            spanned(scaled(all.collect::<Result<_, _>>()?))
        }
    };
    let failed = |why: String| StageError::new(format!("baseline `{}`: {why}", baseline.name()));
    let said = |model: &dyn Fn(&Matrix, &Data) -> Answers| {
        let pairs = features.iter().zip(groups);
        pairs
            .map(|(features, group)| model(features, group))
            .collect()
    };
    match &train.truth {
        Truth::Classes(classes, truth) => {
            let penalty = params.penalty;
            let fitted = Logistic::fit(&features[0], truth, *classes, penalty).map_err(failed)?;
            Ok(said(&|features, group| {
                classes_of(&fitted, features, &group.truth)
            }))
        }
        Truth::Numbers(truth) => {
            let fitted = Ridge::fit(&features[0], truth, params.penalty).map_err(failed)?;
            Ok(said(&|features, group| Answers::Numbers {
                truth: match &group.truth {
                    Truth::Numbers(truth) => truth.clone(),
                    Truth::Classes(..) => Vec::new(),
                },
                predicted: fitted.predict(features),
            }))
        }
    }
}

/// Features with mean 0 and deviation 1 over the first group.
fn scaled(groups: Vec<Matrix>) -> Vec<Matrix> {
    let Some(scale) = groups.first().map(Scale::of) else {
        return groups;
    };
    groups.into_iter().map(|group| scale.apply(group)).collect()
}

/// Coordinates of images in the span of those of the first group, products of two images being means over
/// their features: the penalty means the same whatever the number of voxels.
fn spanned(groups: Vec<Matrix>) -> Vec<Matrix> {
    let Some(train) = groups.first() else {
        return groups;
    };
    let count = train.width().max(1) as f64;
    let of = |group: &Matrix| group.products(train).divided(count);
    let span = Span::of(&of(train));
    let others = groups[1..].iter().map(|group| span.place(&of(group)));
    std::iter::once(span.coordinates.clone())
        .chain(others)
        .collect()
}

fn classes_of(model: &Logistic, features: &Matrix, truth: &Truth) -> Answers {
    let probabilities = model.probabilities(features);
    let first_greatest = |row: &[f64]| {
        let best = |best: usize, i: usize| if row[i] > row[best] { i } else { best };
        (0..row.len()).fold(0, best)
    };
    Answers::Classes(OwnedOutcomes {
        classes: probabilities.width(),
        truth: match truth {
            Truth::Classes(_, truth) => truth.clone(),
            Truth::Numbers(_) => Vec::new(),
        },
        predicted: probabilities.rows().map(first_greatest).collect(),
        probabilities: probabilities.values().to_vec(),
    })
}
