//! Groups that stay in one part.

use super::*;

/// The same table with a column of a value per participant, in order of their text.
fn with_groups(table: &Table, column: &str, group: impl Fn(usize) -> String) -> Table {
    let order: Vec<String> = people(table).iter().map(ToString::to_string).collect();
    let sessions = table.sessions().unwrap();
    let values = sessions.iter().map(|session| {
        let person = session.person().to_string();
        group(order.iter().position(|known| *known == person).unwrap())
    });
    let values = values.collect();
    table.clone().with_column(column, values)
}

#[test]
fn groups_stay_in_one_part_and_about_as_many_are_held_out() {
    let table = with_groups(&cohort(60), "family", |i| format!("f{}", i / 4));
    let params = SplitParams {
        group: Some("family".into()),
        p_threshold: 0.3,
        ..SplitParams::default()
    };
    for seed in 0..10 {
        let found = split(&params, &table, seed).unwrap();
        assert_whole(&found.partition, &table);
        assert_together(&found.partition, &table, "family");
        assert_eq!(found.partition.validation.len(), 12);
        let expected = "12 of 60 participants (3 of 15 `family`, asked for 12 participants)";
        assert!(found.summary.starts_with(expected), "{}", found.summary);
    }
}

#[test]
fn groups_of_one_are_drawn_in_exact_proportions() {
    let table = with_groups(&cohort(40), "family", |i| format!("f{i}"));
    let params = SplitParams {
        group: Some("family".into()),
        n_test: 0.25,
        ..SplitParams::default()
    };
    let held = split(&params, &table, 1).unwrap().partition.validation;
    let labels = table.texts("diagnosis").unwrap();
    let count = held.iter().filter(|&&row| labels[row] == "AD").count();
    assert_eq!((held.len(), count), (10, 5));
}

#[test]
fn a_participant_in_two_groups_is_an_error_that_names_the_rows() {
    let table = table(
        "participant_id\tsession_id\tdiagnosis\tsite\nsub-1\tses-M0\tAD\tA\nsub-1\tses-M6\tAD\tB\n\
         sub-2\tses-M0\tAD\tA\nsub-2\tses-M6\tAD\t\nsub-3\tses-M0\tAD\t\n",
    );
    let expected = "`labels.tsv`: every participant must have one `site`, but sub-1 has `A` on line \
                    2 and `B` on line 3; sub-3 has none (line 6)";
    let params = SplitParams {
        group: Some("site".into()),
        n_test: 1.0,
        balance: Vec::new(),
        ..SplitParams::default()
    };
    let error = split(&params, &table, 1).err().unwrap();
    assert_eq!(error.message, expected);
    let params = KFoldParams {
        group: Some("site".into()),
        ..KFoldParams::default()
    };
    assert_eq!(partitions(&params, &table).unwrap_err().message, expected);
    let params = KFoldParams {
        leave_one_out: Some("site".into()),
        ..KFoldParams::default()
    };
    assert_eq!(partitions(&params, &table).unwrap_err().message, expected);
}

#[test]
fn groups_too_large_to_be_held_out_are_told() {
    let table = with_groups(&cohort(20), "site", |i| format!("site-{}", i / 10));
    let params = SplitParams {
        group: Some("site".into()),
        ..SplitParams::default()
    };
    let error = split(&params, &table, 1).err().unwrap();
    assert_eq!(
        error.message,
        "`labels.tsv`: no whole `site` can be held out for 4 of 20 participants; there are 2, the \
         smallest with 10 participants"
    );
}

/// Four participants with MCI are one family among 60 of one.
#[test]
fn a_label_that_stays_in_one_part_with_its_group_is_told() {
    let mut participants = vec![("AD", 70.0, "F", 1); 30];
    participants.extend([("CN", 70.0, "F", 1); 30]);
    participants.extend([("MCI", 70.0, "F", 1); 4]);
    let table = with_groups(&labels(&participants), "family", |i| {
        format!("f{}", i.min(60))
    });
    let warnings = |n_test: f64| {
        let params = SplitParams {
            n_test,
            group: Some("family".into()),
            ..SplitParams::default()
        };
        split(&params, &table, 1).unwrap().warnings
    };
    assert_eq!(
        warnings(0.25),
        ["none of the 4 participants labelled `MCI` is held out"]
    );
    assert_eq!(
        warnings(0.8),
        ["all of the 4 participants labelled `MCI` are held out"]
    );
}

/// scikit-learn 1.9.1 gives a fold without anybody here, sizes 3, 3, 0 and 3.
#[test]
fn a_fold_that_no_group_is_left_for_is_refused() {
    let labels = ["a", "b", "b", "a", "b", "a", "a", "a", "a"];
    let sites = [2, 0, 0, 2, 2, 3, 3, 3, 1];
    let mut text = "participant_id\tsession_id\tdiagnosis\tsite\n".to_owned();
    for (i, (label, site)) in labels.iter().zip(sites).enumerate() {
        text.push_str(&format!("sub-{i}\tses-M000\t{label}\t{site}\n"));
    }
    let params = KFoldParams {
        n_splits: 4,
        group: Some("site".into()),
        ..KFoldParams::default()
    };
    let error = partitions(&params, &table(&text)).unwrap_err();
    assert_eq!(
        error.message,
        "`labels.tsv`: no whole `site` is left for fold 2 of 4"
    );
    assert_eq!(error.hints, ["choose a smaller `n_splits`"]);
}
