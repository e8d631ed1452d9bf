//! Every bad input: one clear message, the documented exit code, nothing half-written.

use std::fs;

use crate::support::{EDGE, Project, Said, image_path, nifti, plain_nifti};

/// A project in which one thing is wrong.
fn broken(change: impl FnOnce(&Project)) -> (Project, Said) {
    let project = Project::with_caps(12);
    change(&project);
    let said = project.run();
    assert!(
        !project.path("maps").exists(),
        "something was published:\n{}",
        said.stderr
    );
    (project, said)
}

#[track_caller]
fn expect(said: &Said, code: i32, parts: &[&str]) {
    assert_eq!(said.code, Some(code), "{}", said.stderr);
    for part in parts {
        assert!(
            said.stderr.contains(part),
            "expected `{part}` in:\n{}",
            said.stderr
        );
    }
    assert!(!said.stderr.contains("panicked"), "{}", said.stderr);
}

#[test]
fn a_missing_manifest() {
    let said = Project::empty().run();
    expect(
        &said,
        2,
        &["experiment.yaml", "failed to read the manifest"],
    );
}

#[test]
fn unknown_stage_parameter_and_reference_all_at_once() {
    let (_, said) = broken(|project| {
        project.edit("experiment.yaml", "uses: kfold", "uses: kflod");
        project.edit("experiment.yaml", "epochs: 2", "epohcs: 2");
        project.edit(
            "experiment.yaml",
            "images: extract, splits",
            "images: extrcat, splits",
        );
        project.edit("experiment.yaml", "batch_size: 2", "batch_size: two");
    });
    expect(
        &said,
        2,
        &[
            "experiment.yaml:14:5: `stages.folds.uses`: unknown stage `kflod`",
            "did you mean `kfold`?",
            "`stages.train.with.epohcs`: unknown field `epohcs`",
            "did you mean `epochs`?",
            "`extrcat` is neither an input nor a stage",
            "did you mean `extract`?",
            "`stages.train.with.batch_size`: expected integer, got `two`",
        ],
    );
}

#[test]
fn a_cycle() {
    let (_, said) = broken(|project| {
        project.edit(
            "experiment.yaml",
            "inputs: { labels: labels }",
            "inputs: { labels: again.train }",
        );
        project.edit(
            "experiment.yaml",
            "maps: maps",
            "  again:\n    uses: split\n    inputs: { labels: holdout.train }\nmaps: maps",
        );
    });
    expect(&said, 2, &["cycle", "`holdout` → `again` → `holdout`"]);
}

#[test]
fn an_input_that_does_not_exist() {
    let (_, said) = broken(|project| {
        project.edit(
            "experiment.yaml",
            "caps: caps, labels",
            "caps: nowhere, labels",
        );
    });
    expect(&said, 2, &["`inputs.caps`", "`nowhere` does not exist"]);
}

#[test]
fn a_table_without_a_column() {
    let (_, said) = broken(|project| {
        project.edit("labels.tsv", "diagnosis", "diagnos");
    });
    expect(&said, 1, &["labels.tsv", "`diagnosis`"]);
}

#[test]
fn a_participant_without_an_image() {
    let (_, said) = broken(|project| {
        fs::remove_dir_all(project.path("caps/subjects/sub-003")).unwrap();
        fs::remove_dir_all(project.path("caps/subjects/sub-007")).unwrap();
    });
    expect(&said, 1, &["sub-003", "ses-M000"]);
}

#[test]
fn a_truncated_image() {
    let (_, said) = broken(|project| {
        let bytes = fs::read(project.path(&image_path(5))).unwrap();
        project.write_bytes(&image_path(5), &bytes[..bytes.len() / 2]);
    });
    expect(&said, 1, &["sub-005", "T1w.nii.gz"]);
}

#[test]
fn a_file_that_is_not_nifti() {
    let (_, said) = broken(|project| {
        project.write(&image_path(5), "this is a text file, whatever it is called");
    });
    expect(&said, 1, &["sub-005", "NIfTI"]);
}

#[test]
fn a_four_dimensional_image() {
    let (_, said) = broken(|project| {
        project.write_bytes(
            &image_path(5),
            &plain_nifti(&[EDGE, EDGE, EDGE, 2], |_, _, _| 1.0),
        );
    });
    expect(&said, 1, &["sub-005", "dimension"]);
}

