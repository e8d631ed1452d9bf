//! Checksums, certificates and records of a run.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use engine::provenance::{FileSums, SHA256_SUMS};
use serde_json::{Value, json};

use super::copy_of_peer;
use crate::files::LeakageJson;
use crate::layout::LEAKAGE_JSON;
use crate::{Maps, MapsIssue, validate};

/// A MAPS with a list of what was published.
fn published() -> tempfile::TempDir {
    let folder = copy_of_peer();
    let files: BTreeMap<&str, Value> = ["maps.json", "groups/test/data.tsv"]
        .into_iter()
        .map(|path| {
            let sums = FileSums::of_file(&folder.path().join(path)).unwrap();
            (
                path,
                json!({ "digest": sums.blake3.to_string(), "size": sums.size }),
            )
        })
        .collect();
    let list = json!({ "format": 1, "files": files });
    write(
        folder.path(),
        "provenance/published.json",
        &list.to_string(),
    );
    let sums = FileSums::of_file(&folder.path().join("maps.json")).unwrap();
    write(
        folder.path(),
        SHA256_SUMS,
        &format!("{}  maps.json\n", sums.sha256),
    );
    folder
}

fn write(folder: &Path, path: &str, text: &str) {
    let path = folder.join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

fn texts(issues: &[MapsIssue]) -> Vec<String> {
    issues.iter().map(ToString::to_string).collect()
}

fn certificate() -> LeakageJson {
    LeakageJson {
        models_tested_on: BTreeMap::from([("test".to_owned(), 1)]),
        checked: [(
            "split-0/leakage/test.json".to_owned(),
            json!({ "checks": [] }),
        )]
        .into_iter()
        .collect(),
        ..LeakageJson::default()
    }
}

#[test]
fn what_was_published_and_is_unchanged_is_right() {
    let folder = published();
    assert_eq!(validate(folder.path()), []);
    let provenance = Maps::open(folder.path())
        .unwrap()
        .provenance()
        .unwrap()
        .unwrap();
    assert_eq!(provenance.files.len(), 2);
    assert!(provenance.manifest.is_none());
}

#[test]
fn a_published_file_that_was_changed_or_removed_is_told() {
    let folder = published();
    let path = folder.path().join("maps.json");
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, text + "\n").unwrap();
    fs::rename(
        folder.path().join("groups/test/data.tsv"),
        folder.path().join("moved.tsv"),
    )
    .unwrap();
    let issues = validate(folder.path());
    let texts = texts(&issues);
    for expected in [
        "maps.json: was changed after it was published",
        "groups/test/data.tsv: was published, and cannot be read now",
        "provenance/manifest-sha256.txt, line 1: `maps.json` has another digest",
    ] {
        assert!(
            texts.iter().any(|text| text == expected),
            "{expected}: {texts:#?}"
        );
    }
    let changed = issues
        .iter()
        .find(|issue| issue.path == "maps.json")
        .unwrap();
    assert!(changed.hints[0].contains("--restore"));
}

#[test]
fn a_list_of_checksums_that_is_wrong_is_told_by_line() {
    let folder = published();
    let zeros = "0".repeat(64);
    let list = format!("{zeros}  ../maps.json\nabc\n{zeros}  none.tsv\n{zeros}  none.tsv\n");
    write(folder.path(), SHA256_SUMS, &list);
    let texts = texts(&validate(folder.path()));
    assert_eq!(texts.len(), 5, "{texts:#?}");
    assert!(
        texts[0].contains("line 1: expected a digest, two spaces and a path inside"),
        "{texts:#?}"
    );
    assert!(texts[1].contains("line 2: expected a digest"), "{texts:#?}");
    assert!(
        texts[2].contains("line 3: `none.tsv` cannot be read"),
        "{texts:#?}"
    );
    assert!(
        texts[3].contains("line 4: lists `none.tsv` twice") || texts[4].contains("twice"),
        "{texts:#?}"
    );
}

#[test]
fn records_that_are_damaged_are_told() {
    let folder = copy_of_peer();
    write(folder.path(), "provenance/run.json", "{\n  \"a\": ,\n}");
    write(
        folder.path(),
        "provenance/published.json",
        "{\"format\": \"one\"}",
    );
    let issues = validate(folder.path());
    assert_eq!(issues.len(), 2, "{issues:?}");
    assert_eq!(issues[1].path, "provenance/run.json");
    assert_eq!(
        (issues[1].line, issues[1].column.as_deref()),
        (Some(2), Some("8"))
    );
    let error = Maps::open(folder.path()).unwrap().provenance().unwrap_err();
    assert!(error.to_string().contains("run.json"), "{error}");
}

#[test]
fn a_certificate_that_fits_its_splits_is_right() {
    let folder = copy_of_peer();
    let certificate = certificate();
    fs::write(folder.path().join(LEAKAGE_JSON), certificate.to_bytes()).unwrap();
    write(
        folder.path(),
        "split-0/leakage/test.json",
        "{ \"checks\": [] }",
    );
    assert_eq!(validate(folder.path()), []);
    let maps = Maps::open(folder.path()).unwrap();
    assert_eq!(maps.leakage().unwrap(), Some(certificate));
}

#[test]
fn a_certificate_that_does_not_fit_is_told() {
    let folder = copy_of_peer();
    let mut certificate = certificate();
    certificate.models_tested_on.insert("others".to_owned(), 1);
    fs::write(folder.path().join(LEAKAGE_JSON), certificate.to_bytes()).unwrap();
    write(
        folder.path(),
        "split-0/leakage/test.json",
        "{ \"checks\": [1] }",
    );
    let texts = texts(&validate(folder.path()));
    assert_eq!(texts.len(), 2, "{texts:#?}");
    assert!(
        texts[0].contains("tests on `others`, which is no data group"),
        "{texts:#?}"
    );
    assert!(
        texts[1].contains("is not what `leakage.json` holds of it"),
        "{texts:#?}"
    );
}

#[test]
fn a_certificate_that_was_edited_is_told() {
    let folder = copy_of_peer();
    let bytes = certificate().to_bytes();
    let text = String::from_utf8(bytes)
        .unwrap()
        .replace("\"test\": 1", "\"test\": 0");
    fs::write(folder.path().join(LEAKAGE_JSON), text).unwrap();
    let texts = texts(&validate(folder.path()));
    assert!(
        texts[0].contains("is not what was written: its digest is"),
        "{texts:#?}"
    );
}
