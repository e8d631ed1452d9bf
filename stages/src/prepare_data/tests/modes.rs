//! Every mode against ClinicaDL 1.6.1 (`modes.py`), and what it cannot do.

use maps::weights::{Array, ArrayData, read_pt, write_pt};

use super::*;

fn of_modes() -> World {
    let world = World {
        folder: tempfile::tempdir().unwrap(),
        warnings: Arc::default(),
    };
    copy(&reference().join("modes"), &world.path("caps"));
    world
}

fn cases() -> serde_json::Map<String, Value> {
    let text = std::fs::read_to_string(reference().join("modes.json")).unwrap();
    serde_json::from_str(&text).unwrap()
}

/// Our parameters from the peer's arguments.
fn params(case: &Value) -> Value {
    let arguments: Vec<&str> = case["arguments"]
        .as_array()
        .unwrap()
        .iter()
        .map(|a| a.as_str().unwrap())
        .collect();
    let mut params = json!({ "mode": arguments[0], "preprocessing": arguments[1] });
    let mut rest = arguments[2..].iter();
    let mut push = |field: &str, value: Value| {
        let list = params[field].as_array().cloned().unwrap_or_default();
        params[field] = list.into_iter().chain([value]).collect();
    };
    let mut single = Vec::new();
    while let Some(&flag) = rest.next() {
        let mut text = || (*rest.next().unwrap()).to_owned();
        match flag {
            "--save_features" => single.push(("save_features", json!(true))),
            "-uui" => single.push(("use_uncropped_image", json!(true))),
            "--roi_uncrop_output" => single.push(("roi_uncrop_output", json!(true))),
            "--tracer" => single.push(("tracer", json!(text()))),
            "-suvr" => single.push(("suvr_reference_region", json!(text()))),
            "-cn" => single.push(("custom_suffix", json!(text()))),
            "-sm" => single.push(("slice_mode", json!(text()))),
            "-ct" => single.push(("roi_custom_template", json!(text()))),
            "-cmp" => single.push(("roi_custom_mask_pattern", json!(text()))),
            "-ps" => single.push(("patch_size", json!(text().parse::<usize>().unwrap()))),
            "-ss" => single.push(("stride_size", json!(text().parse::<usize>().unwrap()))),
            "-sd" => single.push(("slice_direction", json!(text().parse::<usize>().unwrap()))),
            "--roi_list" => push("roi_list", json!(text())),
            "--discarded_slices" => {
                push("discarded_slices", json!(text().parse::<usize>().unwrap()));
            }
            other => panic!("{other}"),
        }
    }
    for (field, value) in single {
        params[field] = value;
    }
    params["write_caps"] = json!(true);
    params
}

fn bits(array: &Array) -> Vec<u32> {
    array
        .as_f32()
        .unwrap()
        .iter()
        .map(|value| value.to_bits())
        .collect()
}

#[test]
fn tensors_and_extraction_files_of_all_modes_are_those_of_clinicadl() {
    let cases = cases();
    assert_eq!(cases.len(), 16);
    for (name, case) in &cases {
        let world = of_modes();
        let finished = world
            .finish(params(case), 2)
            .unwrap_or_else(|e| panic!("{name}: {e}"));
        let tree = world.tree(&finished, "caps");
        let expected = case["tensors"].as_object().unwrap();
        assert!(!expected.is_empty());
        let ours: Vec<&String> = tree
            .files
            .keys()
            .filter(|path| path.ends_with(".pt"))
            .collect();
        assert!(
            ours.into_iter().eq(expected.keys()),
            "{name}: {:?}",
            tree.files.keys()
        );
        for (path, tensor) in expected {
            let array = read_pt(&std::fs::read(world.object(&tree, path)).unwrap()).unwrap();
            assert_eq!(json!(array.shape()), tensor["shape"], "{name}: {path}");
            let expected: Vec<u32> = serde_json::from_value(tensor["bits"].clone()).unwrap();
            assert_eq!(bits(&array), expected, "{name}: {path}");
        }
        let ours = std::fs::read_to_string(world.object(&tree, "tensor_extraction/extract.json"));
        let theirs: Value = serde_json::from_str(case["extraction"].as_str().unwrap()).unwrap();
        let ours: Value = serde_json::from_str(&ours.unwrap()).unwrap();
        // In order; the peer lists discarded slices as they were given, once or twice.
        assert_eq!(ours.to_string(), theirs.to_string(), "{name}");
    }
}

