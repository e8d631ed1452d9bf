use std::collections::BTreeMap;
use std::fs;

use serde_json::json;

use super::*;
use crate::Digest;
use crate::exec::NumericsClasses;
use crate::lock::testing::{Project, execute};
use crate::lock::{Lock, LockedFiles};
use crate::manifest::{Expectation, Manifest, Overrides};
use crate::plan::Plan;
use crate::publish::{Content, PublishedFile, list, publish};
use crate::store::Store;
use crate::testing::REGISTRY;

fn faults(checks: &[Check]) -> Vec<(String, Fault)> {
    let failed = checks.iter().filter(|check| check.fault().is_some());
    failed
        .map(|check| (check.name.clone(), check.fault().unwrap()))
        .collect()
}

fn all_pass(checks: &[Check]) -> bool {
    !checks.is_empty() && checks.iter().all(Check::is_passed)
}

/// The tier `inputs` of what the project holds now.
fn inputs(project: &Project, lock: &Lock) -> Vec<Check> {
    let (manifest, store) = (project.manifest("m.yaml"), project.store());
    let plan = Plan::build(&manifest, &store).unwrap();
    check_inputs(&manifest, &plan, lock, Some(&store))
}

#[test]
fn nothing_changed_is_all_passed_and_resources_are_no_change() {
    let project = Project::new();
    let lock = project.lock("factor: 2");
    assert!(all_pass(&inputs(&project, &lock)));
    project.write("m.yaml", &project.text("factor: 2, workers: 7"));
    assert!(all_pass(&inputs(&project, &lock)));
}

#[test]
fn a_changed_input_is_one_kind_of_fault_and_its_file_is_named() {
    let project = Project::new();
    let lock = project.lock("");
    project.write("text/b", "five");
    let checks = inputs(&project, &lock);
    let found = faults(&checks);
    assert!(
        found.iter().all(|(_, fault)| *fault == Fault::InputChanged),
        "{found:?}"
    );
    assert_eq!(
        found.len(),
        5,
        "the input and what reads it, near and far: {found:?}"
    );
    let input = checks
        .iter()
        .find(|check| check.section == Section::Input)
        .unwrap();
    assert_eq!(input.details, ["1 changed: `b`"]);
}

#[test]
fn a_changed_parameter_is_named_and_is_no_changed_input() {
    let project = Project::new();
    let lock = project.lock("factor: 2");
    project.write("m.yaml", &project.text("factor: 3"));
    let checks = inputs(&project, &lock);
    assert!(
        faults(&checks)
            .iter()
            .all(|(_, fault)| *fault == Fault::NotUpToDate)
    );
    let words = checks.iter().find(|check| check.name == "words").unwrap();
    assert_eq!(words.message, "parameter `factor` changed from 2 to 3");
    let input = checks
        .iter()
        .find(|check| check.section == Section::Input)
        .unwrap();
    assert!(input.is_passed(), "{input:?}");
}

#[test]
fn stages_that_come_go_or_are_connected_otherwise_are_not_up_to_date() {
    let project = Project::new();
    let lock = project.lock("");
    let text = project.text("");
    let more =
        format!("{text}  again: {{ uses: join, inputs: {{ part: parts, count: words }} }}\n");
    project.write("m.yaml", &more);
    let found = faults(&inputs(&project, &lock));
    let names: Vec<&str> = found.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["m.yaml", "again (split 0)", "again (split 1)"]);

    project.write(
        "m.yaml",
        &text.replace("part: parts }", "part: parts, count: words }"),
    );
    let checks = inputs(&project, &lock);
    let joined = checks
        .iter()
        .find(|check| check.name == "joined (split 0)")
        .unwrap();
    assert_eq!(
        joined.message,
        "input `count` is connected to `words.count`, was not connected"
    );

    let fewer: Vec<&str> = text
        .lines()
        .filter(|line| !line.contains("joined"))
        .collect();
    project.write("m.yaml", &fewer.join("\n"));
    let found = faults(&inputs(&project, &lock));
    assert_eq!(found.len(), 3, "{found:?}");
    assert!(found.iter().all(|(_, fault)| *fault == Fault::NotUpToDate));
}

