//! Importing MAPS that ClinicaDL wrote.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use super::{copy_of, copy_of_peer, peer, peer_2_0};
use crate::import::{IMPORT_JSON, ImportError, Imported, import};
use crate::layout::SplitPath;
use crate::weights::read_pth;
use crate::{CopyError, Maps, MapsError, validate};

struct Import {
    folder: tempfile::TempDir,
    done: Imported,
}

impl Import {
    fn of(source: &Path) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("imported/maps");
        let done = import(source, &target, &|_| Vec::new()).unwrap();
        Self { folder, done }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("imported/maps")
    }

    fn maps(&self) -> Maps {
        Maps::open(&self.path()).unwrap()
    }

    fn notes(&self) -> Vec<String> {
        let notes = self.done.notes.iter();
        notes
            .map(|note| format!("{}: {}", note.path, note.message))
            .collect()
    }
}

fn refused(source: &Path) -> ImportError {
    let folder = tempfile::tempdir().unwrap();
    let target = folder.path().join("maps");
    let error = import(source, &target, &|_| Vec::new()).unwrap_err();
    assert_eq!(
        fs::read_dir(folder.path()).unwrap().count(),
        0,
        "nothing is written"
    );
    error
}

/// Every file with its bytes.
fn contents(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(contents(&path));
        } else {
            let bytes = fs::read(&path).unwrap();
            found.insert(path, bytes);
        }
    }
    found
}

#[test]
fn a_maps_of_1_6_1_is_imported_whole() {
    let before = contents(&peer());
    let import = Import::of(&peer());
    assert_eq!(contents(&peer()), before, "the source is only read");
    assert_eq!(import.done.from, "ClinicaDL 1.6");
    assert_eq!(import.notes(), Vec::<String>::new());
    assert_eq!(import.done.issues, []);
    assert_eq!(import.done.models, 1);
    assert_eq!(validate(&import.path()), []);
    for (path, bytes) in &before {
        let copy = import.path().join(path.strip_prefix(peer()).unwrap());
        assert_eq!(&fs::read(copy).unwrap(), bytes, "{}", path.display());
    }
    let maps = import.maps();
    let mut weights = maps.state_dict(0, "loss").unwrap();
    weights.sort_keys();
    assert_eq!(maps.safetensors(0, "loss").unwrap(), Some(weights));
    assert!(import.path().join(IMPORT_JSON).is_file());
}

#[test]
fn folds_become_splits_and_old_names_new_ones() {
    let source = copy_of_peer();
    for parent in ["", "groups/train", "groups/validation"] {
        let parent = source.path().join(parent);
        fs::rename(parent.join("split-0"), parent.join("fold-0")).unwrap();
    }
    let logs = source.path().join("split-0/training_logs");
    fs::create_dir_all(&logs).unwrap();
    fs::rename(
        source.path().join("fold-0/training_logs/training.tsv"),
        logs.join("training.tsv"),
    )
    .unwrap();
    let path = source.path().join("maps.json");
    let text = fs::read_to_string(&path).unwrap();
    fs::write(
        &path,
        text.replace("\"architecture\"", "\"model\"")
            .replace("\"n_proc\"", "\"num_workers\""),
    )
    .unwrap();
    fs::remove_file(source.path().join("groups/train+validation.tsv")).unwrap();
    fs::remove_file(source.path().join("groups/test/maps.json")).unwrap();
    let import = Import::of(source.path());
    assert_eq!(import.done.issues, []);
    let maps = import.maps();
    assert_eq!(maps.parameters().architecture().unwrap(), "Conv5_FC3");
    assert_eq!(maps.splits(), [0]);
    assert_eq!(maps.training(0).unwrap().rows().len(), 6);
    assert_eq!(maps.train_validation().unwrap().rows.len(), 9);
    let notes = import.notes();
    assert_eq!(notes.len(), 2, "{notes:?}");
    assert!(
        notes[0].starts_with("groups/test: does not tell where"),
        "{notes:?}"
    );
    assert!(
        notes[1].starts_with("groups/train+validation.tsv: is missing"),
        "{notes:?}"
    );
    let kept = fs::read_to_string(import.path().join(IMPORT_JSON)).unwrap();
    assert!(
        kept.contains("\"from\": \"ClinicaDL 1.6\"") && kept.contains("is missing"),
        "{kept}"
    );
}

