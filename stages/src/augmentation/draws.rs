//! Against TorchIO, what is drawn and how much it changes: distributions of many draws
//! (`tests/reference/learning/augmentation_draws.py`).
//!
//! Two programs draw other numbers from the same distribution. What is compared are distribution functions,
//! at the quantiles that the reference keeps, as the test of Kolmogorov and Smirnov does.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::*;

/// Values by what they are of, and the draws of each.
type Columns = Vec<(String, Vec<f64>)>;

#[derive(Deserialize)]
struct Reference {
    draws: usize,
    drawn: BTreeMap<String, BTreeMap<String, Vec<f64>>>,
    swapped: [usize; 3],
    images: usize,
    shape: [usize; 3],
    spacing: [f64; 3],
    image: Vec<f32>,
    changed: BTreeMap<String, BTreeMap<String, Vec<f64>>>,
}

fn reference() -> Reference {
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../tests/reference/learning/augmentation_draws.json"
    );
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

/// The largest distance of distribution functions that `count` draws of each of two programs have by chance,
/// once in a million times.
fn by_chance(count: usize) -> f64 {
    let factor = (-(0.5e-6_f64).ln() / 2.0).sqrt();
    factor * (2.0 / count as f64).sqrt()
}

/// The distance of the distribution function of values from one that is told by quantiles at even levels.
/// Equal values make it jump: any level between the two sides of the jump is right.
fn distance(mut values: Vec<f64>, quantiles: &[f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    let count = values.len() as f64;
    let levels = quantiles.len() - 1;
    let off = |(place, &quantile): (usize, &f64)| {
        // Quantiles have six digits.
        let room = 1e-5 * quantile.abs() + 1e-12;
        let below = values.partition_point(|&value| value < quantile - room) as f64 / count;
        let up_to = values.partition_point(|&value| value <= quantile + room) as f64 / count;
        let level = place as f64 / levels as f64;
        (below - level).max(level - up_to).max(0.0)
    };
    quantiles.iter().enumerate().map(off).fold(0.0, f64::max)
}

#[track_caller]
fn assert_alike(name: &str, columns: Columns, expected: &BTreeMap<String, Vec<f64>>, count: usize) {
    let names: Vec<&String> = columns.iter().map(|(name, _)| name).collect();
    assert_eq!(names.len(), expected.len(), "{name}: {names:?}");
    for (column, values) in columns {
        assert_eq!(values.len(), count, "{name} {column}");
        let far = distance(values, &expected[&column]);
        let allowed = by_chance(count);
        assert!(
            far <= allowed,
            "{name} {column}: {far:.4} apart, by chance {allowed:.4}"
        );
    }
}

fn options<A: NamedOptions>(given: Value) -> A {
    let given: Map<String, Value> = serde_json::from_value(given).unwrap();
    AugmentationParams::new("", given).options::<A>()
}

/// Rows of drawn numbers as columns.
fn columns(
    names: &[String],
    count: usize,
    mut draw: impl FnMut(&mut ChaCha8Rng) -> Vec<f64>,
) -> Columns {
    let mut rng = Stream::root(2).rng();
    let mut columns: Columns = names
        .iter()
        .map(|name| (name.clone(), Vec::new()))
        .collect();
    for _ in 0..count {
        let row = draw(&mut rng);
        assert_eq!(row.len(), names.len());
        for ((_, column), value) in columns.iter_mut().zip(row) {
            column.push(value);
        }
    }
    columns
}

/// `names` and, along three axes each, `triples`.
fn named(triples: &[&str]) -> Vec<String> {
    let along = |name: &&str| [0, 1, 2].map(|axis| format!("{name}.{axis}"));
    triples.iter().flat_map(along).collect()
}

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(|&name| name.to_owned()).collect()
}