#[test]
fn a_damaged_object_is_found_even_when_its_stamps_were_kept() {
    let project = Project::new();
    let lock = project.lock("");
    let store = project.store();
    assert!(all_pass(&check_store(&lock, &store)));
    let tree = store
        .tree(&lock.actions["words"].outputs["count"][0])
        .unwrap();
    let object = store.object_path(&tree.files["n"].digest);
    fs::remove_file(&object).unwrap();
    fs::write(&object, "9").unwrap();
    store.stats().trust(&object, tree.files["n"].digest);
    let checks = check_store(&lock, &store);
    assert_eq!(
        faults(&checks),
        [("words".to_owned(), Fault::OutputChanged)]
    );
    let words = checks.iter().find(|check| check.fault().is_some()).unwrap();
    assert_eq!(words.details, ["`count/n` changed"]);
    assert!(object.exists(), "verification removes nothing");
    fs::remove_file(&object).unwrap();
    let checks = check_store(&lock, &store);
    let words = checks.iter().find(|check| check.fault().is_some()).unwrap();
    assert_eq!(words.details, ["`count/n` is missing"]);
}

#[test]
fn another_store_has_nothing_to_verify() {
    let lock = Project::new().lock("");
    let folder = tempfile::tempdir().unwrap();
    let checks = check_store(&lock, &Store::open(folder.path()).unwrap());
    assert_eq!(checks.len(), 1);
    assert_eq!(checks[0].outcome, Outcome::Skipped);
}

/// A lock and what was published with it.
fn published() -> (Project, Lock, std::path::PathBuf) {
    let project = Project::new();
    let mut lock = project.lock("");
    let file = |path: &str, text: &str| PublishedFile {
        path: path.to_owned(),
        content: Content::Bytes(text.into()),
    };
    let mut files = vec![file("a.tsv", "1"), file("b/c.tsv", "2")];
    let store = project.store();
    lock.published = crate::lock::published_digest(&list(&files, &store).unwrap());
    files.push(file("provenance/lock.json", &lock.text()));
    let folder = project.folder().join("maps");
    publish(
        &folder,
        files,
        vec![file("provenance/run.json", "{}")],
        &store,
    )
    .unwrap();
    (project, lock, folder)
}

#[test]
fn published_files_that_changed_went_or_came_are_each_named() {
    let (_project, lock, folder) = published();
    let checks = check_published(&lock, &folder, "maps");
    assert!(all_pass(&checks), "{checks:?}");
    fs::write(folder.join("a.tsv"), "3").unwrap();
    fs::remove_file(folder.join("b/c.tsv")).unwrap();
    fs::write(folder.join("mine.txt"), "notes").unwrap();
    let checks = check_published(&lock, &folder, "maps");
    let found: Vec<(&str, &str)> = checks
        .iter()
        .map(|check| (check.name.as_str(), check.message.as_str()))
        .collect();
    let expected = [
        ("a.tsv", "changed"),
        ("b/c.tsv", "is missing"),
        ("mine.txt", "is no published file"),
    ];
    assert_eq!(found, expected);
    assert!(
        checks
            .iter()
            .all(|check| check.fault() == Some(Fault::OutputChanged))
    );
}

#[test]
fn a_file_changed_together_with_the_list_is_found_by_the_lock() {
    let (_project, lock, folder) = published();
    let path = folder.join(crate::publish::PUBLISHED);
    let text = fs::read_to_string(&path).unwrap();
    let (old, new) = (Digest::of(b"1").to_string(), Digest::of(b"9").to_string());
    fs::write(&path, text.replace(&old, &new)).unwrap();
    fs::write(folder.join("a.tsv"), "9").unwrap();
    let checks = check_published(&lock, &folder, "maps");
    assert_eq!(checks[0].message, "lists other results than the lock");
}

