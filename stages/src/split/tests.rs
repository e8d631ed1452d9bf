use std::collections::BTreeSet;

use proptest::prelude::*;

use super::folds::assign;

/// Members of each fold, as scikit-learn lists test indices.
fn folds(classes: &[&str], k: usize) -> Vec<Vec<usize>> {
    let assigned = assign(classes, k, 2);
    (0..k).map(|fold| (0..classes.len()).filter(|&i| assigned[i] == fold).collect()).collect()
}

#[test]
fn folds_are_those_of_clinicadl() {
    // Produced by ClinicaDL 1.6.1 (scikit-learn's StratifiedKFold with random_state 2).
    let two = ["a", "b"].repeat(5);
    assert_eq!(folds(&two, 5), [[5, 8], [3, 4], [0, 7], [6, 9], [1, 2]]);
    let three = ["0", "0", "0", "1", "1", "2", "2", "2", "2", "0", "1", "2"];
    let expected = [[2, 3, 7, 9], [0, 4, 6, 11], [1, 5, 8, 10]];
    assert_eq!(folds(&three, 3), expected);
    let renamed: Vec<&str> =
        three.iter().map(|c| ["z", "a", "m"][c.parse::<usize>().unwrap()]).collect();
    assert_eq!(folds(&renamed, 3), expected);
}

proptest! {
    #[test]
    fn every_member_is_in_one_fold_and_classes_are_spread_evenly(
        classes in proptest::collection::vec(0..4_usize, 8..60),
        k in 2..6_usize,
    ) {
        let names: Vec<&str> = classes.iter().map(|&c| ["a", "b", "c", "d"][c]).collect();
        let folds = folds(&names, k);
        let all: BTreeSet<usize> = folds.iter().flatten().copied().collect();
        prop_assert_eq!(all.len(), classes.len());
        prop_assert_eq!(folds.iter().map(Vec::len).sum::<usize>(), classes.len());
        for class in ["a", "b", "c", "d"] {
            let counts: Vec<usize> = folds
                .iter()
                .map(|fold| fold.iter().filter(|&&i| names[i] == class).count())
                .collect();
            let spread = counts.iter().max().unwrap() - counts.iter().min().unwrap();
            prop_assert!(spread <= 1, "{:?}", counts);
        }
    }
}
