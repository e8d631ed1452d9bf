use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::oracle::{distance, vectors};
use super::world::{PET, T1, World, issues, volume};
use crate::caps;
use crate::volume::Volume;

const STAGE: &str = "generate-artifacts";

fn all() -> Value {
    json!({ "motion": true, "contrast": true, "noise": true })
}

/// Images by participant and session.
fn images(world: &World, params: &Value) -> BTreeMap<String, Volume> {
    let finished = world.run(STAGE, params, 1).unwrap();
    let images = world.images(&finished).into_iter();
    images
        .map(|(name, image)| {
            let mut parts = name.split('/').skip(1);
            let key = format!("{} {}", parts.next().unwrap(), parts.next().unwrap());
            (key, image)
        })
        .collect()
}

/// In ClinicaDL 1.6.1 the entity `art-` comes last, so that only the modality `custom` finds the images.
#[test]
fn images_keep_a_name_that_their_pattern_finds() {
    let world = World::with_t1();
    world.put(
        "sub-1",
        "ses-M000",
        "pet_linear",
        PET,
        &volume([4, 4, 4], |i| i as f32),
    );
    let finished = world.run(STAGE, &all(), 2).unwrap();
    let images = world.images(&finished);
    let pattern = format!("*{T1}");
    assert_eq!(images.len(), 4, "all sessions, not only the first ones");
    assert!(images.keys().all(|name| caps::selects(&pattern, name)));
    let name = format!("subjects/sub-2/ses-M100/t1_linear/sub-2_ses-M100_art-mot-con-noi_{T1}");
    assert!(images.contains_key(&name), "{:?}", images.keys());
    let pet = json!({
        "noise": true, "preprocessing": "pet-linear", "tracer": "18FFDG",
        "suvr_reference_region": "cerebellumPons2",
    });
    let finished = world.run(STAGE, &pet, 2).unwrap();
    let images = world.images(&finished);
    let pattern = format!("pet_linear/*_{PET}");
    assert!(images.len() == 1 && images.keys().all(|name| caps::selects(&pattern, name)));
}

/// In ClinicaDL 1.6.1 the column holds the text of a Python list.
#[test]
fn the_diagnosis_is_text_and_each_artifact_has_a_column() {
    let world = World::with_t1();
    let params = json!({ "motion": true, "noise": true });
    let finished = world.run(STAGE, &params, 2).unwrap();
    let labels = world.labels(&finished);
    assert_eq!(
        labels[0].join(" "),
        "participant_id session_id diagnosis motion contrast noise gamma noise_std"
    );
    let row = &labels[2];
    assert_eq!(
        row[..7],
        [
            "sub-2",
            "ses-M012",
            "motion-noise",
            "True",
            "False",
            "True",
            ""
        ]
    );
    assert!((5.0..15.0).contains(&row[7].parse::<f64>().unwrap()));
    assert!(labels[1..].is_sorted());
    let text = world.text(&finished, "caps", "missing_mods/missing_mods_ses-M000.tsv");
    assert_eq!(text, "participant_id\tsynthetic\nsub-1\t1\nsub-3\t1\n");
}

/// ClinicaDL 1.6.1 has no seed: nothing can be made again.
#[test]
fn images_do_not_depend_on_workers_or_other_participants() {
    let world = World::with_t1();
    let first = world.run(STAGE, &all(), 1).unwrap();
    let again = World::with_t1().run(STAGE, &all(), 3).unwrap();
    assert_eq!(first.outputs, again.outputs);
    world.put(
        "sub-0",
        "ses-M000",
        "t1_linear",
        T1,
        &volume([5, 4, 3], |i| i as f32),
    );
    let more = world.run(STAGE, &all(), 2).unwrap();
    assert_eq!((more.items_reused, more.items_computed), (4, 1));
}

