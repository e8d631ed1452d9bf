use std::fs;
use std::sync::LazyLock;

use proptest::prelude::*;
use serde_json::json;

use super::testing::Project;
use super::*;

fn path() -> PathBuf {
    PathBuf::from("m.yaml.lock")
}

fn parse(text: &str) -> Result<Lock, LockError> {
    Lock::parse(&path(), text.as_bytes())
}

fn locked() -> Lock {
    let project = Project::new();
    project.lock("factor: 2")
}

/// A lock with one of everything.
fn rich() -> Lock {
    let mut lock = locked();
    let class = json!({ "libtorch": "2.13.0", "intraop_threads": 2 });
    lock.numerics.insert("a".into(), class);
    lock.actions.get_mut("words").unwrap().numerics = Some("a".into());
    lock.metrics.insert("test/split-0/loss".into(), 0.1 + 0.2);
    lock.metrics.insert("test/split-1/loss".into(), f64::NAN);
    lock.published = Some(LockedFiles {
        digest: Digest::of(b"x"),
        files: 3,
        certificate: Some(Digest::of(b"y")),
    });
    lock
}

#[test]
fn a_lock_reads_back_as_it_was_written() {
    let text = rich().text();
    assert_eq!(parse(&text).unwrap().text(), text);
    assert!(text.ends_with("}\n"));
}

#[test]
fn every_action_input_and_metric_has_one_line_sorted_by_name() {
    let text = rich().text();
    let names: Vec<&str> = text
        .lines()
        .filter_map(|line| line.strip_prefix("    \"")?.split_once('"'))
        .map(|(name, _)| name)
        .collect();
    assert_eq!(
        names,
        [
            "text",
            "a",
            "joined (split 0)",
            "joined (split 1)",
            "parts",
            "words",
            "test/split-0/loss",
            "test/split-1/loss"
        ]
    );
}

#[test]
fn comments_order_format_and_place_of_a_manifest_do_not_change_its_lock() {
    let project = Project::new();
    let text = project.lock("factor: 2, workers: 1").text();
    let commented = project
        .text("workers: 3, factor: 2")
        .replace("stages:", "# a comment\nstages:");
    project.write("m.yaml", &commented);
    assert_eq!(project.lock_of("m.yaml").text(), text);
    let elsewhere = Project::new();
    assert_eq!(elsewhere.lock("factor: 2").text(), text);
    assert!(!text.contains(&*project.folder().to_string_lossy()));
}

#[test]
fn what_can_change_a_result_changes_the_lock() {
    let project = Project::new();
    let text = project.lock("factor: 2").text();
    assert_ne!(project.lock("factor: 3").text(), text);
    project.write("text/a", "another");
    assert_ne!(project.lock("factor: 2").text(), text);
}

#[test]
fn the_same_results_from_another_machine_keep_the_lock() {
    let old = rich();
    let mut new = rich();
    new.made_with.insert("clinicadl".into(), "9.9.9".into());
    new.numerics = [("b".to_owned(), json!({ "libtorch": "9" }))].into();
    new.actions.get_mut("words").unwrap().numerics = Some("b".into());
    assert_eq!(new.clone().keeping_attributes_of(&old).text(), old.text());
    let words = new.actions.get_mut("words").unwrap();
    words.outputs.values_mut().next().unwrap()[0] = Digest::of(b"other bytes");
    let kept = new.clone().keeping_attributes_of(&old);
    assert_eq!(
        kept.text(),
        new.text(),
        "other results have their own attributes"
    );
}

#[test]
fn a_merge_conflict_is_named_with_its_line() {
    let text = locked()
        .text()
        .replacen("  \"actions\"", "<<<<<<< HEAD\n  \"actions\"", 1);
    let error = parse(&text).unwrap_err();
    assert!(
        matches!(error, LockError::Conflict { line, .. } if line > 5),
        "{error}"
    );
    assert!(
        error.hint().contains("take either side"),
        "{}",
        error.hint()
    );
}

#[test]
fn a_merge_that_kept_both_sides_of_a_line_is_refused() {
    let text = locked().text();
    let line = text
        .lines()
        .find(|line| line.contains("\"words\""))
        .unwrap();
    let twice = text.replace(line, &format!("{line},\n{line}"));
    let error = parse(&twice).unwrap_err();
    assert!(
        error.to_string().contains("`words` is there twice"),
        "{error}"
    );
}

#[test]
fn an_edited_line_is_refused_because_its_key_no_longer_fits() {
    let text = locked().text().replace("\"factor\":2", "\"factor\":3");
    let error = parse(&text).unwrap_err();
    let expected = "the key of `words` does not belong to the rest of its line";
    assert!(error.to_string().contains(expected), "{error}");
}

#[test]
fn another_format_and_no_lock_at_all_are_told_apart() {
    let text = locked()
        .text()
        .replace("\"lock_format\": 1", "\"lock_format\": 2");
    assert!(matches!(
        parse(&text),
        Err(LockError::Format { found: 2, .. })
    ));
    assert!(Lock::read(Path::new("/nowhere/m.lock")).unwrap().is_none());
    for garbage in [
        "",
        "{}",
        "[]",
        "null",
        "\u{feff}{}",
        "{\"lock_format\": -1}",
    ] {
        assert!(parse(garbage).is_err(), "{garbage}");
    }
    assert!(Lock::parse(&path(), b"\xff\xfe").is_err());
}

#[test]
fn a_lock_cut_anywhere_is_refused() {
    let text = rich().text();
    for end in (0..text.trim_end().len()).filter(|end| text.is_char_boundary(*end)) {
        assert!(parse(&text[..end]).is_err(), "cut at {end}");
    }
    let error = parse(&text[..text.len() / 2]).unwrap_err();
    assert!(matches!(error, LockError::Truncated { .. }), "{error}");
}

#[test]
fn the_corpus_of_the_fuzzer_is_read_without_a_panic() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus/lock");
    let mut read = 0;
    for entry in fs::read_dir(corpus).unwrap() {
        let bytes = fs::read(entry.unwrap().path()).unwrap();
        if let Ok(lock) = Lock::parse(&path(), &bytes) {
            let text = lock.text();
            assert_eq!(parse(&text).unwrap().text(), text);
            read += 1;
        }
    }
    assert!(read > 0, "the corpus has a sound lock");
}

proptest! {
    #[test]
    fn damage_never_panics_and_never_changes_meaning_silently(at in 0_usize..4000, byte in any::<u8>()) {
        static TEXT: LazyLock<String> = LazyLock::new(|| rich().text());
        let mut bytes = TEXT.clone().into_bytes();
        let at = at % bytes.len();
        bytes[at] = byte;
        if let Ok(lock) = Lock::parse(&path(), &bytes) {
            let again = lock.text();
            prop_assert_eq!(parse(&again).unwrap().text(), again);
        }
    }
}