#[test]
fn what_has_no_place_is_left_out_and_told() {
    let source = copy_of_peer();
    let write = |path: &str, text: &str| {
        let path = source.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    };
    write("split-1/tmp/checkpoint.pth.tar", "state");
    write("split-0/tmp/optimizer.pth.tar", "state");
    write("profiler/clinicadl_10:00:00/trace.json", "{}");
    std::os::unix::fs::symlink("maps.json", source.path().join("link.json")).unwrap();
    let import = Import::of(source.path());
    let notes = import.notes();
    assert_eq!(notes.len(), 4, "{notes:?}");
    for (note, expected) in notes.iter().zip([
        "link.json: a symbolic link",
        "profiler/clinicadl_10:00:00/trace.json: a profile",
        "split-0/tmp/optimizer.pth.tar: the state of a training",
        "split-1: the training of this split is unfinished",
    ]) {
        assert!(note.starts_with(expected), "{note}");
    }
    assert_eq!(import.maps().splits(), [0]);
    assert_eq!(import.done.issues, []);
}

#[test]
fn copies_that_lost_their_participants_are_left_out() {
    let source = copy_of_peer();
    let edit = |path: &str, from: &str, to: &str| {
        let path = source.path().join(path);
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.contains(from), "{from}");
        fs::write(path, text.replace(from, to)).unwrap();
    };
    edit("maps.json", "\"mode\": \"image\"", "\"mode\": \"patch\"");
    let folder = source.path().join("split-0/best-loss");
    for group in ["train", "validation", "test"] {
        let name =
            |level: &str| folder.join(format!("{group}/{group}_{level}_level_prediction.tsv"));
        let text = fs::read_to_string(name("image")).unwrap();
        fs::write(name("patch"), text.replace("image_id", "patch_id")).unwrap();
        let lost: Vec<String> = text
            .lines()
            .map(|line| line.splitn(3, '\t').nth(2).unwrap().to_owned())
            .collect();
        fs::write(name("image"), lost.join("\n") + "\n").unwrap();
    }
    assert_eq!(validate(source.path()), [], "it is what 1.6.1 writes");
    let import = Import::of(source.path());
    assert_eq!(import.notes().len(), 3, "{:?}", import.notes());
    assert!(import.notes()[0].contains("lost the participants"));
    assert_eq!(import.maps().levels(0, "loss", "test"), ["patch"]);
    assert_eq!(import.done.issues, []);
}

#[test]
fn faults_of_the_source_are_told_as_issues() {
    let source = copy_of_peer();
    let path = source.path().join("split-0/training_logs/training.tsv");
    fs::write(path, "epoch\n").unwrap();
    let import = Import::of(source.path());
    assert_eq!(import.done.issues.len(), 1);
    assert_eq!(
        import.done.issues[0].path,
        "split-0/training_logs/training.tsv"
    );
}

#[test]
fn what_the_judge_says_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let judge = |parameters: &crate::files::MapsJson| {
        vec![format!("not this: {}", parameters.architecture().unwrap())]
    };
    let done = import(&peer(), &folder.path().join("maps"), &judge).unwrap();
    assert_eq!(done.notes[0].message, "not this: Conv5_FC3");
}

#[test]
fn a_maps_of_2_0_becomes_one_of_ours() {
    let before = contents(&peer_2_0());
    let import = Import::of(&peer_2_0());
    assert_eq!(contents(&peer_2_0()), before, "the source is only read");
    assert_eq!(import.done.from, "ClinicaDL 2.0");
    assert_eq!(import.done.issues, []);
    assert_eq!(import.done.models, 4);
    let maps = import.maps();
    let parameters = maps.parameters();
    assert_eq!(parameters.architecture().unwrap(), "CNN");
    assert_eq!(parameters.network_task().unwrap(), "regression");
    assert_eq!(parameters.label().unwrap(), Some("age"));
    assert_eq!(parameters.input_size().unwrap(), [1, 18, 18, 18]);
    assert_eq!(parameters.output_size().unwrap(), 1);
    assert_eq!(parameters.selection_metrics().unwrap(), ["MAE", "loss"]);
    assert_eq!(parameters.fields()["conv_args"]["stride"], 2);
    assert_eq!(parameters.fields()["validation"], "KFoldSplit");
    assert!(
        !parameters.switch("normalize").unwrap(),
        "2.0 scaled nothing"
    );
    assert_eq!(maps.splits(), [0, 1]);
    assert_eq!(maps.groups().unwrap(), ["test", "train", "validation"]);
    assert_eq!(maps.train_validation().unwrap().rows.len(), 8);
    let data = maps.data("train", 0).unwrap();
    assert_eq!(data.label.as_deref(), Some("age"));
    assert_eq!(data.rows.len(), 4);
    assert_eq!(data.rows[0].label.as_deref(), Some("60.0"));
    let model = maps.checkpoint(0, "MAE").unwrap();
    assert_eq!(model.name.as_deref(), Some("CNN"));
    assert!(
        model.model.contains_key("convolutions.layer0.conv.weight"),
        "without `network.`"
    );
    let every = maps.path(0, SplitPath::EveryModel { epoch: 0 });
    assert_eq!(read_pth(&fs::read(every).unwrap()).unwrap().epoch, Some(0));
}

