//! Attribution of a model that is known to look at one place only.

use engine::StageError;
use maps::files::{CompletenessTable, RegionsTable, SanityTable};
use maps::weights::{Array, ArrayData, read_pt, read_pth, write_pth};
use serde_json::{Value, json};
use stages::io::nifti;
use stages::tensor_file;
use stages::volume::{Affine, Volume, to_world};

use super::world::{Done, Row, SIZE, World, rows, table};
use crate::testing::reference;

/// Flipped and oblique.
const AFFINE: Affine = [
    [-2.0, 0.0, 0.0, 90.0],
    [0.0, 2.0, 0.1, -126.0],
    [0.0, -0.1, 2.0, -72.0],
    [0.0, 0.0, 0.0, 1.0],
];
/// The bright cube: first voxel of each axis, and its edge.
const CUBE: ([usize; 3], usize) = ([10, 10, 8], 6);

/// Every method, so that it can find a cube of six voxels.
fn methods() -> Vec<Value> {
    vec![
        json!("gradients"),
        json!("GradientInput"),
        json!("GuidedBackprop"),
        json!({ "name": "GradCAM", "level": 2 }),
        json!({ "name": "IntegratedGradients", "n_steps": 40 }),
        json!({ "name": "SmoothGrad", "n_samples": 4, "noise_level": 0.1 }),
        json!({ "name": "Occlusion", "window": 2, "stride": 2 }),
    ]
}

/// Whether a place in millimetres is in the cube, found without the program's own arithmetic.
fn is_in_cube(place: [f64; 3]) -> bool {
    let [x, y, z] = place;
    let (v, w) = (y + 126.0, z + 72.0);
    let determinant = 2.0 * 2.0 + 0.1 * 0.1;
    let index = [
        (90.0 - x) / 2.0,
        (2.0 * v - 0.1 * w) / determinant,
        (0.1 * v + 2.0 * w) / determinant,
    ];
    let (first, edge) = CUBE;
    index
        .into_iter()
        .zip(first)
        .all(|(at, first)| at > first as f64 - 0.5 && at < (first + edge) as f64 - 0.5)
}

/// Dim noise with a bright cube, in images that are cut as told.
fn planted(mode: Value) -> World {
    planted_at(mode, AFFINE)
}

/// The same in images of another place.
fn planted_at(mode: Value, affine: Affine) -> World {
    let world = World::new();
    for (number, row) in rows(0, 24).iter().enumerate() {
        write(&world, row, number, affine);
    }
    let path = world.path("tensors/extraction.json");
    let text = std::fs::read_to_string(&path).unwrap();
    let mut extraction: Value = serde_json::from_str(&text).unwrap();
    for (key, value) in mode.as_object().unwrap() {
        extraction[key] = value.clone();
    }
    std::fs::write(path, extraction.to_string()).unwrap();
    world
}

fn write(world: &World, (participant, session, _): &Row, number: usize, affine: Affine) {
    let (first, edge) = CUBE;
    let mut data = Vec::new();
    for x in 0..SIZE {
        for y in 0..SIZE {
            for z in 0..SIZE {
                let inside = [x, y, z].into_iter().zip(first);
                let inside = inside
                    .into_iter()
                    .all(|(at, first)| (first..first + edge).contains(&at));
                let noise = ((data.len() * 7919 + number * 104_729) % 1009) as f32 / 1009.0;
                data.push(if inside { 1.0 } else { 0.25 * noise });
            }
        }
    }
    let volume = Volume {
        data,
        shape: [SIZE; 3],
        affine,
    };
    let path = world.path(&format!(
        "tensors/images/{participant}_{session}.safetensors"
    ));
    tensor_file::write_volume(&path, &volume).unwrap();
}

