//! Against TorchIO, given parameters (`tests/reference/learning/augmentations.py`); and what holds for all.

use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

use super::*;
use crate::generate::motion::Movement;

fn vectors() -> Value {
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../tests/reference/learning/augmentations.json"
    );
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

fn of<T: DeserializeOwned>(value: &Value) -> T {
    serde_json::from_value(value.clone()).unwrap()
}

/// Applies a change to the image of every case of a name; its result is that of TorchIO.
fn equals_torchio(name: &str, change: impl Fn(&mut Picture, &Value)) {
    let vectors = vectors();
    let cases = vectors["cases"][name].as_array().unwrap();
    assert!(!cases.is_empty());
    for (number, case) in cases.iter().enumerate() {
        let image: Vec<f32> = of(&case["image"]);
        let mut picture = Picture {
            channels: 2,
            shape: of(&case["shape"]),
            spacing_mm: of(&vectors["spacing"]),
            voxels: image.clone(),
        };
        change(&mut picture, case);
        let want: Vec<f32> = of(&case["result"]);
        assert_eq!(picture.voxels.len(), want.len());
        let changed = want.iter().zip(&image).map(|(a, b)| (a - b).abs());
        assert!(
            changed.fold(0.0, f32::max) > 0.05,
            "{name} {number} does something"
        );
        for (at, (got, want)) in picture.voxels.iter().zip(&want).enumerate() {
            // Intensities are 0 to some 5; there, all is float32, and so are the sums of the transforms.
            let close = (got - want).abs() <= 2e-5 * want.abs().max(1.0);
            assert!(close, "{name} {number}, voxel {at}: {got} {want}");
        }
    }
}

#[test]
fn affine_transforms_are_those_of_torchio() {
    equals_torchio("Affine", |picture, case| {
        let triple = |name: &str| of(&case[name]);
        affine::transform(
            picture,
            triple("scales"),
            triple("degrees"),
            triple("translation"),
        );
    });
}

#[test]
fn elastic_deformations_are_those_of_torchio() {
    equals_torchio("Elastic", |picture, case| {
        let field = elastic::Field {
            points: of(&case["points"]),
            moves: of(&case["moves"]),
        };
        elastic::deform(picture, &field);
    });
}

#[test]
fn thick_slices_are_those_of_torchio() {
    equals_torchio("Anisotropy", |picture, case| {
        anisotropy::thicken(picture, of(&case["axis"]), of(&case["factor"]));
    });
}

#[test]
fn bias_fields_are_those_of_torchio() {
    equals_torchio("BiasField", |picture, case| {
        let coefficients: Vec<f64> = of(&case["coefficients"]);
        bias_field::brighten(picture, of(&case["order"]), &coefficients);
    });
}

#[test]
fn ghosts_are_those_of_torchio() {
    equals_torchio("Ghosting", |picture, case| {
        let (ghosts, axis) = (of(&case["ghosts"]), of(&case["axis"]));
        ghosting::haunt(picture, ghosts, axis, of(&case["intensity"]), 0.02);
    });
}

#[test]
fn spikes_are_those_of_torchio() {
    equals_torchio("Spike", |picture, case| {
        spike::add(picture, &[of(&case["place"])], of(&case["intensity"]));
    });
}

#[test]
fn motion_is_that_of_torchio() {
    equals_torchio("Motion", |picture, case| {
        let rows = |name: &str| -> Vec<[f64; 3]> { of(&case[name]) };
        let times: Vec<f64> = of(&case["times"]);
        let given = rows("degrees")
            .into_iter()
            .zip(rows("translation"))
            .zip(times);
        let movements = given.map(|((degrees, translation_mm), time)| Movement {
            degrees,
            translation_mm,
            time,
        });
        motion::move_head(picture, &movements.collect::<Vec<_>>());
    });
}

#[test]
fn swaps_flips_blurs_and_powers_are_those_of_torchio() {
    equals_torchio("RandomSwap", |picture, case| {
        swap::swap(
            picture,
            of(&case["block"]),
            of(&case["first"]),
            of(&case["second"]),
        );
    });
    equals_torchio("Flip", |picture, case| {
        flip::mirror(picture, of(&case["axes"]));
    });
    equals_torchio("RandomBlur", |picture, case| {
        let std: [f64; 3] = of(&case["std"]);
        let spacing = picture.spacing_mm;
        blur::blur(picture, [0, 1, 2].map(|axis| std[axis] / spacing[axis]));
    });
    equals_torchio("Gamma", |picture, case| {
        crate::generate::intensity::contrast(&mut picture.voxels, of(&case["gamma"]));
    });
}

