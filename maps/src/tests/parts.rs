//! MAPS of parts of images, with a network for each or with one for all.

use std::fs;
use std::path::Path;

use super::copy_of_peer;
use crate::layout::{SplitPath, is_of_images, model_of};
use crate::{Maps, validate};

const BEST: &str = "split-0/best-loss";

/// The MAPS of the reference as if it were of patches, with two networks.
fn of_patches() -> tempfile::TempDir {
    let folder = copy_of_peer();
    let root = folder.path();
    let text = fs::read_to_string(root.join("maps.json")).unwrap();
    let text = text
        .replace("\"multi_network\": false", "\"multi_network\": true")
        .replace("\"num_networks\": 1", "\"num_networks\": 2")
        .replace("\"mode\": \"image\"", "\"mode\": \"patch\"");
    fs::write(root.join("maps.json"), text).unwrap();
    let best = root.join(BEST);
    for network in 0..2 {
        let to = best.join(format!("network-{network}_model.pth.tar"));
        fs::copy(best.join("model.pth.tar"), to).unwrap();
        let logs = root.join(format!("split-0/training_logs/network-{network}"));
        fs::create_dir(&logs).unwrap();
        let log = root.join("split-0/training_logs/training.tsv");
        fs::copy(log, logs.join("training.tsv")).unwrap();
    }
    fs::remove_file(best.join("model.pth.tar")).unwrap();
    fs::remove_file(root.join("split-0/training_logs/training.tsv")).unwrap();
    for group in ["train", "validation", "test"] {
        let of = |level: &str, what: &str| {
            best.join(format!("{group}/{group}_{level}_level_{what}.tsv"))
        };
        let images = fs::read_to_string(of("image", "prediction")).unwrap();
        let mut lines = images.lines();
        let mut parts = lines.next().unwrap().replace("image_id", "patch_id") + "\n";
        let rows: Vec<&str> = lines.collect();
        for part in 0..2 {
            for row in &rows {
                let mut cells: Vec<String> = row.split('\t').map(str::to_owned).collect();
                cells[2] = part.to_string();
                parts.push_str(&format!("{}\n", cells.join("\t")));
            }
        }
        fs::write(of("patch", "prediction"), parts).unwrap();
        let metrics = fs::read_to_string(of("image", "metrics")).unwrap();
        let columns = metrics.lines().next().unwrap().split('\t').count();
        let block = |network: usize| {
            let numbers = vec![network.to_string(); columns].join("\t");
            format!("{metrics}{numbers}\n")
        };
        fs::write(of("patch", "metrics"), block(0) + &block(1)).unwrap();
    }
    folder
}

fn issues(folder: &Path) -> Vec<String> {
    validate(folder).iter().map(ToString::to_string).collect()
}

#[test]
fn a_maps_with_several_networks_has_no_issues_and_is_read() {
    let folder = of_patches();
    assert_eq!(issues(folder.path()), Vec::<String>::new());
    let maps = Maps::open(folder.path()).unwrap();
    assert_eq!(maps.networks().unwrap(), [Some(0), Some(1)]);
    assert!(maps.checkpoint_of(0, "loss", Some(1)).is_ok());
    assert!(maps.checkpoint(0, "loss").is_err());
    assert!(maps.training_of(0, Some(0)).is_ok());
    let networks = maps.network_metrics(0, "loss", "test").unwrap().networks;
    assert_eq!(networks.len(), 2);
    assert_eq!(networks[1].0, 1);
    assert_eq!(
        maps.predictions(0, "loss", "test").unwrap().level(),
        "image"
    );
}

