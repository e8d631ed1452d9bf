//! Agreement with ClinicaDL 1.6.1, on what it wrote of a tiny CAPS (`reference/peer/make.py`).
//!
//! `make peer-test` compares more, on larger images and with the peer itself.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use maps::weights::{read_pt, read_safetensors};

use crate::support::{Project, files, root};

/// Kernels differ between CPUs, and two epochs amplify the rounding.
const LOSS_TOLERANCE: f64 = 1e-4;
/// One forward pass in float32.
const PROBABILITY_TOLERANCE: f64 = 1e-5;
/// One forward and one backward pass in float32, by the largest value of a map.
const GRADIENT_TOLERANCE: f64 = 1e-5;
/// The peer's loss is a sum over batches of this size, ours a mean over images.
const BATCH_SIZE: usize = 2;

fn reference(name: &str) -> PathBuf {
    root().join("tests/reference/peer").join(name)
}

/// A project with the extracted images of the reference CAPS in `tensors`.
fn extracted() -> Project {
    let project = Project::empty();
    exec(
        &project,
        "prepare-data",
        &[("caps", &reference("caps"))],
        &[],
        "tensors",
    );
    project
}

fn exec(
    project: &Project,
    stage: &str,
    inputs: &[(&str, &Path)],
    parameters: &[&str],
    output: &str,
) {
    let inputs: Vec<String> = inputs
        .iter()
        .map(|(port, path)| format!("{port}={}", path.display()))
        .collect();
    let mut arguments = vec!["exec", stage, "--output", output];
    arguments.extend(inputs.iter().flat_map(|input| ["--input", input]));
    arguments.extend(
        parameters
            .iter()
            .flat_map(|parameter| ["--with", parameter]),
    );
    project.clinicadl(&arguments).success();
}

/// The cells of a table by column.
fn columns(path: &Path) -> BTreeMap<String, Vec<String>> {
    let text = fs::read_to_string(path).unwrap();
    let mut rows = text.lines().map(|line| line.split('\t').map(str::to_owned));
    let mut columns: Vec<(String, Vec<String>)> = rows
        .next()
        .unwrap()
        .map(|name| (name, Vec::new()))
        .collect();
    for row in rows {
        columns
            .iter_mut()
            .zip(row)
            .for_each(|((_, cells), cell)| cells.push(cell));
    }
    columns.into_iter().collect()
}

/// Probabilities by participant, session and column.
fn probabilities(maps: &Path, group: &str) -> BTreeMap<[String; 3], f64> {
    let file = format!("split-0/best-loss/{group}/{group}_image_level_prediction.tsv");
    let table = columns(&maps.join(file));
    let mut found = BTreeMap::new();
    for (name, cells) in table.iter().filter(|(name, _)| name.starts_with("proba")) {
        for (row, cell) in cells.iter().enumerate() {
            let key = ["participant_id", "session_id"].map(|key| table[key][row].clone());
            let [participant, session] = key;
            found.insert([participant, session, name.clone()], cell.parse().unwrap());
        }
    }
    found
}

#[test]
fn tensors_are_those_of_the_peer_bit_for_bit() {
    let project = extracted();
    let tensors = files(&reference("tensors"));
    assert_eq!(tensors.len(), 6);
    for name in tensors {
        let theirs = read_pt(&fs::read(reference("tensors").join(&name)).unwrap()).unwrap();
        let session: Vec<&str> = name.splitn(3, '_').take(2).collect();
        let file = project.path(&format!("tensors/images/{}.safetensors", session.join("_")));
        let ours = read_safetensors(&fs::read(file).unwrap()).unwrap();
        assert_eq!(ours["image"], theirs, "{name}");
    }
}

#[test]
fn folds_are_those_of_the_peer_byte_for_byte() {
    let project = Project::empty();
    exec(
        &project,
        "kfold",
        &[("labels", &reference("labels.tsv"))],
        &["n_splits=2"],
        "folds",
    );
    let tables = files(&reference("folds"));
    assert_eq!(tables.len(), 6);
    for table in tables {
        let theirs = fs::read_to_string(reference("folds").join(&table)).unwrap();
        assert_eq!(project.read(&format!("folds/{table}")), theirs, "{table}");
    }
}

