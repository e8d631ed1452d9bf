//! Names of what comes out differently in the cells of a matrix.

use indexmap::{IndexMap, IndexSet};
use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};

use super::matrix::{Cell, Matrix};
use super::params::Keys;

/// Names the variants of one thing, each given by the cells it appears in.
///
/// A single variant keeps the plain name. Several are told apart by as few matrix params as it takes:
/// `train [learning_rate=0.001]`. Of the params that reach the thing, tried from the last to the first,
/// those are left out without which the others still tell which variant a cell has.
pub(super) fn names(
    plain: &str,
    variants: &[Vec<usize>],
    reach: Keys,
    matrix: &Matrix,
) -> Vec<String> {
    if variants.len() <= 1 {
        return vec![plain.to_owned(); variants.len()];
    }
    let variant_of: Vec<(usize, usize)> = variants
        .iter()
        .enumerate()
        .flat_map(|(variant, cells)| cells.iter().map(move |&cell| (cell, variant)))
        .collect();
    let mut sums: Vec<u64> = variant_of
        .iter()
        .map(|&(cell, _)| {
            let cell = &matrix.cells[cell];
            let reaching = (0..matrix.keys.len()).filter(|key| reach & (1 << key) != 0);
            reaching.fold(0, |sum, key| sum ^ mark(cell, key))
        })
        .collect();
    let mut shown: Vec<bool> = (0..matrix.keys.len())
        .map(|key| reach & (1 << key) != 0)
        .collect();
    for key in (0..matrix.keys.len()).rev() {
        if !shown[key] {
            continue;
        }
        let without: Vec<u64> = variant_of
            .iter()
            .zip(&sums)
            .map(|(&(cell, _), sum)| sum ^ mark(&matrix.cells[cell], key))
            .collect();
        if decides(&without, &variant_of) {
            sums = without;
            shown[key] = false;
        }
    }
    let mut taken = IndexSet::new();
    variants
        .iter()
        .map(|cells| {
            let first = cells.first().map(|&cell| &matrix.cells[cell]);
            let label = first.map_or_else(String::new, |cell| matrix.label(cell, |key| shown[key]));
            let name = match label.as_str() {
                "" => plain.to_owned(),
                label => format!("{plain} [{label}]"),
            };
            let mut unique = name.clone();
            for number in 2.. {
                if taken.insert(unique.clone()) {
                    break;
                }
                unique = format!("{name} #{number}");
            }
            unique
        })
        .collect()
}

/// A number for a param's value in a cell; those of all params are combined by exclusive or.
fn mark(cell: &Cell, key: usize) -> u64 {
    BuildHasherDefault::<DefaultHasher>::default().hash_one((key, cell.values[key]))
}

/// Whether equal sums always come with equal variants.
fn decides(sums: &[u64], variant_of: &[(usize, usize)]) -> bool {
    let mut seen: IndexMap<u64, usize> = IndexMap::with_capacity(sums.len());
    sums.iter()
        .zip(variant_of)
        .all(|(&sum, &(_, variant))| *seen.entry(sum).or_insert(variant) == variant)
}
