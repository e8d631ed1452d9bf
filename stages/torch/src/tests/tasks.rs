//! Every task in every mode learns what can be learnt, and nothing from shuffled labels.
//!
//! An image has a half that is the brighter the higher its score; class `AD` has scores below ½.

use maps::files::{MapsJson, MetricsTable};
use serde_json::{Value, json};
use stages::tensor_file;
use stages::volume::Volume;

use super::world::{Done, World};

pub(super) const TRAIN: usize = 32;
pub(super) const VALIDATION: usize = 12;
pub(super) const TEST: usize = 24;
const SHAPE: [usize; 3] = [18, 18, 36];

const AFFINE: [[f64; 4]; 4] = [
    [1.0, 0.0, 0.0, 0.0],
    [0.0, 1.0, 0.0, 0.0],
    [0.0, 0.0, 1.0, 0.0],
    [0.0, 0.0, 0.0, 1.0],
];

/// Scores of all participants, spread over 0 to 1, none next to ½.
fn score(number: usize) -> f64 {
    let place = (number * 37 % 68) as f64 / 67.0;
    if place < 0.5 {
        0.8 * place
    } else {
        1.0 - 0.8 * (1.0 - place)
    }
}

fn voxels(number: usize) -> Vec<f32> {
    let [nx, ny, nz] = SHAPE;
    let bright = score(number) as f32;
    let voxel = |i: usize| {
        let noise = ((i * 7919 + number * 104_729) % 1009) as f32 / 1009.0;
        let is_half = (i / nz) % ny < ny / 2;
        0.4 * noise + if is_half { 0.6 * bright } else { 0.3 }
    };
    (0..nx * ny * nz).map(voxel).collect()
}

/// Images in a mode; `label_of` says whose labels a participant of the training has.
pub(super) fn world(mode: Value, label_of: &dyn Fn(usize) -> usize) -> World {
    let world = World::empty();
    let mut index = "participant_id\tsession_id\tfile\n".to_owned();
    for number in 0..TRAIN + VALIDATION + TEST {
        let file = format!("images/sub-{number:02}.safetensors");
        index.push_str(&format!("sub-{number:02}\tses-M000\t{file}\n"));
        let path = world.path(&format!("tensors/{file}"));
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        let volume = Volume {
            data: voxels(number),
            shape: SHAPE,
            affine: AFFINE,
        };
        tensor_file::write_volume(&path, &volume).unwrap();
    }
    world.write("tensors/images.tsv", &index);
    let mut extraction = json!({
        "preprocessing": "t1-linear", "use_uncropped_image": false, "prepare_dl": false,
        "extract_json": "extract.json",
        "file_type": { "pattern": "*", "description": "", "needed_pipeline": "t1-linear" },
    });
    for (key, value) in mode.as_object().unwrap() {
        extraction[key] = value.clone();
    }
    world.write("tensors/extraction.json", &extraction.to_string());
    if extraction["mode"] == "roi" {
        let [nx, ny, nz] = SHAPE;
        let inside = |i: usize| if i % nz < 18 { 1.0 } else { 0.0 };
        let mask = Volume {
            data: (0..nx * ny * nz).map(inside).collect(),
            shape: SHAPE,
            affine: AFFINE,
        };
        let path = world.path("tensors/regions/front.nii.gz");
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        stages::io::nifti::write(&path, &mask).unwrap();
    }
    let table = |first: usize, count: usize| {
        let rows = (first..first + count).map(|number| {
            let score = score(if number < TRAIN {
                label_of(number)
            } else {
                number
            });
            let class = if score < 0.5 { "AD" } else { "CN" };
            format!("sub-{number:02}\tses-M000\t{class}\t{score:.4}\n")
        });
        let head = "participant_id\tsession_id\tdiagnosis\tscore\n".to_owned();
        head + &rows.collect::<String>()
    };
    world.write("splits/train.tsv", &table(0, TRAIN));
    world.write("splits/validation_baseline.tsv", &table(TRAIN, VALIDATION));
    world.write("test.tsv", &table(TRAIN + VALIDATION, TEST));
    world
}

pub(super) fn modes() -> [Value; 4] {
    [
        json!({ "mode": "image" }),
        json!({ "mode": "patch", "patch_size": 18, "stride_size": 18 }),
        json!({
            "mode": "slice", "slice_direction": 0, "slice_mode": "single",
            "discarded_slices": [8, 8],
        }),
        json!({
            "mode": "roi", "roi_list": ["front"], "uncropped_roi": false,
            "roi_custom_template": "", "roi_custom_mask_pattern": "", "roi_template": "x",
            "roi_mask_pattern": "",
        }),
    ]
}

