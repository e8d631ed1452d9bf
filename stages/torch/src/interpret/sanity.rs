//! Maps beside those of networks with random weights: what does not need the weights explains nothing.
//!
//! Layers get new weights one after the other, the last one first, and keep them while those before it
//! follow. Behind each step maps are made anew and compared with the real ones.
//!
//! # Source
//! Adebayo et al. 2018, arXiv:1810.03292: cascading randomisation. Deviation: networks of many layers take
//! [`STEPS`] steps of several layers each.

use engine::{Context, StageError};
use maps::files::{SanityRow, SanityTable};
use tch::{Kind, TchError, Tensor};

use super::method::{Explained, Method, Subject, one_by_one};
use super::streams;
use crate::data::{Batches, Dataset};
use crate::error::During;
use crate::model::TrainedModel;
use crate::networks::Network;
use crate::session::Session;
use crate::state::{Role, State};
use crate::tasks::structural_similarity;

/// Steps at most.
const STEPS: usize = 10;
/// Images at most, evenly spaced in the group.
const IMAGES: usize = 8;
/// Maps of random weights whose absolute values correlate more than this with the real ones are told.
const ALIKE: f64 = 0.5;

/// A network of the same kind as a model, with weights drawn anew.
pub(super) struct RandomWeights(Box<dyn Network>);

impl RandomWeights {
    pub(super) fn draw(
        model: &TrainedModel<'_>,
        session: &Session,
        context: &Context,
    ) -> Result<Self, StageError> {
        session.seed(context.stream().child("sanity-check").seed());
        model.fresh(session).map(Self)
    }

    /// Gives a network the weights of some entries of its state.
    fn copy(&self, network: &dyn Network, entries: &[usize]) -> Result<(), StageError> {
        let (from, to) = (self.0.state().entries(), network.state().entries());
        tch::no_grad(|| {
            for &entry in entries {
                let mut tensor = to[entry].tensor.shallow_clone();
                tensor
                    .f_copy_(&from[entry].tensor)
                    .during("draw weights anew")?;
            }
            Ok(())
        })
    }
}

/// A step of the cascade.
#[derive(Debug, PartialEq, Eq)]
struct Step {
    /// The first layer, in the order of the state dict, that gets new weights.
    layer: String,
    /// Positions of its tensors in the state.
    entries: Vec<usize>,
}

/// The steps, the last layers first. Tensors belong to the layer whose name they have; what follows a
/// layer of weights, such as its norm, goes with it.
fn steps(state: &State) -> Vec<Step> {
    let mut layers: Vec<Step> = Vec::new();
    for (position, entry) in state.entries().iter().enumerate() {
        let layer = entry.name.rsplit_once('.').map_or("", |(layer, _)| layer);
        let has_weights = entry.role != Role::Buffer && entry.tensor.dim() > 1;
        match layers.last_mut() {
            Some(last) if last.layer == layer || !has_weights => last.entries.push(position),
            _ => layers.push(Step {
                layer: layer.to_owned(),
                entries: vec![position],
            }),
        }
    }
    let count = layers.len();
    let steps = count.min(STEPS);
    let mut joined: Vec<Step> = Vec::new();
    for (number, layer) in layers.into_iter().rev().enumerate() {
        // Evenly spread: step s begins with layer ⌈s · count / steps⌉ of them.
        let begins = joined.len() * count <= number * steps;
        match joined.last_mut() {
            Some(step) if !begins => {
                step.layer = layer.layer;
                step.entries.extend(layer.entries);
            }
            _ => joined.push(layer),
        }
    }
    joined
}

/// Compares the maps of a model with those behind each step; the network has random weights then.
///
/// # Errors
/// Those of the method.
pub(super) fn check(
    subject: &Subject<'_>,
    method: &dyn Method,
    random: &RandomWeights,
    dataset: &Dataset<'_>,
    batches: Batches,
    context: &Context,
) -> Result<SanityTable, StageError> {
    let all = dataset.cohort.samples.len();
    let images = all.min(IMAGES);
    let order: Vec<usize> = (0..images).map(|i| i * all / images).collect();
    let maps = || -> Result<Vec<Tensor>, StageError> {
        let mut maps = Vec::new();
        dataset.for_each_batch(&order, batches, None, |batch| {
            let explained = Explained {
                images: &batch.images,
                streams: &streams(context, &batch),
            };
            let found = one_by_one(method, subject, explained)?.maps;
            for i in 0..batch.samples.len() as i64 {
                maps.push(found.f_narrow(0, i, 1).during("compare maps")?);
            }
            Ok(())
        })?;
        Ok(maps)
    };
    let real = maps()?;
    let steps = steps(subject.network.state());
    let count = steps.len();
    let mut table = SanityTable::default();
    for (number, step) in steps.into_iter().enumerate() {
        context.progress(
            number,
            count,
            format!("weights drawn anew from `{}` on", step.layer),
        );
        random.copy(subject.network, &step.entries)?;
        let mut likeness = Vec::new();
        for (real, map) in real.iter().zip(maps()?) {
            likeness.push(compare(real, &map)?);
        }
        table.rows.push(SanityRow {
            layer: step.layer,
            images: images as u64,
            numbers: [0, 1, 2].map(|k| mean(likeness.iter().map(|of_image| of_image[k]))),
        });
    }
    if let Some(last) = table.rows.last()
        && last.numbers[1] > ALIKE
    {
        context.warn(format!(
            "maps hardly depend on what was learnt: with random weights their absolute values still have a rank correlation of {:.2}",
            last.numbers[1]
        ));
    }
    Ok(table)
}