/// A mask of all voxels from the ninth on of each axis, as a region.
fn region(world: &World) -> Value {
    let inside = |i: usize| {
        let at = [i / (SIZE * SIZE), i / SIZE % SIZE, i % SIZE];
        f32::from(u8::from(at[0] >= 9 && at[2] >= 7))
    };
    let mask = Volume {
        data: (0..SIZE * SIZE * SIZE).map(inside).collect(),
        shape: [SIZE; 3],
        affine: AFFINE,
    };
    std::fs::create_dir_all(world.path("tensors/regions")).unwrap();
    nifti::write(&world.path("tensors/regions/corner.nii.gz"), &mask).unwrap();
    json!({
        "mode": "roi", "roi_list": ["corner"], "uncropped_roi": false, "roi_custom_template": "",
        "roi_custom_mask_pattern": "", "roi_template": "x", "roi_mask_pattern": "",
    })
}

/// A model that says how much is brighter than 0.8 all round.
fn model(world: &World, more: Value) -> Done {
    let layers = json!([
        { "conv": { "channels": 2, "kernel": 3, "padding": 1 } }, "relu",
        { "max_pool": { "kernel": 2 } }, "global_pool", "flatten", { "linear": "outputs" },
    ]);
    let mut params = json!({
        "epochs": 1, "bootstrap": 1, "normalize": false,
        "network": { "name": "Layers", "layers": layers },
    });
    for (key, value) in more.as_object().unwrap() {
        params[key] = value.clone();
    }
    let mut model = world.train("main", params).unwrap();
    let files = model.input.files.keys();
    let weights = files.filter(|path| path.ends_with("model.pth.tar"));
    for path in weights.cloned().collect::<Vec<String>>() {
        plant(world, &mut model, &path);
    }
    model
}

/// Gives a network weights that look at what is bright.
fn plant(world: &World, model: &mut Done, path: &str) {
    let mut checkpoint = read_pth(&model.bytes(path)).unwrap();
    for (name, array) in &mut checkpoint.model {
        let shape = array.shape().to_vec();
        let count = shape.iter().product::<usize>();
        let window = shape[1..].iter().product::<usize>() as f32;
        let values = match name.as_str() {
            // The mean of what is round a voxel; the other channel sees nothing.
            "0.weight" => (0..count)
                .map(|i| if i < count / 2 { 1.0 / window } else { 0.0 })
                .collect(),
            "0.bias" => vec![-0.8, -1.0],
            "5.weight" => vec![-1.0, 0.0, 1.0, 0.0],
            _ => vec![0.0, 0.0],
        };
        *array = Array::try_new(shape, ArrayData::F32(values)).unwrap();
    }
    let file = world.path(&format!("planted-{}", path.replace('/', "-")));
    std::fs::write(&file, write_pth(&checkpoint)).unwrap();
    model.input.files.get_mut(path).unwrap().path = file;
}

/// The part of the absolute values of a map that is in the cube.
fn share(volume: &Volume) -> f64 {
    share_in(volume, is_in_cube)
}

/// The part of them that is where `is_inside` says, of places in millimetres.
fn share_in(volume: &Volume, is_inside: impl Fn([f64; 3]) -> bool) -> f64 {
    let [_, ny, nz] = volume.shape;
    let (mut inside, mut all) = (0.0, 0.0);
    for (at, value) in volume.data.iter().enumerate() {
        let index = [at / (ny * nz), at / nz % ny, at % nz].map(|i| i as f64);
        let value = f64::from(value.abs());
        all += value;
        if is_inside(to_world(&volume.affine, index)) {
            inside += value;
        }
    }
    assert!(all > 0.0);
    inside / all
}

fn image(done: &Done, path: &str) -> Volume {
    nifti::read(&done.input.files[path].path, path).unwrap()
}

fn modes(world: &World) -> Vec<Value> {
    vec![
        json!({ "mode": "image" }),
        json!({ "mode": "patch", "patch_size": 12, "stride_size": 6 }),
        json!({
            "mode": "slice", "slice_direction": 1, "slice_mode": "single", "discarded_slices": [2, 3],
        }),
        json!({
            "mode": "slice", "slice_direction": 0, "slice_mode": "rgb", "discarded_slices": [0, 0],
        }),
        region(world),
    ]
}

