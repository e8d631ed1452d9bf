//! Which network explains which images when: one all of them, or one of each part, in turn.

use std::collections::BTreeMap;

use crate::data::{Cohort, Dataset};

/// Images whose maps are open at once where networks take turns; two in tests, which have few.
const OPEN: usize = if cfg!(test) { 2 } else { 16 };

/// Images that a network explains before it is the turn of the next.
pub(super) struct Turn<'a> {
    /// The part that the network is of; none of a network of all.
    pub(super) part: Option<usize>,
    pub(super) dataset: &'a Dataset<'a>,
    pub(super) order: Vec<usize>,
}

/// The turns of networks, each with the images of its own part.
///
/// The map of an image is whole when every network has had its turn. So that few are open, networks go
/// through a few images at a time.
pub(super) fn turns<'a>(
    cohort: &'a Cohort,
    datasets: &'a [(Option<usize>, Dataset<'a>)],
) -> Vec<Turn<'a>> {
    if let [(part, dataset)] = datasets {
        let order = dataset.natural_order();
        return vec![Turn {
            part: *part,
            dataset,
            order,
        }];
    }
    let mut images = BTreeMap::new();
    for sample in &cohort.samples {
        let next = images.len();
        images.entry(sample.key()).or_insert(next);
    }
    let mut turns = Vec::new();
    for first in (0..images.len()).step_by(OPEN) {
        for (part, dataset) in datasets {
            let samples = dataset.cohort.samples.iter().enumerate();
            let order = samples.filter(|(_, sample)| {
                let image = images.get(&sample.key()).copied();
                image.is_some_and(|image| (first..first + OPEN).contains(&image))
            });
            let order: Vec<usize> = order.map(|(position, _)| position).collect();
            if !order.is_empty() {
                turns.push(Turn {
                    part: *part,
                    dataset,
                    order,
                });
            }
        }
    }
    turns
}
