use std::fs;

use engine::StageError;
use serde_json::{Value, json};

use super::{copy_of_peer, peer};
use crate::files::MapsJson;
use crate::layout::{
    MapFormat, MapOf, MapTable, SplitPath, model_folder, model_in, selection_metric_of, split_of,
};
use crate::weights::read_pth;
use crate::{Maps, MapsError, validate};

#[test]
fn a_maps_of_1_6_1_reads() {
    let maps = Maps::open(&peer()).unwrap();
    assert_eq!(maps.parameters().architecture().unwrap(), "Conv5_FC3");
    assert_eq!(maps.splits(), [0]);
    assert_eq!(maps.selection_metrics(0).unwrap(), ["loss"]);
    assert_eq!(maps.groups().unwrap(), ["test", "train", "validation"]);
    assert_eq!(
        maps.result_groups(0, "loss").unwrap(),
        ["test", "train", "validation"]
    );
    assert_eq!(maps.train_validation().unwrap().rows.len(), 9);
    assert_eq!(maps.data("train", 0).unwrap().rows.len(), 5);
    assert_eq!(maps.data("test", 0).unwrap().rows.len(), 2);
    assert_eq!(maps.predictions(0, "loss", "test").unwrap().rows().len(), 2);
    assert!(maps.metrics(0, "loss", "test").unwrap().get("BA").is_some());
    assert_eq!(maps.training(0).unwrap().rows().len(), 6);
    assert!(maps.weights_path(0, "loss").is_file());
    assert_eq!(
        maps.checkpoint(0, "loss").unwrap().name.as_deref(),
        Some("Conv5_FC3")
    );
}

#[test]
fn a_folder_without_parameters_is_no_maps() {
    let folder = tempfile::tempdir().unwrap();
    assert!(matches!(
        Maps::open(folder.path()),
        Err(MapsError::NotAMaps(_))
    ));
    assert_eq!(
        validate(&folder.path().join("none"))[0].to_string(),
        ".: is not a folder"
    );
}

#[test]
fn a_missing_file_is_an_io_error_with_its_path() {
    let maps = Maps::open(&peer()).unwrap();
    let error = StageError::from(maps.predictions(0, "BA", "test").unwrap_err());
    assert!(
        error.message.starts_with("failed to read `"),
        "{}",
        error.message
    );
    assert!(
        error
            .message
            .contains("best-BA/test/test_image_level_prediction.tsv")
    );
}

#[test]
fn folds_of_old_versions_are_splits() {
    let folder = copy_of_peer();
    for parent in ["", "groups/train", "groups/validation"] {
        let parent = folder.path().join(parent);
        fs::rename(parent.join("split-0"), parent.join("fold-0")).unwrap();
    }
    let maps = Maps::open(folder.path()).unwrap();
    assert_eq!(maps.splits(), [0]);
    assert_eq!(maps.data("train", 0).unwrap().rows.len(), 5);
    assert!(maps.checkpoint(0, "loss").is_ok());
    assert_eq!(validate(folder.path()), []);
}

#[test]
fn only_numbered_folders_are_splits() {
    assert_eq!(split_of("split-12"), Some(12));
    assert_eq!(split_of("fold-3"), Some(3));
    for name in [
        "split-",
        "split-x",
        "split-+1",
        "splits-1",
        "split-1.bak",
        "split-99999999999999999999",
    ] {
        assert_eq!(split_of(name), None, "{name}");
    }
    assert_eq!(selection_metric_of("best-"), None);
    assert_eq!(selection_metric_of("best-BA"), Some("BA"));
    assert_eq!(selection_metric_of("baseline-voxels"), None);
    for (folder, model) in [("best-BA", "BA"), ("baseline-voxels", "baseline-voxels")] {
        assert_eq!(model_in(folder), Some(model));
        assert_eq!(model_folder(model), folder);
    }
}

#[test]
fn every_file_of_a_split_has_its_place() {
    let of = MapOf::Image {
        participant: "sub-1",
        session: "ses-1",
    };
    let (metric, group, name) = ("loss", "test", "saliency");
    let paths = [
        (
            SplitPath::Data { group: "train" },
            "groups/train/split-3/data.tsv",
        ),
        (SplitPath::Data { group }, "groups/test/data.tsv"),
        (SplitPath::Training, "split-3/training_logs/training.tsv"),
        (
            SplitPath::Model { metric },
            "split-3/best-loss/model.pth.tar",
        ),
        (
            SplitPath::Safetensors { metric },
            "split-3/best-loss/model.safetensors",
        ),
        (SplitPath::Voting { metric }, "split-3/best-loss/voting.tsv"),
        (
            SplitPath::Metrics {
                metric,
                group,
                level: "image",
            },
            "split-3/best-loss/test/test_image_level_metrics.tsv",
        ),
        (
            SplitPath::Prediction {
                metric,
                group,
                level: "slice",
            },
            "split-3/best-loss/test/test_slice_level_prediction.tsv",
        ),
        (
            SplitPath::Description { metric, group },
            "split-3/best-loss/test/description.log",
        ),
        (
            SplitPath::Attribution {
                metric,
                group,
                name,
                of: MapOf::Mean,
                level: "patch",
                part: 12,
                format: MapFormat::Tensor,
            },
            "split-3/best-loss/test/interpret-saliency/mean_patch-12_map.pt",
        ),
        (
            SplitPath::AttributionTable {
                metric,
                group,
                name,
                table: MapTable::MeanRegions,
            },
            "split-3/best-loss/test/interpret-saliency/mean_regions.tsv",
        ),
        (
            SplitPath::Attribution {
                metric,
                group,
                name,
                of,
                level: "image",
                part: 0,
                format: MapFormat::Nifti,
            },
            "split-3/best-loss/test/interpret-saliency/sub-1_ses-1_image-0_map.nii.gz",
        ),
    ];
    for (path, expected) in paths {
        assert_eq!(path.in_maps(3), expected);
    }
}

#[test]
fn facts_of_errors_reach_stages_as_messages_and_hints() {
    let source = read_pth(b"old").unwrap_err();
    let error = StageError::from(MapsError::Weights {
        file: "model.pth.tar".to_owned(),
        source,
    });
    assert_eq!(
        error.message,
        "failed to load weights `model.pth.tar`: not a PyTorch zip archive"
    );
    assert_eq!(error.hints.len(), 1);
    let value = Value::String("x".repeat(500));
    let json = json!({ "preprocessing_dict": value }).to_string();
    let error = MapsJson::read(json.as_bytes(), "maps.json").unwrap_err();
    assert!(error.to_string().len() < 150, "long values are cut");
}