/// Parts that are saved and parts that are cut from the whole tensor later are the same.
#[test]
fn saved_parts_are_those_that_are_cut_later() {
    for (name, case) in cases()
        .iter()
        .filter(|(_, case)| case["arguments"].to_string().contains("save_features"))
    {
        let world = of_modes();
        let mut params = params(case);
        let (_, saved) = world.run(params.clone(), 1).unwrap();
        params["save_features"] = json!(false);
        let (_, whole) = world.run(params, 1).unwrap();
        let input = |tree: &Tree| engine::Input {
            kind: "tensors".to_owned(),
            digest: engine::Digest::of(b""),
            shown: "extract".to_owned(),
            files: tree
                .files
                .iter()
                .map(|(path, file)| {
                    let file = engine::InputFile {
                        path: world.object(tree, path),
                        shown: path.clone(),
                        digest: file.digest,
                        size: file.size,
                    };
                    (path.clone(), file)
                })
                .collect(),
        };
        let extraction = crate::extraction::Extraction::open(&input(&whole)).unwrap();
        assert!(
            crate::extraction::Extraction::open(&input(&saved))
                .unwrap()
                .saved
        );
        let image = "images/sub-02_ses-M000.safetensors";
        let (shape, data, _) = tensor_file::read(&world.object(&whole, image), "x").unwrap();
        let shape: [usize; 4] = shape.try_into().unwrap();
        let array = ndarray::Array4::from_shape_vec(shape, data).unwrap();
        let count = extraction.parts.count(shape).unwrap();
        assert_eq!(
            tensor_file::summary(&world.object(&saved, image), "x")
                .unwrap()
                .parts,
            Some(count)
        );
        for index in 0..count {
            let (shape, data, _) =
                tensor_file::read_part(&world.object(&saved, image), index, "x").unwrap();
            let cut = extraction.parts.cut(array.view(), index);
            assert_eq!(cut.shape(), shape, "{name}");
            let bits = |values: &mut dyn Iterator<Item = f32>| {
                values.map(f32::to_bits).collect::<Vec<_>>()
            };
            assert_eq!(
                bits(&mut cut.iter().copied()),
                bits(&mut data.into_iter()),
                "{name}"
            );
        }
    }
}

/// What was written for ClinicaDL is read back as if it came from the images; only the place is lost.
#[test]
fn tensors_of_a_caps_are_read_back() {
    for (name, case) in &cases() {
        let world = of_modes();
        let mut params = params(case);
        let finished = world.finish(params.clone(), 1).unwrap();
        let (images, caps) = (
            world.tree(&finished, "images"),
            world.tree(&finished, "caps"),
        );
        for path in caps.files.keys() {
            let target = world.path("caps").join(path);
            std::fs::create_dir_all(target.parent().unwrap()).unwrap();
            std::fs::copy(world.object(&caps, path), target).unwrap();
        }
        params["source"] = json!("tensors");
        let finished = world
            .finish(params, 1)
            .unwrap_or_else(|e| panic!("{name}: {e}"));
        let back = world.tree(&finished, "images");
        let saved = case["arguments"].to_string().contains("save_features");
        for path in images
            .files
            .keys()
            .filter(|path| path.ends_with(".safetensors"))
        {
            let read = |tree: &Tree| {
                let object = world.object(tree, path);
                if saved {
                    tensor_file::read_part(&object, 0, "x").map(|(shape, data, _)| (shape, data))
                } else {
                    tensor_file::read(&object, "x").map(|(shape, data, _)| (shape, data))
                }
            };
            let (ours, theirs) = (read(&images).unwrap(), read(&back).unwrap());
            assert_eq!(ours.0, theirs.0, "{name}: {path}");
            assert!(
                ours.1
                    .iter()
                    .map(|v| v.to_bits())
                    .eq(theirs.1.iter().map(|v| v.to_bits()))
            );
        }
    }
}

