use super::analysis::describe;
use super::labels::{Modalities, choose};
use super::metadata::join;
use super::progression::progression;
use super::*;
use proptest::prelude::*;

fn table(shown: &str, text: &str) -> Table {
    let text = text.split_whitespace().collect::<Vec<_>>();
    let columns = text
        .iter()
        .position(|cell| cell.starts_with("sub-"))
        .unwrap();
    let lines: Vec<String> = text.chunks(columns).map(|line| line.join("\t")).collect();
    Table::parse(lines.join("\n").replace('–', "").as_bytes(), shown).unwrap()
}

fn column(table: &Table, name: &str) -> Vec<String> {
    let texts = table.texts(name).unwrap();
    texts.into_iter().map(str::to_owned).collect()
}

/// Vectors of ClinicaDL 1.6.1 with a horizon of 36 months; sessions keep their names here.
#[test]
fn progressions_are_those_of_the_reference() {
    let table = table(
        "labels.tsv",
        "participant_id session_id diagnosis
         sub-1 ses-M000 MCI sub-1 ses-M036 MCI sub-1 ses-M048 MCI sub-1 ses-M072 AD
         sub-2 ses-M000 MCI sub-2 ses-M012 CN sub-2 ses-M036 MCI sub-2 ses-M048 MCI
         sub-2 ses-M060 CN sub-2 ses-M072 AD
         sub-3 ses-M00 CN sub-3 ses-M06 CN
         sub-4 ses-M000 AD
         sub-5 ses-M000 CN sub-5 ses-M048 MCI",
    );
    let told = progression(&GetProgressionParams::default(), &table).unwrap();
    let expected = "s p p uk s p p p p uk s uk uk p uk";
    assert_eq!(column(&told, "progression").join(" "), expected);
    assert_eq!(told.columns().last().unwrap(), "progression");
}

#[test]
fn a_participant_who_gets_better_and_worse_is_unstable() {
    let table = table(
        "labels.tsv",
        "participant_id session_id diagnosis
         sub-1 ses-M000 MCI sub-1 ses-M036 CN sub-1 ses-M072 AD sub-1 ses-M108 AD",
    );
    let told = progression(&GetProgressionParams::default(), &table).unwrap();
    assert_eq!(column(&told, "progression"), ["us"; 4]);
}

#[test]
fn a_missing_diagnosis_is_filled_between_equal_ones_and_else_dropped() {
    let table = table(
        "labels.tsv",
        "participant_id session_id diagnosis
         sub-1 ses-M000 – sub-1 ses-M006 CN sub-1 ses-M012 – sub-1 ses-M018 CN sub-1 ses-M100 –
         sub-1 ses-M024 – sub-1 ses-M030 MCI",
    );
    let told = progression(&GetProgressionParams::default(), &table).unwrap();
    let sessions = ["ses-M006", "ses-M012", "ses-M018", "ses-M030"];
    assert_eq!(column(&told, "session_id"), sessions);
    assert_eq!(column(&told, "diagnosis"), ["CN", "CN", "CN", "MCI"]);
}

#[test]
fn an_unknown_diagnosis_is_named_with_its_line() {
    let table = table(
        "labels.tsv",
        "participant_id session_id diagnosis sub-1 ses-M000 CN sub-1 ses-M006 EMCI",
    );
    let error = progression(&GetProgressionParams::default(), &table).unwrap_err();
    assert!(
        error.message.contains("line 3, column `diagnosis`: `EMCI`"),
        "{error}"
    );
}

#[test]
fn metadata_are_joined_by_session_whatever_else_the_tables_say() {
    let labels = table(
        "labels.tsv",
        "participant_id session_id age sub-2 ses-M000 71 sub-1 ses-M000 60 sub-9 ses-M000 60",
    );
    let metadata = table(
        "merged.tsv",
        "participant_id session_id age site apoe
         sub-1 ses-M000 60 A 3 sub-2 ses-M000 72 B 4 sub-2 ses-M006 72 B 4",
    );
    let joined = join(&GetMetadataParams::default(), &labels, &metadata).unwrap();
    assert_eq!(
        joined.table.columns(),
        ["participant_id", "session_id", "age", "site", "apoe"]
    );
    assert_eq!(column(&joined.table, "site"), ["B", "A"]);
    assert_eq!(column(&joined.table, "age"), ["71", "60"]);
    assert!(
        joined.warnings[0].contains("1 sessions are dropped")
            && joined.warnings[0].contains("sub-9")
    );
    let params = GetMetadataParams {
        variables: vec!["apoe".into()],
    };
    let joined = join(&params, &labels, &metadata).unwrap();
    assert_eq!(
        joined.table.columns(),
        ["participant_id", "session_id", "age", "apoe"]
    );
    let params = GetMetadataParams {
        variables: vec!["apo".into()],
    };
    let error = join(&params, &labels, &metadata).err().unwrap();
    assert!(error.hints[0].contains("did you mean `apoe`?"), "{error:?}");
}

