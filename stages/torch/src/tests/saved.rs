//! Files that predictions write beside their tables: tensors, images in the space of theirs, codes.

use maps::files::{
    MeasuredTable, MetricsTable, PredictionTable, RECONSTRUCTION_COLUMNS, REGRESSION_COLUMNS,
};
use maps::weights::read_pt;
use serde_json::{Value, json};
use stages::io::nifti;
use stages::tensor_file;
use stages::volume::{Affine, Volume, to_world};
use tch::Tensor;

use super::world::{Done, World};
use crate::tasks::structural_similarity;
use crate::testing::assert_close;

/// Sizes of the images, and of their patches.
const SHAPE: [usize; 3] = [6, 5, 7];
const SIZE: usize = 4;
const STRIDE: usize = 2;
/// Where the four patches begin: the last plane of two axes is in none.
const STARTS: [[usize; 3]; 4] = [[0, 0, 0], [0, 0, 2], [2, 0, 0], [2, 0, 2]];

/// Places of images: oblique with unequal voxels, and flipped along two axes.
const AFFINES: [Affine; 2] = [
    [
        [1.2, -0.4, 0.2, -31.0],
        [0.5, 1.6, -0.3, 12.0],
        [-0.1, 0.4, 2.5, 7.5],
        [0.0, 0.0, 0.0, 1.0],
    ],
    [
        [-2.0, 0.0, 0.0, 90.0],
        [0.0, 0.0, 1.5, -126.0],
        [0.0, -1.0, 0.0, 72.0],
        [0.0, 0.0, 0.0, 1.0],
    ],
];

fn voxels(number: usize) -> Vec<f32> {
    let noise = |i: usize| ((i * 7919 + number * 104_729) % 1009) as f32 / 1009.0;
    (0..SHAPE.iter().product()).map(noise).collect()
}

