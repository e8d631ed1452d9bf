use proptest::prelude::*;

use super::*;

fn parse(text: &str) -> Result<Table, StageError> {
    Table::parse(text.as_bytes(), "t.tsv")
}

fn message(text: &str) -> String {
    parse(text)
        .and_then(|table| table.sessions().map(|_| ()))
        .unwrap_err()
        .message
}

const GOOD: &str = "age\tparticipant_id\tsession_id\n70\tsub-2\tses-M12\n71\tsub-1\tses-M00\n\
                    72\tsub-2\tses-M100\n69\tsub-2\tses-M006\n";

#[test]
fn the_baseline_is_the_first_session_in_time() {
    let table = parse(GOOD).unwrap();
    assert_eq!(table.baseline().unwrap(), [1, 3]);
    assert_eq!(table.people().unwrap().longitudinal(&[3]), [0, 2, 3]);
}

#[test]
fn written_tables_start_with_participant_and_session() {
    let table = parse(GOOD).unwrap().select(&[1]);
    let text = String::from_utf8(table.to_tsv().unwrap()).unwrap();
    assert_eq!(
        text,
        "participant_id\tsession_id\tage\nsub-1\tses-M00\t71\n"
    );
}

#[test]
fn marks_spaces_and_windows_line_ends_are_accepted() {
    let table = parse("\u{feff}participant_id\tsession_id\r\n sub-1 \tses-1\r\n").unwrap();
    assert_eq!(
        table.sessions().unwrap()[0],
        Session {
            participant: "sub-1",
            cohort: SINGLE_COHORT,
            session: "ses-1"
        }
    );
}

#[test]
fn a_missing_column_is_named_with_the_columns_that_are_there() {
    let error = parse("participant_id\tage\nsub-1\t3\n")
        .unwrap()
        .sessions()
        .unwrap_err();
    assert_eq!(error.message, "`t.tsv` has no column `session_id`");
    assert_eq!(error.hints, ["its columns are `participant_id`, `age`"]);
}

#[test]
fn a_similar_column_is_suggested() {
    let error = parse("participant_id\tsession_id\tdiagnos\n").unwrap();
    assert_eq!(
        error.column("diagnosis").unwrap_err().hints[0],
        "did you mean `diagnos`?"
    );
}

#[test]
fn a_row_of_another_length_names_its_line() {
    let told = message("participant_id\tsession_id\nsub-1\tses-1\nsub-2\n");
    assert_eq!(
        told,
        "`t.tsv`, line 3: 1 cells, expected 2 as in the header"
    );
}

#[test]
fn a_session_twice_names_both_lines() {
    let told = message("participant_id\tsession_id\nsub-1\tses-1\nsub-2\tses-1\nsub-1\tses-1\n");
    assert_eq!(told, "`t.tsv`: sub-1, ses-1 is on lines 2 and 4");
}

#[test]
fn the_same_participant_id_in_two_cohorts_is_two_people() {
    let table = parse(
        "participant_id\tsession_id\tcohort\nsub-1\tses-M012\tB\nsub-1\tses-M012\tA\n\
         sub-1\tses-M000\tA\nsub-0\tses-M000\tB\nsub-1\tses-M024\tB\n",
    )
    .unwrap();
    assert_eq!(table.baseline().unwrap(), [3, 2, 0]);
    assert_eq!(table.people().unwrap().longitudinal(&[0, 2]), [0, 4, 1, 2]);
    assert_eq!(
        table.sessions().unwrap()[1].to_string(),
        "sub-1 of cohort `A`, ses-M012"
    );
    let text = String::from_utf8(table.select(&[0]).to_tsv().unwrap()).unwrap();
    assert_eq!(
        text,
        "participant_id\tsession_id\tcohort\nsub-1\tses-M012\tB\n"
    );
}

#[test]
fn a_table_without_cohorts_is_of_the_single_one() {
    let text = "participant_id\tsession_id\nsub-1\tses-1\n";
    let named = text
        .replace("_id\n", "_id\tcohort\n")
        .replace("1\n", "1\tsingle\n");
    assert_eq!(
        parse(text).unwrap().sessions().unwrap(),
        parse(&named).unwrap().sessions().unwrap()
    );
}

#[test]
fn a_cohort_is_told_in_every_row_or_in_none() {
    let told = message("participant_id\tsession_id\tcohort\nsub-1\tses-1\t\n");
    assert_eq!(
        told,
        "`t.tsv`, line 2, column `cohort`: the value is missing"
    );
}

#[test]
fn a_session_twice_in_one_cohort_names_both_lines() {
    let told = message(
        "participant_id\tsession_id\tcohort\nsub-1\tses-1\tA\nsub-1\tses-1\tB\n\
         sub-1\tses-1\tA\n",
    );
    assert_eq!(
        told,
        "`t.tsv`: sub-1 of cohort `A`, ses-1 is on lines 2 and 4"
    );
}