#[test]
fn numbers_are_drawn_as_torchio_draws_them() {
    let reference = reference();
    let count = reference.draws;
    let full = Picture {
        channels: 1,
        shape: [9, 8, 7],
        spacing_mm: [1.0; 3],
        voxels: vec![0.0; 504],
    };
    let check =
        |name: &str, names: &[String], draw: &mut dyn FnMut(&mut ChaCha8Rng) -> Vec<f64>| {
            let columns = columns(names, count, draw);
            assert_alike(name, columns, &reference.drawn[name], count);
        };
    let affine: affine::Affine = options(json!({
        "scales": [0.8, 1.3], "degrees": [-5, 20], "translation": [-3, 6],
    }));
    check(
        "Affine",
        &named(&["scale", "degree", "translation"]),
        &mut |rng| affine.draw(rng).concat(),
    );
    let anisotropy: anisotropy::Anisotropy = options(json!({}));
    check("Anisotropy", &names(&["axis", "factor"]), &mut |rng| {
        let (axis, factor) = anisotropy.draw(&full, rng).unwrap();
        vec![axis as f64, factor]
    });
    let bias: bias_field::BiasField = options(json!({ "coefficients": [-0.2, 0.5] }));
    check("BiasField", &names(&["first", "last"]), &mut |rng| {
        let drawn = bias.draw(rng);
        vec![drawn[0], drawn[drawn.len() - 1]]
    });
    let elastic: elastic::Elastic = options(json!({}));
    check("Elastic", &named(&["moves"]), &mut |rng| {
        elastic.draw(&full, rng).moves[(3 * 7 + 2) * 7 + 4].to_vec()
    });
    let flip: flip::Flip = options(json!({ "axes": [0, 1, 2], "flip_probability": 0.3 }));
    check("Flip", &names(&["0", "1", "2"]), &mut |rng| {
        flip.draw(rng)
            .map(|flipped| f64::from(u8::from(flipped)))
            .to_vec()
    });
    let gamma: gamma::Gamma = options(json!({ "log_gamma": [-0.3, 0.5] }));
    check("Gamma", &names(&["gamma"]), &mut |rng| {
        vec![gamma.draw(rng)]
    });
    let ghosting: ghosting::Ghosting = options(json!({}));
    check(
        "Ghosting",
        &names(&["ghosts", "axis", "intensity"]),
        &mut |rng| {
            let (ghosts, axis, intensity) = ghosting.draw(&full, rng).unwrap();
            vec![ghosts as f64, axis as f64, intensity]
        },
    );
    let motion: motion::Motion = options(json!({ "translation": [-1, 4], "num_transforms": 3 }));
    let of_motion = names(&["first time", "last time", "degree", "translation"]);
    check("Motion", &of_motion, &mut |rng| {
        let drawn = motion.draw(rng);
        let (degree, moved) = (drawn[1].degrees[2], drawn[2].translation_mm[0]);
        vec![drawn[0].time, drawn[2].time, degree, moved]
    });
    let noise: noise::Noise = options(json!({ "std": [0.02, 0.1] }));
    check("Noise", &names(&["std"]), &mut |rng| vec![noise.draw(rng)]);
    let blur: blur::RandomBlur = options(json!({}));
    check("RandomBlur", &named(&["std"]), &mut |rng| {
        blur.draw(rng).to_vec()
    });
    check("RandomSwap", &named(&["first", "second"]), &mut |rng| {
        let (first, second) = swap::draw(reference.swapped, [5; 3], rng).unwrap();
        [first, second]
            .concat()
            .into_iter()
            .map(|place| place as f64)
            .collect()
    });
    let spike: spike::Spike = options(json!({ "num_spikes": [1, 4] }));
    let of_spike = [names(&["spikes"]), named(&["place"]), names(&["intensity"])].concat();
    check("Spike", &of_spike, &mut |rng| {
        let (places, intensity) = spike.draw(rng);
        [
            &[places.len() as f64],
            &places[places.len() - 1][..],
            &[intensity],
        ]
        .concat()
    });
}

