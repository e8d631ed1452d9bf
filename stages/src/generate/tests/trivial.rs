use engine::seed::Stream;
use serde_json::json;

use super::super::trivial::darken;
use super::oracle::{distance, of, vectors};
use super::world::{PET, World, issues, volume};
use crate::caps;
use crate::volume::Volume;

const STAGE: &str = "generate-trivial";

fn half(first: bool) -> Volume {
    volume([9, 8, 7], |i| f32::from(u8::from((i / 56 < 4) == first)))
}

fn world() -> World {
    let world = World::with_t1();
    world.write("masks/mask-1.nii", &half(true));
    world.write("masks/mask-2.nii.gz", &half(false));
    world
}

#[test]
fn losses_are_distributed_as_those_of_clinicadl() {
    let case = &vectors()["trivial"];
    let (voxels, percent) = (of::<usize>(&case["voxels"]), of::<f64>(&case["percent"]));
    let region: Vec<usize> = (0..voxels).collect();
    let mut all = Vec::new();
    let mut greatest = Vec::new();
    for number in 0..300 {
        let mut data = vec![80.0; voxels + 5];
        let mut rng = Stream::root(1).child(number).rng();
        darken(&mut data, &region, percent, &mut rng).unwrap();
        assert!(
            data[voxels..]
                .iter()
                .all(|&value| value.to_bits() == 80_f32.to_bits())
        );
        let losses: Vec<f64> = data[..voxels]
            .iter()
            .map(|&value| 100.0 * (1.0 - f64::from(value) / 80.0))
            .collect();
        let least = losses.iter().copied().fold(f64::INFINITY, f64::min);
        assert!(
            (least - percent).abs() < 1e-4,
            "the least loss is the parameter"
        );
        greatest.push(losses.iter().copied().fold(0.0, f64::max));
        all.extend(losses);
    }
    // The voxels of an image share its minimum: some 300 independent shifts of 0.35 σ each.
    assert!(distance(&all, &case["quantiles"]) < 0.02);
    // 300 images on either side: 1.95 √(2 / 300) at the level 0.001.
    assert!(distance(&greatest, &case["greatest"]) < 0.16);
}

#[test]
fn each_participant_comes_twice_and_only_the_region_of_its_class_changes() {
    let world = world();
    let finished = world.run(STAGE, &json!({}), 2).unwrap();
    let labels = world.labels(&finished);
    let rows: Vec<String> = labels[1..].iter().map(|row| row.join(" ")).collect();
    // The baseline of sub-2 is M012: as text, as in ClinicaDL 1.6.1, it would be M100.
    assert_eq!(
        rows,
        [
            "sub-TRIV0 ses-M000 AD 60 F sub-1",
            "sub-TRIV1 ses-M000 CN 60 F sub-1",
            "sub-TRIV2 ses-M012 AD 60 F sub-2",
            "sub-TRIV3 ses-M012 CN 60 F sub-2",
            "sub-TRIV4 ses-M000 AD 60 F sub-3",
            "sub-TRIV5 ses-M000 CN 60 F sub-3",
        ]
    );
    let images = world.images(&finished);
    let image = |participant: &str| {
        let mut found = images.iter().filter(|(name, _)| name.contains(participant));
        found.next().unwrap().1
    };
    let (ill, well) = (image("sub-TRIV0_"), image("sub-TRIV1_"));
    for (at, (a, b)) in ill.data.iter().zip(&well.data).enumerate() {
        let (darker, lighter) = if at / 56 < 4 { (a, b) } else { (b, a) };
        assert!(*darker <= lighter * 0.4 + 1e-4, "{at}: {darker} {lighter}");
        assert!(*darker >= lighter * 0.25);
    }
    let missing = world.text(&finished, "caps", "missing_mods/missing_mods_ses-M012.tsv");
    assert_eq!(
        missing,
        "participant_id\tsynthetic\nsub-TRIV2\t1\nsub-TRIV3\t1\n"
    );
}

