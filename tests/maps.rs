//! `clinicadl maps`: show, validate, import.

use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::support::{Project, clinicadl, files, root};

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

fn peer(name: &str) -> String {
    root()
        .join("tests/reference/maps")
        .join(name)
        .display()
        .to_string()
}

#[test]
fn a_published_maps_is_valid_until_somebody_edits_it_and_shows_what_it_holds() {
    let project = Project::with_caps(12);
    project.run().success();
    let maps = project.path("maps").display().to_string();
    let said = clinicadl(&["maps", "validate", &maps]).success();
    assert_eq!(said.stdout, format!("{maps}: nothing is wrong\n"));
    let report = json(
        &clinicadl(&["maps", "validate", &maps, "--json"])
            .success()
            .stdout,
    );
    assert_eq!(report["valid"], true);

    let shown = clinicadl(&["maps", "show", &maps]).success().stdout;
    for expected in [
        "network   Conv5_FC3, mode image, 1×20×20×20",
        "task      classification of `diagnosis`: AD 0, CN 1",
        "splits    0, 1",
        "test        all    4             4         AD 2, CN 2",
        "test, best-loss, image level",
        "mean ± sd",
    ] {
        assert!(shown.contains(expected), "{expected}\n{shown}");
    }
    let filtered = [
        "maps",
        "show",
        &maps,
        "--split",
        "1",
        "--group",
        "test",
        "--metric",
        "balanced_accuracy",
        "--json",
    ];
    let report = json(&clinicadl(&filtered).success().stdout);
    let metrics = report["metrics"].as_array().unwrap();
    assert_eq!(
        metrics.len(),
        2,
        "one for each selected model: {metrics:#?}"
    );
    for metric in metrics {
        assert_eq!(metric["metric"], "BA");
        assert_eq!(metric["splits"][0]["split"], 1);
        assert_eq!(metric["mean"], metric["splits"][0]["value"]);
        assert_eq!(metric["standard_deviation"], Value::Null);
    }
    for (option, name, what) in [
        ("--split", "7", "split `7`"),
        ("--group", "nobody", "data group `nobody`"),
        ("--metric", "luck", "metric `luck`"),
    ] {
        let said = clinicadl(&["maps", "show", &maps, option, name]);
        assert_eq!(said.code, Some(2));
        assert!(
            said.stderr.contains(&format!("the MAPS has no {what}")),
            "{}",
            said.stderr
        );
        assert!(said.stderr.contains("known: "), "{}", said.stderr);
    }

    let path = "maps/split-0/best-loss/test/test_image_level_metrics.tsv";
    let text = project.read(path);
    let value = text
        .lines()
        .nth(1)
        .unwrap()
        .split('\t')
        .nth(1)
        .unwrap()
        .to_owned();
    project.edit(path, &format!("Values\t{value}"), "Values\t0.123");
    let said = clinicadl(&["maps", "validate", &maps]);
    assert_eq!(said.code, Some(4));
    for expected in [
        "test_image_level_metrics.tsv, line 2, column `BA`: is 0.123, but ",
        "was changed after it was published",
        "`clinicadl run --restore`",
        "problems",
    ] {
        assert!(
            said.stderr.contains(expected),
            "{expected}\n{}",
            said.stderr
        );
    }
    let said = clinicadl(&["maps", "validate", &maps, "--json"]);
    assert_eq!(said.code, Some(4));
    let report = json(&said.stdout);
    assert_eq!(report["valid"], false);
    let issues = report["issues"].as_array().unwrap();
    let is_metric = |issue: &&Value| issue["line"] == 2 && issue["column"] == "BA";
    assert!(issues.iter().any(|issue| is_metric(&issue)), "{issues:#?}");
}

#[test]
fn a_maps_of_clinicadl_2_0_is_imported_valid_and_shown() {
    let folder = tempfile::tempdir().unwrap();
    let target = folder.path().join("maps").display().to_string();
    let said = clinicadl(&["maps", "import", &peer("peer_2_0"), &target]).success();
    for expected in [
        "imported a MAPS of ClinicaDL 2.0: ",
        "what does not map, also in import.json:",
        "training: ClinicaDL 2.0 keeps no predictions",
    ] {
        assert!(
            said.stdout.contains(expected),
            "{expected}\n{}",
            said.stdout
        );
    }
    clinicadl(&["maps", "validate", &target]).success();
    let shown = clinicadl(&["maps", "show", &target]).success().stdout;
    assert!(
        shown.contains("network   CNN, mode image, 1×18×18×18"),
        "{shown}"
    );
    assert!(shown.contains("task      regression of `age`"), "{shown}");
    let said = clinicadl(&["maps", "import", &peer("peer_2_0"), &target]);
    assert_eq!(said.code, Some(2));
    assert!(said.stderr.contains("exists already"), "{}", said.stderr);
    let said = clinicadl(&["maps", "show", &peer("peer_2_0")]);
    assert_eq!(said.code, Some(2));
    assert!(
        said.stderr.contains("`clinicadl maps import`"),
        "{}",
        said.stderr
    );
}

#[test]
fn an_import_of_1_6_1_tells_what_this_program_cannot_do() {
    let folder = tempfile::tempdir().unwrap();
    let source = folder.path().join("source");
    for file in files(Path::new(&peer("peer"))) {
        let to = source.join(&file);
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        fs::copy(Path::new(&peer("peer")).join(&file), to).unwrap();
    }
    let parameters = source.join("maps.json");
    let text = fs::read_to_string(&parameters).unwrap();
    fs::write(&parameters, text.replace("Conv5_FC3", "Conv6_FC3")).unwrap();
    let target = folder.path().join("maps").display().to_string();
    let source = source.display().to_string();
    let report = json(
        &clinicadl(&["maps", "import", &source, &target, "--json"])
            .success()
            .stdout,
    );
    let notes = report["result"]["notes"].as_array().unwrap();
    assert_eq!(notes.len(), 1, "{notes:#?}");
    let message = notes[0]["message"].as_str().unwrap();
    assert!(
        message.starts_with("network `Conv6_FC3` is not known here"),
        "{message}"
    );
    assert_eq!(report["result"]["from"], "ClinicaDL 1.6");
}

#[test]
fn a_folder_that_is_no_maps_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().display().to_string();
    let target = folder.path().join("new").display().to_string();
    let said = clinicadl(&["maps", "validate", &path]);
    assert_eq!(said.code, Some(4));
    assert!(
        said.stderr.contains("maps.json: cannot be read"),
        "{}",
        said.stderr
    );
    for arguments in [
        &["maps", "show", &path][..],
        &["maps", "import", &path, &target],
    ] {
        let said = clinicadl(arguments);
        assert_eq!(said.code, Some(2), "{}", said.stderr);
    }
}
