//! Stratified folds, exactly those of scikit-learn with a seeded shuffle.
//!
//! # Source
//! scikit-learn, `StratifiedKFold(n_splits, shuffle=True, random_state=seed)`, as ClinicaDL 1.6.1 uses
//! it with seed 2.

use super::mersenne::RandomState;

/// The fold of each member, given the members' classes.
///
/// Classes are renumbered by first appearance, so that their names and codes do not matter. Each fold
/// gets of every class as many members as a round-robin over the sorted classes gives it.
pub(super) fn assign(classes: &[&str], n_splits: usize, seed: u32) -> Vec<usize> {
    let mut names: Vec<&str> = Vec::new();
    let codes: Vec<usize> = classes
        .iter()
        .map(|class| {
            names
                .iter()
                .position(|name| name == class)
                .unwrap_or_else(|| {
                    names.push(class);
                    names.len() - 1
                })
        })
        .collect();
    let mut sorted = codes.clone();
    sorted.sort_unstable();
    let mut state = RandomState::new(seed);
    let mut folds = vec![0; codes.len()];
    for class in 0..names.len() {
        let mut members = Vec::new();
        for fold in 0..n_splits {
            let count = sorted
                .iter()
                .skip(fold)
                .step_by(n_splits)
                .filter(|c| **c == class)
                .count();
            members.extend(std::iter::repeat_n(fold, count));
        }
        state.shuffle(&mut members);
        let rows = codes.iter().enumerate().filter(|(_, code)| **code == class);
        for ((row, _), fold) in rows.zip(members) {
            folds[row] = fold;
        }
    }
    folds
}