#[test]
fn every_method_finds_what_the_network_looks_at_and_maps_of_parts_are_in_place() {
    for mode in modes(&World::empty()) {
        let world = planted(mode.clone());
        if mode["mode"] == "roi" {
            drop(region(&world));
        }
        let model = model(&world, json!({}));
        // Where parts are put does not depend on the method, but for its channels.
        let mut methods = methods();
        if mode["mode"] != "image" {
            methods.retain(|method| method == "gradients" || method["name"] == "GradCAM");
        }
        for method in methods {
            let params = json!({ "method": method, "target": "CN", "name": "x", "batch_size": 5 });
            let done = world.apply("interpret", &model, params).unwrap();
            let folder = "best-loss/test/interpret-x";
            let whole = ["mean", "sub-20_ses-M000", "sub-21_ses-M012"];
            for of in whole {
                let path = format!("{folder}/{of}_image-0_map.nii.gz");
                let volume = image(&done, &path);
                let found = share(&volume);
                assert_eq!(volume.shape, [SIZE; 3]);
                assert!(found >= 0.9, "{mode} {method} {of}: {found}");
            }
            let name = mode["mode"].as_str().unwrap();
            let parts = done
                .paths()
                .into_iter()
                .filter(|path| path.contains("/mean_") && path.ends_with(".nii.gz"));
            for path in parts {
                let volume = image(&done, path);
                if volume.data.iter().any(|value| value.abs() > 0.0) {
                    let found = share(&volume);
                    assert!(found >= 0.9, "{name} {method} {path}: {found}");
                }
            }
        }
    }
}

#[test]
fn every_method_finds_the_cube_where_nibabel_has_it_on_oblique_and_flipped_affines() {
    let cases = reference("../interpret/places.json")["planted"].take();
    let cases = cases.as_array().unwrap();
    assert_eq!(cases.len(), 2);
    for case in cases {
        let affine: Affine = serde_json::from_value(case["affine"].clone()).unwrap();
        let cube: Vec<[f64; 3]> = serde_json::from_value(case["cube"].clone()).unwrap();
        assert_eq!(cube.len(), CUBE.1.pow(3));
        // Files have 32 bits of numbers up to some hundred millimetres.
        let is_inside = |place: [f64; 3]| {
            let is_at =
                |voxel: &[f64; 3]| (0..3).all(|axis| (voxel[axis] - place[axis]).abs() < 1e-3);
            cube.iter().any(is_at)
        };
        let world = planted_at(json!({ "mode": "image" }), affine);
        let model = model(&world, json!({}));
        world.write("test.tsv", &table(&rows(20, 1)));
        for method in methods() {
            let params = json!({ "method": method, "target": "CN", "name": "x" });
            let done = world.apply("interpret", &model, params).unwrap();
            let path = "best-loss/test/interpret-x/mean_image-0_map.nii.gz";
            let found = share_in(&image(&done, path), is_inside);
            let name = &case["name"];
            assert!(found >= 0.9, "{name} {method}: {found}");
        }
    }
}

#[test]
fn networks_of_single_parts_explain_their_own() {
    let world = planted(json!({ "mode": "patch", "patch_size": 12, "stride_size": 6 }));
    let single = model(&world, json!({}));
    let several = model(&world, json!({ "multi_network": true }));
    let params = json!({
        "method": { "name": "IntegratedGradients", "n_steps": 2 }, "target": "CN", "name": "x",
    });
    let of_one = world.apply("interpret", &single, params.clone()).unwrap();
    let of_several = world.apply("interpret", &several, params.clone()).unwrap();
    let mut compared = 0;
    for path in of_one
        .paths()
        .into_iter()
        .filter(|path| path.contains("/interpret-x/"))
    {
        if path.ends_with("completeness.tsv") {
            // Networks take turns: rows have another order.
            let lines = |done: &Done| {
                let mut lines: Vec<String> = done.text(path).lines().map(str::to_owned).collect();
                lines.sort();
                lines
            };
            assert_eq!(lines(&of_several), lines(&of_one));
        } else {
            assert!(of_several.bytes(path) == of_one.bytes(path), "{path}");
        }
        compared += 1;
    }
    // Tensors and images of the mean and of five sessions, of eight parts and the whole; a table.
    assert_eq!(compared, 2 * 6 * 9 + 1);
    let mut checked = params;
    checked["sanity_check"] = json!(true);
    let message = refused(world.apply("interpret", &several, checked));
    assert!(
        message.contains("`sanity_check`: each part of images has a network"),
        "{message}"
    );
}