#[test]
fn numbers_of_2_0_stay_what_they_are() {
    let import = Import::of(&peer_2_0());
    let maps = import.maps();
    let text = |path: &str| fs::read_to_string(peer_2_0().join(path)).unwrap();
    let cells = |path: &str, line: usize| -> Vec<f64> {
        let text = text(path);
        let line = text.lines().nth(line).unwrap();
        line.split('\t').map(|cell| cell.parse().unwrap()).collect()
    };
    for split in 0..2 {
        let best =
            format!("training/split-{split}/models/best_models/best-loss/validation_metrics");
        let [epoch, loss, mae] = cells(&format!("{best}/aggregated.tsv"), 1)[..] else {
            panic!("three cells");
        };
        let table = maps.metrics(split, "loss", "validation").unwrap();
        assert!((table.get("loss").unwrap().value - loss).abs() < f64::EPSILON);
        assert!((table.get("MAE").unwrap().value - mae).abs() < f64::EPSILON);
        assert_eq!(table.columns.last().unwrap().name, "loss");
        let counted = maps.best_epoch(split, "loss").unwrap().unwrap();
        assert!(
            (counted as f64 + 1.0 - epoch).abs() < f64::EPSILON,
            "2.0 counts from 1"
        );
        let tested = format!("test/group-test/results/split-{split}/best-loss/metrics");
        let [loss, mae] = cells(&format!("{tested}/aggregated.tsv"), 1)[..] else {
            panic!("two cells");
        };
        let table = maps.metrics(split, "loss", "test").unwrap();
        assert!((table.get("loss").unwrap().value - loss).abs() < f64::EPSILON);
        assert!((table.get("MAE").unwrap().value - mae).abs() < f64::EPSILON);
        let losses: Vec<f64> = text(&format!("training/split-{split}/logs/training_loss.tsv"))
            .lines()
            .skip(1)
            .map(|line| line.parse().unwrap())
            .collect();
        let course = maps.training(split).unwrap();
        assert_eq!(course.metrics(), ["MAE", "loss"]);
        assert_eq!(course.rows().len(), 2);
        for (epoch, row) in course.rows().iter().enumerate() {
            let batches = &losses[2 * epoch..2 * epoch + 2];
            let mean = (batches[0] + batches[1]) / 2.0;
            assert!((row.train[1] - mean).abs() < f64::EPSILON);
            assert_eq!((row.epoch, row.iteration), (epoch as u64, 1));
        }
    }
}

#[test]
fn what_2_0_does_not_hold_is_told() {
    let import = Import::of(&peer_2_0());
    let notes = import.notes();
    for expected in [
        "exec: logs of the program",
        "nn_summary.txt: follows from the network",
        "training: ClinicaDL 2.0 keeps no predictions",
        "training/data/train/split-0/dataset.json: images were not read from a pipeline",
    ] {
        assert!(
            notes.iter().any(|note| note.starts_with(expected)),
            "{expected}: {notes:#?}"
        );
    }
    assert!(import.path().join("imported/model.json").is_file());
    let all = contents(&import.path());
    assert!(
        !all.keys().any(|path| path.ends_with("dataset.json")),
        "clinical columns stay"
    );
}

/// A MAPS of 2.0 with `model.json` changed.
fn changed(path: &str, change: impl FnOnce(&mut serde_json::Value)) -> tempfile::TempDir {
    let source = copy_of(&peer_2_0());
    let path = source.path().join(path);
    let mut value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    change(&mut value);
    fs::write(path, value.to_string()).unwrap();
    source
}

#[test]
fn classes_of_2_0_have_numbers_until_somebody_names_them() {
    let source = changed("model.json", |model| {
        model["loss"]["name_"] = "CrossEntropyLoss".into();
        model["network"]["num_outputs"] = 2.into();
    });
    let import = Import::of(source.path());
    let code = import.maps().parameters().label_code().unwrap();
    assert_eq!(code.keys().collect::<Vec<_>>(), ["0", "1"]);
    assert!(
        import
            .notes()
            .iter()
            .any(|note| note.contains("does not tell which label"))
    );
    assert!(
        import
            .notes()
            .iter()
            .any(|note| note.contains("has no labels as the network met them"))
    );
}

