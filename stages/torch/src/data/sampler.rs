//! The order of the training set in each epoch.
//!
//! # Source
//! `random` is the order of PyTorch's `DistributedSampler` as ClinicaDL 1.6.1 uses it:
//! `torch.randperm` from a fresh generator whose seed is advanced by one per epoch. Deviation: there
//! the first seed is always 0; here it comes from the manifest's seed unless it is given.

use engine::StageError;
use engine::seed::Stream;
use rand::distr::{Distribution, weighted::WeightedIndex};
use rand_mt::Mt;
use stages::learning::names::SamplerName;

/// Orders a training set.
#[derive(Debug, Clone)]
pub(crate) struct Sampler {
    name: SamplerName,
    seed: u32,
}

impl Sampler {
    /// A sampler whose orders follow from `seed`, or from `stream` where it is `None`.
    pub(crate) fn new(name: SamplerName, seed: Option<u32>, stream: &Stream) -> Self {
        // Generators of PyTorch take the low 32 bits of their seed.
        let drawn = stream.seed() as u32;
        Self {
            name,
            seed: seed.unwrap_or(drawn),
        }
    }

    /// Positions of the images in an epoch, given the stratum of each.
    ///
    /// # Errors
    /// There is no image.
    pub(crate) fn order(&self, strata: &[usize], epoch: u32) -> Result<Vec<usize>, StageError> {
        match self.name {
            SamplerName::Random => Ok(permutation(strata.len(), self.seed.wrapping_add(epoch))),
            SamplerName::Weighted => self.draws(strata, epoch),
        }
    }

    /// As many draws with replacement as images, each stratum equally likely.
    fn draws(&self, strata: &[usize], epoch: u32) -> Result<Vec<usize>, StageError> {
        let classes = strata.iter().max().map_or(0, |most| most + 1);
        let mut counts = vec![0_u32; classes];
        for &code in strata {
            counts[code] += 1;
        }
        let weights = strata.iter().map(|&code| 1.0 / f64::from(counts[code]));
        let index = WeightedIndex::new(weights)
            .map_err(|e| StageError::internal(format!("weighted sampler: {e}")))?;
        let stream = Stream::root(u64::from(self.seed))
            .child("weighted")
            .child(epoch);
        Ok(index.sample_iter(stream.rng()).take(strata.len()).collect())
    }
}

/// `torch.randperm(count)` from a CPU generator seeded with `seed`.
fn permutation(count: usize, seed: u32) -> Vec<usize> {
    let mut generator = Mt::new(seed);
    let mut order: Vec<usize> = (0..count).collect();
    for i in 0..count.saturating_sub(1) {
        let offset = generator.next_u32() as usize % (count - i);
        order.swap(i, i + offset);
    }
    order
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::reference;

    #[test]
    fn permutations_are_those_of_pytorch() {
        for case in reference("networks.json")["permutations"]
            .as_array()
            .unwrap()
        {
            let expected: Vec<usize> = serde_json::from_value(case["order"].clone()).unwrap();
            let seed = u32::try_from(case["seed"].as_u64().unwrap()).unwrap();
            assert_eq!(permutation(expected.len(), seed), expected, "seed {seed}");
        }
    }

    #[test]
    fn epochs_of_a_training_are_those_of_clinicadl() {
        let sampler = Sampler::new(SamplerName::Random, Some(0), &Stream::root(9));
        let order = |epoch| sampler.order(&[0; 6], epoch).unwrap();
        assert_eq!(order(0), [2, 5, 3, 0, 1, 4]);
        assert_eq!(order(1), [1, 5, 2, 0, 3, 4]);
        assert_eq!(order(2), [0, 3, 1, 2, 4, 5]);
    }

    #[test]
    fn classes_are_equally_likely_in_a_weighted_order() {
        let sampler = Sampler::new(SamplerName::Weighted, None, &Stream::root(1));
        let codes: Vec<usize> = (0..4000).map(|i| usize::from(i % 10 == 0)).collect();
        let order = sampler.order(&codes, 3).unwrap();
        let rare = order.iter().filter(|&&i| codes[i] == 1).count();
        // Binomial of 4000 draws: standard deviation 31.6; five of them.
        assert!((1842..=2158).contains(&rare), "{rare}");
        assert_eq!(order.len(), codes.len());
        assert_eq!(order, sampler.order(&codes, 3).unwrap());
        assert_ne!(order, sampler.order(&codes, 4).unwrap());
    }
}
