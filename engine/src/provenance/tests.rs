use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::history::{path_of, uri};
use super::*;
use crate::exec::{ActionOutcome, Machine};
use crate::key::Reason;
use crate::plan::Plan;
use crate::testing::REGISTRY;

const MACHINE: Machine = Machine {
    cpus: 1,
    gpus: 0,
    memory: None,
};

#[test]
fn both_digests_are_the_published_vectors() {
    let sums = FileSums::of(b"abc");
    let sha256 = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    let blake3 = "6437b3ac38465133ffb63b75273a8db548c558465d79db03fd359c6cd5bd9d85";
    assert_eq!(
        (sums.sha256.as_str(), sums.blake3.to_string().as_str()),
        (sha256, blake3)
    );
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("abc");
    std::fs::write(&path, "abc").unwrap();
    assert_eq!(FileSums::of_file(&path).unwrap(), sums);
}

#[test]
fn a_damaged_memory_of_checksums_costs_time_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    let digest = store.put_bytes(b"abc").unwrap();
    let file = PublishedFile {
        path: "a".to_owned(),
        content: Content::Object(digest),
    };
    let expected = FileSums::of(b"abc");
    let memory = folder.path().join("sha256.json");
    for damage in ["", "{", "{\"x\":\"y\"}", "[]"] {
        std::fs::write(&memory, damage).unwrap();
        let sums = sums_of(std::slice::from_ref(&file), &store).unwrap();
        assert_eq!(sums["a"], expected, "{damage}");
    }
    let kept = std::fs::read_to_string(&memory).unwrap();
    assert!(kept.contains(&expected.sha256), "{kept}");
}

#[test]
fn names_with_line_breaks_are_escaped_as_sha256sum_does() {
    let sums = BTreeMap::from([("a\n\\b".to_owned(), FileSums::of(b"abc"))]);
    let [(_, text), _] = checksum_files(&sums);
    let text = String::from_utf8(text).unwrap();
    assert!(
        text.starts_with('\\') && text.ends_with("  a\\n\\\\b\n"),
        "{text}"
    );
}

#[test]
fn any_path_survives_as_a_uri() {
    for path in [
        "a/b.tsv",
        "groups/train+validation.tsv",
        "a b/é#?%.txt",
        "%41",
    ] {
        let uri = uri(path);
        assert_eq!(path_of(&uri), path);
        assert!(
            uri.bytes()
                .all(|byte| byte.is_ascii_graphic() && !b"#?".contains(&byte)),
            "{uri}"
        );
    }
}

#[test]
fn nested_parameters_have_dotted_names_and_unset_ones_none() {
    let params = json!({ "a": { "b": 1, "c": null }, "d": [1, 2], "e": true, "f": ["/opt/a b", "--lib=/c"] });
    let expected = [
        ("a.b".to_owned(), json!(1)),
        ("d".to_owned(), json!("[1,2]")),
        ("e".to_owned(), json!(true)),
        (
            "f".to_owned(),
            json!("[\"removed-path\",\"--lib=removed-path\"]"),
        ),
    ];
    assert_eq!(leaves(&params), expected);
}

/// A run of the small manifest of these tests, in which `hit` tells what was reused.
fn with_records(hit: bool, check: impl Fn(&Account<'_>, &[PublishedFile])) {
    let folder = tempfile::tempdir().unwrap();
    let text = "clinicadl: 1\nname: words\ninputs: { text: text }\nstages:\n  count: { uses: count, \
                inputs: { text: text } }\n";
    std::fs::create_dir(folder.path().join("text")).unwrap();
    std::fs::write(folder.path().join("text/a.txt"), "some words").unwrap();
    let path = folder.path().join("words.yaml");
    let manifest = Manifest::parse(&path, text.to_owned(), REGISTRY).unwrap();
    let store = Store::open(&folder.path().join("store")).unwrap();
    let plan = Plan::build(&manifest, &store).unwrap();
    let options = crate::exec::RunOptions {
        machine: MACHINE,
        conditions: crate::plan::Conditions::default(),
        worker: "none".into(),
        guard: None,
        power: crate::exec::Power::UNKNOWN,
        interrupt: crate::exec::Interrupt::default(),
        fail_fast: false,
        profile: false,
        first_delay: std::time::Duration::ZERO,
        remote: None,
    };
    let mut report =
        crate::exec::run(&manifest, &plan, &store, REGISTRY, &options, &mut |_| ()).unwrap();
    assert!(report.is_complete());
    if hit {
        report.actions[0].outcome = ActionOutcome::Hit;
        report.actions[0].between = None;
    } else {
        let files = json!({ "added": ["sub-01/a.txt"], "changed": [], "removed": [] });
        let change = json!({
            "reason": "changed",
            "changes": [{ "change": "input", "port": "text", "old": "0", "new": "1", "files": files }],
        });
        let why: Reason = serde_json::from_value(change).unwrap();
        report.actions[0].outcome = ActionOutcome::Ran { why };
    }
    let account = Account::new(&manifest, &plan, &report, MACHINE, &store);
    let artifacts = finished_artifacts(&manifest, &report, &store);
    let (path, file) = artifacts[0].tree.files.iter().next().unwrap();
    let results = [PublishedFile {
        path: format!("results/{path}"),
        content: Content::Object(file.digest),
    }];
    check(&account, &results);
}

fn record<'a>(records: &'a [PublishedFile], path: &str) -> &'a [u8] {
    match &records
        .iter()
        .find(|file| file.path == path)
        .unwrap()
        .content
    {
        Content::Bytes(bytes) => bytes,
        Content::Object(_) => panic!("records are made"),
    }
}