#[test]
fn values_that_are_no_numbers_are_explained_as_the_network_sees_them() {
    let world = planted(json!({ "mode": "image" }));
    let model = model(&world, json!({}));
    let path = world.path("tensors/images/sub-20_ses-M000.safetensors");
    let with = |value: f32| {
        let (_, mut data, affine) = tensor_file::read(&path, "sub-20").unwrap();
        data[..40].fill(value);
        let volume = Volume {
            data,
            shape: [SIZE; 3],
            affine,
        };
        tensor_file::write_volume(&path, &volume).unwrap();
        let params = json!({ "method": "GradientInput", "target": "CN" });
        let done = world.apply("interpret", &model, params).unwrap();
        let map = "best-loss/test/interpret-GradientInput/sub-20_ses-M000_image-0_map.pt";
        read_pt(&done.bytes(map))
            .unwrap()
            .as_f32()
            .unwrap()
            .to_vec()
    };
    let (zero, nan) = (with(0.0), with(f32::NAN));
    assert!(zero.iter().any(|value| *value > 0.0));
    assert_eq!(nan, zero);
}

#[test]
fn maps_of_thinned_images_and_parts_lie_where_the_voxels_are() {
    for mode in [
        json!({ "mode": "image" }),
        json!({ "mode": "patch", "patch_size": 16, "stride_size": 2 }),
    ] {
        let world = planted(mode.clone());
        let model = model(&world, json!({ "size_reduction": true }));
        let done = world
            .apply("interpret", &model, json!({ "target": "CN" }))
            .unwrap();
        let path = "best-loss/test/interpret-gradients/mean_image-0_map.nii.gz";
        let volume = image(&done, path);
        let found = share(&volume);
        assert!(found >= 0.9, "{mode}: {found}");
    }
}

#[test]
fn maps_of_parts_are_divided_by_the_images_and_averaged_where_they_overlap() {
    let world = planted(json!({ "mode": "patch", "patch_size": 12, "stride_size": 6 }));
    let model = model(&world, json!({}));
    let done = world
        .apply(
            "interpret",
            &model,
            json!({ "target": "CN", "batch_size": 3 }),
        )
        .unwrap();
    let folder = "best-loss/test/interpret-gradients";
    let read = |of: &str, level: &str, part: usize| -> Vec<f32> {
        let path = format!("{folder}/{of}_{level}-{part}_map.pt");
        read_pt(&done.bytes(&path))
            .unwrap()
            .as_f32()
            .unwrap()
            .to_vec()
    };
    let sessions = rows(20, 4);
    let names: Vec<String> = sessions
        .iter()
        .map(|(p, s, _)| format!("{p}_{s}"))
        .collect();
    for part in 0..8 {
        let mean = read("mean", "patch", part);
        let maps: Vec<Vec<f32>> = names.iter().map(|name| read(name, "patch", part)).collect();
        for (at, mean) in mean.iter().enumerate() {
            let sum: f64 = maps.iter().map(|map| f64::from(map[at])).sum();
            assert!((sum / names.len() as f64 - f64::from(*mean)).abs() < 1e-9);
        }
    }
    let whole = read(&names[0], "image", 0);
    let parts: Vec<Vec<f32>> = (0..8).map(|part| read(&names[0], "patch", part)).collect();
    for (at, whole) in whole.iter().enumerate() {
        let [x, y, z] = [at / (SIZE * SIZE), at / SIZE % SIZE, at % SIZE];
        let mut found = Vec::new();
        for (part, map) in parts.iter().enumerate() {
            let start = [part / 4 * 6, part / 2 % 2 * 6, part % 2 * 6];
            let inside = [x, y, z]
                .into_iter()
                .zip(start)
                .all(|(at, s)| (s..s + 12).contains(&at));
            if inside {
                let [i, j, k] = [x - start[0], y - start[1], z - start[2]];
                found.push(map[(i * 12 + j) * 12 + k]);
            }
        }
        let mean = found.iter().sum::<f32>() / found.len() as f32;
        assert!((mean - whole).abs() < 1e-9);
    }
}

