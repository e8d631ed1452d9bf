//! The firewall through the program: what is refused, what is allowed with a reason, what tells of it.

use serde_json::Value;

use crate::support::{EDGE, Project, image_path, nifti, root};

fn json(project: &Project, name: &str) -> Value {
    serde_json::from_str(&project.read(name)).unwrap()
}

#[test]
fn a_clean_experiment_has_a_certificate_in_its_maps_and_in_its_lock() {
    let project = Project::with_caps(12);
    project.run().success();
    let certificate = json(&project, "maps/leakage.json");
    assert_eq!(certificate["leaks"], false);
    assert_eq!(
        certificate["models_tested_on"]["test"], 4,
        "two splits, two selection metrics"
    );
    let checked = certificate["checked"].as_object().unwrap();
    let names: Vec<&String> = checked.keys().collect();
    assert!(
        names
            .iter()
            .any(|name| *name == "split-1/leakage/training.json"),
        "{names:?}"
    );
    for document in checked.values() {
        for check in document["checks"].as_array().unwrap() {
            assert_eq!(check["shared"], 0, "{check}");
            assert!(check["participants"][0].as_u64().unwrap() > 0);
        }
    }
    let lock = json(&project, "experiment.yaml.lock");
    assert!(
        lock["published"]["certificate"].is_string(),
        "{}",
        lock["published"]
    );
    project.clinicadl(&["verify", "experiment.yaml"]).success();
    project.edit("maps/leakage.json", "false", "true");
    assert_ne!(
        project.clinicadl(&["verify", "experiment.yaml"]).code,
        Some(0)
    );
}

#[test]
fn testing_on_training_data_is_refused_by_check_with_a_way_out() {
    let project = Project::with_caps(12);
    project.edit(
        "experiment.yaml",
        "participants: holdout.test",
        "participants: holdout.train",
    );
    for verb in ["check", "run", "plan"] {
        let said = project.clinicadl(&[verb, "experiment.yaml"]);
        assert_eq!(said.code, Some(2), "{}", said.stderr);
        for part in [
            "no independent test set",
            "was trained on",
            "hold participants out first",
        ] {
            assert!(said.stderr.contains(part), "{verb}: {}", said.stderr);
        }
    }
}

/// Images of people whom a network can recognise, but whose class it cannot learn.
fn people(count: usize) -> Project {
    let project = Project::empty();
    let mut labels = String::from("participant_id\tsession_id\tdiagnosis\tsex\tage\n");
    for i in 0..count {
        let voxel = |x: usize, y: usize, z: usize| {
            let own = ((x / 4 * 7 + y / 4 * 13 + i * 29) * 2_654_435_761) % 97;
            own as f32 + ((x + y + z) % 3) as f32
        };
        project.write_bytes(&image_path(i), &nifti([EDGE; 3], voxel));
        let diagnosis = if i % 2 == 0 { "AD" } else { "CN" };
        labels.push_str(&format!(
            "sub-{i:03}\tses-M000\t{diagnosis}\tF\t{}\n",
            60 + i % 5
        ));
    }
    project.write("labels.tsv", &labels);
    project
}

const SLICES: &str = "\
clinicadl: 1
name: slices
seed: 3
params: { reason: '' }
inputs: { caps: caps, labels: labels.tsv, deal: deal.awk }
stages:
  extract:
    uses: prepare-data
    inputs: { caps: caps }
    with: { mode: slice, slice_direction: 2, slice_mode: single, discarded_slices: [6, 6] }
  holdout:
    uses: split
    inputs: { labels: labels }
    with: { n_test: 4, balance: [] }
  slices:
    uses: command
    inputs: { table: holdout.train, script: deal }
    with:
      inputs: [table, script]
      argv: [awk, -v, slices=8, -f, '{inputs.script}', '{inputs.table}']
      outputs: { splits: { path: splits, kind: splits, splits: 1 } }
  train:
    uses: train
    inputs: { images: extract, splits: slices }
    with: { epochs: 2, batch_size: 4, bootstrap: 10, allow_leakage: '${params.reason}' }
  test:
    uses: predict
    inputs: { model: train, images: extract, participants: holdout.test }
    with: { data_group: test, bootstrap: 10 }
maps: maps
";

#[test]
fn a_split_of_slices_is_refused_and_with_a_reason_every_table_says_so() {
    let project = people(12);
    project.write("experiment.yaml", SLICES);
    let script = std::fs::read_to_string(root().join("pipelines/leakage-demo.awk")).unwrap();
    project.write("deal.awk", &script);
    project.clinicadl(&["check", "experiment.yaml"]).success();
    let said = project.run();
    assert_ne!(said.code, Some(0));
    for part in [
        "data leakage (biased split)",
        "share 8 participants",
        "split participants, not sessions",
        "allow_leakage",
    ] {
        assert!(said.stderr.contains(part), "{}", said.stderr);
    }
    project
        .clinicadl(&["run", "experiment.yaml", "--set", "reason=a demonstration"])
        .success();
    let mark = "biased split: a demonstration";
    for group in ["train", "validation", "test"] {
        for table in ["metrics", "prediction"] {
            let path = format!("maps/split-0/best-loss/{group}/{group}_slice_level_{table}.tsv");
            let text = project.read(&path);
            let mut lines = text.lines();
            assert!(lines.next().unwrap().ends_with("\tleakage"), "{path}");
            assert!(lines.next().unwrap().ends_with(mark), "{path}: {text}");
        }
    }
    let certificate = json(&project, "maps/leakage.json");
    assert_eq!(certificate["leaks"], true);
    assert!(
        certificate["allowed"]
            .to_string()
            .contains("a demonstration")
    );
    // Whoever opens the MAPS later is told by its validation as well.
    let issues = maps::validate(&project.path("maps"));
    assert_eq!(issues.len(), 1, "{issues:?}");
    assert!(issues[0].message.contains("also in train"), "{issues:?}");
}
