//! The tests of balance.

use super::*;

/// Ages of two parts with the same mean, one of them spread wide: a t-test does not see it.
#[test]
fn kolmogorov_smirnov_sees_what_a_t_test_does_not() {
    let held = |test: NumericTest| -> Vec<f64> {
        let member = |i: usize| {
            let age = 70.0 + [1.0, -1.0][i % 2] * if i < 12 { 20.0 } else { 0.1 };
            (["AD", "CN"][i / 2 % 2], age, "F", 1)
        };
        let table = labels(&(0..36).map(member).collect::<Vec<_>>());
        let params = SplitParams {
            n_test: 12.0,
            numeric_test: test,
            p_threshold: 0.95,
            ..SplitParams::default()
        };
        let told = match test {
            NumericTest::TTest => "age (t-test) p",
            NumericTest::KolmogorovSmirnov => "age (Kolmogorov–Smirnov) p",
        };
        let wide = |seed| {
            let found = split(&params, &table, seed).unwrap();
            assert!(found.summary.contains(told), "{}", found.summary);
            let ages = table.texts("age").unwrap();
            let rows = found.partition.validation;
            let ages = rows.iter().map(|&row| ages[row].parse::<f64>().unwrap());
            ages.filter(|age| (age - 70.0).abs() > 1.0).count() as f64
        };
        (0..40).map(wide).collect()
    };
    let spread = |counts: &[f64]| counts.iter().map(|count| (count - 4.0).abs()).sum::<f64>();
    let (means, distributions) = (
        spread(&held(NumericTest::TTest)),
        spread(&held(NumericTest::KolmogorovSmirnov)),
    );
    assert!(distributions < means, "{distributions} and {means}");
}

/// Defect of ClinicaDL 1.6.1: its chi-square ignores how many participants there are. However many are
/// held out, a difference of 12 points in the share of women passes, so that here every first draw does.
#[test]
fn proportions_let_pass_what_counts_refuse() {
    let member = |i: usize| (["AD", "CN"][i % 2], 70.0, ["F", "M"][i / 2 % 2], 1);
    let table = labels(&(0..600).map(member).collect::<Vec<_>>());
    let trial = |test: CategoricalTest, seed| {
        let params = SplitParams {
            n_test: 200.0,
            balance: vec!["sex".into()],
            categorical_test: test,
            ..SplitParams::default()
        };
        let found = split(&params, &table, seed).unwrap();
        let trial = found.summary.split("at trial ").nth(1).unwrap().to_owned();
        trial.split(':').next().unwrap().parse::<usize>().unwrap()
    };
    let trials = |test: CategoricalTest| (0..20).map(|seed| trial(test, seed)).sum::<usize>();
    assert_eq!(trials(CategoricalTest::ChiSquareOnProportions), 20);
    assert!(trials(CategoricalTest::ChiSquare) > 40);
}

/// Defect of ClinicaDL 1.6.1: a p-value that is not a number never passes, so that it never ends.
#[test]
fn what_cannot_be_compared_does_not_keep_a_split_from_ending() {
    let mut participants = vec![("AD", 60.0, "F", 1); 6];
    participants.extend([("CN", 60.0, "F", 1); 6]);
    let constant = labels(&participants);
    assert!(split(&SplitParams::default(), &constant, 1).is_ok());
    // One known age in all.
    let mut ages = vec![String::new(); 12];
    ages[3] = "61".to_owned();
    let table = constant.with_column("age", ages.clone());
    for numeric_test in [NumericTest::TTest, NumericTest::KolmogorovSmirnov] {
        let params = SplitParams {
            numeric_test,
            ..SplitParams::default()
        };
        assert!(split(&params, &table, 1).is_ok());
    }
    ages[3] = String::new();
    let table = table.with_column("age", ages);
    let error = split(&SplitParams::default(), &table, 1).err().unwrap();
    assert_eq!(error.message, "column `age` of `labels.tsv` has no value");
}
