use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use engine::publish::{Content, FinishedArtifact, PublishedFile, Publisher};
use engine::store::{Tree, TreeFile};
use engine::{Digest, StageError};
use indexmap::IndexMap;
use serde_json::json;

use crate::files::{
    DataRow, DataTable, Interval, LeakageJson, MapsJson, MetricColumn, MetricsTable, PredictionRow,
    PredictionTable, SINGLE_COHORT, Session, SessionsTable, TrainingParams, TrainingTable,
};
use crate::layout::{
    ENVIRONMENT, INFORMATION_LOG, MAPS_JSON, MapFormat, MapOf, Saved, SavedAs, SplitPath, TRAIN,
    TRAIN_VALIDATION, VALIDATION, in_ensemble,
};
use crate::weights::{
    Array, ArrayData, Checkpoint, Weights, write_pt, write_pth, write_safetensors,
};
use crate::{Maps, MapsPublisher, validate};

/// Artifacts with their bytes, as a store would hold them.
#[derive(Default)]
struct Store {
    objects: BTreeMap<Digest, Vec<u8>>,
    artifacts: Vec<FinishedArtifact>,
}

impl Store {
    fn add(&mut self, stage: &str, kind: &str, split: Option<usize>, files: &[(String, Vec<u8>)]) {
        let mut tree = Tree::default();
        for (path, bytes) in files {
            let digest = Digest::of(bytes);
            self.objects.insert(digest, bytes.clone());
            tree.files.insert(
                path.clone(),
                TreeFile {
                    digest,
                    size: bytes.len() as u64,
                },
            );
        }
        self.artifacts.push(FinishedArtifact {
            stage_name: stage.to_owned(),
            stage_id: stage.to_owned(),
            port: kind.to_owned(),
            kind: kind.to_owned(),
            split,
            params: json!({}),
            tree,
        });
    }

    fn layout(&self) -> Result<Vec<PublishedFile>, StageError> {
        let read = |digest: &Digest| Ok(self.objects[digest].clone());
        MapsPublisher.layout(&self.artifacts, &read)
    }

    fn bytes(&self, content: &Content) -> Vec<u8> {
        match content {
            Content::Object(digest) => self.objects[digest].clone(),
            Content::Bytes(bytes) => bytes.clone(),
        }
    }

    fn published(&self) -> BTreeMap<String, String> {
        let files = self.layout().unwrap();
        assert!(
            files.is_sorted_by(|left, right| left.path < right.path),
            "sorted and unique"
        );
        let show =
            |file: &PublishedFile| String::from_utf8_lossy(&self.bytes(&file.content)).into_owned();
        files
            .iter()
            .map(|file| (file.path.clone(), show(file)))
            .collect()
    }

    fn write(&self, folder: &Path) {
        for file in self.layout().unwrap() {
            let path = folder.join(&file.path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, self.bytes(&file.content)).unwrap();
        }
    }
}

fn session(participant: &str) -> Session {
    Session {
        participant: participant.to_owned(),
        session: "ses-M000".to_owned(),
    }
}

fn data(participants: &[&str]) -> Vec<u8> {
    let row = |participant: &&str| DataRow {
        participant: (*participant).to_owned(),
        session: "ses-M000".to_owned(),
        cohort: SINGLE_COHORT.to_owned(),
        label: Some("AD".to_owned()),
    };
    let rows = participants.iter().map(row).collect();
    DataTable {
        label: Some("diagnosis".to_owned()),
        rows,
    }
    .to_bytes()
}

fn predictions(participants: &[&str]) -> Vec<u8> {
    let row = |participant: &&str| PredictionRow {
        participant: (*participant).to_owned(),
        session: "ses-M000".to_owned(),
        image_id: 0,
        true_label: Some(0),
        predicted_label: 1,
        probabilities: vec![0.25, 0.75],
    };
    PredictionTable::try_new(2, participants.iter().map(row).collect())
        .unwrap()
        .to_bytes()
}