#[test]
fn transforms_and_parts_of_2_0_are_told() {
    let source = changed("training/data/train/split-0/dataset.json", |dataset| {
        let transforms = &mut dataset["transforms"];
        transforms["extraction"] = serde_json::json!({ "name_": "Patch", "patch_size": 8 });
        transforms["image_transforms"] = serde_json::json!([
            { "name_": "RescaleIntensity", "out_min_max": [0, 1], "percentiles": [0, 100], "masking_method": null },
            { "name_": "ZNormalization" },
        ]);
        transforms["augmentations"] = serde_json::json!([{ "name_": "RandomFlip" }]);
    });
    let import = Import::of(source.path());
    let maps = import.maps();
    assert!(maps.parameters().switch("normalize").unwrap());
    assert_eq!(maps.parameters().mode().unwrap(), "patch");
    let tables = maps.all_metrics(0, "loss", "test").unwrap();
    assert_eq!(tables[0].0, "patch");
    for expected in [
        "transform `ZNormalization`",
        "augmentations of the training",
        "cut in the same way",
    ] {
        assert!(
            import.notes().iter().any(|note| note.contains(expected)),
            "{expected}"
        );
    }
}

#[test]
fn a_training_of_2_0_without_selection_has_its_last_model() {
    let source = copy_of(&peer_2_0());
    for split in 0..2 {
        let folder = source
            .path()
            .join(format!("training/split-{split}/models/best_models"));
        fs::remove_dir_all(folder).unwrap();
    }
    let import = Import::of(source.path());
    assert_eq!(import.maps().selection_metrics(0).unwrap(), ["final"]);
    assert_eq!(import.maps().best_epoch(0, "final").unwrap(), Some(1));
    assert!(
        import
            .notes()
            .iter()
            .any(|note| note.contains("best-final"))
    );
    assert!(
        import
            .notes()
            .iter()
            .any(|note| note.contains("no metric selected: left out"))
    );
}

#[test]
fn a_segmentation_and_a_model_of_its_own_are_refused() {
    let source = changed("model.json", |model| {
        model["network"]["name_"] = "UNet".into();
    });
    assert!(
        refused(source.path())
            .to_string()
            .contains("describes a segmentation")
    );
    let source = changed("model.json", |model| model["network"] = "mine".into());
    let error = refused(source.path());
    assert!(
        error.to_string().contains("without a network of ClinicaDL"),
        "{error}"
    );
    assert_eq!(error.hints().len(), 1);
    let source = changed("model.json", |model| model["name_"] = "Mine".into());
    assert!(refused(source.path()).to_string().contains("`Mine`"));
}

#[test]
fn a_folder_that_is_no_maps_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    assert!(
        refused(folder.path())
            .to_string()
            .contains("is not a MAPS folder")
    );
}

#[test]
fn a_place_that_is_taken_or_in_the_source_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let judge = |_: &crate::files::MapsJson| Vec::new();
    let error = import(&peer(), folder.path(), &judge).unwrap_err();
    assert!(
        matches!(error, ImportError::Copy(CopyError::Exists(_))),
        "{error}"
    );
    let source = copy_of_peer();
    let error = import(source.path(), &source.path().join("a/b"), &judge).unwrap_err();
    assert!(matches!(error, ImportError::Inside(_)), "{error}");
    assert!(!source.path().join("a").exists());
}

#[test]
fn a_maps_without_a_model_is_refused() {
    let source = copy_of_peer();
    fs::remove_file(source.path().join("split-0/best-loss/model.pth.tar")).unwrap();
    assert!(matches!(
        refused(source.path()),
        ImportError::NothingTrained(_)
    ));
}

#[test]
fn weights_that_do_not_load_are_refused_by_name() {
    let source = copy_of_peer();
    fs::write(
        source.path().join("split-0/best-loss/model.pth.tar"),
        "none",
    )
    .unwrap();
    let error = refused(source.path());
    assert!(
        error.to_string().contains("best-loss/model.pth.tar"),
        "{error}"
    );
    assert_eq!(error.hints().len(), 1);
}

#[test]
fn other_commands_name_the_import_to_those_who_have_a_maps_of_2_0() {
    let error = Maps::open(&peer_2_0()).unwrap_err();
    assert!(matches!(error, MapsError::Version2(_)));
    assert!(error.hints()[0].contains("clinicadl maps import"));
    let issues = validate(&peer_2_0());
    assert_eq!(issues.len(), 1);
    assert_eq!(issues[0].to_string(), ".: is a MAPS of ClinicaDL 2.0");
    assert!(issues[0].hints[0].contains("clinicadl maps import"));
}
