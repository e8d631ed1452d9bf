use std::collections::BTreeSet;
use std::fs;

use engine::manifest::{Images, Redaction};

use super::names::{self, Names};
use super::{ExportError, export, tables};
use crate::CopyError;

const SALT: &[u8] = b"0123456789abcdef";

fn names_of(ids: &[&str]) -> Names {
    let ids: BTreeSet<String> = ids.iter().map(|id| (*id).to_owned()).collect();
    Names::salted(&ids, SALT).unwrap()
}

#[test]
fn an_id_is_replaced_where_it_is_a_word_and_nowhere_else() {
    let names = names_of(&["sub-01", "sub-ADNI002S0295"]);
    let [one, two] = ["sub-01", "sub-ADNI002S0295"].map(|id| names.replace(id).into_owned());
    assert_ne!(one, two);
    assert_eq!(one.len(), "sub-".len() + 12);
    for (text, expected) in [
        (
            "a/sub-01/sub-01_ses-1.nii",
            format!("a/{one}/{one}_ses-1.nii"),
        ),
        ("x_sub-ADNI002S0295.", format!("x_{two}.")),
        (
            "sub-011 sub-0 hubsub-01",
            "sub-011 sub-0 hubsub-01".to_owned(),
        ),
        ("é sub-01", format!("é {one}")),
    ] {
        assert_eq!(names.replace(text), expected);
    }
}

#[test]
fn only_listed_columns_of_a_table_about_participants_stay() {
    let text = "\tparticipant_id\tsession_id\tage\tdiagnosis\tsex\n0\tsub-2\tses-1\t61\tAD\tF\n\
                1\tsub-1\tses-1\t62\tCN\tM\n";
    let mut table = tables::Table::read("a/data.tsv", text).unwrap().unwrap();
    let policy = Redaction {
        columns: vec!["sex".to_owned()],
        ..Redaction::default()
    };
    let mut left_out = BTreeSet::new();
    table.keep_columns(&policy, Some("diagnosis"), &mut left_out);
    table.redact_cells(&Names::kept());
    let written = String::from_utf8(table.to_bytes()).unwrap();
    let expected = "participant_id\tsession_id\tdiagnosis\tsex\nsub-2\tses-1\tAD\tF\n\
                    sub-1\tses-1\tCN\tM\n";
    assert_eq!(written, expected);
    assert_eq!(left_out, ["age".to_owned()].into());
    let metrics = tables::Table::read("a/metrics.tsv", "Metrics\tBA\nValues\t0.5\n").unwrap();
    assert!(metrics.is_none(), "a table about nobody is kept as it is");
}

#[test]
fn rows_are_ordered_by_what_stands_for_the_participants() {
    let ids = ["sub-1", "sub-2", "sub-3", "sub-4", "sub-5", "sub-6"];
    let names = names_of(&ids);
    let text = format!("participant_id\n{}\n", ids.join("\n"));
    let mut table = tables::Table::read("t.tsv", &text).unwrap().unwrap();
    table.redact_cells(&names);
    let found: Vec<String> = table.participants().map(str::to_owned).collect();
    let mut sorted: Vec<String> = ids.map(|id| names.replace(id).into_owned()).to_vec();
    assert_ne!(found, sorted, "this salt would keep the order of the IDs");
    sorted.sort();
    assert_eq!(found, sorted);
}

#[test]
fn what_is_left_of_an_id_is_found_in_names_texts_and_arrays() {
    use super::content::Body;
    use std::io::Write;
    let names = names_of(&["sub-ADNI002S0295"]);
    let check =
        |path: &str, body: Body| super::scan::check(&[(path.to_owned(), body)].into(), &names);
    let bytes = |text: &str| Body::Bytes(text.as_bytes().to_vec());
    assert!(check("a.txt", bytes("sub-ADNI002S029 ADNI002S029")).is_ok());
    for (path, text) in [
        ("a.txt", "of sub-ADNI002S0295"),
        ("a.json", "{\"ADNI002S0295\": 1}"),
        ("sub-ADNI002S0295.txt", ""),
        ("a.pt", "\u{1}sub-ADNI002S0295\u{2}"),
        ("a.yaml", "caps: /data"),
        ("a.json", "[\"C:\\\\Users\"]"),
    ] {
        let error = check(path, bytes(text)).unwrap_err();
        assert!(
            matches!(&error, ExportError::Leak { file, .. } if file == path),
            "{error}"
        );
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.nii.gz");
    let mut encoder = flate2::write::GzEncoder::new(
        fs::File::create(&path).unwrap(),
        flate2::Compression::fast(),
    );
    // Across the border of two chunks.
    encoder.write_all(&vec![0; (1 << 20) - 7]).unwrap();
    encoder.write_all(b" sub-ADNI002S0295 ").unwrap();
    encoder.finish().unwrap();
    assert!(check("a.nii.gz", Body::Copy(path)).is_err());
}

#[test]
fn ids_that_are_no_bids_ids_are_refused_rather_than_missed() {
    let folder = tempfile::tempdir().unwrap();
    let write = |text: &str| fs::write(folder.path().join("t.tsv"), text).unwrap();
    write("participant_id\tage\nsub-1\t60\n");
    let found = names::find(folder.path(), &["t.tsv".to_owned()]).unwrap();
    assert_eq!(found, ["sub-1".to_owned()].into());
    for id in ["7", "sub-A_1", "P1"] {
        write(&format!("participant_id\tage\n{id}\t60\n"));
        let error = names::find(folder.path(), &["t.tsv".to_owned()]).unwrap_err();
        assert!(error.to_string().contains(&format!("`{id}`")), "{error}");
    }
}

#[test]
fn an_export_never_replaces_anything_and_needs_a_salt_that_cannot_be_guessed() {
    let folder = tempfile::tempdir().unwrap();
    let target = folder.path().join("thesis");
    fs::create_dir(&target).unwrap();
    let policy = Redaction {
        images: Images::Keep,
        ..Redaction::default()
    };
    let error = export(folder.path(), &target, &policy, SALT).unwrap_err();
    assert!(
        matches!(error, ExportError::Copy(CopyError::Exists(_))),
        "{error}"
    );
    let free = folder.path().join("free");
    let error = export(folder.path(), &free, &policy, b"short").unwrap_err();
    assert!(matches!(error, ExportError::ShortSalt(5)), "{error}");
    let error = export(folder.path(), &free, &policy, SALT).unwrap_err();
    assert!(error.to_string().contains("maps.json"), "{error}");
    assert!(!free.exists());
}