#[test]
fn a_tensor_that_is_missing_or_no_tensor_is_named() {
    let world = of_modes();
    let params = json!({ "mode": "patch", "save_features": true, "patch_size": 2, "stride_size": 2, "write_caps": true });
    let finished = world.finish(params.clone(), 1).unwrap();
    let caps = world.tree(&finished, "caps");
    let folder = "deeplearning_prepare_data/patch_based/t1_linear";
    for path in caps.files.keys() {
        let target = world.path("caps").join(path);
        std::fs::create_dir_all(target.parent().unwrap()).unwrap();
        std::fs::copy(world.object(&caps, path), target).unwrap();
    }
    let tensors = json!({ "mode": "patch", "save_features": true, "patch_size": 2, "stride_size": 2, "source": "tensors" });
    let name =
        "sub-02_ses-M000_space-MNI152NLin2009cSym_desc-Crop_res-1x1x1_patchsize-2_stride-2_patch";
    let patch = |i: usize| {
        world.path(&format!(
            "caps/subjects/sub-02/ses-M000/{folder}/{name}-{i}_T1w.pt"
        ))
    };
    std::fs::remove_file(patch(1)).unwrap();
    let error = world.finish(tensors.clone(), 1).unwrap_err().message;
    assert!(error.contains("sub-02, ses-M000 has 3"), "{error}");
    let double = Array::try_new(vec![1], ArrayData::F64(vec![1.0])).unwrap();
    std::fs::write(patch(1), write_pt(&double)).unwrap();
    let error = world.finish(tensors.clone(), 1).unwrap_err().message;
    assert!(
        error.contains("patch-1_T1w.pt` is no tensor") && error.contains("float32"),
        "{error}"
    );
    std::fs::write(patch(1), "text").unwrap();
    let error = world.finish(tensors, 1).unwrap_err().message;
    assert!(error.contains("patch-1_T1w.pt` is no tensor"), "{error}");
    let error = world
        .finish(json!({ "source": "tensors" }), 1)
        .unwrap_err()
        .message;
    assert!(error.contains("has no tensor"), "{error}");
}

/// ClinicaDL fails while it cuts (patches) or writes nothing (slices).
#[test]
fn images_that_cannot_be_cut_so_are_named() {
    let world = of_modes();
    let error = |params: Value| world.finish(params, 1).unwrap_err().message;
    let message = error(json!({ "mode": "patch", "patch_size": 4 }));
    assert!(
        message.contains("(sub-01, ses-M000) has [4, 5, 3] voxels, fewer than a patch of 4"),
        "{message}"
    );
    let message = error(json!({ "mode": "slice", "discarded_slices": [2] }));
    assert!(
        message.contains("has 4 slices along axis 0, of which 2 and 2 are discarded"),
        "{message}"
    );
    let message = error(json!({ "mode": "roi", "roi_list": ["left", "nowhere"] }));
    assert!(
        message.contains("has no mask of `nowhere`: expected `masks/tpl-MNI152NLin2009cSym/"),
        "{message}"
    );
    // A mask on another grid.
    let whole =
        "caps/masks/tpl-MNI152NLin2009cSym/tpl-MNI152NLin2009cSym_res-1x1x1_roi-left_mask.nii.gz";
    let cropped = whole.replace("_res", "_desc-Crop_res");
    std::fs::copy(world.path(whole), world.path(&cropped)).unwrap();
    let message = error(json!({ "mode": "roi", "roi_list": ["left"] }));
    assert!(
        message.contains("has [4, 5, 3] voxels, but the mask of `left` [5, 6, 4]"),
        "{message}"
    );
}