/// ClinicaDL 1.6.1 has no seed: nothing can be made again.
#[test]
fn images_do_not_depend_on_workers_or_other_participants() {
    let world = world();
    let all = world.run(STAGE, &json!({}), 1).unwrap();
    let again = super::trivial::world().run(STAGE, &json!({}), 3).unwrap();
    assert_eq!(all.outputs, again.outputs);
    std::fs::write(
        world.path("participants.tsv"),
        "participant_id\tsession_id\nsub-3\tses-M000\n",
    )
    .unwrap();
    let one = world.run(STAGE, &json!({}), 1).unwrap();
    assert_eq!((one.items_reused, one.items_computed), (2, 0));
    let few = world
        .run(STAGE, &json!({ "atrophy_percent": 61 }), 1)
        .unwrap();
    assert_eq!(few.items_computed, 2);
}

/// ClinicaDL 1.6.1 writes into a folder `pet-linear`, which the pattern of pet-linear does not know.
#[test]
fn trivial_pet_is_found_again_by_the_pattern_of_pet_linear() {
    let world = world();
    world.put(
        "sub-1",
        "ses-M000",
        "pet_linear",
        PET,
        &volume([9, 8, 7], |_| 2.0),
    );
    let params = json!({
        "preprocessing": "pet-linear", "tracer": "18FFDG",
        "suvr_reference_region": "cerebellumPons2",
    });
    let finished = world.run(STAGE, &params, 1).unwrap();
    let pattern = format!("pet_linear/*_{PET}");
    let names = world.images(&finished);
    assert!(names.len() == 2 && names.keys().all(|name| caps::selects(&pattern, name)));
    assert_eq!(
        issues(
            STAGE,
            &json!({ "preprocessing": "pet-linear", "tracer": "a/b" })
        ),
        ["suvr_reference_region", "tracer"]
    );
}

/// ClinicaDL 1.6.1 ends with an IndexError.
#[test]
fn more_participants_than_there_are_is_an_error_with_their_number() {
    let message = world().error(STAGE, &json!({ "n_subjects": 4 }));
    assert_eq!(
        message,
        "`n_subjects` is 4, expected at most 3, the number of participants"
    );
    let finished = world().run(STAGE, &json!({ "n_subjects": 2 }), 1).unwrap();
    assert_eq!(finished.items_computed, 4);
}

/// ClinicaDL 1.6.1 ends with the ValueError of an empty minimum.
#[test]
fn a_mask_outside_of_the_brain_is_an_error_that_names_image_and_mask() {
    let world = world();
    let dark = volume([9, 8, 7], |i| if i / 56 < 4 { 0.0 } else { 9.0 });
    world.put("sub-1", "ses-M000", "t1_linear", super::world::T1, &dark);
    let message = world.error(STAGE, &json!({}));
    assert!(
        message.starts_with("no voxel of mask `masks/mask-1.nii` has an intensity in `caps/"),
        "{message}"
    );
    assert!(message.contains("sub-1_ses-M000"), "{message}");
}

#[test]
fn masks_that_are_missing_empty_or_of_another_shape_are_refused() {
    let world = World::with_t1();
    world.write("masks/mask-1.nii.gz", &half(true));
    let message = world.error(STAGE, &json!({}));
    let expected = "`masks` must have one of `mask-2.nii` and `mask-2.nii.gz`";
    assert_eq!(message, expected);
    world.write("masks/mask-2.nii.gz", &volume([9, 8, 7], |_| 0.0));
    assert!(world.error(STAGE, &json!({})).contains("is empty"));
    world.write("masks/mask-2.nii.gz", &volume([9, 7, 8], |_| 1.0));
    let message = world.error(STAGE, &json!({}));
    assert!(
        message.starts_with("3 images cannot be used: "),
        "{message}"
    );
    assert!(message.contains("has shape [9, 7, 8], expected [9, 8, 7] as `caps/"));
    let mut moved = half(false);
    moved.affine[0][3] += 4.0;
    world.write("masks/mask-2.nii.gz", &moved);
    world.run(STAGE, &json!({}), 2).unwrap();
    assert_eq!(world.warnings().len(), 1, "told once, whatever the images");
}