#[test]
fn what_is_wrong_with_any_network_or_table_is_reported() {
    let folder = of_patches();
    let at = |path: &str| folder.path().join(path);
    fs::remove_file(at(&format!("{BEST}/network-1_model.pth.tar"))).unwrap();
    fs::remove_file(at("split-0/training_logs/network-0/training.tsv")).unwrap();
    let table = at(&format!("{BEST}/test/test_patch_level_prediction.tsv"));
    let text = fs::read_to_string(&table).unwrap();
    let first = text.lines().nth(1).unwrap().to_owned();
    fs::write(&table, format!("{text}{first}\n")).unwrap();
    let voting = "patch_id\tn_images\taccuracy\tbalanced_accuracy\tweight\n0\t8\t0.5\t0.5\tx\n";
    fs::write(at(&format!("{BEST}/voting.tsv")), voting).unwrap();
    let found = issues(folder.path());
    let expected = [
        "network-1_model.pth.tar: cannot be read",
        "test_patch_level_prediction.tsv: predicts a part of an image twice",
        "voting.tsv, line 2",
        "network-0/training.tsv: cannot be read",
    ];
    assert_eq!(found.len(), expected.len(), "{found:#?}");
    for (found, expected) in found.iter().zip(expected) {
        assert!(found.contains(expected), "{found}");
    }
}

#[test]
fn predictions_of_images_that_clinicadl_left_without_names_are_passed_over() {
    let folder = of_patches();
    let path = folder
        .path()
        .join(format!("{BEST}/test/test_image_level_prediction.tsv"));
    let nameless = "image_id\ttrue_label\tpredicted_label\tproba0\tproba1\n0\t0\t0\t0.5\t0.5\n";
    fs::write(path, nameless).unwrap();
    assert_eq!(issues(folder.path()), Vec::<String>::new());
    let maps = Maps::open(folder.path()).unwrap();
    assert_eq!(
        maps.predictions(0, "loss", "test").unwrap().level(),
        "patch"
    );
}

#[test]
fn a_number_of_networks_that_cannot_be_is_refused() {
    let folder = of_patches();
    let path = folder.path().join("maps.json");
    let text = fs::read_to_string(&path).unwrap();
    for wrong in ["0", "99999999999", "\"two\""] {
        let text = text.replace("\"num_networks\": 2", &format!("\"num_networks\": {wrong}"));
        fs::write(&path, text).unwrap();
        let found = issues(folder.path());
        assert!(found[0].contains("num_networks"), "{found:?}");
    }
}

#[test]
fn files_of_networks_have_their_places() {
    let (metric, group) = ("loss", "train");
    for (path, of_one, of_several) in [
        (
            SplitPath::Training,
            "training_logs/training.tsv",
            "training_logs/network-3/training.tsv",
        ),
        (
            SplitPath::Events { group },
            "training_logs/tensorboard/train/events.out.tfevents.0.clinicadl",
            "training_logs/network-3/tensorboard/train/events.out.tfevents.0.clinicadl",
        ),
        (
            SplitPath::Model { metric },
            "best-loss/model.pth.tar",
            "best-loss/network-3_model.pth.tar",
        ),
        (
            SplitPath::Safetensors { metric },
            "best-loss/model.safetensors",
            "best-loss/network-3_model.safetensors",
        ),
        (
            SplitPath::EveryModel { epoch: 5 },
            "all_models/model_epoch_5.pth.tar",
            "all_models/network-3_model_epoch_5.pth.tar",
        ),
        (
            SplitPath::Voting { metric },
            "best-loss/voting.tsv",
            "best-loss/voting.tsv",
        ),
    ] {
        assert_eq!(path.of_network(None), of_one);
        assert_eq!(path.of_network(Some(3)), of_several);
    }
    assert_eq!(model_of("best-BA/model.pth.tar"), Some(("BA", None)));
    assert_eq!(
        model_of("best-BA/network-12_model.pth.tar"),
        Some(("BA", Some(12)))
    );
    for other in [
        "best-BA/network-_model.pth.tar",
        "best-BA/network-01_model.pth.tar",
        "best-BA/model.safetensors",
        "all_models/model_epoch_5.pth.tar",
        "best-/model.pth.tar",
    ] {
        assert_eq!(model_of(other), None, "{other}");
    }
    assert!(is_of_images("best-loss/test/test_image_level_metrics.tsv"));
    assert!(!is_of_images("best-loss/test/test_patch_level_metrics.tsv"));
}