pub(super) fn parameters(task: &str) -> Value {
    match task {
        "classification" => json!({
            "epochs": 8, "batch_size": 8, "optimizer": { "learning_rate": 1e-3 },
        }),
        "regression" => json!({
            "task": "regression", "label": "score", "epochs": 25, "batch_size": 8,
            "optimizer": { "learning_rate": 1e-3 }, "scheduler": { "name": "cosine" },
            "data_augmentation": [{ "name": "Noise", "std": [0.0, 0.01] }],
        }),
        _ => json!({
            "task": "reconstruction", "epochs": 12, "batch_size": 4,
            "network": { "name": "AE_Conv5_FC3" }, "optimizer": { "learning_rate": 3e-3 },
        }),
    }
}

/// A metric of the test group.
pub(super) fn tested(world: &World, model: &Done, mode: &Value, metric: &str) -> f64 {
    let done = world
        .apply("predict", model, json!({ "bootstrap": 10 }))
        .unwrap();
    let level = mode["mode"].as_str().unwrap();
    let path = format!("best-loss/test/test_{level}_level_metrics.tsv");
    let table = MetricsTable::read(&done.bytes(&path), &path).unwrap();
    let column = table.columns.iter().find(|column| column.name == metric);
    column.unwrap().value
}

fn shuffled(number: usize) -> usize {
    (number * 11 + 5) % TRAIN
}

#[test]
fn classes_are_learnt_in_every_mode() {
    for mode in modes() {
        let world = world(mode.clone(), &|number| number);
        let model = world.train("main", parameters("classification")).unwrap();
        let accuracy = tested(&world, &model, &mode, "BA");
        assert!(accuracy >= 0.9, "{mode}: {accuracy}");
    }
}

#[test]
fn shuffled_classes_are_not_learnt() {
    let mode = &modes()[0];
    let world = world(mode.clone(), &shuffled);
    let model = world.train("main", parameters("classification")).unwrap();
    let accuracy = tested(&world, &model, mode, "BA");
    // 24 images: three standard deviations around chance.
    assert!((accuracy - 0.5).abs() < 0.31, "{accuracy}");
}

#[test]
fn numbers_are_learnt_in_every_mode() {
    for mode in modes() {
        let world = world(mode.clone(), &|number| number);
        let model = world.train("main", parameters("regression")).unwrap();
        let explained = tested(&world, &model, &mode, "R2_score");
        assert!(explained >= 0.7, "{mode}: {explained}");
        let definition = MapsJson::read(&model.bytes("maps.json"), "maps.json").unwrap();
        assert_eq!(definition.network_task().unwrap(), "regression");
        assert_eq!(definition.label().unwrap(), Some("score"));
    }
}

#[test]
fn shuffled_numbers_are_not_learnt() {
    let mode = &modes()[0];
    let world = world(mode.clone(), &shuffled);
    let model = world.train("main", parameters("regression")).unwrap();
    let explained = tested(&world, &model, mode, "R2_score");
    assert!(explained < 0.2, "{explained}");
}

/// Mean squared error of giving back the mean of all training images, the best that tells nothing of any.
fn of_the_mean_image() -> f64 {
    let images: Vec<Vec<f32>> = (0..TRAIN + VALIDATION + TEST)
        .map(|number| {
            let voxels = voxels(number);
            let (least, most) = voxels
                .iter()
                .fold((f32::MAX, f32::MIN), |(a, b), &v| (a.min(v), b.max(v)));
            voxels
                .iter()
                .map(|v| (v - least) / (most - least))
                .collect()
        })
        .collect();
    let mean = |i: usize| {
        let sum: f64 = images[..TRAIN]
            .iter()
            .map(|image| f64::from(image[i]))
            .sum();
        sum / TRAIN as f64
    };
    let mean: Vec<f64> = (0..images[0].len()).map(mean).collect();
    let each = images[TRAIN + VALIDATION..].iter().map(|image| {
        let squares = image
            .iter()
            .zip(&mean)
            .map(|(v, m)| (f64::from(*v) - m).powi(2));
        (squares.sum::<f64>() / mean.len() as f64).sqrt()
    });
    each.sum::<f64>() / TEST as f64
}

#[test]
fn images_are_given_back_in_every_mode() {
    for mode in modes() {
        let world = world(mode.clone(), &|number| number);
        let model = world.train("main", parameters("reconstruction")).unwrap();
        let error = tested(&world, &model, &mode, "RMSE");
        let similarity = tested(&world, &model, &mode, "SSIM");
        assert!(error < 0.8 * of_the_mean_image(), "{mode}: {error}");
        assert!(
            similarity > 0.5 && similarity <= 1.0,
            "{mode}: {similarity}"
        );
        let definition = MapsJson::read(&model.bytes("maps.json"), "maps.json").unwrap();
        assert_eq!(definition.network_task().unwrap(), "reconstruction");
        assert_eq!(definition.label().unwrap(), None);
    }
}