#[test]
fn a_list_that_leads_out_of_the_folder_is_refused_and_a_missing_folder_is_told() {
    let (_project, lock, folder) = published();
    let path = folder.join(crate::publish::PUBLISHED);
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, text.replace("a.tsv", "../a.tsv")).unwrap();
    let checks = check_published(&lock, &folder, "maps");
    assert_eq!(checks[0].name, "../a.tsv");
    assert!(
        checks[0].message.contains("not inside the folder"),
        "{checks:?}"
    );
    fs::remove_dir_all(&folder).unwrap();
    let checks = check_published(&lock, &folder, "maps");
    assert_eq!(checks[0].message, "the published folder is missing");
}

#[test]
fn another_lock_in_the_published_folder_is_found() {
    let (_project, mut lock, folder) = published();
    lock.experiment = "other".into();
    let checks = check_published(&lock, &folder, "maps");
    assert_eq!(
        faults(&checks),
        [("provenance/lock.json".to_owned(), Fault::OutputChanged)]
    );
    lock.published = Some(LockedFiles {
        digest: Digest::of(b"x"),
        files: 2,
        certificate: None,
    });
    assert_eq!(
        check_published(&lock, &folder, "maps")[0].name,
        crate::publish::PUBLISHED
    );
}

#[test]
fn a_second_run_of_reproducible_stages_is_the_same_bit_for_bit() {
    let project = Project::new();
    let lock = project.lock("");
    let folder = tempfile::tempdir().unwrap();
    let fresh = Store::open(folder.path()).unwrap();
    let (_, report) = execute(&project.manifest("m.yaml"), &fresh);
    let checks = compare_rerun(&lock, &report, &fresh, Some(&project.store()));
    assert_eq!(checks.len(), 4);
    assert!(all_pass(&checks), "{checks:?}");
}

#[test]
fn a_stage_that_throws_dice_is_named_with_the_first_file_that_differs() {
    let project = Project::new();
    let text = project.text("");
    let lines = text.lines().filter(|line| !line.contains("par"));
    let mut text: Vec<&str> = lines.collect();
    text.push("  dice: { uses: dice, inputs: { count: words } }\n");
    project.write("m.yaml", &text.join("\n"));
    let lock = project.lock_of("m.yaml");
    let folder = tempfile::tempdir().unwrap();
    let fresh = Store::open(folder.path()).unwrap();
    let (_, report) = execute(&project.manifest("m.yaml"), &fresh);
    let checks = compare_rerun(&lock, &report, &fresh, Some(&project.store()));
    assert_eq!(
        faults(&checks),
        [("dice".to_owned(), Fault::NotReproducible)]
    );
    let dice = checks.iter().find(|check| check.name == "dice").unwrap();
    assert_eq!(dice.message, "is not reproducible: `thrown/n` differs");
    let without = compare_rerun(&lock, &report, &fresh, None);
    let dice = without.iter().find(|check| check.name == "dice").unwrap();
    assert!(
        dice.message.contains("output `thrown` differs"),
        "{}",
        dice.message
    );
}

#[test]
fn a_failed_action_of_a_second_run_is_told_with_its_error() {
    let project = Project::new();
    let mut lock = project.lock("");
    project.write("m.yaml", &project.text("fault: fail"));
    let (_, report) = execute(&project.manifest("m.yaml"), &project.store());
    lock.actions.retain(|name, _| !name.starts_with("joined"));
    let checks = compare_rerun(&lock, &report, &project.store(), None);
    assert_eq!(faults(&checks), [("words".to_owned(), Fault::RunFailed)]);
    assert!(
        checks[0].message.contains("`text/a` is bad"),
        "{}",
        checks[0].message
    );
}