fn picture(shape: [usize; 3]) -> Picture {
    let mut rng = Stream::root(1).rng();
    Picture {
        channels: 2,
        shape,
        spacing_mm: [1.0, 1.5, 2.0],
        voxels: (0..2 * shape.iter().product::<usize>())
            .map(|_| rng.random())
            .collect(),
    }
}

fn made(name: &str, options: Value) -> Augmenter {
    let options: Map<String, Value> = of(&options);
    let params = AugmentationParams::new(name, options);
    assert!(
        params.problems().is_empty(),
        "{name}: {:?}",
        params.problems()
    );
    Augmenter::new(&[params])
}

#[test]
fn at_zero_strength_an_image_stays_as_it_is() {
    let still = [
        ("Affine", json!({ "scales": [1, 1], "degrees": [0, 0] })),
        ("Anisotropy", json!({ "downsampling": [1, 1] })),
        ("BiasField", json!({ "coefficients": [0, 0] })),
        ("CropPad", json!({ "length": 0 })),
        ("Elastic", json!({ "max_displacement": 0 })),
        ("Erasing", json!({ "scale": [0, 0], "p": 1 })),
        ("Flip", json!({ "flip_probability": 0 })),
        ("Gamma", json!({ "log_gamma": [0, 0] })),
        ("Ghosting", json!({ "intensity": [0, 0] })),
        (
            "Motion",
            json!({ "degrees": [0, 0], "translation": [0, 0] }),
        ),
        ("Noise", json!({ "std": [0, 0] })),
        ("RandomBlur", json!({ "std": [0, 0] })),
        ("RandomSwap", json!({ "num_iterations": 0 })),
        ("Smoothing", json!({ "sigma": [0, 0] })),
        ("Spike", json!({ "intensity": [0, 0] })),
    ];
    assert_eq!(still.len(), AUGMENTATIONS.len());
    for (name, options) in still {
        let before = picture([9, 8, 7]);
        let mut after = before.clone();
        made(name, options).apply(&mut after, &Stream::root(3));
        for (a, b) in after.voxels.iter().zip(&before.voxels) {
            // Motion goes to k-space and back.
            assert!((a - b).abs() < 1e-6, "{name}");
        }
    }
}

#[test]
fn every_augmentation_changes_volumes_and_slices_as_its_stream_says() {
    for declared in AUGMENTATIONS {
        let name = declared.name;
        for shape in [[24, 25, 26], [1, 25, 26], [24, 1, 26], [24, 25, 1]] {
            let before = picture(shape);
            let options = match name {
                "Erasing" => json!({ "p": 1 }),
                "Flip" => json!({ "axes": [0, 1, 2], "flip_probability": 1 }),
                _ => json!({}),
            };
            let augmenter = made(name, options);
            let apply = |seed| {
                let mut picture = before.clone();
                augmenter.apply(&mut picture, &Stream::root(seed));
                assert_eq!(picture.voxels.len(), before.voxels.len());
                assert!(
                    picture.voxels.iter().all(|voxel| voxel.is_finite()),
                    "{name}"
                );
                picture
            };
            assert!(apply(5) != before, "{name} {shape:?}");
            assert!(apply(5) == apply(5), "{name}");
            if name != "Flip" {
                assert!(apply(5) != apply(6), "{name} {shape:?}");
            }
        }
    }
}

#[test]
fn an_augmentation_draws_the_same_whatever_else_is_listed() {
    let params = |name: &str, p: f64| AugmentationParams::new(name, of(&json!({ "p": p })));
    let run = |listed: &[AugmentationParams]| {
        let mut picture = picture([29, 28, 27]);
        Augmenter::new(listed).apply(&mut picture, &Stream::root(8));
        picture
    };
    let alone = run(&[params("CropPad", 1.0)]);
    // The other one is never applied.
    assert!(run(&[params("Noise", 0.0), params("CropPad", 1.0)]) == alone);
    assert!(run(&[params("CropPad", 1.0), params("CropPad", 1.0)]) != alone);
}