#[test]
fn the_records_are_those_listed_and_name_no_changed_input_file() {
    with_records(false, |account, results| {
        let records = account.records(results).unwrap();
        let paths: Vec<&str> = records.iter().map(|file| file.path.as_str()).collect();
        assert_eq!(paths, RECORDS);
        let run: Value = serde_json::from_slice(record(&records, RUN)).unwrap();
        let why = &run["actions"][0]["outcome"]["why"]["changes"][0];
        assert_eq!(why["port"], json!("text"));
        for path in RECORDS {
            let text = String::from_utf8_lossy(record(&records, path)).into_owned();
            assert!(!text.contains("sub-01"), "{path}");
            assert!(
                !text.contains(account.store.root().to_str().unwrap()),
                "{path}"
            );
        }
        let again = account.records(results).unwrap();
        assert!(again == records, "the same run has the same records");
    });
}

#[test]
fn a_hit_whose_history_is_lost_is_told_without_times() {
    with_records(true, |account, results| {
        account.remember();
        let records = account.records(results).unwrap();
        let run: Value = serde_json::from_slice(record(&records, RUN)).unwrap();
        assert_eq!(run["actions"][0]["computed"], Value::Null);
        let text = String::from_utf8_lossy(record(&records, RO_CRATE)).into_owned();
        assert!(text.contains("when it was computed is not known"), "{text}");
    });
}

#[test]
fn files_that_are_renamed_or_left_out_are_so_in_crate_and_prov() {
    with_records(false, |account, results| {
        let records = account.records(results).unwrap();
        let old = results[0].path.clone();
        let sums = BTreeMap::from([("new/name".to_owned(), FileSums::of(b"new"))]);
        let mut renamed = Renamed::default();
        renamed.kept.insert(old.clone(), "new/name".to_owned());
        for path in [RO_CRATE, PROV] {
            let mut value: Value = serde_json::from_slice(record(&records, path)).unwrap();
            refresh(path, &mut value, &renamed, &sums);
            let text = value.to_string();
            assert!(
                !text.contains(&old) && text.contains("new/name"),
                "{path}: {text}"
            );
            assert!(text.contains(&FileSums::of(b"new").sha256), "{path}");
            refresh(path, &mut value, &Renamed::default(), &sums);
            assert!(!value.to_string().contains("new/name"), "{path}");
        }
    });
}

#[test]
fn only_what_was_computed_leaves_an_account() {
    with_records(false, |account, _| {
        let mut report = account.report.clone();
        report.actions[0].outcome = ActionOutcome::NotReached;
        let (manifest, plan, store) = (account.manifest, account.plan, account.store);
        let accounts = store.root().join("accounts");
        Account::new(manifest, plan, &report, MACHINE, store).remember();
        assert!(!accounts.exists());
        account.remember();
        assert!(accounts.exists());
        // No root needs the action: its account goes with it.
        let found = store.collect(std::time::Duration::ZERO, true).unwrap();
        assert!(found.leftovers > 0, "{found:?}");
        let key = account.report.actions[0].key.unwrap().to_string();
        assert!(!accounts.join(&key[..2]).join(&key[2..]).exists());
    });
}

#[test]
fn absolute_paths_are_told_from_addresses_fractions_and_relative_paths() {
    for (text, expected) in [
        (
            "caps: /data/my study/caps # here",
            "caps: removed-path # here",
        ),
        ("{ a: /data/x, b: ../y }", "{ a: removed-path, b: ../y }"),
        ("PATH=/usr/bin:/bin", "PATH=removed-path"),
        (
            "'~/caps' \"C:\\Users\\me\"",
            "'removed-path' \"removed-path\"",
        ),
        ("see file:///home/me and", "see removed-path"),
        ("\\\\server\\share", "removed-path"),
        (
            "one\n/two\nthree /four",
            "one\nremoved-path\nthree removed-path",
        ),
    ] {
        assert_eq!(without_places(text), expected, "{text}");
        assert_eq!(find_place(expected), None, "{expected}");
    }
    for text in [
        "https://w3id.org/ro/crate/1.1",
        "s3://bucket/key",
        "text/tab-separated-values",
        "and/or 3/4 ./a ../b a/b",
        "urn:blake3:ab",
        "Intel / AMD",
        "12:30:00",
        "./",
    ] {
        assert_eq!(find_place(text), None, "{text}");
    }
}
