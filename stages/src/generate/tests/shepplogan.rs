use std::collections::{BTreeMap, BTreeSet};

use maps::weights::read_pt;
use serde_json::{Value, json};

use super::world::{World, issues};
use crate::caps;

const STAGE: &str = "generate-shepplogan";

fn small(n: usize) -> Value {
    json!({ "n_subjects": n, "image_size": 32 })
}

/// In ClinicaDL 1.6.1 the table has each participant of the first class `n` times.
#[test]
fn the_table_has_each_participant_once() {
    let world = World::new();
    let finished = world.run(STAGE, &small(3), 1).unwrap();
    let labels = world.labels(&finished);
    let rows: Vec<&[String]> = labels.iter().map(|row| &row[..3]).collect();
    assert_eq!(
        rows,
        [
            ["participant_id", "session_id", "diagnosis"],
            ["sub-CLNC00000", "ses-M000", "AD"],
            ["sub-CLNC00001", "ses-M000", "AD"],
            ["sub-CLNC00002", "ses-M000", "AD"],
            ["sub-CLNC10000", "ses-M000", "CN"],
            ["sub-CLNC10001", "ses-M000", "CN"],
            ["sub-CLNC10002", "ses-M000", "CN"],
        ]
    );
    let missing = world.text(&finished, "caps", "missing_mods/missing_mods_ses-M000.tsv");
    assert_eq!(missing.lines().count(), 7);
}

/// In ClinicaDL 1.6.1 the image is a text file that says 0.
#[test]
fn the_image_is_one_and_equals_the_tensor() {
    let world = World::new();
    let finished = world.run(STAGE, &small(2), 1).unwrap();
    let images = world.images(&finished);
    assert_eq!(images.len(), 4);
    let files = world.files(&finished, "caps");
    for (name, image) in &images {
        assert!(caps::selects("*_space-SheppLogan_phantom.nii.gz", name));
        assert_eq!(image.shape, [32, 32, 1]);
        let tensor = name
            .replace(
                "/shepplogan/",
                "/deeplearning_prepare_data/slice_based/custom/",
            )
            .replace(
                "SheppLogan_phantom.nii.gz",
                "SheppLogan_axis-axi_channel-single_slice-0_phantom.pt",
            );
        let tensor = read_pt(&std::fs::read(&files[&tensor]).unwrap()).unwrap();
        assert_eq!(tensor.shape(), [1, 32, 32]);
        assert_eq!(tensor.as_f32().unwrap(), image.data);
    }
    let distinct: BTreeSet<Vec<u32>> = images
        .values()
        .map(|image| image.data.iter().map(|value| value.to_bits()).collect())
        .collect();
    assert_eq!(distinct.len(), 4);
}

/// ClinicaDL 1.6.1 writes no `custom_suffix`, and ends with a KeyError when it reads such a tensor.
#[test]
fn the_extraction_file_has_the_keys_of_clinicadl() {
    let world = World::new();
    let params = json!({ "n_subjects": 1, "image_size": 32, "extract_json": "phantoms.json" });
    let finished = world.run(STAGE, &params, 1).unwrap();
    let text = world.text(&finished, "caps", "tensor_extraction/phantoms.json");
    let extraction: Value = serde_json::from_str(&text).unwrap();
    let expected = json!({
        "preprocessing": "custom", "mode": "slice", "use_uncropped_image": false,
        "custom_suffix": "_space-SheppLogan_phantom.nii.gz", "prepare_dl": true, "extract_json": "phantoms.json", "slice_direction": 2,
        "slice_mode": "single", "discarded_slices": 0, "num_slices": 1,
        "file_type": {
            "pattern": "*_space-SheppLogan_phantom.nii.gz",
            "description": "Custom suffix", "needed_pipeline": "shepplogan",
        },
    });
    assert_eq!(extraction, expected);
    let keys =
        |value: &Value| -> Vec<String> { value.as_object().unwrap().keys().cloned().collect() };
    assert_eq!(keys(&extraction), keys(&expected));
}

/// ClinicaDL 1.6.1 has no seed: nothing can be made again.
#[test]
fn phantoms_do_not_depend_on_workers_or_on_how_many_others_there_are() {
    let world = World::new();
    let few = world.run(STAGE, &small(2), 1).unwrap();
    assert_eq!(
        few.outputs,
        World::new().run(STAGE, &small(2), 3).unwrap().outputs
    );
    let more = world.run(STAGE, &small(5), 2).unwrap();
    assert_eq!((more.items_reused, more.items_computed), (8, 12));
}

#[test]
fn subtypes_have_their_probabilities() {
    let world = World::new();
    let params = json!({
        "n_subjects": 1000, "image_size": 32, "cn_subtypes_distribution": [0.0, 0.0, 1.0],
    });
    let finished = world.run(STAGE, &params, 2).unwrap();
    let mut counts: BTreeMap<(String, String), u32> = BTreeMap::new();
    for row in &world.labels(&finished)[1..] {
        *counts.entry((row[2].clone(), row[3].clone())).or_default() += 1;
    }
    let count = |class: &str, subtype: &str| {
        let key = (class.to_owned(), subtype.to_owned());
        counts.get(&key).copied().unwrap_or(0)
    };
    assert_eq!(count("CN", "2"), 1000);
    for (subtype, expected) in [("0", 50), ("1", 850), ("2", 100)] {
        // More than three standard deviations of a binomial.
        assert!(count("AD", subtype).abs_diff(expected) < 35, "{counts:?}");
    }
}

#[test]
fn probabilities_that_do_not_sum_to_one_and_odd_names_are_refused() {
    let odd = json!({
        "cn_subtypes_distribution": [0.5, 0.4, 0.0],
        "ad_subtypes_distribution": [1.5, -0.5, 0.0],
        "extract_json": "../x",
    });
    assert_eq!(
        issues(STAGE, &odd),
        [
            "cn_subtypes_distribution",
            "ad_subtypes_distribution",
            "extract_json"
        ]
    );
    assert!(
        issues(
            STAGE,
            &json!({ "ad_subtypes_distribution": [0.1, 0.2, 0.7] })
        )
        .is_empty()
    );
}