/// An atlas of voxels of 3 mm, the cube in region 41.
fn write_atlas(world: &World, far: bool) {
    let affine = [
        [3.0, 0.0, 0.0, if far { 900.0 } else { 45.0 }],
        [0.0, 3.0, 0.0, -130.0],
        [0.0, 0.0, 3.0, -80.0],
        [0.0, 0.0, 0.0, 1.0],
    ];
    let shape = [20, 18, 18];
    let label = |at: usize| {
        let index = [at / 324, at / 18 % 18, at % 18].map(|i| i as f64);
        let place = to_world(&affine, index);
        if is_in_cube(place) {
            41.0
        } else {
            f32::from(u8::from(index[0] > 9.0)) * 7.0
        }
    };
    let volume = Volume {
        data: (0..shape.iter().product()).map(label).collect(),
        shape,
        affine,
    };
    nifti::write(&world.path("atlas.nii.gz"), &volume).unwrap();
    world.write("regions.tsv", "index\tname\n41\tcube\n99\tnowhere\n");
}

const ATLAS: (&str, &str, &str) = ("atlas", "volume", "atlas.nii.gz");
const REGIONS: (&str, &str, &str) = ("regions", "table", "regions.tsv");

#[test]
fn regions_of_an_atlas_are_measured_in_each_map_and_in_the_mean() {
    for mode in modes(&World::empty()).into_iter().take(2) {
        let world = planted(mode);
        let model = model(&world, json!({}));
        write_atlas(&world, false);
        let params = json!({ "target": "CN", "individual": false });
        let done = world
            .apply_with("interpret", &model, params, &[ATLAS, REGIONS])
            .unwrap();
        let folder = "best-loss/test/interpret-gradients";
        let read = |name: &str| {
            let path = format!("{folder}/{name}");
            RegionsTable::read(&done.bytes(&path), &path).unwrap().rows
        };
        let rows_of = read("regions.tsv");
        let names = ["background", "7", "cube", "nowhere"];
        assert_eq!(rows_of.len(), names.len() * rows(20, 4).len());
        for (row, name) in rows_of.iter().zip(names.iter().cycle()) {
            assert_eq!(row.name, *name);
            let [sum, mean, share] = row.numbers;
            match *name {
                // Voxels of the atlas are coarser than those of the cube.
                "cube" => assert!(share > 0.7 && sum > 0.0 && mean > 0.0, "{row:?}"),
                "nowhere" => assert!(row.voxels == 0 && mean.is_nan(), "{row:?}"),
                _ => assert!(share < 0.3, "{row:?}"),
            }
        }
        let mean = read("mean_regions.tsv");
        assert_eq!((mean.len(), mean[2].image.as_ref()), (4, None));
        let shares: f64 = mean.iter().map(|row| row.numbers[2]).sum();
        assert!((shares - 1.0).abs() < 1e-9);
    }
}

