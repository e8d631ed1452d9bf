use std::fs;

use super::{copy_of_peer, peer};
use crate::validate;
use crate::weights::{Array, ArrayData, Checkpoint, Weights, write_pth, write_safetensors};

/// The issues of a good MAPS with one file changed.
fn issues_with(path: &str, change: impl FnOnce(String) -> String) -> Vec<String> {
    let folder = copy_of_peer();
    let path = folder.path().join(path);
    let text = fs::read_to_string(&path).unwrap();
    let changed = change(text.clone());
    assert_ne!(text, changed, "the change must change something");
    fs::write(&path, changed).unwrap();
    validate(folder.path())
        .iter()
        .map(ToString::to_string)
        .collect()
}

fn only_issue(path: &str, change: impl FnOnce(String) -> String) -> String {
    let issues = issues_with(path, change);
    assert_eq!(issues.len(), 1, "{issues:#?}");
    issues[0].clone()
}

const TEST_PREDICTION: &str = "split-0/best-loss/test/test_image_level_prediction.tsv";

#[test]
fn a_maps_of_1_6_1_has_no_issues() {
    assert_eq!(validate(&peer()), []);
}

#[test]
fn all_issues_are_reported_at_once() {
    let folder = copy_of_peer();
    fs::remove_file(folder.path().join("groups/train+validation.tsv")).unwrap();
    fs::write(
        folder.path().join("split-0/best-loss/model.pth.tar"),
        "no archive",
    )
    .unwrap();
    fs::write(folder.path().join("maps.json"), "{").unwrap();
    fs::write(
        folder.path().join("groups/test/data.tsv"),
        "participant_id\n",
    )
    .unwrap();
    let found: Vec<String> = validate(folder.path())
        .into_iter()
        .map(|issue| issue.path)
        .collect();
    // Without parameters it is not known whether tables are of whole images.
    assert_eq!(
        found,
        [
            "groups/test/data.tsv",
            "groups/train+validation.tsv",
            "maps.json",
            "split-0/best-loss/model.pth.tar"
        ]
    );
}

#[test]
fn parameters_without_labels_are_reported() {
    let issue = only_issue("maps.json", |text| {
        text.replace("\"AD\": 0,\n        \"CN\": 1", "")
    });
    assert_eq!(issue, "maps.json, line 17: has no labels in `label_code`");
}

#[test]
fn a_code_beyond_the_outputs_is_reported() {
    let issue = only_issue("maps.json", |text| text.replace("\"CN\": 1", "\"CN\": 2"));
    assert!(
        issue.contains("code 2 of label `CN` is beyond the 2 outputs"),
        "{issue}"
    );
}

#[test]
fn weights_that_do_not_load_are_reported_with_the_reason() {
    let folder = copy_of_peer();
    fs::write(
        folder.path().join("split-0/best-loss/model.pth.tar"),
        "no archive",
    )
    .unwrap();
    let issues = validate(folder.path());
    assert_eq!(issues.len(), 1);
    assert!(
        issues[0].message.ends_with("not a PyTorch zip archive"),
        "{}",
        issues[0]
    );
}

#[test]
fn weights_of_another_network_or_that_are_not_finite_are_reported() {
    let folder = copy_of_peer();
    let path = folder.path().join("split-0/best-loss/model.pth.tar");
    let weights = Array::try_new(vec![1], ArrayData::F32(vec![f32::NAN])).unwrap();
    let model = Weights::from([("fc.bias".to_owned(), weights)]);
    let checkpoint = Checkpoint {
        model,
        epoch: Some(0),
        name: Some("Conv4_FC3".to_owned()),
    };
    fs::write(path, write_pth(&checkpoint)).unwrap();
    let issues = validate(folder.path());
    assert_eq!(issues.len(), 2, "{issues:?}");
    assert!(issues[0].message.contains("holds weights of `Conv4_FC3`"));
    assert!(
        issues[1]
            .message
            .contains("`fc.bias` has values that are not finite")
    );
}

