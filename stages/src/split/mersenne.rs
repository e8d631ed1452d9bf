//! The Mersenne Twister as numpy's `RandomState` seeds and uses it.
//!
//! Only for folds, which equal those of scikit-learn; every other draw comes from a labelled stream.
//!
//! # Source
//! Matsumoto and Nishimura 1998, doi:10.1145/272991.272995; numpy 1.26, `legacy_seeding` and
//! `random_interval`.

use rand_mt::Mt;

/// A `numpy.random.RandomState`.
pub(super) struct RandomState(Mt);

impl RandomState {
    pub(super) fn new(seed: u32) -> Self {
        Self(Mt::new(seed))
    }

    /// An integer from 0 to `most`, by rejection under the smallest mask that covers `most`.
    fn at_most(&mut self, most: u32) -> u32 {
        let mask = most.checked_next_power_of_two().map_or(u32::MAX, |power| {
            if power == most {
                (power << 1).wrapping_sub(1)
            } else {
                power - 1
            }
        });
        loop {
            let drawn = self.0.next_u32() & mask;
            if drawn <= most {
                return drawn;
            }
        }
    }

    /// Fisher–Yates from the last position down.
    pub(super) fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            let most = u32::try_from(last).unwrap_or(u32::MAX);
            items.swap(last, self.at_most(most) as usize);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shuffles_equal_those_of_numpy() {
        let mut state = RandomState::new(2);
        let items = [0, 0, 1, 1, 2, 2, 3, 3, 4, 4];
        let mut first = items;
        state.shuffle(&mut first);
        let mut second = items;
        state.shuffle(&mut second);
        assert_eq!(first, [2, 0, 2, 0, 3, 1, 1, 3, 4, 4]);
        assert_eq!(second, [0, 3, 0, 1, 1, 4, 3, 4, 2, 2]);
    }
}
