//! Folds of a cross-validation, exactly those of scikit-learn with a seeded shuffle.
//!
//! # Source
//! scikit-learn 1.9: `StratifiedKFold`, `KFold` and `StratifiedGroupKFold` with `shuffle=True` and a
//! `random_state`. ClinicaDL 1.6.1 uses the first with 2. A state that is used on gives the folds of
//! `RepeatedStratifiedKFold` and `RepeatedKFold`.

use std::collections::BTreeMap;

use super::mersenne::RandomState;

/// The fold of each member, given the members' classes.
///
/// Classes are renumbered by first appearance, so that their names and codes do not matter. Each fold
/// gets of every class as many members as a round-robin over the sorted classes gives it.
pub(super) fn stratified(classes: &[&str], n_splits: usize, state: &mut RandomState) -> Vec<usize> {
    let mut numbers: BTreeMap<&str, usize> = BTreeMap::new();
    let mut members: Vec<Vec<usize>> = Vec::new();
    for (member, class) in classes.iter().enumerate() {
        let number = *numbers.entry(class).or_insert(members.len());
        if number == members.len() {
            members.push(Vec::new());
        }
        members[number].push(member);
    }
    let mut folds = vec![0; classes.len()];
    let mut dealt = 0;
    for members in members {
        let mut given: Vec<usize> = (dealt..dealt + members.len())
            .map(|place| place % n_splits)
            .collect();
        dealt += members.len();
        given.sort_unstable();
        state.shuffle(&mut given);
        for (member, fold) in members.into_iter().zip(given) {
            folds[member] = fold;
        }
    }
    folds
}

/// The fold of each of some members: the first folds get one more where they are not equally many.
pub(super) fn plain(members: usize, n_splits: usize, state: &mut RandomState) -> Vec<usize> {
    let mut order: Vec<usize> = (0..members).collect();
    state.shuffle(&mut order);
    let (size, larger) = (members / n_splits, members % n_splits);
    let sizes = (0..n_splits).map(|fold| size + usize::from(fold < larger));
    let dealt = sizes.enumerate();
    let dealt = dealt.flat_map(|(fold, size)| std::iter::repeat_n(fold, size));
    let mut folds = vec![0; members];
    for (member, fold) in order.into_iter().zip(dealt) {
        folds[member] = fold;
    }
    folds
}

/// The fold of each member, given the members' classes and groups; no group is in two folds.
///
/// Groups are dealt one by one, those with the most uneven classes first, after a shuffle that orders
/// equal ones. Each goes to the fold where the classes' shares then differ least between folds; among
/// folds that are about as good, to the smallest.
pub(super) fn grouped(
    classes: &[&str],
    groups: &[&str],
    n_splits: usize,
    state: &mut RandomState,
) -> Vec<usize> {
    let (classes, n_classes) = codes(classes);
    let (groups, n_groups) = codes(groups);
    let mut totals = vec![0.0; n_classes];
    let mut counts = vec![vec![0.0; n_classes]; n_groups];
    for (&class, &group) in classes.iter().zip(&groups) {
        totals[class] += 1.0;
        counts[group][class] += 1.0;
    }
    let mut order: Vec<usize> = (0..n_groups).collect();
    state.shuffle(&mut order);
    let uneven: Vec<f64> = counts.iter().map(|c| deviation(c, pairwise_sum)).collect();
    order.sort_by(|&a, &b| uneven[b].total_cmp(&uneven[a]));
    let mut dealt = vec![vec![0.0; n_classes]; n_splits];
    let mut fold_of = vec![0; n_groups];
    for group in order {
        let fold = best_fold(&mut dealt, &totals, &counts[group]);
        add(&mut dealt[fold], &counts[group], 1.0);
        fold_of[group] = fold;
    }
    groups.into_iter().map(|group| fold_of[group]).collect()
}

/// Positions of texts among the distinct ones, sorted, and how many those are.
fn codes(texts: &[&str]) -> (Vec<usize>, usize) {
    let mut names: BTreeMap<&str, usize> = texts.iter().map(|text| (*text, 0)).collect();
    names.values_mut().zip(0..).for_each(|(code, i)| *code = i);
    (texts.iter().map(|text| names[text]).collect(), names.len())
}

fn add(counts: &mut [f64], other: &[f64], sign: f64) {
    for (count, other) in counts.iter_mut().zip(other) {
        *count += sign * other;
    }
}

/// The fold to which a group of `added` members per class goes.
fn best_fold(dealt: &mut [Vec<f64>], totals: &[f64], added: &[f64]) -> usize {
    // In numpy's order of sums, since its rounding decides between folds that are equally good: a column
    // of several is summed row by row.
    let over_folds = if totals.len() == 1 {
        pairwise_sum
    } else {
        plain_sum
    };
    let mut shares = vec![0.0; dealt.len()];
    let mut spreads = vec![0.0; totals.len()];
    let (mut best, mut least, mut fewest) = (0, f64::INFINITY, f64::INFINITY);
    for fold in 0..dealt.len() {
        let members: f64 = dealt[fold].iter().sum();
        add(&mut dealt[fold], added, 1.0);
        for (class, (spread, total)) in spreads.iter_mut().zip(totals).enumerate() {
            for (share, counts) in shares.iter_mut().zip(&*dealt) {
                *share = counts[class] / total;
            }
            *spread = deviation(&shares, over_folds);
        }
        add(&mut dealt[fold], added, -1.0);
        let spread = pairwise_sum(&spreads) / totals.len() as f64;
        // The tolerances of numpy's `isclose`.
        let is_about_as_good = (spread - least).abs() <= 1e-8 + 1e-5 * least.abs();
        if spread < least || (is_about_as_good && members < fewest) {
            (best, least, fewest) = (fold, spread, members);
        }
    }
    best
}

/// The population standard deviation.
fn deviation(values: &[f64], sum: fn(&[f64]) -> f64) -> f64 {
    let n = values.len() as f64;
    let mean = sum(values) / n;
    let squares: Vec<f64> = values.iter().map(|v| (v - mean) * (v - mean)).collect();
    (sum(&squares) / n).sqrt()
}

fn plain_sum(values: &[f64]) -> f64 {
    values.iter().sum()
}

/// Sums neighbours in memory as numpy does: eight at a time, in halves from 128 on.
fn pairwise_sum(values: &[f64]) -> f64 {
    match values.len() {
        0..8 => plain_sum(values),
        8..=128 => {
            let (eights, rest) = values.as_chunks::<8>();
            let mut sums = [0.0; 8];
            for eight in eights {
                sums.iter_mut().zip(eight).for_each(|(sum, v)| *sum += v);
            }
            let [a, b, c, d, e, f, g, h] = sums;
            let sum = ((a + b) + (c + d)) + ((e + f) + (g + h));
            rest.iter().fold(sum, |sum, v| sum + v)
        }
        n => {
            let (left, right) = values.split_at(n / 2 - n / 2 % 8);
            pairwise_sum(left) + pairwise_sum(right)
        }
    }
}