/// Rank correlation of two maps, that of their absolute values, and the structural similarity of these.
fn compare(a: &Tensor, b: &Tensor) -> Result<[f64; 3], StageError> {
    let absolute = |map: &Tensor| -> Result<Tensor, TchError> {
        let map = map.f_abs()?;
        let most = map.f_max()?.f_double_value(&[])?;
        // A map of zeros stays one.
        map.f_divide_scalar(if most > 0.0 { most } else { 1.0 })
    };
    let numbers = |map: &Tensor| Vec::<f32>::try_from(&map.f_contiguous()?.f_view(-1)?);
    let compared = || -> Result<[f64; 3], TchError> {
        let (abs_a, abs_b) = (absolute(a)?, absolute(b)?);
        Ok([
            spearman(&numbers(a)?, &numbers(b)?),
            spearman(&numbers(&abs_a)?, &numbers(&abs_b)?),
            structural_similarity(&abs_a.f_to_kind(Kind::Float)?, &abs_b)?,
        ])
    };
    compared().during("compare maps")
}

/// Spearman's rank correlation; NaN where one side is constant.
///
/// # Source
/// `scipy.stats.spearmanr`: equal values share the mean of their ranks.
fn spearman(a: &[f32], b: &[f32]) -> f64 {
    let (a, b) = (ranks(a), ranks(b));
    let middle = (a.len() as f64 - 1.0) / 2.0;
    let (mut product, mut square_a, mut square_b) = (0.0, 0.0, 0.0);
    for (a, b) in a.into_iter().zip(b) {
        let (a, b) = (a - middle, b - middle);
        product += a * b;
        square_a += a * a;
        square_b += b * b;
    }
    product / (square_a * square_b).sqrt()
}

/// The rank of each value from 0 on.
fn ranks(values: &[f32]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    // Adding 0 makes one zero of two.
    let value = |place: &usize| values[*place] + 0.0;
    order.sort_unstable_by(|a, b| value(a).total_cmp(&value(b)).then(a.cmp(b)));
    let mut ranks = vec![0.0; values.len()];
    let mut first = 0;
    for equal in order.chunk_by(|a, b| value(a).total_cmp(&value(b)).is_eq()) {
        let rank = first as f64 + (equal.len() as f64 - 1.0) / 2.0;
        equal.iter().for_each(|&place| ranks[place] = rank);
        first += equal.len();
    }
    ranks
}

/// The mean of what are numbers; NaN of none.
fn mean(values: impl Iterator<Item = f64>) -> f64 {
    let known: Vec<f64> = values.filter(|value| !value.is_nan()).collect();
    known.iter().sum::<f64>() / known.len() as f64
}

#[cfg(test)]
mod tests {
    use tch::Device;

    use super::*;

    #[test]
    fn ranks_of_equal_values_are_shared() {
        assert_eq!(
            ranks(&[3.0, -0.0, 1.0, 0.0, 1.0, 1.0]),
            [5.0, 0.5, 3.0, 0.5, 3.0, 3.0]
        );
        // scipy.stats.spearmanr([1, 2, 2, 4, 5], [5, 6, 7, 8, 7]) is 0.7631578947368421.
        let found = spearman(&[1.0, 2.0, 2.0, 4.0, 5.0], &[5.0, 6.0, 7.0, 8.0, 7.0]);
        assert!((found - 0.763_157_894_736_842_1).abs() < 1e-12, "{found}");
        assert!(spearman(&[1.0, 1.0], &[1.0, 2.0]).is_nan());
        assert!((mean([1.0, f64::NAN, 3.0].into_iter()) - 2.0).abs() < 1e-12);
    }

    #[test]
    fn layers_take_their_norms_with_them_and_many_are_joined() {
        let mut state = State::default();
        let tensor = |axes: usize| Tensor::zeros(vec![1; axes], (Kind::Float, Device::Cpu));
        for layer in 0..25 {
            let conv = format!("c{layer}.weight");
            drop(state.add(conv, Role::Parameter, tensor(5)));
            drop(state.add(format!("n{layer}.weight"), Role::Parameter, tensor(1)));
            drop(state.add(format!("n{layer}.running_mean"), Role::Buffer, tensor(1)));
        }
        let steps = steps(&state);
        let layers: Vec<&str> = steps.iter().map(|step| step.layer.as_str()).collect();
        assert_eq!(
            layers,
            [
                "c22", "c20", "c17", "c15", "c12", "c10", "c7", "c5", "c2", "c0"
            ]
        );
        let mut all: Vec<usize> = steps.iter().flat_map(|s| s.entries.clone()).collect();
        all.sort_unstable();
        assert_eq!(all, (0..75).collect::<Vec<_>>());
    }
}