#[test]
fn a_manifest_of_unknown_origin_may_not_leave_its_project_or_run_programs() {
    let project = Project::new();
    let outside = tempfile::tempdir().unwrap();
    fs::write(outside.path().join("secret"), "s").unwrap();
    project.write("m.yaml", &project.text(""));
    let refused = |text: &str| {
        project.write("m.yaml", text);
        refusals(&project.manifest("m.yaml"), project.folder())
    };
    assert_eq!(refused(&project.text("")), Vec::<String>::new());
    let absolute = project.text("").replace(
        "text: text }\nstages",
        &format!("text: {} }}\nstages", outside.path().display()),
    );
    assert!(
        refused(&absolute)[0].contains("leaves the project"),
        "{:?}",
        refused(&absolute)
    );
    let foreign = format!(
        "{}  dice: {{ uses: dice, inputs: {{ count: words }} }}\n",
        project.text("")
    );
    assert_eq!(
        refused(&foreign),
        ["stage `dice` runs a foreign program (`dice`)"]
    );
    // A manifest cannot name a folder outside; whoever runs it could.
    let overrides = Overrides {
        maps: Some(outside.path().join("maps")),
        ..Overrides::default()
    };
    project.write("m.yaml", &project.text(""));
    let path = project.folder().join("m.yaml");
    let elsewhere = Manifest::load_with(&path, REGISTRY, &overrides).unwrap();
    let refusal = refusals(&elsewhere, project.folder());
    assert!(refusal[0].contains("published folder"), "{refusal:?}");
    let inside = format!("{}maps: results/maps\n", project.text(""));
    assert_eq!(refused(&inside), Vec::<String>::new());
    std::os::unix::fs::symlink(outside.path(), project.folder().join("text/link")).unwrap();
    let linked = refused(&project.text(""));
    assert!(
        linked[0].contains("leaves the project at `link`"),
        "{linked:?}"
    );
}

#[test]
fn a_folder_that_links_to_itself_is_looked_at_once() {
    let project = Project::new();
    std::os::unix::fs::symlink(project.folder(), project.folder().join("text/up")).unwrap();
    project.write("m.yaml", &project.text(""));
    assert_eq!(
        refusals(&project.manifest("m.yaml"), project.folder()),
        Vec::<String>::new()
    );
}

fn metrics(pairs: &[(&str, f64)]) -> BTreeMap<String, f64> {
    pairs
        .iter()
        .map(|(name, value)| ((*name).to_owned(), *value))
        .collect()
}

fn two_splits() -> BTreeMap<String, f64> {
    metrics(&[
        ("test/split-0/best-loss/balanced_accuracy", 0.7),
        ("test/split-1/best-loss/balanced_accuracy", 0.9),
        ("test/split-0/best-accuracy/balanced_accuracy", 0.6),
        ("test/split-1/best-accuracy/balanced_accuracy", 0.6),
        ("test/split-0/best-loss/loss", 0.5),
        ("train/split-0/best-loss/balanced_accuracy", 1.0),
    ])
}

fn expected(metric: &str, min: Option<f64>, max: Option<f64>) -> Vec<Check> {
    let values = two_splits();
    let stages = [("final-test".to_owned(), "test".to_owned())].into();
    let names = MetricNames {
        values: &values,
        stages: &stages,
    };
    let metric = metric.to_owned();
    check_expectations(&[Expectation { metric, min, max }], names)
}

#[test]
fn an_expectation_is_about_the_mean_over_splits_of_every_choice_of_models() {
    let checks = expected("test.balanced_accuracy", Some(0.75), None);
    let names: Vec<&str> = checks.iter().map(|check| check.name.as_str()).collect();
    assert_eq!(
        names,
        [
            "test.best-accuracy.balanced_accuracy",
            "test.best-loss.balanced_accuracy"
        ]
    );
    assert_eq!(checks[0].fault(), Some(Fault::MetricOutside));
    assert_eq!(
        checks[0].message,
        "is 0.6, the mean of 2 splits; expected at least 0.75"
    );
    assert!(checks[1].is_passed(), "{checks:?}");
    assert!(all_pass(&expected(
        "test.best-loss.balanced_accuracy",
        Some(0.75),
        Some(0.85)
    )));
}