#[test]
fn integrated_gradients_tell_how_far_they_add_up() {
    let world = planted(
        json!({ "mode": "slice", "slice_direction": 2, "slice_mode": "single", "discarded_slices": [0, 0] }),
    );
    let model = model(&world, json!({}));
    let folder = "best-loss/test/interpret-IntegratedGradients/completeness.tsv";
    let of = |steps: u32| {
        let method = json!({ "name": "IntegratedGradients", "n_steps": steps });
        let params = json!({ "method": method, "target": "CN", "individual": false });
        let done = world.apply("interpret", &model, params).unwrap();
        let table = CompletenessTable::read(&done.bytes(folder), folder).unwrap();
        (table, done.warnings().concat())
    };
    let (table, warnings) = of(300);
    assert_eq!(
        (table.level.as_str(), table.rows.len()),
        ("slice", 18 * rows(20, 4).len())
    );
    for row in &table.rows {
        let [sum, difference, error] = row.numbers;
        assert!((sum - difference).abs() <= error + 1e-12);
        assert!(error <= 0.05 * difference.abs(), "{row:?}");
    }
    assert!(warnings.is_empty(), "{warnings}");
    assert!(of(2).1.contains("raise `n_steps`"));
}

#[test]
fn maps_change_when_weights_are_drawn_anew_and_the_table_tells_how_much() {
    let world = World::new();
    let model = world.train("main", json!({ "epochs": 2 })).unwrap();
    let params = json!({ "sanity_check": true, "individual": false });
    let run = || world.apply("interpret", &model, params.clone()).unwrap();
    let path = "best-loss/test/interpret-gradients/sanity_check.tsv";
    let done = run();
    let table = SanityTable::read(&done.bytes(path), path).unwrap();
    let layers: Vec<&str> = table.rows.iter().map(|row| row.layer.as_str()).collect();
    assert_eq!(layers.first(), Some(&"fc.6"));
    assert_eq!((layers.last(), layers.len()), (Some(&"convolutions.0"), 8));
    for row in &table.rows {
        assert_eq!(row.images, rows(20, 4).len() as u64);
        assert!(
            row.numbers.iter().all(|v| (-1.0..0.999).contains(v)),
            "{row:?}"
        );
    }
    assert_eq!(run().bytes(path), done.bytes(path));
    // Of images of a cube, this method finds the cube whatever the weights are.
    let world = planted(json!({ "mode": "image" }));
    let model = world.train("main", json!({ "epochs": 1 })).unwrap();
    let params = json!({ "sanity_check": true, "individual": false, "method": "GradientInput" });
    let done = world.apply("interpret", &model, params).unwrap();
    let path = "best-loss/test/interpret-GradientInput/sanity_check.tsv";
    let table = SanityTable::read(&done.bytes(path), path).unwrap();
    let alike = table.rows.last().unwrap().numbers[1] > 0.5;
    let warned = done
        .warnings()
        .concat()
        .contains("hardly depend on what was learnt");
    assert_eq!(alike, warned, "{table:?}");
}

#[test]
fn maps_do_not_depend_on_batches_and_threads() {
    let world = World::new();
    let model = world.train("main", json!({ "epochs": 1 })).unwrap();
    for mut method in methods() {
        if method["name"] == "Occlusion" {
            method["window"] = json!(9);
            method["stride"] = json!(9);
        }
        let files = |batch_size: u32, n_proc: u32| {
            let params = json!({
                "method": method, "name": "x", "batch_size": batch_size, "n_proc": n_proc,
            });
            world.apply("interpret", &model, params).unwrap()
        };
        let (one, three) = (files(1, 0), files(3, 3));
        assert_eq!(one.input.digest, three.input.digest, "{method}");
    }
}

fn refused(result: Result<Done, StageError>) -> String {
    let error = result.unwrap_err();
    format!("{} {}", error.message, error.hints.join(" "))
}