#[test]
fn an_image_of_another_shape() {
    let (_, said) = broken(|project| {
        project.write_bytes(
            &image_path(5),
            &nifti([EDGE, EDGE, EDGE + 1], |x, _, _| x as f32),
        );
    });
    expect(&said, 1, &["sub-005", "21"]);
}

#[test]
fn nan_voxels_are_told_and_taken_as_zero() {
    let project = Project::with_caps(12);
    let voxel = |x: usize, y: usize, _: usize| if x == 3 { f32::NAN } else { (x + y) as f32 };
    project.write_bytes(&image_path(5), &nifti([EDGE; 3], voxel));
    let said = project.run().success();
    assert!(
        said.stderr.contains("sub-005") && said.stderr.contains("NaN"),
        "{}",
        said.stderr
    );
}

#[test]
fn labels_with_one_class() {
    let (_, said) = broken(|project| {
        let text = project.read("labels.tsv").replace("\tCN\t", "\tAD\t");
        project.write("labels.tsv", &text);
    });
    expect(&said, 1, &["class"]);
}

#[test]
fn an_output_folder_with_foreign_files_is_left_alone() {
    let project = Project::with_caps(12);
    project.write("maps/thesis.tex", "three years of work");
    let said = project.run();
    expect(&said, 7, &["maps", "`thesis.tex`", "nothing was changed"]);
    assert_eq!(project.read("maps/thesis.tex"), "three years of work");
    assert_eq!(fs::read_dir(project.path("maps")).unwrap().count(), 1);
}

#[test]
fn a_published_file_changed_by_hand_is_not_overwritten() {
    let project = Project::with_caps(12);
    project.run().success();
    let file = "maps/split-0/training_logs/training.tsv";
    fs::remove_file(project.path(file)).unwrap();
    project.write(file, "nicer numbers");
    let said = project.run();
    expect(&said, 5, &["changed by hand", "training.tsv"]);
    assert_eq!(project.read(file), "nicer numbers");
}

#[test]
fn a_store_that_cannot_be_written() {
    let project = Project::with_caps(4);
    // Nobody, not even root, makes folders there.
    let said = project.clinicadl(&["run", "experiment.yaml", "--store", "/proc/self/clinicadl"]);
    expect(&said, 7, &["/proc/self/clinicadl"]);
}

#[test]
fn a_participant_on_both_sides_of_a_split() {
    let project = Project::with_caps(12);
    project.run().success();
    // The first participant of the training table is put into the held-out table.
    let trained = project.read("maps/groups/train+validation.tsv");
    let participant = trained
        .lines()
        .nth(1)
        .unwrap()
        .split('\t')
        .next()
        .unwrap()
        .to_owned();
    let header = project
        .read("labels.tsv")
        .lines()
        .next()
        .unwrap()
        .to_owned();
    let row = project.read("labels.tsv");
    let row = row
        .lines()
        .find(|line| line.starts_with(&participant))
        .unwrap()
        .to_owned();
    project.write("leaky.tsv", &format!("{header}\n{row}\n"));
    let said = project.clinicadl(&[
        "exec",
        "prepare-data",
        "--input",
        "caps=caps",
        "--output",
        "tensors",
    ]);
    said.success();
    let said = project.clinicadl(&[
        "exec",
        "predict",
        "--input",
        "model=maps",
        "--input",
        "images=tensors",
        "--input",
        "participants=leaky.tsv",
        "--output",
        "out",
    ]);
    expect(&said, 1, &[&participant]);
    assert!(!project.path("out").exists());
}

#[test]
fn a_data_group_of_two_predictions() {
    let (_, said) = broken(|project| {
        let again = "  again:\n    uses: predict\n    \
                     inputs: { model: train, images: extract, participants: holdout.test }\n    \
                     with: { data_group: test, use_labels: false }\n";
        project.edit(
            "experiment.yaml",
            "  saliency:",
            &format!("{again}  saliency:"),
        );
    });
    expect(&said, 2, &["`test`", "`again`"]);
}

#[test]
fn a_data_group_with_the_name_of_one_of_the_training() {
    let (_, said) = broken(|project| {
        project.edit(
            "experiment.yaml",
            "data_group: test",
            "data_group: validation",
        );
    });
    let told = "`validation` is the name of a group made by training";
    expect(&said, 2, &["experiment.yaml:", "data_group", told]);
}