/// ClinicaDL's command for BIDS never starts: it passes 8 of 10 arguments.
#[test]
fn raw_images_of_a_bids_are_extracted_with_and_without_folders_of_sessions() {
    let world = of_modes();
    let image = |shape: [usize; 3], value: f32| crate::volume::Volume {
        data: (0..shape.iter().product())
            .map(|i: usize| value + i as f32)
            .collect(),
        shape,
        affine: [
            [1., 0., 0., 0.],
            [0., 1., 0., 0.],
            [0., 0., 1., 0.],
            [0., 0., 0., 1.],
        ],
    };
    for (path, volume) in [
        (
            "bids/sub-01/ses-M000/anat/sub-01_ses-M000_run-1_T1w.nii.gz",
            image([2, 3, 4], 1.0),
        ),
        (
            "bids/sub-01/ses-M000/anat/sub-01_ses-M000_run-2_T1w.nii.gz",
            image([2, 3, 4], 2.0),
        ),
        ("bids/sub-02/anat/sub-02_T1w.nii.gz", image([3, 3, 4], 3.0)),
        (
            "bids/sub-02/anat/sub-02_FLAIR.nii.gz",
            image([3, 3, 4], 4.0),
        ),
    ] {
        let path = world.path(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        crate::io::nifti::write(&path, &volume).unwrap();
    }
    let (_, tree) = world.run(json!({ "preprocessing": "t1" }), 1).unwrap();
    let first = |name: &str| {
        tensor_file::read(&world.object(&tree, name), "x")
            .unwrap()
            .1[0]
    };
    assert_eq!(
        first("images/sub-01_ses-M000.safetensors").to_bits(),
        2_f32.to_bits()
    );
    assert_eq!(
        first("images/sub-02_ses-M000.safetensors").to_bits(),
        3_f32.to_bits()
    );
    let warned = world.warned();
    assert!(
        warned.contains("several runs") && warned.contains("different shapes"),
        "{warned}"
    );
    let (_, tree) = world.run(json!({ "preprocessing": "flair" }), 1).unwrap();
    assert_eq!(
        tree.files
            .keys()
            .filter(|path| path.contains("images/"))
            .count(),
        1
    );
    let error = world.run(json!({ "preprocessing": "dwi" }), 1).unwrap_err();
    assert_eq!(
        error.message,
        "`bids` has no image `sub-*/ses-*/**/dwi/sub-*_dwi.nii*`"
    );
}

#[test]
fn several_volumes_become_one_image_as_the_manifest_says() {
    let world = of_modes();
    let nifti =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/reference/nifti/series.nii.gz");
    let folder = world.path("bids/sub-01/ses-M000/dwi");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::copy(nifti, folder.join("sub-01_ses-M000_dwi.nii.gz")).unwrap();
    let read = |volumes: &str| {
        let (_, tree) = world
            .run(json!({ "preprocessing": "dwi", "volumes": volumes }), 1)
            .unwrap();
        tensor_file::read(
            &world.object(&tree, "images/sub-01_ses-M000.safetensors"),
            "x",
        )
        .unwrap()
    };
    let (shape, all, _) = read("channels");
    assert_eq!(shape, [4, 3, 2, 2]);
    let (shape, first, _) = read("first");
    assert_eq!(
        (shape.as_slice(), &first[..]),
        (&[1, 3, 2, 2][..], &all[..12])
    );
    let (_, mean, _) = read("mean");
    for (voxel, mean) in mean.iter().enumerate() {
        let sum: f64 = (0..4)
            .map(|volume| f64::from(all[volume * 12 + voxel]))
            .sum();
        assert!((f64::from(*mean) - sum / 4.0).abs() < 1e-6);
    }
    let error = world.run(json!({ "preprocessing": "dwi" }), 1).unwrap_err();
    assert!(error.message.contains("has 4 volumes") && error.hints[0].contains("`volumes`"));
}

#[test]
fn images_of_several_cohorts_keep_people_of_one_name_apart() {
    let world = of_modes();
    for cohort in ["adni", "aibl"] {
        copy(&world.path("caps"), &world.path(cohort));
    }
    std::fs::remove_dir_all(world.path("aibl/subjects/sub-02")).unwrap();
    let params = json!({ "cohorts": ["adni", "aibl"] });
    let (_, tree) = world.run(params.clone(), 1).unwrap();
    let list = std::fs::read_to_string(world.object(&tree, "images.tsv")).unwrap();
    let rows: Vec<&str> = list
        .lines()
        .map(|row| row.rsplit_once('\t').unwrap().0)
        .collect();
    assert_eq!(
        rows,
        [
            "participant_id\tsession_id\tcohort\tfile",
            "sub-01\tses-M000\tadni\timages/adni/sub-01_ses-M000.safetensors",
            "sub-02\tses-M000\tadni\timages/adni/sub-02_ses-M000.safetensors",
            "sub-01\tses-M000\taibl\timages/aibl/sub-01_ses-M000.safetensors",
        ]
    );
    assert!(
        world
            .warned()
            .contains("sub-01, ses-M000 of adni = sub-01, ses-M000 of aibl"),
        "{}",
        world.warned()
    );
    let table = |rows: &str| std::fs::write(world.path("participants.tsv"), rows).unwrap();
    table("participant_id\tsession_id\tcohort\nsub-01\tses-M000\taibl\nsub-02\tses-M000\tadni\n");
    let (_, tree) = world.run(params.clone(), 1).unwrap();
    assert_eq!(
        tree.files
            .keys()
            .filter(|path| path.ends_with(".safetensors"))
            .count(),
        2
    );
    table("participant_id\tsession_id\tcohort\nsub-02\tses-M000\taibl\n");
    let error = world.run(params.clone(), 1).unwrap_err();
    assert!(
        error.message.ends_with("sub-02, ses-M000 of aibl"),
        "{error}"
    );
    table("participant_id\tsession_id\tcohort\nsub-02\tses-M000\toasis\n");
    let error = world.run(params.clone(), 1).unwrap_err();
    assert_eq!(
        error.message,
        "`participants.tsv`, line 2, column `cohort`: there is no cohort `oasis`"
    );
    table("participant_id\tsession_id\nsub-02\tses-M000\n");
    let error = world.run(params, 1).unwrap_err();
    assert_eq!(error.message, "`participants.tsv` has no column `cohort`");
}

#[test]
fn an_image_in_the_folder_of_another_is_refused() {
    let world = World::new();
    let from = world.image("sub-01", "ses-M000");
    let to = world
        .image("sub-02", "ses-M000")
        .with_file_name(from.file_name().unwrap());
    std::fs::remove_file(world.image("sub-02", "ses-M000")).unwrap();
    std::fs::rename(from, to).unwrap();
    let error = world.error();
    assert!(
        error
            .message
            .contains("of sub-02, ses-M000 is named `sub-01`"),
        "{error}"
    );
}

#[test]
fn parameters_that_do_not_fit_together_are_all_told() {
    let told = |params: Value| -> Vec<String> {
        let params: PrepareDataParams = serde_json::from_value(params).unwrap();
        PrepareData::check(&params)
            .into_iter()
            .map(|issue| issue.field)
            .collect()
    };
    assert!(told(json!({ "mode": "roi", "roi_list": ["left"] })).is_empty());
    assert_eq!(
        told(json!({ "mode": "roi", "preprocessing": "t1-volume" })),
        ["roi_list", "roi_custom_template"]
    );
    assert_eq!(
        told(json!({ "mode": "roi", "roi_list": ["a_b", "c", "c"] })),
        ["roi_list", "roi_list"]
    );
    assert_eq!(
        told(json!({ "roi_list": ["a"], "save_features": true })),
        ["roi_list", "save_features"]
    );
    assert_eq!(
        told(json!({ "discarded_slices": [1, 2, 3], "slice_direction": 3 })),
        ["discarded_slices", "slice_direction"]
    );
    assert_eq!(
        told(json!({ "extract_json": "../x.json" })),
        ["extract_json"]
    );
    assert_eq!(
        told(json!({ "cohorts": ["a", "a", "masks", "b/c"], "write_caps": true })),
        ["cohorts", "cohorts", "cohorts", "write_caps"]
    );
}
