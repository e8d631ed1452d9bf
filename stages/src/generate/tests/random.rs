use serde_json::json;

use super::oracle::{distance, of, vectors};
use super::world::{PET, T1, World, issues, volume};
use crate::caps;

const STAGE: &str = "generate-random";

#[test]
fn noise_is_distributed_as_that_of_clinicadl() {
    let case = &vectors()["random"];
    let world = World::new();
    let image = volume([16, 16, 16], |i| (i % 61) as f32);
    world.put("sub-1", "ses-M000", "t1_linear", T1, &image);
    let params = json!({ "n_subjects": 10, "mean": case["mean"], "sigma": case["sigma"] });
    let finished = world.run(STAGE, &params, 2).unwrap();
    let images = world.images(&finished);
    assert_eq!(images.len(), 20);
    let noise: Vec<f64> = images
        .values()
        .flat_map(|noisy| noisy.data.iter().zip(&image.data))
        .map(|(a, b)| f64::from(a - b))
        .collect();
    // 81 920 voxels on either side: 1.95 √(2 / 81 920) at the level 0.001.
    assert!(distance(&noise, &case["quantiles"]) < 0.0097);
    let mean: f64 = noise.iter().sum::<f64>() / noise.len() as f64;
    assert!((mean - of::<f64>(&case["mean"])).abs() < 0.03);
}

/// ClinicaDL 1.6.1 has no seed: nothing can be made again.
#[test]
fn images_do_not_depend_on_workers_or_on_how_many_others_there_are() {
    let run = |n: usize, cpus: usize| {
        let world = World::with_t1();
        let finished = world.run(STAGE, &json!({ "n_subjects": n }), cpus).unwrap();
        (world.images(&finished), finished.outputs)
    };
    let (few, outputs) = run(2, 1);
    assert_eq!(outputs, run(2, 3).1);
    let (more, _) = run(4, 2);
    assert!(few.iter().all(|(name, image)| more[name] == *image));
    let distinct: std::collections::BTreeSet<Vec<u32>> = more
        .values()
        .map(|image| image.data.iter().map(|value| value.to_bits()).collect())
        .collect();
    assert_eq!(distinct.len(), 8, "each image has noise of its own");
}

#[test]
fn the_first_image_of_the_table_is_the_source_and_labels_are_sorted() {
    let world = World::with_t1();
    std::fs::write(
        world.path("participants.tsv"),
        "participant_id\tsession_id\nsub-3\tses-M000\nsub-1\tses-M000\n",
    )
    .unwrap();
    let params = json!({ "n_subjects": 6, "sigma": 0.0 });
    let finished = world.run(STAGE, &params, 1).unwrap();
    let source = crate::io::nifti::read(
        &world.path(&format!(
            "caps/subjects/sub-3/ses-M000/t1_linear/sub-3_ses-M000_{T1}"
        )),
        "source",
    )
    .unwrap();
    assert!(
        world
            .images(&finished)
            .values()
            .all(|image| *image == source)
    );
    let labels = world.labels(&finished);
    assert_eq!(
        labels[0],
        [
            "participant_id",
            "session_id",
            "diagnosis",
            "age_bl",
            "sex",
            "derived_from"
        ]
    );
    assert_eq!(labels.len(), 13);
    assert!(labels[1..].is_sorted());
    assert_eq!(
        labels[1],
        ["sub-RAND0", "ses-M000", "AD", "60", "F", "sub-3"]
    );
    for row in &labels[1..] {
        let number: usize = row[0]["sub-RAND".len()..].parse().unwrap();
        assert_eq!(row[2], if number < 6 { "AD" } else { "CN" });
    }
    let missing = world.text(&finished, "caps", "missing_mods/missing_mods_ses-M000.tsv");
    assert!(missing.starts_with("participant_id\tsynthetic\nsub-RAND0\t1\nsub-RAND1\t1\n"));
    assert_eq!(missing.lines().count(), 13);
}

/// ClinicaDL 1.6.1 writes PET into `t1_linear`, where the pattern of pet-linear does not look.
#[test]
fn generated_pet_is_found_again_by_the_pattern_of_pet_linear() {
    let world = World::new();
    let image = volume([4, 4, 4], |i| i as f32);
    world.put("sub-1", "ses-M000", "pet_linear", PET, &image);
    let params = json!({
        "preprocessing": "pet-linear", "tracer": "18FFDG",
        "suvr_reference_region": "cerebellumPons2", "n_subjects": 1,
    });
    let finished = world.run(STAGE, &params, 1).unwrap();
    let pattern = "pet_linear/*_trc-18FFDG_space-MNI152NLin2009cSym_desc-Crop_res-1x1x1\
                   _suvr-cerebellumPons2_pet.nii.gz";
    let images = world.images(&finished);
    assert_eq!(images.len(), 2);
    assert!(images.keys().all(|name| caps::selects(pattern, name)));
    let name = format!("subjects/sub-RAND0/ses-M000/pet_linear/sub-RAND0_ses-M000_{PET}");
    assert!(images.contains_key(&name));
    assert_eq!(
        issues(STAGE, &json!({ "preprocessing": "pet-linear" })),
        ["tracer", "suvr_reference_region"]
    );
}

#[test]
fn a_caps_without_images_and_sessions_without_one_are_told() {
    let world = World::new();
    std::fs::create_dir_all(world.path("caps/subjects")).unwrap();
    assert!(
        world
            .error(STAGE, &json!({}))
            .contains("`caps` has no image")
    );
    let world = World::with_t1();
    std::fs::write(
        world.path("participants.tsv"),
        "participant_id\tsession_id\nsub-1\tses-M000\nsub-9\tses-M000\nsub-2\tses-M000\n",
    )
    .unwrap();
    let message = world.error(STAGE, &json!({}));
    assert!(
        message.contains("2 of 3 sessions of `participants.tsv`"),
        "{message}"
    );
    assert!(
        message.ends_with("sub-2, ses-M000; sub-9, ses-M000"),
        "{message}"
    );
    std::fs::write(
        world.path("participants.tsv"),
        "participant_id\tsession_id\n",
    )
    .unwrap();
    assert_eq!(
        world.error(STAGE, &json!({})),
        "no session of `participants.tsv` has an image"
    );
    let world = World::new();
    let nothing = volume([4, 4, 4], |_| f32::NAN);
    world.put("sub-1", "ses-M000", "t1_linear", T1, &nothing);
    assert!(
        world
            .error(STAGE, &json!({}))
            .ends_with("has no finite voxel")
    );
}