/// Vector of ClinicaDL 1.6.1.
#[test]
fn the_analysis_is_that_of_the_reference() {
    let merged = table(
        "merged.tsv",
        "participant_id session_id diagnosis age sex MMS cdr_global
         sub-1 ses-M000 CN 70 M 29 0 sub-1 ses-M006 CN 70.5 M – 0
         sub-2 ses-M000 AD 80 F 20 1 sub-3 ses-M000 CN 60 F – 0.5",
    );
    let mut warnings = Vec::new();
    let text = describe(&AnalysisParams::default(), &merged, &merged, &mut |w| {
        warnings.push(w);
    });
    let text = text.unwrap();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(
        lines[0],
        "group\tn_subjects\tmean_age\tstd_age\tmin_age\tmax_age\tsexF\tsexM\tmean_MMSE\tstd_MMSE\t\
         min_MMSE\tmax_MMSE\tCDR_0\tCDR_0.5\tCDR_1\tCDR_2\tCDR_3\tmean_scans\tstd_scans\tn_scans"
    );
    assert_eq!(
        lines[1].replace('\t', " "),
        "AD 1.0 80.0 0.0 80.0 80.0 1.0 0.0 20.0 0.0 20.0 20.0 0.0 0.0 1.0 0.0 0.0 1.0 0.0 1.0"
    );
    assert_eq!(
        lines[2].replace('\t', " "),
        "CN 2.0 65.0 5.0 60.0 70.0 1.0 1.0 29.0 0.0 29.0 29.0 1.0 1.0 0.0 0.0 0.0 1.5 0.5 3.0"
    );
    assert_eq!(warnings, ["CN: the MMSE of 1 participants is missing"]);
}

const MERGED: &str = "participant_id session_id age_bl stage sex diagnosis diagnosis_bl site
    sub-2 ses-M000 70 x F AD AD A
    sub-1 ses-M012 61 x M CN CN B
    sub-1 ses-M000 60 x M CN CN B
    sub-1 ses-M006 60 x M – CN B
    sub-3 ses-M000 65 x F MCI MCI A
    sub-4 ses-M000 66 x F CN SMC A
    sub-5 ses-other 66 x F CN CN A";

#[test]
fn labels_of_chosen_diagnoses_are_sorted_and_filled() {
    let merged = table("merged.tsv", MERGED);
    let chosen = choose(&GetLabelsParams::default(), &merged, None, None).unwrap();
    assert_eq!(
        String::from_utf8(chosen.table.to_tsv().unwrap()).unwrap(),
        "participant_id\tsession_id\tage_bl\tsex\tdiagnosis\n\
         sub-1\tses-M000\t60\tM\tCN\nsub-1\tses-M006\t60\tM\tCN\nsub-1\tses-M012\t61\tM\tCN\n\
         sub-2\tses-M000\t70\tF\tAD\n"
    );
    let params = GetLabelsParams {
        keep_smc: true,
        remove_unique_session: true,
        variables_of_interest: vec!["site".into()],
        ..GetLabelsParams::default()
    };
    let chosen = choose(&params, &merged, None, None).unwrap();
    assert_eq!(column(&chosen.table, "participant_id"), ["sub-1"; 3]);
    assert_eq!(column(&chosen.table, "site"), ["B"; 3]);
}