#[test]
fn probabilities_and_ranges_are_those_asked_for() {
    let augmenter = made("Noise", json!({ "std": [0.5, 1.5], "p": 0.25 }));
    let blank = Picture {
        voxels: vec![0.0; 2 * 512],
        ..picture([8, 8, 8])
    };
    let spread = |seed| {
        let mut picture = blank.clone();
        augmenter.apply(&mut picture, &Stream::root(seed));
        let squares: f64 = picture.voxels.iter().map(|&v| f64::from(v).powi(2)).sum();
        (squares / picture.voxels.len() as f64).sqrt()
    };
    let drawn: Vec<f64> = (0..2000)
        .map(spread)
        .filter(|&spread| spread > 0.0)
        .collect();
    // Binomial of 2000 draws: standard deviation 19.4; five of them.
    assert!((403..=597).contains(&drawn.len()), "{}", drawn.len());
    // A deviation is estimated from 1024 voxels: standard error 2.2 % of it; five of them.
    assert!(drawn.iter().all(|s| (0.44..1.67).contains(s)));
    let mean = drawn.iter().sum::<f64>() / drawn.len() as f64;
    // Uniform of width 1: standard deviation 0.29, of the mean of 500 0.013; five of them.
    assert!((mean - 1.0).abs() < 0.065, "{mean}");
}

#[test]
fn erased_rectangles_have_the_sizes_of_torchvision() {
    let augmenter = made("Erasing", json!({ "p": 1 }));
    let full = Picture {
        channels: 1,
        voxels: vec![1.0; 4 * 50 * 40],
        ..picture([4, 50, 40])
    };
    let part = |seed| {
        let mut picture = full.clone();
        augmenter.apply(&mut picture, &Stream::root(seed));
        let planes: Vec<&[f32]> = picture.voxels.chunks_exact(50 * 40).collect();
        assert!(planes.iter().all(|plane| plane == &planes[0]), "a prism");
        let erased = planes[0].iter().filter(|&&voxel| voxel == 0.0).count();
        erased as f64 / 2000.0
    };
    let parts: Vec<f64> = (0..500).map(part).collect();
    // Lengths are rounded: half a voxel of the shortest side, 11.
    assert!(parts.iter().all(|part| (0.015..0.36).contains(part)));
    let mean = parts.iter().sum::<f64>() / 500.0;
    // Areas are uniform but for those that did not fit: a mean of 0.175, standard error 0.004.
    assert!((0.15..0.19).contains(&mean), "{mean}");
}

#[test]
fn shifts_are_filled_with_zeros_and_go_both_ways() {
    let mut line = Picture {
        channels: 1,
        shape: [1, 1, 5],
        spacing_mm: [1.0; 3],
        voxels: vec![1.0, 2.0, 3.0, 4.0, 5.0],
    };
    crop_pad::shift(&mut line, [0, 0, 2]);
    assert_eq!(line.voxels, [3.0, 4.0, 5.0, 0.0, 0.0]);
    crop_pad::shift(&mut line, [0, 0, -1]);
    assert_eq!(line.voxels, [0.0, 3.0, 4.0, 5.0, 0.0]);
}

#[test]
fn what_is_out_of_range_is_told() {
    let wrong = [
        ("Noise", json!({ "std": [0.2, 0.1] }), "std"),
        ("Noise", json!({ "std": [-1, 0.1] }), "std"),
        ("Flip", json!({ "axes": [3] }), "axes"),
        ("Flip", json!({ "p": 1.5 }), "p"),
        ("", json!({ "p": 0.5 }), "name"),
        (
            "Elastic",
            json!({ "num_control_points": 3 }),
            "num_control_points",
        ),
        ("Ghosting", json!({ "num_ghosts": [5, 2] }), "num_ghosts"),
        ("RandomSwap", json!({ "patch_size": 0 }), "patch_size"),
        ("Affine", json!({ "scales": [0, 1] }), "scales"),
    ];
    for (name, options, field) in wrong {
        let problems = AugmentationParams::new(name, of(&options)).problems();
        assert_eq!(problems[0].field, field, "{name} {options}");
    }
}