fn metrics() -> Vec<u8> {
    let interval = Some(Interval {
        lower: 0.0,
        upper: 1.0,
        standard_error: 0.5,
    });
    let columns = vec![
        MetricColumn {
            name: "BA".to_owned(),
            value: 0.5,
            interval,
        },
        MetricColumn {
            name: "loss".to_owned(),
            value: 0.7,
            interval: None,
        },
    ];
    MetricsTable {
        columns,
        leakage: None,
    }
    .to_bytes()
}

fn params() -> TrainingParams {
    TrainingParams {
        label_code: IndexMap::from([("AD".to_owned(), 0), ("CN".to_owned(), 1)]),
        output_size: 2,
        n_splits: 2,
        preprocessing: [
            ("mode".to_owned(), json!("image")),
            ("use_uncropped_image".to_owned(), json!(false)),
        ]
        .into_iter()
        .collect(),
        input_size: vec![1, 2, 3, 4],
        ..TrainingParams::default()
    }
}

fn results(group: &str, participants: &[&str]) -> Vec<(String, Vec<u8>)> {
    let metric = "loss";
    vec![
        (SplitPath::Data { group }.in_artifact(), data(participants)),
        (
            SplitPath::Prediction {
                metric,
                group,
                level: "image",
            }
            .in_artifact(),
            predictions(participants),
        ),
        (
            SplitPath::Metrics {
                metric,
                group,
                level: "image",
            }
            .in_artifact(),
            metrics(),
        ),
    ]
}

fn model(params: &TrainingParams, train: &[&str], validation: &[&str]) -> Vec<(String, Vec<u8>)> {
    let weights = Array::try_new(vec![2], ArrayData::F32(vec![1.0, 2.0])).unwrap();
    let model = Weights::from([("fc.weight".to_owned(), weights)]);
    let sessions = train
        .iter()
        .chain(validation)
        .map(|participant| session(participant));
    let training = TrainingTable::try_new(vec!["loss".to_owned()], Vec::new()).unwrap();
    let safetensors = write_safetensors(&model).unwrap();
    let checkpoint = Checkpoint {
        model,
        epoch: Some(0),
        name: Some("Conv5_FC3".to_owned()),
    };
    let mut files = vec![
        (
            MAPS_JSON.to_owned(),
            MapsJson::of_training(params).to_bytes(),
        ),
        (INFORMATION_LOG.to_owned(), b"- Model :\n".to_vec()),
        (
            TRAIN_VALIDATION.to_owned(),
            SessionsTable {
                rows: sessions.collect(),
            }
            .to_bytes(),
        ),
        (SplitPath::Training.in_artifact(), training.to_bytes()),
        (
            SplitPath::Model { metric: "loss" }.in_artifact(),
            write_pth(&checkpoint),
        ),
        (
            SplitPath::Safetensors { metric: "loss" }.in_artifact(),
            safetensors,
        ),
    ];
    files.extend(results(TRAIN, train));
    files.extend(results(VALIDATION, validation));
    files
}

/// Two splits, predictions of a test group, and a mean map.
fn finished() -> Store {
    let mut store = Store::default();
    // Given in an odd order: the result must not depend on it.
    store.add("test", "predictions", Some(1), &results("test", &["sub-8"]));
    store.add(
        "train",
        "model",
        Some(1),
        &model(&params(), &["sub-2"], &["sub-1"]),
    );
    store.add(
        "train",
        "model",
        Some(0),
        &model(&params(), &["sub-1"], &["sub-2", "sub-3"]),
    );
    store.add("test", "predictions", Some(0), &results("test", &["sub-8"]));
    let map = SplitPath::Attribution {
        metric: "loss",
        group: "test",
        name: "gradients",
        of: MapOf::Mean,
        level: "image",
        part: 0,
        format: MapFormat::Tensor,
    };
    store.add(
        "saliency",
        "attributions",
        Some(0),
        &[(map.in_artifact(), b"map".to_vec())],
    );
    let saved = |what| {
        let of = Saved {
            participant: "sub-8",
            session: "ses-M000",
            level: "image",
            part: 0,
            what,
        };
        SplitPath::Saved {
            metric: "loss",
            group: "test",
            of,
        }
    };
    let tensor = Array::try_new(vec![2], ArrayData::F32(vec![0.5, 0.25])).unwrap();
    let files = [SavedAs::Input, SavedAs::Output, SavedAs::Latent];
    let files = files.map(|what| (saved(what).in_artifact(), write_pt(&tensor)));
    store.add("saved", "predictions", Some(1), &files);
    store.add(
        "extract",
        "tensors",
        None,
        &[("images.tsv".to_owned(), b"not part of a MAPS".to_vec())],
    );
    store
}