#[test]
fn beside_a_table_without_cohorts_participants_must_differ_by_name() {
    let without = parse("participant_id\tsession_id\nsub-1\tses-1\n").unwrap();
    let header = "participant_id\tsession_id\tcohort\nsub-1\tses-1\tA\n";
    let with = parse(&format!("{header}sub-2\tses-1\tB\n")).unwrap();
    let sessions = with.sessions_beside(&without).unwrap();
    assert_eq!(sessions[0], without.sessions_beside(&with).unwrap()[0]);
    let twice = parse(&format!("{header}sub-1\tses-1\tB\n")).unwrap();
    let error = twice.sessions_beside(&without).unwrap_err();
    assert_eq!(error.message, "`t.tsv`: sub-1, ses-1 is on lines 2 and 3");
    assert_eq!(
        error.hints,
        ["`t.tsv` has no column `cohort`, which would tell them apart"]
    );
    assert!(twice.sessions_beside(&with).is_ok());
}

#[test]
fn a_missing_identifier_names_its_place() {
    let told = message("participant_id\tsession_id\nsub-1\t\n");
    assert_eq!(
        told,
        "`t.tsv`, line 2, column `session_id`: the value is missing"
    );
}

#[test]
fn an_identifier_that_would_leave_its_folder_is_refused() {
    for bad in ["../sub-1", "..", "sub/1", "sub 1", "sub\\1"] {
        let told = message(&format!("participant_id\tsession_id\n{bad}\tses-1\n"));
        let expected = format!("line 2, column `participant_id`: `{bad}` cannot be part");
        assert!(told.contains(&expected), "{told}");
    }
}

#[test]
fn lines_are_counted_as_in_an_editor() {
    let told = message("participant_id\tsession_id\r\n\r\nsub-1\tses-1\r\n\r\nsub-2\t\r\n");
    assert_eq!(
        told,
        "`t.tsv`, line 5, column `session_id`: the value is missing"
    );
}

#[test]
fn a_cell_may_be_quoted_but_a_quote_must_be_closed() {
    let table =
        parse("participant_id\tsession_id\tnote\nsub-1\tses-1\t\"a\tb \"\"c\"\"\"\n").unwrap();
    assert_eq!(table.cell(0, 2), "a\tb \"c\"");
    let written = table.to_tsv().unwrap();
    assert_eq!(Table::parse(&written, "t.tsv").unwrap(), table);
    let told = message("participant_id\tsession_id\nsub-1\t\"ses-1\nsub-2\tses-1\n");
    assert_eq!(
        told,
        "`t.tsv`, line 2: a quoted cell goes over the line's end"
    );
}

#[test]
fn sessions_are_ordered_by_month_and_others_by_text() {
    let mut sessions = [
        "ses-b", "ses-M100", "ses-M+5", "ses-M12", "ses-a", "ses-M006", "ses-M6",
    ];
    sessions.sort_by(|a, b| compare_sessions(a, b));
    let sorted = [
        "ses-M006", "ses-M6", "ses-M12", "ses-M100", "ses-M+5", "ses-a", "ses-b",
    ];
    assert_eq!(sessions, sorted);
}

#[test]
fn a_column_is_numeric_if_all_its_known_values_are_numbers() {
    let table = parse("age\tsex\tnone\n70\tF\t\nn/a\t\tNaN\n6.5e1\tM\t\n").unwrap();
    let rows = [0, 1, 2];
    let numbers = Column::Numbers(vec![Some(70.0), None, Some(65.0)]);
    assert_eq!(table.typed("age", &rows).unwrap(), numbers);
    let codes = vec![Some(0), None, Some(1)];
    let values = vec!["F".to_owned(), "M".to_owned()];
    assert_eq!(
        table.typed("sex", &rows).unwrap(),
        Column::Categories { codes, values }
    );
    let told = table.typed("none", &rows).unwrap_err().message;
    assert_eq!(told, "column `none` of `t.tsv` has no value");
}

#[test]
fn what_is_no_table_is_told() {
    assert!(message("").contains("is empty"));
    assert!(message("a,b\n1,2\n").contains("not tab-separated"));
    assert!(message("a\ta\n1\t2\n").contains("two columns named `a`"));
    let binary = Table::parse(&[0x50, 0xff, 0xfe], "t.tsv").unwrap_err();
    assert_eq!(binary.message, "`t.tsv` is not UTF-8 text at byte 1");
    assert!(message("p\0a\0").contains("byte 1 is 0"));
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        if let Ok(table) = Table::parse(&bytes, "t.tsv") {
            prop_assert!(!table.columns().is_empty());
        }
    }

    #[test]
    fn what_is_written_reads_back(cells in proptest::collection::vec("[a-z\"\t ,;']{0,6}", 0..20)) {
        let mut text = "participant_id\tsession_id\tnote\n".to_owned();
        for (i, cell) in cells.iter().enumerate() {
            text.push_str(&format!("sub-{i}\tses-1\t\"{}\"\n", cell.replace('"', "\"\"")));
        }
        let table = parse(&text).unwrap();
        let again = Table::parse(&table.to_tsv().unwrap(), "t.tsv").unwrap();
        prop_assert_eq!(table, again);
    }
}