#[test]
fn an_expectation_may_choose_a_split_and_name_the_stage() {
    for metric in [
        "test.split-0.best-loss.balanced_accuracy",
        "test.best-loss.split-0.balanced_accuracy",
        "final-test.best-loss.split-0.balanced_accuracy",
    ] {
        let checks = expected(metric, Some(0.7), Some(0.7));
        assert_eq!(checks.len(), 1, "{metric}");
        assert!(all_pass(&checks), "{metric}: {checks:?}");
    }
}

#[test]
fn a_metric_that_does_not_exist_is_a_failure_with_advice() {
    let checks = expected("test.balanced_acuracy", None, None);
    assert_eq!(checks[0].fault(), Some(Fault::MetricOutside));
    assert_eq!(
        checks[0].hint.as_deref(),
        Some("did you mean `test.balanced_accuracy`?")
    );
    assert!(
        expected("test.split-7.balanced_accuracy", None, None)[0]
            .fault()
            .is_some()
    );
    assert!(
        expected("balanced_accuracy", None, None)[0]
            .fault()
            .is_some()
    );
}

#[test]
fn the_metrics_to_compare_can_be_chosen_and_a_wrong_choice_is_told() {
    let values = two_splits();
    let names = MetricNames {
        values: &values,
        stages: &BTreeMap::new(),
    };
    assert_eq!(names.chosen(&[]).0, values);
    let (chosen, unknown) = names.chosen(&["test.loss".into(), "tets.loss".into()]);
    assert_eq!(
        chosen.keys().collect::<Vec<_>>(),
        ["test/split-0/best-loss/loss"]
    );
    assert_eq!(
        faults(&unknown),
        [("tets.loss".to_owned(), Fault::MetricOutside)]
    );
}

#[test]
fn a_value_that_is_no_number_keeps_no_bound() {
    let values = metrics(&[("test/split-0/best-loss/loss", f64::NAN)]);
    let names = MetricNames {
        values: &values,
        stages: &BTreeMap::new(),
    };
    let expectation = Expectation {
        metric: "test.loss".into(),
        min: None,
        max: Some(1.0),
    };
    let checks = check_expectations(&[expectation], names);
    assert_eq!(checks[0].message, "is no number; expected at most 1");
}

fn tolerance(found: &[(&str, f64)], text: &str) -> Vec<Check> {
    let locked = metrics(&[
        ("test/split-0/best-loss/loss", 0.5),
        ("test/split-0/best-loss/accuracy", 0.8),
    ]);
    let names = MetricNames {
        values: &locked,
        stages: &BTreeMap::new(),
    };
    let tolerance: Tolerance = serde_json::from_str(text).unwrap();
    check_tolerance(&tolerance, names, &metrics(found))
}

