//! What holds for any table.

use super::*;
use crate::split::prepare_experiment::prepare;

fn any_cohort() -> impl Strategy<Value = Table> {
    let diagnosis = prop_oneof![Just("AD"), Just("CN"), Just("MCI")];
    let member = (
        diagnosis,
        50.0..95.0_f64,
        prop_oneof![Just("F"), Just("M"), Just("")],
        1..4_usize,
    );
    proptest::collection::vec(member, 20..60).prop_map(|members| labels(&members))
}

/// Tables with cohorts that share participant IDs, several sessions in any order, missing values, odd
/// labels, sites and families.
fn any_table() -> impl Strategy<Value = Table> {
    let label = prop_oneof![Just("0"), Just("1"), Just("AD é"), Just("x, \"y\"")];
    let who = (0..25_usize, 0..3_usize);
    let values = (
        label,
        prop_oneof![
            Just(String::new()),
            (50..95_u8).prop_map(|age| age.to_string())
        ],
        prop_oneof![Just("F"), Just("M"), Just("n/a")],
        (0..4_usize, 0..30_usize),
        1..31_usize,
    );
    let members = proptest::collection::btree_map(who, values, 20..60);
    let rows = members.prop_map(|members| {
        let mut rows = Vec::new();
        for ((number, cohort), (label, age, sex, (site, family), sessions)) in members {
            let names = ["ses-M000", "ses-M6", "ses-M012", "ses-M100", "ses-b"];
            let chosen = (0..5).filter(|bit| sessions >> bit & 1 == 1);
            for name in chosen.map(|bit| names[bit]) {
                let cohort = ["ADNI", "AIBL", "single"][cohort];
                rows.push(format!(
                    "{age}\tsub-{number}\t{name}\t\"{}\"\t{sex}\t{cohort}\tsite-{site}\tf{family}\n",
                    label.replace('"', "\"\"")
                ));
            }
        }
        rows
    });
    rows.prop_shuffle().prop_map(|rows| {
        let header = "age\tparticipant_id\tsession_id\tdiagnosis\tsex\tcohort\tsite\tfamily\n";
        table(&(header.to_owned() + &rows.concat()))
    })
}

/// Any variant of `kfold`.
fn any_folds() -> impl Strategy<Value = KFoldParams> {
    let label = prop_oneof![Just(None), Just(Some("diagnosis".to_owned()))];
    let group = prop_oneof![
        Just(None),
        Just(Some("family".to_owned())),
        Just(Some("cohort".to_owned()))
    ];
    let nested = prop_oneof![Just(None), (2..4_usize).prop_map(Some)];
    let leave = prop_oneof![3 => Just(None), 1 => Just(Some("site".to_owned()))];
    let values = (
        2..6_usize,
        label,
        any::<u32>(),
        group,
        1..3_usize,
        leave,
        nested,
    );
    values.prop_map(
        |(n_splits, label, seed, group, repeats, leave_one_out, nested)| {
            let is_drawn = leave_one_out.is_none();
            KFoldParams {
                n_splits: if is_drawn { n_splits } else { 4 },
                label,
                seed,
                validation_longitudinal: false,
                group: group.filter(|_| is_drawn),
                repeats: if is_drawn { repeats } else { 1 },
                leave_one_out,
                nested,
            }
        },
    )
}

