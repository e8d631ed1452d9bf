use serde_json::{Value, json};

use super::super::blur;
use super::oracle::{of, vectors, volume};
use super::world::{self, PET, World, issues};
use crate::{caps, grid};

const STAGE: &str = "generate-hypometabolic";

fn mask(vectors: &Value) -> crate::volume::Volume {
    let mask = &vectors["hypometabolic"]["mask"];
    volume(&mask["data"], &mask["shape"], &mask["affine"])
}

fn pet_world() -> World {
    let vectors = vectors();
    let case = &vectors["hypometabolic"];
    let world = World::new();
    let image = volume(&case["image"], &case["shape"], &case["affine"]);
    for participant in ["sub-1", "sub-2"] {
        world.put(participant, "ses-M000", "pet_linear", PET, &image);
    }
    world.write("mask", &mask(&vectors));
    world
}

#[test]
fn the_image_is_that_of_clinicadl() {
    let case = &vectors()["hypometabolic"];
    let world = pet_world();
    let params = json!({ "anomaly_degree": case["degree"], "sigma": case["sigma"] });
    let finished = world.run(STAGE, &params, 1).unwrap();
    let images = world.images(&finished);
    let expected: Vec<f64> = of(&case["result"]);
    assert_eq!(images.len(), 2);
    for image in images.values() {
        for (got, want) in image.data.iter().zip(&expected) {
            // The vector has seven digits, the image is float32.
            assert!((f64::from(*got) - want).abs() < 1e-6, "{got} {want}");
        }
    }
}

#[test]
fn resampling_to_the_image_is_that_of_nilearn() {
    let vectors = vectors();
    let case = &vectors["nearest"];
    let (shape, affine) = (of(&case["shape"]), of(&case["affine"]));
    let got = grid::nearest(&mask(&vectors), "mask", shape, &affine).unwrap();
    let want: Vec<f32> = of(&case["result"]);
    assert!(want.iter().any(|&value| value > 0.0));
    assert_eq!(got, want);
}

#[test]
fn blur_is_that_of_scipy() {
    let vectors = vectors();
    let case = &vectors["blur"];
    let inside = |i: usize, from: usize| (from..from + 4).contains(&i);
    let shape = [12, 10, 8];
    let mask: Vec<f32> = (0..960)
        .map(|i| inside(i / 80, 4) && inside(i / 8 % 10, 3) && inside(i % 8, 2))
        .map(|inside| f32::from(u8::from(inside)))
        .collect();
    let factors = super::super::hypometabolic::factors(&mask, shape, 30.0, 2.0);
    let sum: f64 = factors.iter().sum();
    assert!((sum - of::<f64>(&case["sum"])).abs() < 1e-9 && (sum - 940.8).abs() < 1e-9);
    for place in case["at"].as_array().unwrap() {
        let (x, y, z, want): (usize, usize, usize, f64) = of(place);
        assert!((factors[(x * 10 + y) * 8 + z] - want).abs() < 1e-12);
    }
    // Widths from none to several times the image, whose mirror then repeats.
    let sigmas: Vec<f64> = of(&case["sigmas"]);
    for (sigma, want) in sigmas.into_iter().zip(case["blurred"].as_array().unwrap()) {
        let got = blur::gaussian(of(&case["small"]), &[3, 4], &[sigma; 2]);
        for (got, want) in got.iter().zip(of::<Vec<f64>>(want)) {
            assert!((got - want).abs() < 1e-12, "sigma {sigma}: {got} {want}");
        }
    }
}

/// In ClinicaDL 1.6.1 the name ends in `_pat-ad_deg-30_pet`, in a folder `pet-linear`, which only the
/// modality `custom` finds, and there is no column `diagnosis`.
#[test]
fn images_are_found_by_the_pattern_of_pet_linear_and_have_a_diagnosis() {
    let world = pet_world();
    let finished = world
        .run(STAGE, &json!({ "anomaly_degree": 30.5 }), 1)
        .unwrap();
    let name = "subjects/sub-2/ses-M000/pet_linear/sub-2_ses-M000_pat-ad_deg-30_trc-18FFDG\
                _space-MNI152NLin2009cSym_desc-Crop_res-1x1x1_suvr-cerebellumPons2_pet.nii.gz";
    let images = world.images(&finished);
    assert!(images.contains_key(name), "{:?}", images.keys());
    assert!(caps::selects(&format!("pet_linear/*_{PET}"), name));
    let labels = world.labels(&finished);
    let header = [
        "participant_id",
        "session_id",
        "diagnosis",
        "pathology",
        "percentage",
    ];
    assert_eq!(labels[0], header);
    assert_eq!(labels[2], ["sub-2", "ses-M000", "ad", "ad", "30.5"]);
}

#[test]
fn other_participants_and_workers_do_not_matter() {
    let world = pet_world();
    let both = world.run(STAGE, &json!({}), 1).unwrap();
    let again = pet_world().run(STAGE, &json!({}), 3).unwrap();
    assert_eq!(both.outputs, again.outputs);
    let one = world.run(STAGE, &json!({ "n_subjects": 1 }), 1).unwrap();
    assert_eq!(one.items_computed, 0);
    let other = world
        .run(STAGE, &json!({ "pathology": "bvftd" }), 1)
        .unwrap();
    assert_eq!(other.items_computed, 0, "the name changes no voxel");
}

/// A value of 0.5 leaves half of the uptake in ClinicaDL 1.6.1, whatever the degree.
#[test]
fn a_voxel_partly_inside_loses_that_part_of_the_degree() {
    let factors = super::super::hypometabolic::factors(&[0.0, 0.5, 1.0], [3, 1, 1], 20.0, 0.0);
    for (got, want) in factors.iter().zip([1.0, 0.9, 0.8]) {
        assert!((got - want).abs() < 1e-12);
    }
}

#[test]
fn masks_outside_of_the_image_or_of_other_values_are_refused() {
    let world = pet_world();
    let mut far = mask(&vectors());
    far.affine[0][3] += 500.0;
    world.write("mask", &far);
    let message = world.error(STAGE, &json!({}));
    assert!(message.contains("no voxel of mask `mask` has an intensity in `caps/"));
    far.data[7] = 2.0;
    world.write("mask", &far);
    assert_eq!(
        world.error(STAGE, &json!({})),
        "mask `mask` has values outside of 0 to 1"
    );
    far.data[7] = 1.0;
    far.affine[1] = [0.0; 4];
    world.write("mask", &far);
    assert!(
        world
            .error(STAGE, &json!({}))
            .contains("`mask` has voxels without a volume")
    );
    world.write("mask", &world::volume([2, 2, 2], |_| f32::NAN));
    assert!(world.error(STAGE, &json!({})).contains("outside of 0 to 1"));
    world.write("mask", &mask(&vectors()));
    assert!(
        world
            .error(STAGE, &json!({ "n_subjects": 3 }))
            .contains("at most 2")
    );
    assert_eq!(issues(STAGE, &json!({ "pathology": "a_b" })), ["pathology"]);
    let none = world.error(STAGE, &json!({ "tracer": "11CPIB" }));
    assert!(none.contains("`caps` has no image") && none.contains("_trc-11CPIB_"));
}

/// ClinicaDL 1.6.1 downloads its mask, and a failure ends with an UnboundLocalError: here it is an input.
#[test]
fn without_a_mask_the_error_says_so() {
    let world = pet_world();
    std::fs::remove_file(world.path("mask")).unwrap();
    let message = world.error(STAGE, &json!({}));
    assert_eq!(message, "nothing is connected to input `mask`");
}