#[test]
fn a_training_from_the_same_weights_in_the_same_order_has_the_losses_of_the_peer() {
    let project = extracted();
    let inputs = [
        ("images", &*project.path("tensors")),
        ("splits", &*reference("folds")),
    ];
    let size = format!("batch_size={BATCH_SIZE}");
    let parameters = [
        "epochs=2",
        "evaluation_steps=1",
        "weights_seed=0",
        "sampler_seed=0",
        &size,
    ];
    exec(&project, "train", &inputs, &parameters, "model");
    let theirs = columns(&reference("maps/split-0/training_logs/training.tsv"));
    let ours = columns(&project.path("model/split-0/training_logs/training.tsv"));
    for key in ["epoch", "iteration"] {
        assert_eq!(ours[key], theirs[key]);
    }
    for (group, column) in [("train", "loss_train"), ("validation", "loss_valid")] {
        let data = columns(&reference(&format!("maps/groups/{group}/split-0/data.tsv")));
        let n_images = data["session_id"].len();
        assert_eq!(n_images % BATCH_SIZE, 0);
        for (row, (ours, theirs)) in ours[column].iter().zip(&theirs[column]).enumerate() {
            let theirs: f64 = theirs.parse().unwrap();
            let theirs = theirs / (n_images / BATCH_SIZE) as f64;
            let ours: f64 = ours.parse().unwrap();
            let difference = (ours / theirs - 1.0).abs();
            assert!(
                difference <= LOSS_TOLERANCE,
                "{column}, row {row}: {ours}, peer {theirs}"
            );
        }
    }
}

#[test]
fn a_model_of_the_peer_predicts_what_the_peer_predicted() {
    let project = extracted();
    for (group, table) in [
        ("train", "folds/split-0/train.tsv"),
        ("validation", "folds/split-0/validation_baseline.tsv"),
        ("test", "test.tsv"),
    ] {
        let inputs = [
            ("model", &*reference("maps")),
            ("images", &*project.path("tensors")),
            ("participants", &*reference(table)),
        ];
        let name = format!("our-{group}");
        let data_group = format!("data_group={name}");
        let parameters = [&*data_group, "allow_leakage='the peer predicted them too'"];
        exec(&project, "predict", &inputs, &parameters, &name);
        let theirs = probabilities(&reference("maps"), group);
        let ours = probabilities(&project.path(&name), &name);
        assert!(
            ours.keys().eq(theirs.keys()),
            "{group}: {ours:?}, peer {theirs:?}"
        );
        for (key, theirs) in theirs {
            let ours = ours[&key];
            let difference = (ours - theirs).abs();
            assert!(
                difference <= PROBABILITY_TOLERANCE,
                "{key:?}: {ours}, peer {theirs}"
            );
        }
    }
}

#[test]
fn gradients_of_a_model_of_the_peer_are_those_that_the_peer_found() {
    let project = extracted();
    let inputs = [
        ("model", &*reference("maps")),
        ("images", &*project.path("tensors")),
        ("participants", &*reference("test.tsv")),
    ];
    let parameters = ["method=gradients", "target='1'"];
    exec(&project, "interpret", &inputs, &parameters, "maps");
    let folder = project.path("maps/split-0/best-loss/test/interpret-gradients");
    let maps = files(&reference("saliency"));
    assert_eq!(maps.len(), 3);
    for name in maps {
        let read = |folder: &Path| read_pt(&fs::read(folder.join(&name)).unwrap()).unwrap();
        let (ours, theirs) = (read(&folder), read(&reference("saliency")));
        assert_eq!(ours.shape(), theirs.shape(), "{name}");
        let (ours, theirs) = (ours.as_f32().unwrap(), theirs.as_f32().unwrap());
        let largest = theirs
            .iter()
            .fold(0.0_f32, |most, value| most.max(value.abs()));
        let differences = ours
            .iter()
            .zip(theirs)
            .map(|(ours, theirs)| (ours - theirs).abs());
        let most = f64::from(differences.fold(0.0_f32, f32::max)) / f64::from(largest);
        assert!(most <= GRADIENT_TOLERANCE, "{name}: {most}");
    }
}
