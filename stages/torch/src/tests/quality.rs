use std::collections::BTreeMap;

use engine::{Input, StageError, StageEvent};
use serde_json::{Value, json};
use stages::io::nifti;
use stages::quality_check::t1_linear::QualityNetwork;
use stages::volume::Volume;

use super::world::{Done, World};
use crate::quality_check::tests::{SHAPES, file, head, weights};

const STAGE: &str = "quality-check-t1-linear";
const TABLE: &str = "quality.tsv";

fn path(participant: &str, session: &str) -> String {
    let name = format!("{participant}_{session}_space-MNI152NLin2009cSym_res-1x1x1_T1w.nii.gz");
    format!("caps/subjects/{participant}/{session}/t1_linear/{name}")
}

fn write(world: &World, participant: &str, session: &str, volume: &Volume) {
    let path = world.path(&path(participant, session));
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    nifti::write(&path, volume).unwrap();
}

/// Images of three sessions, two of them equal, and weights of `sq101`.
fn world() -> World {
    let world = World::new();
    write(&world, "sub-03", "ses-M000", &head(SHAPES[0]));
    write(&world, "sub-01", "ses-M012", &head(SHAPES[0]));
    write(&world, "sub-02", "ses-M000", &head(SHAPES[1]));
    std::fs::write(world.path("w.pth"), file(weights(QualityNetwork::Sq101))).unwrap();
    world
}

fn run(world: &World, store: &str, changes: Value) -> Result<Done, StageError> {
    let mut params = json!({ "network": "sq101" });
    for (key, value) in changes.as_object().unwrap() {
        params[key] = value.clone();
    }
    let mut inputs: BTreeMap<&str, Input> = BTreeMap::from([
        ("caps", world.input("caps", "caps")),
        ("weights", world.input("w.pth", "weights")),
    ]);
    if world.path("wanted.tsv").exists() {
        inputs.insert("participants", world.input("wanted.tsv", "table"));
    }
    world.run(store, STAGE, params, inputs, &|_| false)
}

fn tables() -> Value {
    let path = "/../../tests/reference/quality_check/tables.json";
    let path = format!("{}{path}", env!("CARGO_MANIFEST_DIR"));
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

fn computed(done: &Done) -> u64 {
    let counts = done.events.iter().filter_map(|event| match event {
        StageEvent::Items { computed, .. } => Some(*computed),
        _ => None,
    });
    counts.sum()
}

/// Defect 51 of ClinicaDL 1.6.1: the order of ties is whatever an unstable algorithm makes of them.
#[test]
fn probabilities_descend_and_ties_are_sorted_by_participant_and_session() {
    let world = world();
    let done = run(&world, "main", json!({ "threshold": 0.57 })).unwrap();
    let text = done.text(TABLE);
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(
        lines[0],
        "participant_id\tsession_id\tpass_probability\tpass"
    );
    assert!(lines[1].starts_with("sub-02\tses-M000\t0.5709") && lines[1].ends_with("\tTrue"));
    assert!(lines[2].starts_with("sub-01\tses-M012\t0.5681") && lines[2].ends_with("\tFalse"));
    assert!(lines[3].starts_with("sub-03\tses-M000\t0.5681") && lines[3].ends_with("\tFalse"));
    assert_eq!(lines.len(), 4);
    assert!(
        done.warnings()[0].starts_with("`w.pth` is not the published weights `sq101_darq.pth`")
    );
    let default = run(&world, "main", json!({})).unwrap();
    assert_eq!(
        default.text(TABLE).matches("True").count(),
        3,
        "above a half"
    );
}

/// Made by `tests/reference/quality_check/tables.py` with the same weights and images.
#[test]
fn the_table_is_that_of_clinicadl() {
    let world = World::new();
    for n in 0..5 {
        let image = head([19 + n, 23, 21]);
        write(&world, &format!("sub-{n}"), "ses-M000", &image);
    }
    std::fs::write(world.path("w.pth"), file(weights(QualityNetwork::Sq101))).unwrap();
    let done = run(&world, "main", json!({ "threshold": 0.566 })).unwrap();
    let expected = tables()["t1_linear"].as_str().unwrap().to_owned();
    let got = done.text(TABLE);
    assert_eq!(got.lines().count(), expected.lines().count());
    for (got, expected) in got.lines().zip(expected.lines()) {
        let cells = |line: &str| line.split('\t').map(str::to_owned).collect::<Vec<_>>();
        let (got, expected) = (cells(got), cells(expected));
        for column in [0, 1, 3] {
            assert_eq!(
                got[column], expected[column],
                "{got:?}, expected {expected:?}"
            );
        }
        if let Ok(expected) = expected[2].parse::<f64>() {
            let got: f64 = got[2].parse().unwrap();
            assert!((got - expected).abs() < 1e-5, "{got}, expected {expected}");
        }
    }
}

#[test]
fn a_new_session_is_judged_alone_and_as_with_the_others() {
    let world = world();
    run(&world, "main", json!({})).unwrap();
    write(&world, "sub-04", "ses-M000", &head([30, 31, 32]));
    let second = run(&world, "main", json!({})).unwrap();
    let anew = run(&world, "other", json!({})).unwrap();
    assert_eq!(second.text(TABLE), anew.text(TABLE));
    assert_eq!((computed(&second), computed(&anew)), (1, 3));
}

#[test]
fn images_without_contrast_or_with_nan_fail_and_are_named() {
    let world = world();
    let mut image = head(SHAPES[0]);
    image.data[5] = f32::NAN;
    write(&world, "sub-05", "ses-M000", &image);
    image.data.fill(3.0);
    write(&world, "sub-04", "ses-M000", &image);
    let done = run(&world, "main", json!({})).unwrap();
    let text = done.text(TABLE);
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(
        lines[4..],
        ["sub-04\tses-M000\t\tFalse", "sub-05\tses-M000\t\tFalse"]
    );
    let told = done.warnings().join("\n");
    assert!(
        told.contains("sub-04, ses-M000; sub-05, ses-M000"),
        "{told}"
    );
}

#[test]
fn missing_sessions_broken_images_and_wrong_weights_are_told() {
    let world = world();
    let table = "participant_id\tsession_id\nsub-03\tses-M000\nsub-7\tses-M000\nsub-8\tses-M000\n";
    world.write("wanted.tsv", table);
    let error = run(&world, "main", json!({})).unwrap_err();
    assert!(
        error.message.ends_with("sub-7, ses-M000; sub-8, ses-M000"),
        "{error}"
    );
    let done = run(&world, "main", json!({ "on_missing": "drop" })).unwrap();
    assert_eq!(done.text(TABLE).lines().count(), 2);
    std::fs::remove_file(world.path("wanted.tsv")).unwrap();
    for participant in ["sub-01", "sub-02"] {
        world.write(&path(participant, "ses-M000"), "text");
    }
    let error = run(&world, "main", json!({})).unwrap_err();
    assert!(
        error.message.starts_with("2 images cannot be used"),
        "{error}"
    );
    let error = run(&world, "main", json!({ "network": "darq" })).unwrap_err();
    assert_eq!(error.hints, ["they fit `sq101`: set `network: sq101`"]);
    world.write("w.pth", "text");
    let error = run(&world, "main", json!({})).unwrap_err();
    assert_eq!(error.message, "`w.pth`: not a PyTorch zip archive");
    assert!(error.hints[0].contains("saved again"), "{error:?}");
}