#[test]
fn a_modality_and_a_restriction_leave_sessions_out() {
    let merged = table("merged.tsv", MERGED);
    let tables = [
        (
            "missing_mods_ses-M000.tsv",
            table("m0", "participant_id t1w pet sub-1 1 0 sub-2 0 1"),
        ),
        (
            "missing_mods_ses-M006.tsv",
            table("m6", "participant_id t1w sub-1 1"),
        ),
    ];
    let modalities = Modalities::of_tables(&tables, "t1w", "missing_mods").unwrap();
    let params = GetLabelsParams::default();
    let chosen = choose(&params, &merged, Some(&modalities), None).unwrap();
    assert_eq!(
        column(&chosen.table, "session_id"),
        ["ses-M000", "ses-M006"]
    );
    let restriction = table("only.tsv", "participant_id session_id sub-1 ses-M006");
    let chosen = choose(&params, &merged, Some(&modalities), Some(&restriction)).unwrap();
    assert_eq!(column(&chosen.table, "session_id"), ["ses-M006"]);
    let error = Modalities::of_tables(&tables, "flair", "missing_mods")
        .err()
        .unwrap();
    assert!(error.hints[0].contains("pet, t1w"), "{error:?}");
    let params = GetLabelsParams {
        diagnoses: vec!["Dementia".into()],
        ..params
    };
    let error = choose(&params, &merged, None, None).err().unwrap();
    assert!(
        error.hints.iter().any(|hint| hint.contains("`AD` (1)")),
        "{error:?}"
    );
}

#[test]
fn oasis_and_adni_tell_the_diagnosis_in_other_columns() {
    let oasis = table(
        "m",
        "participant_id session_id age sex dx1 sub-1 ses-M000 60 M AD",
    );
    let chosen = choose(&GetLabelsParams::default(), &oasis, None, None).unwrap();
    assert_eq!(column(&chosen.table, "diagnosis"), ["AD"]);
    let adni = table(
        "m",
        "participant_id session_id age sex diagnosis adni_diagnosis_change
         sub-1 ses-M000 60 M – 5.0 sub-2 ses-M000 60 M – -1 sub-3 ses-M000 60 F – 9",
    );
    let chosen = choose(&GetLabelsParams::default(), &adni, None, None).unwrap();
    assert_eq!(column(&chosen.table, "diagnosis"), ["AD", "CN"]);
}

/// `sub-1` of two cohorts: neither fills the other's diagnosis, nor hides it.
#[test]
fn cohorts_keep_their_participants_apart() {
    let merged = table(
        "merged.tsv",
        "participant_id session_id cohort age sex diagnosis MMS cdr_global
         sub-1 ses-M000 B 60 M CN 30 0 sub-1 ses-M006 A 70 F – 20 1
         sub-1 ses-M000 A 70 F AD 20 1 sub-1 ses-M012 B 60 M AD 30 0",
    );
    let labels = choose(&GetLabelsParams::default(), &merged, None, None).unwrap();
    assert_eq!(
        String::from_utf8(labels.table.to_tsv().unwrap()).unwrap(),
        "participant_id\tsession_id\tage\tsex\tdiagnosis\tcohort\n\
         sub-1\tses-M000\t70\tF\tAD\tA\nsub-1\tses-M000\t60\tM\tCN\tB\n\
         sub-1\tses-M012\t60\tM\tAD\tB\n"
    );
    let labels = labels.table;
    let told = progression(&GetProgressionParams::default(), &labels).unwrap();
    assert_eq!(column(&told, "progression"), ["uk", "p", "uk"]);
    let params = GetMetadataParams {
        variables: vec!["MMS".into()],
    };
    let joined = join(&params, &labels, &merged).unwrap().table;
    assert_eq!(column(&joined, "MMS"), ["20", "30", "30"]);
    let text = describe(&AnalysisParams::default(), &labels, &merged, &mut |_| ()).unwrap();
    let subjects: Vec<&str> = text.lines().map(|line| &line[..6]).collect();
    assert_eq!(subjects, ["group\t", "AD\t2.0", "CN\t1.0"]);
    let only = table(
        "only.tsv",
        "participant_id session_id cohort sub-1 ses-M000 B",
    );
    let chosen = choose(&GetLabelsParams::default(), &merged, None, Some(&only)).unwrap();
    assert_eq!(column(&chosen.table, "cohort"), ["B"]);
    let unclear = table("only.tsv", "participant_id session_id sub-1 ses-M000");
    let error = join(&params, &unclear, &merged).err().unwrap();
    assert!(error.hints[0].contains("`only.tsv` has no column `cohort`"));
}