#[test]
fn what_cannot_be_explained_is_told() {
    let world = planted(json!({ "mode": "image" }));
    let model = model(&world, json!({}));
    let with = |params: Value| refused(world.apply("interpret", &model, params));
    let message = with(json!({ "method": { "name": "GradCAM", "level": 40 } }));
    assert!(
        message.contains("`Layers` has no map at `level: 40`, expected 1 to 4"),
        "{message}"
    );
    for (layer, expected) in [
        ("4", "layer `4` of `Layers` gives no map of the image"),
        (
            "22",
            "has no layer `22` did you mean `2`? layers with maps, from 1: `0`, `1`, `2`",
        ),
        ("head", "has no layer `head` layers with maps"),
    ] {
        let message = with(json!({ "method": { "name": "GradCAM", "layer": layer } }));
        assert!(message.contains(expected), "{message}");
    }
    for target in ["MCI", "2"] {
        let message = with(json!({ "target": target }));
        assert!(
            message.contains("`AD` (node 0), `CN` (node 1)"),
            "{message}"
        );
    }
}

#[test]
fn an_atlas_must_lie_where_images_are() {
    let world = planted(json!({ "mode": "image" }));
    let model = model(&world, json!({}));
    write_atlas(&world, true);
    let with = |more: &[(&'static str, &str, &str)]| {
        refused(world.apply_with("interpret", &model, json!({}), more))
    };
    let message = with(&[ATLAS]);
    assert!(
        message.contains("has no region where the images are"),
        "{message}"
    );
    let message = with(&[REGIONS]);
    assert!(message.contains("names regions of no atlas"), "{message}");
    let message = with(&[ATLAS, ("regions", "table", "test.tsv")]);
    assert!(message.contains("is no table of regions"), "{message}");
}

#[test]
fn networks_that_a_method_does_not_explain_are_told() {
    let world = World::new();
    let of = |network: Value, method: &str| {
        let params = json!({ "epochs": 1, "bootstrap": 1, "network": network });
        let model = world.train("main", params).unwrap();
        refused(world.apply("interpret", &model, json!({ "method": method })))
    };
    let dense = json!({ "name": "Layers", "layers": ["flatten", { "linear": 4 }, "elu", { "linear": "outputs" }] });
    let message = of(dense.clone(), "GradCAM");
    assert!(message.contains("no convolutional map"), "{message}");
    let message = of(dense, "GuidedBackprop");
    assert!(message.contains("has no ReLU"), "{message}");
    let vit = json!({ "name": "ViT", "patch_size": 9, "hidden_size": 12, "mlp_dim": 8, "num_layers": 1, "num_heads": 2 });
    let message = of(vit, "GradCAM");
    assert!(
        message.contains("`ViT` has no convolutional map"),
        "{message}"
    );
    let params =
        json!({ "task": "reconstruction", "epochs": 1, "network": { "name": "AE_Conv5_FC3" } });
    let model = world.train("main", params).unwrap();
    let message = refused(world.apply("interpret", &model, json!({})));
    assert!(message.contains("reconstructs images"), "{message}");
}

#[test]
fn people_with_one_name_in_two_cohorts_have_no_maps_of_their_own() {
    let world = World::new();
    let model = world.train("main", json!({ "epochs": 1 })).unwrap();
    let path = world.path("tensors/images.tsv");
    let text = std::fs::read_to_string(&path).unwrap();
    let index: String = (text.lines().enumerate())
        .map(|(i, line)| match i {
            0 => format!("{line}\tcohort\n"),
            _ => format!("{line}\tA\n{line}\tB\n"),
        })
        .collect();
    std::fs::write(&path, index).unwrap();
    let of = table(&rows(22, 1));
    let both: String = (of.lines().enumerate())
        .map(|(i, line)| match i {
            0 => format!("{line}\tcohort\n"),
            _ => format!("{line}\tA\n{line}\tB\n"),
        })
        .collect();
    world.write("test.tsv", &both);
    let message = refused(world.apply("interpret", &model, json!({})));
    assert!(
        message.contains("whose files would have one name"),
        "{message}"
    );
    let params = json!({ "individual": false });
    assert!(world.apply("interpret", &model, params).is_ok());
}