fn bytes(partitions: &[Partition], table: &Table) -> Vec<Vec<u8>> {
    let tables = partitions
        .iter()
        .flat_map(|partition| tables(partition, table));
    tables.map(|(_, table)| table.to_tsv().unwrap()).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn no_variant_of_folds_has_anyone_in_two_parts(table in any_table(), params in any_folds()) {
        prop_assert!(KFold::check(&params).is_empty());
        let found = match partitions(&params, &table) {
            Ok((found, _)) => found,
            Err(error) => {
                // Too few of something, which the message tells.
                let told = ["cannot be split", "values of `site`", "no whole `"];
                prop_assert!(told.iter().any(|what| error.message.contains(what)), "{error}");
                return Ok(());
            }
        };
        prop_assert_eq!(found.len(), params.count());
        for partition in &found {
            assert_whole(partition, &table);
            if let Some(column) = &params.group {
                assert_together(partition, &table, column);
            }
        }
        // The folds of each repeat, and inside of each fold, are all participants once.
        let inner = params.nested.unwrap_or(1);
        for fold in found.chunks(inner) {
            prop_assert!(fold.iter().all(|partition| partition.test == fold[0].test));
            if params.nested.is_some() {
                let mut all = fold[0].test.clone();
                all.extend(fold.iter().flat_map(|partition| &partition.validation));
                all.sort_unstable();
                let mut everybody = table.baseline().unwrap();
                everybody.sort_unstable();
                prop_assert_eq!(all, everybody);
            }
        }
        for repeat in found.chunks(params.n_splits * inner) {
            let mut all: Vec<usize> = Vec::new();
            for fold in repeat.chunks(inner) {
                let is_nested = params.nested.is_some();
                all.extend(if is_nested { &fold[0].test } else { &fold[0].validation });
            }
            all.sort_unstable();
            let mut everybody = table.baseline().unwrap();
            everybody.sort_unstable();
            prop_assert_eq!(all, everybody);
        }
        let again = partitions(&params, &table).unwrap().0;
        prop_assert_eq!(bytes(&found, &table), bytes(&again, &table));
    }

    #[test]
    fn no_split_has_anyone_in_two_parts(
        table in any_table(),
        n_test in 0.15..0.85_f64,
        seed: u64,
        by_family: bool,
        by_distribution: bool,
    ) {
        let params = SplitParams {
            n_test,
            p_threshold: 0.0,
            group: by_family.then(|| "family".to_owned()),
            numeric_test: match by_distribution {
                true => NumericTest::KolmogorovSmirnov,
                false => NumericTest::TTest,
            },
            ..SplitParams::default()
        };
        let found = match split(&params, &table, seed) {
            Ok(found) => found.partition,
            Err(error) => {
                let told = ["number of labels", "only one participant", "has no value"];
                prop_assert!(told.iter().any(|what| error.message.contains(what)), "{error}");
                return Ok(());
            }
        };
        assert_whole(&found, &table);
        if by_family {
            assert_together(&found, &table, "family");
        }
        let again = split(&params, &table, seed).unwrap().partition;
        prop_assert_eq!(bytes(&[found], &table), bytes(&[again], &table));
    }

    #[test]
    fn no_experiment_has_anyone_in_two_parts(
        table in any_table(),
        seed: u64,
        by_family: bool,
        once: bool,
    ) {
        let params = PrepareExperimentParams {
            n_test: 0.25,
            n_validation: 0.3,
            n_splits: 2,
            p_threshold: 0.0,
            group: by_family.then(|| "family".to_owned()),
            validation_type: if once { ValidationType::Split } else { ValidationType::Kfold },
            ..PrepareExperimentParams::default()
        };
        let Ok(made) = prepare(&params, &table, Stream::root(seed), &|| Ok(())) else {
            return Ok(());
        };
        let (test, train) = (people(&made.test), people(&made.train));
        prop_assert!(test.is_disjoint(&train));
        prop_assert_eq!(made.test.len() + made.train.len(), table.len());
        for partition in &made.partitions {
            assert_whole(partition, &made.train);
            if by_family {
                assert_together(partition, &made.train, "family");
            }
        }
        if by_family {
            let values = |table: &Table| -> BTreeSet<String> {
                let texts = table.texts("family").unwrap();
                texts.into_iter().map(str::to_owned).collect()
            };
            prop_assert!(values(&made.test).is_disjoint(&values(&made.train)));
        }
    }
}