#[test]
fn artifacts_are_published_in_the_tree_of_1_6_1() {
    let store = finished();
    let published = store.published();
    let paths: Vec<&str> = published.keys().map(String::as_str).collect();
    assert_eq!(
        paths,
        [
            "environment.txt",
            "groups/test/data.tsv",
            "groups/test/maps.json",
            "groups/train+validation.tsv",
            "groups/train/split-0/data.tsv",
            "groups/train/split-0/maps.json",
            "groups/train/split-1/data.tsv",
            "groups/train/split-1/maps.json",
            "groups/validation/split-0/data.tsv",
            "groups/validation/split-0/maps.json",
            "groups/validation/split-1/data.tsv",
            "groups/validation/split-1/maps.json",
            "information.log",
            "maps.json",
            "split-0/best-loss/model.pth.tar",
            "split-0/best-loss/model.safetensors",
            "split-0/best-loss/test/interpret-gradients/mean_image-0_map.pt",
            "split-0/best-loss/test/test_image_level_metrics.tsv",
            "split-0/best-loss/test/test_image_level_prediction.tsv",
            "split-0/best-loss/train/train_image_level_metrics.tsv",
            "split-0/best-loss/train/train_image_level_prediction.tsv",
            "split-0/best-loss/validation/validation_image_level_metrics.tsv",
            "split-0/best-loss/validation/validation_image_level_prediction.tsv",
            "split-0/training_logs/training.tsv",
            "split-1/best-loss/model.pth.tar",
            "split-1/best-loss/model.safetensors",
            "split-1/best-loss/test/latent_tensors/sub-8_ses-M000_image-0_latent.pt",
            "split-1/best-loss/test/tensors/sub-8_ses-M000_image-0_input.pt",
            "split-1/best-loss/test/tensors/sub-8_ses-M000_image-0_output.pt",
            "split-1/best-loss/test/test_image_level_metrics.tsv",
            "split-1/best-loss/test/test_image_level_prediction.tsv",
            "split-1/best-loss/train/train_image_level_metrics.tsv",
            "split-1/best-loss/train/train_image_level_prediction.tsv",
            "split-1/best-loss/validation/validation_image_level_metrics.tsv",
            "split-1/best-loss/validation/validation_image_level_prediction.tsv",
            "split-1/training_logs/training.tsv",
        ]
    );
    let union = "participant_id\tsession_id\nsub-1\tses-M000\nsub-2\tses-M000\nsub-3\tses-M000\n";
    assert_eq!(published[TRAIN_VALIDATION], union);
    assert_eq!(
        published[MAPS_JSON].as_bytes(),
        MapsJson::of_training(&params()).to_bytes()
    );
    assert!(published[ENVIRONMENT].starts_with("clinicadl=="));
}

