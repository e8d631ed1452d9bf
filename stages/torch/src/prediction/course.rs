//! In what order images are predicted: segment by segment, and in a segment network by network.

use std::collections::BTreeMap;

use crate::data::{Cohort, Key};

/// Images of a segment, at least: what is lost where a prediction is killed.
const IMAGES: usize = 32;

/// Images that are predicted before what was found of them is kept.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Segment {
    pub(super) turns: Vec<Turn>,
}

/// Parts that one network sees before it is the turn of the next.
#[derive(Debug, PartialEq)]
pub(super) struct Turn {
    /// Which of the networks of parts.
    pub(super) network: usize,
    /// Positions in its cohort.
    pub(super) order: Vec<usize>,
}

/// The segments of a cohort, of which each network sees its own parts.
///
/// A segment ends with an image, so that no image is open between two of them, and with a batch, where
/// images have one part. Several networks take turns with as many images as a batch has: so many are open
/// at once while their parts come in.
pub(super) fn segments(all: &Cohort, networks: &[&Cohort], batch: usize) -> Vec<Segment> {
    let batch = batch.max(1);
    let of_segment = IMAGES.div_ceil(batch) * batch;
    let of_turn = match networks {
        [_] => of_segment,
        _ => batch,
    };
    let numbers = numbered(all);
    let mut turns: BTreeMap<(usize, usize), Vec<usize>> = BTreeMap::new();
    for (network, cohort) in networks.iter().enumerate() {
        for (position, sample) in cohort.samples.iter().enumerate() {
            let image = numbers.get(&sample.key()).copied().unwrap_or(0);
            let turn = turns.entry((image / of_turn, network)).or_default();
            turn.push(position);
        }
    }
    let mut segments: Vec<Segment> = Vec::new();
    segments.resize_with(numbers.len().div_ceil(of_segment), Segment::default);
    for ((turn, network), order) in turns {
        let segment = &mut segments[turn * of_turn / of_segment];
        segment.turns.push(Turn { network, order });
    }
    segments
}

/// The images of a cohort, numbered in the order of their first parts.
pub(super) fn numbered(cohort: &Cohort) -> BTreeMap<Key<'_>, usize> {
    let mut numbers = BTreeMap::new();
    for sample in &cohort.samples {
        let next = numbers.len();
        numbers.entry(sample.key()).or_insert(next);
    }
    numbers
}