#[test]
fn a_table_without_rows_is_refused_by_every_stage() {
    let empty = |text: &str| Table::parse(text.replace(' ', "\t").as_bytes(), "empty.tsv").unwrap();
    let labels = empty("participant_id session_id diagnosis\n");
    let merged = empty("participant_id session_id diagnosis age sex MMS cdr_global\n");
    let error = progression(&GetProgressionParams::default(), &labels).unwrap_err();
    assert_eq!(error.message, "no session of `empty.tsv` has a diagnosis");
    let error = join(&GetMetadataParams::default(), &labels, &merged).err();
    let expected = "`empty.tsv` and `empty.tsv` have no session in common";
    assert_eq!(error.unwrap().message, expected);
    let error = choose(&GetLabelsParams::default(), &merged, None, None).err();
    let expected = "no session of `empty.tsv` is left";
    assert_eq!(error.unwrap().message, expected);
    let error = describe(&AnalysisParams::default(), &labels, &merged, &mut |_| ());
    let expected = "`empty.tsv` has no session labelled `AD`";
    assert_eq!(error.unwrap_err().message, expected);
}

#[test]
fn a_session_twice_is_refused_by_every_stage() {
    let twice = table(
        "twice.tsv",
        "participant_id session_id diagnosis age sex MMS cdr_global
         sub-1 ses-M000 AD 70 F 20 1 sub-1 ses-M000 CN 70 F 20 1",
    );
    let expected = "`twice.tsv`: sub-1, ses-M000 is on lines 2 and 3";
    let errors = [
        progression(&GetProgressionParams::default(), &twice).err(),
        join(&GetMetadataParams::default(), &twice, &twice).err(),
        choose(&GetLabelsParams::default(), &twice, None, None).err(),
        describe(&AnalysisParams::default(), &twice, &twice, &mut |_| ()).err(),
    ];
    for error in errors {
        assert_eq!(error.unwrap().message, expected);
    }
}

proptest! {
    #[test]
    fn no_table_makes_a_stage_panic(
        rows in proptest::collection::vec((0..4_usize, 0..6_usize, 0..7_usize, 0..7_usize, -3..12_i8), 0..12),
        horizon: u64,
    ) {
        let mut text = "participant_id\tsession_id\tcohort\tdiagnosis\tage\tsex\tMMS\tcdr_global\t\
                        adni_diagnosis_change\n".to_owned();
        for (who, when, diagnosis, cell, adni) in rows {
            let session = ["ses-M000", "ses-M6", "ses-M18446744073709551615", "ses-M012", "ses-b", "ses-M100"][when];
            let diagnosis = ["AD", "CN", "MCI", "", "nan", "Dementia", "é"][diagnosis];
            let cell = ["1e308", "-inf", "NaN", "F", "", "0.5", "M"][cell];
            let cohort = ["A", "B"][who % 2];
            text.push_str(&format!(
                "sub-{}\t{session}\t{cohort}\t{diagnosis}\t{cell}\tF\t{cell}\t{cell}\t{adni}\n", who / 2
            ));
        }
        let table = Table::parse(text.as_bytes(), "labels.tsv").unwrap();
        let params = GetProgressionParams { time_horizon: horizon, ..GetProgressionParams::default() };
        drop(progression(&params, &table));
        drop(join(&GetMetadataParams::default(), &table, &table));
        drop(choose(&GetLabelsParams::default(), &table, None, Some(&table)));
        drop(describe(&AnalysisParams::default(), &table, &table, &mut |_| ()));
    }
}

/// Issue 539 of ClinicaDL: two digits are rewritten to three on one side of a join, whose rows are lost.
#[test]
fn sessions_of_two_and_of_three_digits_are_one() {
    let labels = table(
        "labels.tsv",
        "participant_id session_id diagnosis sub-1 ses-M06 CN sub-1 ses-M012 CN",
    );
    let merged = table(
        "merged.tsv",
        "participant_id session_id diagnosis age sex MMS cdr_global
         sub-1 ses-M006 CN 60 F 29 0 sub-1 ses-M12 CN 61 F 30 0",
    );
    let params = GetMetadataParams {
        variables: vec!["age".into()],
    };
    let joined = join(&params, &labels, &merged).unwrap();
    assert!(joined.warnings.is_empty(), "{:?}", joined.warnings);
    assert_eq!(column(&joined.table, "age"), ["60", "61"]);
    let params = AnalysisParams {
        diagnoses: vec!["CN".into()],
    };
    let text = describe(&params, &labels, &merged, &mut |_| ()).unwrap();
    assert!(
        text.lines().nth(1).unwrap().starts_with("CN\t1.0\t60.0"),
        "{text}"
    );
    let twice = table(
        "twice.tsv",
        "participant_id session_id sub-1 ses-M06 sub-1 ses-M006",
    );
    let error = twice.sessions().unwrap_err().message;
    assert_eq!(error, "`twice.tsv`: sub-1, ses-M006 is on lines 2 and 3");
}
