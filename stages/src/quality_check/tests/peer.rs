//! The tables of ClinicaDL 1.6.1 itself, made by `tests/reference/quality_check/tables.py`, whose
//! formulas are repeated here.

use engine::Stage;
use serde_json::{Value, json};

use super::world::{SHAPE, World, read_reference, volume};
use crate::quality_check::{QualityCheckPetLinear, QualityCheckT1Volume};
use crate::volume::Volume;

const SESSIONS: usize = 5;

fn image(folder: &str, n: usize, tail: &str) -> String {
    format!("caps/subjects/sub-{n}/ses-M000/{folder}/sub-{n}_ses-M000_{tail}.nii.gz")
}

/// Texts are equal, numbers nearly: 1.6.1 reads its own table again with an inexact parser.
#[track_caller]
fn same_table(got: &str, expected: &Value) {
    let expected = expected.as_str().unwrap();
    assert_eq!(
        got.lines().count(),
        expected.lines().count(),
        "{got}\n{expected}"
    );
    for (got_line, expected_line) in got.lines().zip(expected.lines()) {
        let (got, expected) = (got_line.split('\t'), expected_line.split('\t'));
        assert_eq!(got.clone().count(), expected.clone().count(), "{got_line}");
        for (got, expected) in got.zip(expected) {
            match (got.parse::<f64>(), expected.parse::<f64>()) {
                (Ok(got), Ok(expected)) => {
                    assert!(
                        (got - expected).abs() < 1e-14,
                        "{got_line}\n{expected_line}"
                    );
                }
                _ => assert_eq!(got, expected, "{got_line}\n{expected_line}"),
            }
        }
    }
}

fn is_third(sum: usize) -> bool {
    sum.is_multiple_of(3)
}

fn one(is_one: bool) -> f64 {
    f64::from(u8::from(is_one))
}

#[test]
fn tables_of_pet_images_are_those_of_clinicadl() {
    let world = World::new();
    let tail = "trc-18FFDG_space-MNI152NLin2009cSym_desc-Crop_res-1x1x1_suvr-pons_pet";
    for n in 0..SESSIONS {
        let pet = volume(SHAPE, |i, j, k| {
            let noise = ((7 * i + 3 * j + 11 * k) % 17) * (n + 3);
            8.0 * one(!is_third(i + j + k)) + noise as f64 / 8.0
        });
        world.write_volume(&image("pet_linear", n, tail), &pet);
    }
    let mask = volume(SHAPE, |i, j, k| one(is_third(i + j + k)));
    world.write_volume("mask.nii.gz", &mask);
    let params = json!({ "tracer": "18FFDG", "suvr_reference_region": "pons", "threshold": 0.8 });
    let done = world
        .run(QualityCheckPetLinear::ID, params, 2, &["mask"])
        .unwrap();
    let expected = &read_reference("tables.json")["pet_linear"];
    assert_eq!(
        done.tables["quality"],
        expected.as_str().unwrap(),
        "byte for byte"
    );
}

fn grey(n: usize) -> Volume {
    volume(SHAPE, |i, j, k| {
        let (phase, places) = if n == 2 {
            (5 * j * j + 7 * k, i * j + 2 * j * k + i)
        } else {
            (i + 2 * j + k, i + j + k)
        };
        let most = if n == 3 { 48 } else { 64 - n };
        let value = ((phase % 16 + 1) * most) as f64 / 1024.0;
        value * one(n == 1 || is_third(places))
    })
}

#[test]
fn tables_of_grey_matter_maps_are_those_of_clinicadl() {
    let world = World::new();
    let tail = "T1w_segm-graymatter_space-Ixi549Space_modulated-off_probability";
    for n in 0..SESSIONS {
        let name = image("t1/spm/segmentation/normalized_space", n, tail);
        world.write_volume(&name, &grey(n));
    }
    world.write_volume("mask.nii.gz", &volume(SHAPE, |i, _, _| one(i > 10)));
    // The sum of the template's two tissues.
    world.write_volume("template.nii.gz", &grey(0));
    let done = world
        .run(
            QualityCheckT1Volume::ID,
            json!({}),
            2,
            &["mask", "template"],
        )
        .unwrap();
    let expected = read_reference("tables.json");
    for (port, table) in [
        ("metrics", "QC_metrics"),
        ("pass_step_1", "pass_step-1"),
        ("pass_step_2", "pass_step-2"),
        ("passed", "pass_step-3"),
    ] {
        same_table(&done.tables[port], &expected[table]);
    }
    let lengths = ["metrics", "pass_step_1", "pass_step_2", "passed"]
        .map(|port| done.tables[port].lines().count() - 1);
    assert_eq!(lengths, [5, 3, 2, 1], "each step removes some");
}