#[test]
fn images_change_as_much_as_those_of_torchio() {
    let reference = reference();
    let changes = [
        (
            "Affine",
            json!({ "scales": [0.8, 1.3], "degrees": [-20, 20], "translation": [-3, 3] }),
        ),
        ("Anisotropy", json!({})),
        ("BiasField", json!({})),
        // With borders that stay, the third axis would differ.
        (
            "Elastic",
            json!({ "max_displacement": 5, "locked_borders": 0 }),
        ),
        (
            "Flip",
            json!({ "axes": [0, 1, 2], "flip_probability": 0.3 }),
        ),
        ("Gamma", json!({})),
        ("Ghosting", json!({})),
        (
            "Motion",
            json!({ "degrees": [2, 14], "translation": [-4, 4] }),
        ),
        ("Noise", json!({ "std": [0.02, 0.1] })),
        ("RandomBlur", json!({})),
        // Small blocks seldom overlap, and the last place of an axis is one of many.
        (
            "RandomSwap",
            json!({ "patch_size": 3, "num_iterations": 10 }),
        ),
        ("Spike", json!({})),
    ];
    assert_eq!(changes.len(), reference.changed.len());
    let before: Vec<f64> = reference
        .image
        .iter()
        .map(|&voxel| f64::from(voxel))
        .collect();
    let count = before.len() as f64;
    for (name, options) in changes {
        let options: Map<String, Value> = serde_json::from_value(options).unwrap();
        let augmenter = Augmenter::new(&[AugmentationParams::new(name, options)]);
        let mut seed = 0;
        let names = names(&["mean", "deviation", "change"]);
        let mut columns = columns(&names, reference.images, |_| {
            seed += 1;
            let mut picture = Picture {
                channels: 1,
                shape: reference.shape,
                spacing_mm: reference.spacing,
                voxels: reference.image.clone(),
            };
            augmenter.apply(&mut picture, &Stream::root(seed));
            let after: Vec<f64> = picture
                .voxels
                .iter()
                .map(|&voxel| f64::from(voxel))
                .collect();
            let mean = after.iter().sum::<f64>() / count;
            let variance = after.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / count;
            let pairs = after.iter().zip(&before);
            let change = pairs.map(|(a, b)| (a - b).powi(2)).sum::<f64>() / count;
            vec![mean, variance.sqrt(), change.sqrt()]
        });
        let expected = &reference.changed[name];
        if name == "RandomSwap" {
            // Blocks of TorchIO may overlap, so that some voxels are there twice and others are lost, and
            // images change a little less; ours have all of their voxels.
            let mean = before.iter().sum::<f64>() / count;
            assert!(
                columns[0]
                    .1
                    .iter()
                    .all(|found| (found - mean).abs() < 1e-12)
            );
            let (_, changes) = &mut columns[2];
            changes.sort_by(f64::total_cmp);
            let (got, theirs) = (changes[changes.len() / 2], &expected["change"]);
            let theirs = theirs[theirs.len() / 2];
            assert!((got / theirs - 1.0).abs() < 0.05, "{got} {theirs}");
            continue;
        }
        assert_alike(name, columns, expected, reference.images);
    }
}

#[test]
fn other_distributions_are_told_apart() {
    let even: Vec<f64> = (0..=64).map(|level| f64::from(level) / 64.0).collect();
    let mut rng = Stream::root(4).rng();
    let mut drawn =
        |of: &dyn Fn(f64) -> f64| -> Vec<f64> { (0..2000).map(|_| of(rng.random())).collect() };
    assert!(distance(drawn(&|x| x), &even) < by_chance(2000));
    // A range that is a tenth longer, and one with more of small numbers.
    assert!(distance(drawn(&|x| 1.1 * x), &even) > by_chance(2000));
    assert!(distance(drawn(&|x| x.powf(1.5)), &even) > by_chance(2000));
    let coin = [vec![0.0; 33], vec![1.0; 32]].concat();
    assert!(distance(drawn(&|x| f64::from(u8::from(x < 0.5))), &coin) < by_chance(2000));
    assert!(distance(drawn(&|x| f64::from(u8::from(x < 0.65))), &coin) > by_chance(2000));
}