#[test]
fn safetensors_that_differ_from_the_weights_are_reported() {
    let folder = copy_of_peer();
    let path = folder.path().join("split-0/best-loss/model.safetensors");
    fs::write(path, write_safetensors(&Weights::new()).unwrap()).unwrap();
    assert!(
        validate(folder.path())[0]
            .message
            .contains("holds other weights than")
    );
}

#[test]
fn a_split_without_models_is_reported() {
    let folder = copy_of_peer();
    fs::remove_dir_all(folder.path().join("split-0/best-loss")).unwrap();
    let issues = validate(folder.path());
    assert_eq!(
        issues[0].to_string(),
        "split-0: has no folder `best-<metric>`"
    );
    fs::remove_dir_all(folder.path().join("split-0")).unwrap();
    assert!(
        validate(folder.path())[0]
            .message
            .starts_with("has no folder `split-<i>`")
    );
}

#[test]
fn a_selection_metric_without_a_model_is_reported() {
    let issue = only_issue("maps.json", |text| {
        text.replace("\"loss\"\n", "\"loss\",\n        \"BA\"\n")
    });
    assert_eq!(
        issue,
        "split-0: has no folder `best-BA`, a selection metric"
    );
}

#[test]
fn a_group_of_a_trained_split_that_is_missing_is_reported() {
    let folder = copy_of_peer();
    fs::remove_dir_all(folder.path().join("groups/validation/split-0")).unwrap();
    let issues: Vec<String> = validate(folder.path())
        .iter()
        .map(ToString::to_string)
        .collect();
    assert!(
        issues[0].contains("groups/validation/split-0: is missing"),
        "{issues:?}"
    );
}

#[test]
fn a_participant_of_train_and_validation_is_reported() {
    let issues = issues_with("groups/validation/split-0/data.tsv", |text| {
        text + "9\tsub-ICBM000\tses-M000\tsingle\tCN\n"
    });
    assert!(
        issues[0].contains("also in train: `sub-ICBM000`"),
        "{issues:?}"
    );
}

#[test]
fn a_participant_that_training_does_not_know_is_reported() {
    let issue = only_issue("groups/train/split-1/data.tsv", |text| {
        text + "9\tsub-X\tses-M000\tsingle\tCN\n"
    });
    assert!(
        issue.contains("`groups/train+validation.tsv` lacks: `sub-X`"),
        "{issue}"
    );
}

#[test]
fn a_test_participant_that_training_used_is_reported() {
    let issue = only_issue("groups/train+validation.tsv", |text| {
        text + "sub-ICBM001\tses-M000\n"
    });
    assert!(
        issue.contains("training or validation used: `sub-ICBM001`"),
        "{issue}"
    );
}

#[test]
fn a_session_listed_twice_is_reported() {
    let issue = only_issue("groups/test/data.tsv", |text| {
        text.clone() + text.lines().nth(1).unwrap() + "\n"
    });
    assert!(
        issue.contains("lists participant `sub-ICBM001`, session `ses-M000` twice"),
        "{issue}"
    );
}

#[test]
fn a_missing_prediction_is_reported() {
    let issue = only_issue(TEST_PREDICTION, |text| {
        text.lines().take(2).collect::<Vec<_>>().join("\n")
    });
    assert!(
        issue.contains("has no prediction of participant `sub-ICBM002`"),
        "{issue}"
    );
}

#[test]
fn a_prediction_of_a_stranger_is_reported() {
    let issues = issues_with(TEST_PREDICTION, |text| text.replace("sub-ICBM002", "sub-X"));
    assert!(
        issues[1].contains("predicts what its data group lacks: participant `sub-X`"),
        "{issues:?}"
    );
}

#[test]
fn probabilities_that_do_not_add_up_are_reported() {
    let issue = only_issue(TEST_PREDICTION, |text| {
        text.replace("0.4727649390697479", "0.9")
    });
    assert!(
        issue.contains("participant `sub-ICBM001`, session `ses-M000`: probabilities"),
        "{issue}"
    );
    let issue = only_issue(TEST_PREDICTION, |text| {
        text.replace("0.4727649390697479", "")
    });
    assert!(issue.contains("do not add up to 1"), "{issue}");
}