#[test]
fn a_tolerance_is_relative_plus_absolute_and_the_most_precise_name_wins() {
    let found = [
        ("test/split-0/best-loss/loss", 0.53),
        ("test/split-0/best-loss/accuracy", 0.8),
    ];
    let check = |text: &str| faults(&tolerance(&found, text)).len();
    assert_eq!(check("{}"), 1);
    assert_eq!(check(r#"{"rtol": 0.05}"#), 1);
    assert_eq!(check(r#"{"rtol": 0.05, "atol": 0.006}"#), 0);
    assert_eq!(check(r#"{"metrics": {"loss": {"atol": 0.1}}}"#), 0);
    let precise = r#"{"metrics": {"loss": {"atol": 0.1}, "test.loss": {"atol": 0.01}}}"#;
    assert_eq!(check(precise), 1);
    let unknown = tolerance(&found, r#"{"atol": 1, "metrics": {"los": {"atol": 0.1}}}"#);
    assert_eq!(faults(&unknown), [("los".to_owned(), Fault::MetricOutside)]);
    let missing = tolerance(&found[..1], r#"{"atol": 1}"#);
    assert_eq!(faults(&missing).len(), 1, "{missing:?}");
}

#[test]
fn the_spread_of_seeds_is_the_prediction_interval_of_students_t() {
    let locked = metrics(&[("test/split-0/best-loss/loss", 0.5)]);
    let runs: Vec<_> = [0.40, 0.42, 0.44, 0.46, 0.48]
        .map(|value| metrics(&[("test/split-0/best-loss/loss", value)]))
        .into();
    let names = MetricNames {
        values: &locked,
        stages: &BTreeMap::new(),
    };
    let (checks, rows) = check_seeds(names, &runs).unwrap();
    assert!(all_pass(&checks), "{checks:?}");
    // 0.44 ± 4.604095 × 0.0316228 × √1.2, with t from a table.
    let half = 4.604_095 * 0.001_f64.sqrt() * 1.2_f64.sqrt();
    assert!(
        (rows[0].interval.1 - (0.44 + half)).abs() < 1e-6,
        "{rows:?}"
    );
    let far = metrics(&[("test/split-0/best-loss/loss", 0.44 + half + 0.001)]);
    let names = MetricNames {
        values: &far,
        ..names
    };
    let (checks, _) = check_seeds(names, &runs).unwrap();
    assert_eq!(
        faults(&checks),
        [("test.best-loss.loss".to_owned(), Fault::MetricOutside)]
    );
    assert!(
        check_seeds(names, &runs[..2]).is_err(),
        "two runs show no spread"
    );
}

#[test]
fn equal_values_have_no_spread_and_only_they_are_inside() {
    let run = metrics(&[("test/split-0/best-loss/loss", 0.1)]);
    let runs = vec![run.clone(), run.clone(), run.clone()];
    let stages = BTreeMap::new();
    let (checks, _) = check_seeds(
        MetricNames {
            values: &run,
            stages: &stages,
        },
        &runs,
    )
    .unwrap();
    assert!(all_pass(&checks), "{checks:?}");
    let other = metrics(&[("test/split-0/best-loss/loss", 0.1001)]);
    let (checks, _) = check_seeds(
        MetricNames {
            values: &other,
            stages: &stages,
        },
        &runs,
    )
    .unwrap();
    assert_eq!(faults(&checks).len(), 1);
}

#[test]
fn other_seeds_reach_every_stage_that_draws() {
    let project = Project::new();
    project.lock("");
    let manifest = project.manifest("m.yaml");
    let other = with_other_seed(&manifest, 3).unwrap();
    assert_eq!(
        other.stages["parts"].seed,
        manifest.stages["parts"].seed + 3
    );
    project.write(
        "n.yaml",
        "clinicadl: 1\nname: n\ninputs: { text: text }\nstages:\n  \
         words: { uses: count, inputs: { text: text } }\n",
    );
    assert!(
        with_other_seed(&project.manifest("n.yaml"), 1).is_none(),
        "nothing draws"
    );
}

#[test]
fn locked_metrics_that_are_not_the_published_ones_are_named() {
    let locked = two_splits();
    assert!(check_same_metrics(&locked, &locked).is_passed());
    let mut published = locked.clone();
    published.insert("test/split-0/best-loss/loss".into(), 0.4);
    let check = check_same_metrics(&locked, &published);
    assert_eq!(check.fault(), Some(Fault::OutputChanged));
    assert_eq!(
        check.details,
        ["`test/split-0/best-loss/loss`: locked 0.5, published 0.4"]
    );
}

#[test]
fn without_worker_stages_there_is_no_numerics_class_to_compare() {
    let project = Project::new();
    let mut lock = project.lock("");
    let plan = Plan::build(&project.manifest("m.yaml"), &project.store()).unwrap();
    lock.numerics.insert("a".into(), json!({ "libtorch": "0" }));
    lock.actions.get_mut("words").unwrap().numerics = Some("a".into());
    let machine = crate::exec::Machine::detect();
    let here = NumericsClasses::ask(std::path::Path::new("none"), &plan, machine).unwrap();
    assert!(check_numerics(&lock, &plan, &here, false).is_empty());
}