#[test]
fn another_artifact_changes_nothing_of_those_before_it() {
    let world = World::with_t1();
    let plain = images(&world, &json!({ "motion": true }));
    let noisy = images(
        &world,
        &json!({ "motion": true, "noise": true, "noise_std": [0.0, 0.0] }),
    );
    assert_eq!(plain, noisy, "noise without width");
    let still = json!({ "contrast": true, "gamma": [0.0, 0.0] });
    let source = World::with_t1();
    for (key, image) in images(&source, &still) {
        let (participant, session) = key.split_once(' ').unwrap();
        let path =
            format!("caps/subjects/{participant}/{session}/t1_linear/{participant}_{session}_{T1}");
        let original = crate::io::nifti::read(&source.path(&path), "source").unwrap();
        assert_eq!(image, original, "an exponent of 1");
    }
    // The exponent of the table is the one of the image.
    let params = json!({ "contrast": true });
    let finished = world.run(STAGE, &params, 1).unwrap();
    let gamma: f64 = world.labels(&finished)[1][6].parse().unwrap();
    assert!(((-0.2_f64).exp()..(-0.05_f64).exp()).contains(&gamma));
    let got = &images(&world, &params)["sub-1 ses-M000"];
    let was = &images(&world, &still)["sub-1 ses-M000"];
    for (got, was) in got.data.iter().zip(&was.data) {
        assert!((f64::from(*got) - f64::from(*was).powf(gamma)).abs() < 1e-4);
    }
}

#[test]
fn noise_is_distributed_as_that_of_torchio() {
    let case = &vectors()["noise"];
    let world = World::new();
    for number in 0..400 {
        let name = format!("sub-{number:04}");
        world.put(
            &name,
            "ses-M000",
            "t1_linear",
            T1,
            &volume([6, 6, 6], |_| 50.0),
        );
    }
    let images = images(&world, &json!({ "noise": true }));
    let noises: Vec<Vec<f64>> = images
        .values()
        .map(|image| image.data.iter().map(|&v| f64::from(v) - 50.0).collect())
        .collect();
    // 86 400 voxels of 400 widths; a width of one image moves its share by less than 1 / 400.
    assert!(distance(&noises.concat(), &case["quantiles"]) < 0.015);
    let deviation = |noise: &Vec<f64>| {
        let n = noise.len() as f64;
        let mean = noise.iter().sum::<f64>() / n;
        (noise.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / n).sqrt()
    };
    let deviations: Vec<f64> = noises.iter().map(deviation).collect();
    // 400 images here and 3000 there: 1.95 √(1 / 400 + 1 / 3000) at the level 0.001.
    assert!(distance(&deviations, &case["deviations"]) < 0.104);
}

#[test]
fn nothing_to_do_and_impossible_ranges_are_told_with_their_field() {
    // ClinicaDL 1.6.1 copies the images then, with a name that ends in `_art-`.
    assert_eq!(issues(STAGE, &json!({})), ["motion"]);
    let odd =
        json!({ "noise": true, "noise_std": [-1, 2], "gamma": [0.3, 0.1], "rotation": [0, 1e3] });
    assert_eq!(issues(STAGE, &odd), ["rotation", "gamma", "noise_std"]);
    // ClinicaDL 1.6.1 takes rotations of whole degrees only.
    let fractions = json!({ "motion": true, "rotation": [0.25, 1.75], "translation": [-0.5, 0.5] });
    assert!(issues(STAGE, &fractions).is_empty());
    assert_eq!(images(&World::with_t1(), &fractions).len(), 4);
}

#[test]
fn every_image_that_cannot_be_used_is_named() {
    let world = World::with_t1();
    let mut flat = volume([4, 4, 4], |i| i as f32);
    flat.affine[2] = [0.0; 4];
    for participant in ["sub-1", "sub-3"] {
        world.put(participant, "ses-M000", "t1_linear", T1, &flat);
    }
    let message = world.error(STAGE, &json!({ "motion": true }));
    assert!(
        message.starts_with("2 images cannot be used: "),
        "{message}"
    );
    assert!(message.contains("sub-1_ses-M000") && message.contains("sub-3_ses-M000"));
}
