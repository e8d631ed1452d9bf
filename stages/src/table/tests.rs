use super::*;

fn parse(text: &str) -> Result<Table, StageError> {
    Table::parse(text.as_bytes(), "t.tsv")
}

fn message(text: &str) -> String {
    parse(text).and_then(|table| table.sessions().map(|_| ())).unwrap_err().message
}

const GOOD: &str = "age\tparticipant_id\tsession_id\n70\tsub-2\tses-M12\n71\tsub-1\tses-M00\n\
                    72\tsub-2\tses-M100\n69\tsub-2\tses-M006\n";

#[test]
fn the_baseline_is_the_first_session_in_time() {
    let table = parse(GOOD).unwrap();
    assert_eq!(table.baseline().unwrap(), [1, 3]);
    assert_eq!(table.longitudinal(&[3]).unwrap(), [0, 2, 3]);
}

#[test]
fn written_tables_start_with_participant_and_session() {
    let table = parse(GOOD).unwrap().select(&[1]);
    let text = String::from_utf8(table.to_tsv().unwrap()).unwrap();
    assert_eq!(text, "participant_id\tsession_id\tage\nsub-1\tses-M00\t71\n");
}

#[test]
fn marks_spaces_and_windows_line_ends_are_accepted() {
    let table = parse("\u{feff}participant_id\tsession_id\r\n sub-1 \tses-1\r\n").unwrap();
    assert_eq!(table.sessions().unwrap()[0], Session { participant: "sub-1", session: "ses-1" });
}

#[test]
fn a_missing_column_is_named_with_the_columns_that_are_there() {
    let error = parse("participant_id\tage\nsub-1\t3\n").unwrap().sessions().unwrap_err();
    assert_eq!(error.message, "`t.tsv` has no column `session_id`");
    assert_eq!(error.hints, ["its columns are `participant_id`, `age`"]);
}

#[test]
fn a_row_of_another_length_names_its_line() {
    let told = message("participant_id\tsession_id\nsub-1\tses-1\nsub-2\n");
    assert_eq!(told, "`t.tsv`, line 3: 1 cells, expected 2 as in the header");
}

#[test]
fn a_session_twice_names_both_lines() {
    let told = message("participant_id\tsession_id\nsub-1\tses-1\nsub-2\tses-1\nsub-1\tses-1\n");
    assert_eq!(told, "`t.tsv`: sub-1, ses-1 is on lines 2 and 4");
}

#[test]
fn a_missing_identifier_names_its_place() {
    let told = message("participant_id\tsession_id\nsub-1\t\n");
    assert_eq!(told, "`t.tsv`, line 2, column `session_id`: the value is missing");
}

#[test]
fn what_is_no_table_is_told() {
    assert!(message("").contains("is empty"));
    assert!(message("a,b\n1,2\n").contains("not tab-separated"));
    assert!(message("a\ta\n1\t2\n").contains("two columns named `a`"));
    let binary = Table::parse(&[0x50, 0xff, 0xfe], "t.tsv").unwrap_err();
    assert_eq!(binary.message, "`t.tsv` is not UTF-8 text at byte 1");
}