/// Cells that mean something, and cells that should not be there.
fn any_cell() -> impl Strategy<Value = String> {
    const CELLS: &str = concat!(
        " n/a NaN nan inf -inf 1e308 -1e308 -0 0 1 70 70.5 F M AD CN sub-1 sub-2 sub-3 ses-M000 ses-M6 ",
        "ses-M99999999999999999999 ses-M ../x é \u{200b} \""
    );
    let cells: Vec<&str> = CELLS.split(' ').collect();
    proptest::sample::select(cells).prop_map(|cell| format!("\"{}\"", cell.replace('"', "\"\"")))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn no_table_makes_a_stage_panic(
        rows in proptest::collection::vec(proptest::collection::vec(any_cell(), 5), 0..12),
        is_wild: bool,
        folds in any_folds(),
        seed: u64,
    ) {
        let mut text = "participant_id\tsession_id\tdiagnosis\tage\tsex\tsite\tfamily\n".to_owned();
        for (i, row) in rows.iter().enumerate() {
            // Most wild identifiers are refused at once, which would leave the rest unseen.
            let who = [format!("sub-{}", i / 2), format!("ses-M{i}")];
            let who = if is_wild { [row[0].clone(), row[1].clone()] } else { who };
            text.push_str(&format!("{}\t{}\n", who.join("\t"), row.join("\t")));
        }
        let Ok(table) = Table::parse(text.as_bytes(), "labels.tsv") else {
            return Ok(());
        };
        drop(partitions(&folds, &table));
        for numeric_test in [NumericTest::TTest, NumericTest::KolmogorovSmirnov] {
            let params = SplitParams { n_test: 0.5, numeric_test, max_trials: 5, ..SplitParams::default() };
            drop(split(&params, &table, seed));
            let group = Some("family".to_owned());
            drop(split(&SplitParams { group, label: None, ..params }, &table, seed));
        }
        let params = PrepareExperimentParams { n_splits: 2, max_trials: 5, ..PrepareExperimentParams::default() };
        drop(prepare(&params, &table, Stream::root(seed), &|| Ok(())));
    }
}

/// Forty participants can be held out in so many ways that no two of these agree.
#[test]
fn other_seeds_give_other_partitions() {
    let table = cohort(40);
    let mut splits = BTreeSet::new();
    let mut folds = BTreeSet::new();
    let mut experiments = BTreeSet::new();
    for seed in 0..20 {
        let params = SplitParams::default();
        splits.insert(split(&params, &table, seed).unwrap().partition.validation);
        let params = KFoldParams {
            seed: u32::try_from(seed).unwrap(),
            ..KFoldParams::default()
        };
        let found = partitions(&params, &table).unwrap().0;
        folds.insert(bytes(&found, &table));
        let params = PrepareExperimentParams {
            p_threshold: 0.2,
            ..PrepareExperimentParams::default()
        };
        let made = prepare(&params, &table, Stream::root(seed), &|| Ok(())).unwrap();
        experiments.insert(made.test.to_tsv().unwrap());
    }
    assert_eq!((splits.len(), folds.len(), experiments.len()), (20, 20, 20));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn participants_never_cross_the_folds_and_each_validates_once(
        table in any_cohort(),
        n_splits in 2..6_usize,
        seed: u32,
    ) {
        let params = KFoldParams { n_splits, seed, ..KFoldParams::default() };
        let (partitions, _) = partitions(&params, &table).unwrap();
        prop_assert_eq!(partitions.len(), n_splits);
        let mut validated: Vec<usize> = Vec::new();
        for partition in &partitions {
            assert_whole(partition, &table);
            validated.extend(&partition.validation);
        }
        validated.sort_unstable();
        let mut baseline = table.baseline().unwrap();
        baseline.sort_unstable();
        prop_assert_eq!(validated, baseline);
    }

    #[test]
    fn participants_never_cross_a_split(table in any_cohort(), n_test in 0.15..0.85_f64, seed: u64) {
        // Balance is not the point here, and small cohorts may not allow it.
        let params = SplitParams { n_test, p_threshold: 0.0, ..SplitParams::default() };
        match split(&params, &table, seed) {
            Ok(found) => assert_whole(&found.partition, &table),
            Err(error) => prop_assert!(error.message.contains("label") || error.message.contains("only one")),
        }
    }

    #[test]
    fn classes_are_spread_evenly(
        classes in proptest::collection::vec(0..4_usize, 8..60),
        k in 2..6_usize,
    ) {
        let names: Vec<&str> = classes.iter().map(|&c| ["a", "b", "c", "d"][c]).collect();
        let folds = folds(&names, k);
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