#[test]
fn an_ensemble_belongs_to_no_split_and_its_tables_are_checked() {
    let mut store = finished();
    let files = results("test", &["sub-8"]).into_iter();
    let mut files: Vec<(String, Vec<u8>)> = files
        .map(|(path, bytes)| match path.starts_with("groups/") {
            true => (path, bytes),
            false => (in_ensemble("mean", &path), bytes),
        })
        .collect();
    let certificate = json!({ "format": 1, "checks": [], "allowed": [], "digest": "" });
    let path = in_ensemble("mean", "leakage/test.json");
    files.push((path.clone(), certificate.to_string().into_bytes()));
    store.add("together", "ensemble", None, &files);
    let published = store.published();
    assert!(published.contains_key("groups/test/data.tsv"));
    let leakage = LeakageJson::read(published["leakage.json"].as_bytes(), "l").unwrap();
    assert!(leakage.checked.contains_key(&path));
    // Of two splits and of the ensemble.
    assert_eq!(leakage.models_tested_on["test"], 3);

    let folder = tempfile::tempdir().unwrap();
    store.write(folder.path());
    assert_eq!(validate(folder.path()), []);
    let maps = Maps::open(folder.path()).unwrap();
    assert_eq!(maps.ensembles().unwrap(), ["mean"]);
    assert_eq!(maps.ensemble_selections("mean").unwrap(), ["loss"]);
    let tables = maps.ensemble_metrics("mean", "loss", "test").unwrap();
    assert_eq!(tables[0].0, "image");
    assert_eq!(tables[0].1.get("BA").map(|column| column.value), Some(0.5));
    let table = "ensemble/mean/best-loss/test/test_image_level_prediction.tsv";
    fs::write(folder.path().join(table), predictions(&["sub-9"])).unwrap();
    let issues = validate(folder.path());
    let told: Vec<&str> = issues.iter().map(|issue| issue.path.as_str()).collect();
    assert_eq!(told, [table, table], "{issues:?}");
}

#[test]
fn the_order_of_artifacts_does_not_matter() {
    let mut store = finished();
    let layout = store.layout().unwrap();
    store.artifacts.reverse();
    assert_eq!(store.layout().unwrap(), layout);
}

#[test]
fn what_is_published_reads_and_has_no_issues() {
    let folder = tempfile::tempdir().unwrap();
    finished().write(folder.path());
    assert_eq!(validate(folder.path()), []);
    let maps = Maps::open(folder.path()).unwrap();
    assert_eq!(maps.splits(), [0, 1]);
    assert_eq!(maps.checkpoint(1, "loss").unwrap().model.len(), 1);
}

#[test]
fn results_alone_are_published_without_parameters() {
    let mut store = Store::default();
    store.add("test", "predictions", Some(0), &results("test", &["sub-8"]));
    let published = store.published();
    assert!(published.contains_key("groups/test/maps.json"));
    assert!(!published.contains_key(MAPS_JSON));
}

#[test]
fn two_stages_for_one_file_are_refused_by_name() {
    let mut store = finished();
    store.add(
        "again",
        "predictions",
        Some(0),
        &results("test", &["sub-9"]),
    );
    let error = store.layout().unwrap_err();
    assert_eq!(
        error.message,
        "`again (split 0)` and `test (split 0)` both write \
         `split-0/best-loss/test/test_image_level_prediction.tsv`, with different content"
    );
    assert_eq!(error.hints.len(), 1);
}

#[test]
fn models_that_were_asked_different_things_are_refused() {
    let mut store = finished();
    let other = TrainingParams {
        learning_rate: 0.01,
        ..params()
    };
    store.add(
        "retrain",
        "model",
        Some(2),
        &model(&other, &["sub-1"], &["sub-2"]),
    );
    let error = store.layout().unwrap_err();
    assert_eq!(
        error.message,
        "`train (split 0)` and `retrain (split 2)` differ in `learning_rate` of `maps.json`: \
         `0.0001` and `0.01`"
    );
}

#[test]
fn a_model_without_parameters_is_a_defect_of_ours() {
    let mut store = Store::default();
    store.add("train", "model", Some(0), &results(TRAIN, &["sub-1"]));
    let error = store.layout().unwrap_err();
    assert_eq!(
        error.message,
        "the model of `train (split 0)` has no file `maps.json`"
    );
}