/// Participants 0 to 7, of whom the last two are tested; `mode` is how their images are extracted.
fn world(mode: Value) -> World {
    let world = World::empty();
    let mut index = "participant_id\tsession_id\tfile\n".to_owned();
    for number in 0..8 {
        let file = format!("images/sub-{number}.safetensors");
        index.push_str(&format!("sub-{number}\tses-M000\t{file}\n"));
        let path = world.path(&format!("tensors/{file}"));
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        let volume = Volume {
            data: voxels(number),
            shape: SHAPE,
            affine: AFFINES[number % 2],
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
        let mask = Volume {
            data: (0..SHAPE.iter().product()).map(inside).collect(),
            shape: SHAPE,
            affine: AFFINES[0],
        };
        let path = world.path("tensors/regions/box.nii.gz");
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        nifti::write(&path, &mask).unwrap();
    }
    let table = |numbers: std::ops::Range<usize>| {
        let row = |i: usize| format!("sub-{i}\tses-M000\t{}\t{i}.5\n", ["AD", "CN"][i % 2]);
        let head = "participant_id\tsession_id\tdiagnosis\tage\n".to_owned();
        head + &numbers.map(row).collect::<String>()
    };
    world.write("splits/train.tsv", &table(0..4));
    world.write("splits/validation_baseline.tsv", &table(4..6));
    world.write("test.tsv", &table(6..8));
    world
}

/// A box without one of its corners.
fn inside(at: usize) -> f32 {
    let [x, y, z] = [at / 35, at / 7 % 5, at % 7];
    let is_box = (1..5).contains(&x) && (0..4).contains(&y) && (2..6).contains(&z);
    if is_box && (x, y, z) != (1, 0, 2) {
        1.0
    } else {
        0.0
    }
}

fn patches() -> Value {
    json!({ "mode": "patch", "patch_size": SIZE, "stride_size": STRIDE })
}

/// A short training with networks of one convolution, or one layer.
fn trained(world: &World, task: &str, changes: Value) -> Done {
    let layers = match task {
        "reconstruction" => json!([{ "conv": { "channels": 1, "padding": 1 } }]),
        _ => json!(["flatten", { "linear": "outputs" }]),
    };
    let mut params = json!({
        "task": task, "epochs": 1, "normalize": false,
        "network": { "name": "Layers", "layers": layers },
    });
    if task == "regression" {
        params["label"] = json!("age");
    }
    for (key, value) in changes.as_object().unwrap() {
        params[key] = value.clone();
    }
    world.train("main", params).unwrap()
}

fn predicted(world: &World, model: &Done, save: Value) -> Done {
    let params = json!({ "bootstrap": 5, "batch_size": 3, "save": save });
    world.apply("predict", model, params).unwrap()
}

const FOLDER: &str = "best-loss/test";

/// A tensor, and its shape.
fn tensor(done: &Done, name: &str) -> (Vec<usize>, Vec<f32>) {
    let path = format!("{FOLDER}/tensors/{name}.pt");
    let array = read_pt(&done.bytes(&path)).unwrap();
    (array.shape().to_vec(), array.as_f32().unwrap().to_vec())
}

fn image(done: &Done, name: &str) -> Volume {
    let path = format!("{FOLDER}/nifti_images/{name}.nii.gz");
    nifti::read(&done.input.files[&path].path, &path).unwrap()
}

fn at([x, y, z]: [usize; 3]) -> usize {
    (x * SHAPE[1] + y) * SHAPE[2] + z
}

/// Voxels of a patch, in its order.
fn in_patch(start: [usize; 3]) -> impl Iterator<Item = [usize; 3]> {
    let count = SIZE.pow(3);
    (0..count).map(move |i| {
        let inside = [i / SIZE / SIZE, i / SIZE % SIZE, i % SIZE];
        [0, 1, 2].map(|axis| start[axis] + inside[axis])
    })
}

/// The mean of the values of patches at each voxel of the image; `empty` where none is.
fn mean_of_patches(values: impl Fn(usize, usize) -> f64, empty: f32) -> Vec<f32> {
    let mut sums = vec![(0.0, 0); SHAPE.iter().product()];
    for (part, start) in STARTS.into_iter().enumerate() {
        for (i, voxel) in in_patch(start).enumerate() {
            let sum = &mut sums[at(voxel)];
            *sum = (sum.0 + values(part, i), sum.1 + 1);
        }
    }
    let mean = |(sum, count): (f64, u32)| match count {
        0 => empty,
        count => (sum / f64::from(count)) as f32,
    };
    sums.into_iter().map(mean).collect()
}

/// Equal bit for bit, also where they are no numbers.
#[track_caller]
fn assert_same(got: &[f32], expected: &[f32], what: &str) {
    let bits = |values: &[f32]| -> Vec<u32> {
        let bits = values
            .iter()
            .map(|v| if v.is_nan() { u32::MAX } else { v.to_bits() });
        bits.collect()
    };
    assert_eq!(bits(got), bits(expected), "{what}");
}

#[track_caller]
fn assert_place(affine: &Affine, first: [f64; 3], second: [f64; 3], what: &str) {
    // The file stores 32 bits.
    let places = [to_world(affine, [0.0; 3]), to_world(affine, [1.0; 3])].concat();
    assert_close(&places, &[first, second].concat(), 1e-5, what);
}

#[test]
fn reconstructions_of_patches_are_put_together_in_the_space_of_their_image() {
    let world = world(patches());
    let model = trained(&world, "reconstruction", json!({}));
    let done = predicted(&world, &model, json!(["tensors", "nifti"]));
    let path = format!("{FOLDER}/test_image_level_prediction.tsv");
    let table = MeasuredTable::read(&done.bytes(&path), &path, &RECONSTRUCTION_COLUMNS).unwrap();
    assert_eq!(table.level, "image");
    for (row, number) in [6, 7].into_iter().enumerate() {
        let who = format!("sub-{number}_ses-M000");
        let affine = AFFINES[number % 2];
        for (part, start) in STARTS.into_iter().enumerate() {
            let whole = voxels(number);
            let expected: Vec<f32> = in_patch(start).map(|voxel| whole[at(voxel)]).collect();
            let name = format!("{who}_patch-{part}");
            let (shape, input) = tensor(&done, &format!("{name}_input"));
            assert_eq!(shape, [1, SIZE, SIZE, SIZE]);
            assert_same(&input, &expected, &name);
            let (_, output) = tensor(&done, &format!("{name}_output"));
            assert_ne!(output, input);
            for (what, tensor) in [("input", input), ("output", output)] {
                let image = image(&done, &format!("{name}_{what}"));
                assert_eq!(image.shape, [SIZE; 3]);
                assert_same(&image.data, &tensor, &name);
                let first = start.map(|index| index as f64);
                let second = first.map(|index| index + 1.0);
                let places = (to_world(&affine, first), to_world(&affine, second));
                assert_place(&image.affine, places.0, places.1, &name);
            }
        }
        let outputs: Vec<Vec<f32>> = (0..4)
            .map(|part| tensor(&done, &format!("{who}_patch-{part}_output")).1)
            .collect();
        let made = mean_of_patches(|part, i| f64::from(outputs[part][i]), 0.0);
        let seen: Vec<f32> = voxels(number);
        let seen = mean_of_patches(
            |part, i| f64::from(seen[at(in_patch(STARTS[part]).nth(i).unwrap())]),
            0.0,
        );
        for (what, expected) in [("input", &seen), ("output", &made)] {
            let (shape, whole) = tensor(&done, &format!("{who}_image-0_{what}"));
            assert_eq!(shape, [1, 6, 5, 7]);
            assert_same(&whole, expected, what);
            let image = image(&done, &format!("{who}_image_{what}"));
            assert_same(&image.data, expected, what);
            let places = (to_world(&affine, [0.0; 3]), to_world(&affine, [1.0; 3]));
            assert_place(&image.affine, places.0, places.1, what);
        }
        assert_measured(&table.rows[row].values, &seen, &made);
    }
    let path = format!("{FOLDER}/test_image_level_metrics.tsv");
    let metrics = MetricsTable::read(&done.bytes(&path), &path).unwrap();
    let mae = metrics.get("MAE").unwrap();
    let mean = (table.rows[0].values[0] + table.rows[1].values[0]) / 2.0;
    assert_close(&[mae.value], &[mean], 1e-12, "mean over images");
    assert!(mae.interval.is_some() && metrics.get("loss").is_none());
}

/// Errors are those of the voxels that patches cover: a box of 6 by 4 by 6.
#[track_caller]
fn assert_measured(measured: &[f64], seen: &[f32], made: &[f32]) {
    let cut = |image: &[f32]| -> Vec<f32> {
        let covered = (0..6 * 4 * 6).map(|i| [i / 24, i / 6 % 4, i % 6]);
        covered.map(|voxel| image[at(voxel)]).collect()
    };
    let (seen, made) = (cut(seen), cut(made));
    let errors = seen.iter().zip(&made).map(|(a, b)| f64::from(a - b));
    let errors: Vec<f64> = errors.collect();
    let count = errors.len() as f64;
    let mae = errors.iter().map(|error| error.abs()).sum::<f64>() / count;
    let mse = errors.iter().map(|error| error * error).sum::<f64>() / count;
    // Intensities are from 0 to 1.
    let psnr = -10.0 * mse.log10();
    let image = |voxels: &[f32]| Tensor::from_slice(voxels).view([1, 1, 6, 4, 6]);
    let similarity = structural_similarity(&image(&seen), &image(&made)).unwrap();
    // libtorch adds up in 32 bits.
    let expected = [mae, mse.sqrt(), psnr, similarity];
    assert_close(&measured[..4], &expected, 1e-6, "measures");
}

#[test]
fn what_networks_see_of_any_parts_is_the_image_again() {
    let slices = |mode: &str| {
        json!({
            "mode": "slice", "slice_direction": 1, "slice_mode": mode, "discarded_slices": [1, 0],
        })
    };
    let roi = |uncropped: bool| {
        json!({
            "mode": "roi", "roi_list": ["box"], "uncropped_roi": uncropped,
            "roi_custom_template": "", "roi_custom_mask_pattern": "", "roi_template": "x",
            "roi_mask_pattern": "",
        })
    };
    let slice_of = |at: usize| (at / 7 % 5) >= 1;
    type Covers = fn(usize) -> bool;
    let cases: [(Value, u32, Covers); 4] = [
        (slices("single"), 1, slice_of),
        (slices("rgb"), 3, slice_of),
        (roi(false), 1, |at| inside(at) > 0.5),
        (roi(true), 1, |at| inside(at) > 0.5),
    ];
    for (mode, channels, covers) in cases {
        let told = mode.to_string();
        let world = world(mode);
        let layers = json!([{ "conv": { "channels": channels, "padding": 1 } }]);
        let network = json!({ "network": { "name": "Layers", "layers": layers } });
        let model = trained(&world, "reconstruction", network);
        let done = predicted(&world, &model, json!(["nifti"]));
        for number in [6, 7] {
            let voxels = voxels(number).into_iter().enumerate();
            let expected = voxels.map(|(at, voxel)| if covers(at) { voxel } else { 0.0 });
            let expected: Vec<f32> = expected.collect();
            let found = image(&done, &format!("sub-{number}_ses-M000_image_input"));
            let pairs = found.data.iter().zip(&expected);
            // The mean of three equal numbers is rounded.
            let off = pairs.map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            assert!(off < 1e-6, "{told}: {off}");
            let affine: Vec<f64> = found.affine.into_iter().flatten().collect();
            let whole: Vec<f64> = AFFINES[number % 2].into_iter().flatten().collect();
            assert_close(&affine, &whole, 1e-6, &told);
        }
        assert!(!done.paths().iter().any(|path| path.contains("/tensors/")));
    }
}

#[test]
fn what_is_said_of_patches_is_laid_over_their_image() {
    let world = world(patches());
    let model = trained(&world, "classification", json!({}));
    let done = predicted(&world, &model, json!(["nifti", "tensors"]));
    let path = format!("{FOLDER}/test_patch_level_prediction.tsv");
    let table = PredictionTable::read(&done.bytes(&path), &path).unwrap();
    for (image_number, number) in [6, 7].into_iter().enumerate() {
        let rows = &table.rows()[4 * image_number..][..4];
        for class in 0..2 {
            let said = mean_of_patches(
                |part, _| f64::from(rows[part].probabilities[class] as f32),
                f32::NAN,
            );
            let name = format!("sub-{number}_ses-M000_image_proba{class}");
            let found = image(&done, &name);
            assert_same(&found.data, &said, &name);
            let affine = AFFINES[number % 2];
            let places = (to_world(&affine, [0.0; 3]), to_world(&affine, [1.0; 3]));
            assert_place(&found.affine, places.0, places.1, &name);
        }
        // Outputs are logits.
        let (shape, logits) = tensor(&done, &format!("sub-{number}_ses-M000_patch-3_output"));
        assert_eq!(shape, [2]);
        let odds = f64::from(logits[1] - logits[0]).exp();
        assert_close(
            &[rows[3].probabilities[1]],
            &[odds / (1.0 + odds)],
            1e-6,
            "softmax",
        );
    }

    let model = trained(&world, "regression", json!({}));
    let done = predicted(&world, &model, json!(["nifti"]));
    let path = format!("{FOLDER}/test_patch_level_prediction.tsv");
    let table = MeasuredTable::read(&done.bytes(&path), &path, &REGRESSION_COLUMNS).unwrap();
    let said = mean_of_patches(
        |part, _| f64::from(table.rows[part].values[1] as f32),
        f32::NAN,
    );
    let found = image(&done, "sub-6_ses-M000_image_value");
    assert_same(&found.data, &said, "value");
    assert!(said.iter().any(|value| value.is_nan()));
}

#[test]
fn several_networks_make_one_image_and_each_file_is_read_once() {
    let world = world(patches());
    let model = trained(&world, "reconstruction", json!({ "multi_network": true }));
    let folder = world.path("tensors");
    crate::data::shared::reads::take(&folder);
    let done = predicted(&world, &model, json!(["tensors"]));
    assert_eq!(crate::data::shared::reads::take(&folder), [1, 1]);
    for number in [6, 7] {
        let who = format!("sub-{number}_ses-M000");
        let outputs: Vec<Vec<f32>> = (0..4)
            .map(|part| tensor(&done, &format!("{who}_patch-{part}_output")).1)
            .collect();
        let made = mean_of_patches(|part, i| f64::from(outputs[part][i]), 0.0);
        let (_, whole) = tensor(&done, &format!("{who}_image-0_output"));
        assert_same(&whole, &made, &who);
    }
}

#[test]
fn whole_images_have_tensors_images_and_codes() {
    let world = world(json!({ "mode": "image" }));
    let network = json!({
        "name": "AutoEncoder", "latent_size": 3,
        "conv_args": { "channels": [2] }, "mlp_args": { "hidden_dims": [] },
    });
    let model = trained(&world, "reconstruction", json!({ "network": network }));
    let done = predicted(&world, &model, json!(["tensors", "nifti", "latent"]));
    let paths = done.paths();
    for number in [6, 7] {
        let who = format!("sub-{number}_ses-M000");
        let path = format!("{FOLDER}/latent_tensors/{who}_image-0_latent.pt");
        assert_eq!(read_pt(&done.bytes(&path)).unwrap().shape(), [3]);
        for what in ["input", "output"] {
            let (shape, voxels) = tensor(&done, &format!("{who}_image-0_{what}"));
            assert_eq!(shape, [1, 6, 5, 7]);
            let found = image(&done, &format!("{who}_image_{what}"));
            assert_same(&found.data, &voxels, what);
            let affine = AFFINES[number % 2];
            let places = (to_world(&affine, [0.0; 3]), to_world(&affine, [1.0; 3]));
            assert_place(&found.affine, places.0, places.1, what);
        }
    }
    // Two images, of each two tensors, a code and two images; two tables, a log, a list, a certificate.
    assert_eq!(paths.len(), 2 * 5 + 5, "{paths:#?}");
    assert!(!paths.iter().any(|path| path.contains("-0_input.nii")));
}

#[test]
fn what_does_not_exist_is_not_saved() {
    let refused = |world: &World, model: &Done, save: &str| {
        let params = json!({ "bootstrap": 5, "save": [save] });
        world.apply("predict", model, params).unwrap_err().message
    };
    let whole = world(json!({ "mode": "image" }));
    let model = trained(&whole, "classification", json!({}));
    assert_eq!(
        refused(&whole, &model, "nifti"),
        "`save: nifti`: the model is a classification of whole images, expected a reconstruction or parts of images"
    );
    assert_eq!(
        refused(&whole, &model, "latent"),
        "`save: latent`: network `Layers` has no code, expected an autoencoder"
    );
    // A thinned grid needs larger images.
    let thinned = World::new();
    let extraction = json!({
        "preprocessing": "t1-linear", "use_uncropped_image": false, "prepare_dl": false,
        "extract_json": "extract.json", "mode": "patch", "patch_size": 18, "stride_size": 18,
        "file_type": { "pattern": "*", "description": "", "needed_pipeline": "t1-linear" },
    });
    thinned.write("tensors/extraction.json", &extraction.to_string());
    let model = trained(
        &thinned,
        "reconstruction",
        json!({ "size_reduction": true, "size_reduction_factor": 2 }),
    );
    let done = predicted(&thinned, &model, json!([]));
    assert!(!done.paths().iter().any(|path| path.contains("image_level")));
    assert_eq!(
        done.warnings(),
        [
            "reconstructions of parts are not put together: their grid was thinned by `size_reduction`"
        ]
    );
}