#[test]
fn labels_without_a_class_are_reported() {
    let issue = only_issue(TEST_PREDICTION, |text| {
        text.replace("\t0\t1\t0\t", "\t0\t7\t0\t")
    });
    assert!(issue.contains("true label 7 is no code"), "{issue}");
    let issue = only_issue(TEST_PREDICTION, |text| {
        text.replace("\t0\t1\t0\t", "\t0\t1\t-3\t")
    });
    assert!(issue.contains("predicted label -3 is no code"), "{issue}");
}

#[test]
fn a_table_that_does_not_parse_is_reported_by_line() {
    let issue = only_issue(
        "split-0/best-loss/test/test_image_level_metrics.tsv",
        |text| text.replace("0.21438332248228112", "x"),
    );
    assert!(
        issue.contains("line 5, column `BA`: expected a number, got `x`"),
        "{issue}"
    );
    let issue = only_issue("split-0/training_logs/training.tsv", |text| {
        text.replace("1.4383480548858643", "1\t2")
    });
    assert!(issue.contains("line 2"), "{issue}");
}

#[test]
fn a_group_description_that_is_wrong_is_reported() {
    let issue = only_issue("groups/test/maps.json", |text| {
        text.replace("false", "\"no\"")
    });
    assert!(
        issue.contains("`multi_cohort`: expected true or false"),
        "{issue}"
    );
}

#[test]
fn files_of_images_are_those_that_predictions_write() {
    let folder = copy_of_peer();
    let group = folder.path().join("split-0/best-loss/test");
    let data = fs::read_to_string(folder.path().join("groups/test/data.tsv")).unwrap();
    let row: Vec<&str> = data.lines().nth(1).unwrap().split('\t').collect();
    let who = format!("{}_{}", row[0], row[1]);
    let tensor = crate::weights::write_pt(
        &Array::try_new(vec![2], ArrayData::F32(vec![0.5, 0.25])).unwrap(),
    );
    let write = |path: &str, bytes: &[u8]| {
        let path = group.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    };
    for path in [
        format!("tensors/{who}_image-0_input.pt"),
        format!("tensors/{who}_image-0_output.pt"),
        format!("latent_tensors/{who}_image-0_latent.pt"),
    ] {
        write(&path, &tensor);
    }
    // A NIfTI file of ClinicaDL 1.6.1 has this name too.
    for what in ["input", "output", "proba1"] {
        write(
            &format!("nifti_images/{who}_image_{what}.nii.gz"),
            &[0x1f, 0x8b, 8],
        );
    }
    assert_eq!(validate(folder.path()), []);
    write(&format!("tensors/{who}_image-1_output.pt"), &tensor);
    write(&format!("tensors/{who}_image-2_latent.pt"), &tensor);
    write(&format!("tensors/{who}_image-03_input.pt"), &tensor);
    write(
        "latent_tensors/sub-999_ses-M000_image-0_latent.pt",
        b"no archive",
    );
    write(
        &format!("nifti_images/{who}_image_proba2.nii.gz"),
        b"no gzip",
    );
    let issues: Vec<String> = validate(folder.path())
        .iter()
        .map(ToString::to_string)
        .collect();
    let base = "split-0/best-loss/test";
    assert_eq!(issues.len(), 7, "{issues:#?}");
    let expected = [
        format!(
            "{base}/latent_tensors: has files of whom its data group lacks: `sub-999, ses-M000`"
        ),
        format!("{base}/latent_tensors/sub-999_ses-M000_image-0_latent.pt: "),
        format!("{base}/nifti_images/{who}_image_proba2.nii.gz: is not compressed by gzip"),
        format!(
            "{base}/nifti_images/{who}_image_proba2.nii.gz: is of class 2, expected one below 2"
        ),
        format!("{base}/tensors/{who}_image-03_input.pt: is none of the files"),
        format!(
            "{base}/tensors/{who}_image-1_output.pt: is there without `{who}_image-1_input.pt`"
        ),
        format!("{base}/tensors/{who}_image-2_latent.pt: is none of the files"),
    ];
    for (issue, expected) in issues.iter().zip(&expected) {
        assert!(
            issue.starts_with(expected.as_str()),
            "{issue}, expected {expected}"
        );
    }
}
