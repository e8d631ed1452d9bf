use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use engine::exec::{ActionSpec, Finished, OutputSpec, execute};
use engine::inputs::read_external;
use engine::key::ActionKey;
use engine::registry::AnyStage;
use engine::store::{StatCache, Store, Tree};
use engine::{Native, Registry, StageEvent};
use serde_json::{Value, json};

use super::*;
use crate::tensor_file;

mod modes;

static STAGES: &[&dyn AnyStage] = &[&Native::<PrepareData>::new()];

fn reference() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/reference/prepare_data")
}

/// A copy of the reference CAPS, and a store.
struct World {
    folder: tempfile::TempDir,
    warnings: Arc<Mutex<Vec<String>>>,
}

impl World {
    fn new() -> Self {
        let world = Self {
            folder: tempfile::tempdir().unwrap(),
            warnings: Arc::default(),
        };
        copy(&reference().join("caps"), &world.path("caps"));
        world
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn image(&self, participant: &str, session: &str) -> PathBuf {
        let tail = "space-MNI152NLin2009cSym_desc-Crop_res-1x1x1_T1w.nii.gz";
        self.path("caps/subjects")
            .join(participant)
            .join(session)
            .join(format!("t1_linear/{participant}_{session}_{tail}"))
    }

    /// Runs the stage with what lies in folders named as its ports.
    fn run(&self, params: Value, cpus: usize) -> Result<(Finished, Tree), StageError> {
        let finished = self.finish(params, cpus)?;
        let tree = self.tree(&finished, "images");
        Ok((finished, tree))
    }

    fn tree(&self, finished: &Finished, port: &str) -> Tree {
        let store = Store::open(&self.path("store")).unwrap();
        let tree = store.tree(&finished.outputs[port][0].digest).unwrap();
        tree.as_ref().clone()
    }

    fn finish(&self, params: Value, cpus: usize) -> Result<Finished, StageError> {
        let store = Store::open(&self.path("store")).unwrap();
        let stage = STAGES[0];
        let params = stage.resolve(&params).unwrap();
        let ports = stage.ports(&params);
        let selector = stage.selector(&params);
        let mut inputs = std::collections::BTreeMap::new();
        for port in &ports.inputs {
            let kind = port.kinds.last().unwrap();
            let name = if *kind == "table" {
                format!("{}.tsv", port.name)
            } else {
                port.name.to_string()
            };
            if self.path(&name).exists() {
                let selects = |path: &str| selector(&port.name, path);
                let input = read_external(
                    &self.path(&name),
                    kind,
                    &name,
                    &selects,
                    &StatCache::default(),
                );
                inputs.insert(port.name.to_string(), input.unwrap());
            }
        }
        let outputs = ports.outputs.iter().map(|port| {
            let output = OutputSpec {
                kind: port.kind.to_string(),
                splits: None,
            };
            (port.name.to_string(), output)
        });
        let spec = ActionSpec {
            name: "extract".to_owned(),
            key: ActionKey::of_document(&json!({ "test": true })),
            stage: PrepareData::ID.to_owned(),
            inputs,
            outputs: outputs.collect(),
            params,
            split: None,
            seed: 0,
            slots: engine::context::Slots { cpus, gpus: 0 },
            memory_limit: None,
            profile: false,
            store: self.path("store"),
        };
        let warnings = Arc::clone(&self.warnings);
        let events = Arc::new(move |event| {
            if let StageEvent::Warning { message } = event {
                warnings.lock().unwrap().push(message);
            }
        });
        execute(&spec, Registry::new(STAGES), &store, events, Arc::default())
    }

    fn error(&self) -> StageError {
        self.run(json!({}), 2).unwrap_err()
    }

    fn object(&self, tree: &Tree, name: &str) -> PathBuf {
        let store = Store::open(&self.path("store")).unwrap();
        store.object_path(&tree.files[name].digest)
    }

    fn warned(&self) -> String {
        self.warnings.lock().unwrap().join("\n")
    }
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let target = to.join(path.file_name().unwrap());
        if path.is_dir() {
            copy(&path, &target);
        } else {
            std::fs::copy(path, target).unwrap();
        }
    }
}

#[test]
fn tensors_are_those_of_clinicadl_bit_for_bit() {
    let world = World::new();
    let (_, tree) = world.run(json!({}), 2).unwrap();
    let expected = std::fs::read_dir(reference().join("tensors")).unwrap();
    let mut count = 0;
    for entry in expected {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap();
        let object = world.object(&tree, &format!("images/{name}.safetensors"));
        let (shape, data, affine) = tensor_file::read(&object, name).unwrap();
        assert_eq!(shape, [1, 5, 6, 7]);
        let bytes: Vec<u8> = data.iter().flat_map(|value| value.to_le_bytes()).collect();
        assert!(bytes == std::fs::read(&path).unwrap(), "{name}");
        assert!((affine[1][3] + 119.0).abs() < 1e-6);
        count += 1;
    }
    assert_eq!((count, tree.files.len()), (6, 8));
    assert!(
        world
            .warned()
            .contains("NaN or infinite in 1 images: sub-04, ses-M000 (3 voxels)")
    );
}

#[test]
fn the_extraction_file_is_that_of_clinicadl() {
    let world = World::new();
    let (_, tree) = world.run(json!({}), 1).unwrap();
    let read = |path: &Path| -> Value {
        serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
    };
    let ours = read(&world.object(&tree, "extraction.json"));
    let theirs = read(&reference().join("extraction.json"));
    assert_eq!(
        ours.to_string(),
        theirs.to_string(),
        "keys in the same order"
    );
    let list = std::fs::read_to_string(world.object(&tree, "images.tsv")).unwrap();
    let row: Vec<&str> = list.lines().nth(2).unwrap().split('\t').collect();
    assert_eq!(
        row[..3],
        ["sub-01", "ses-M012", "images/sub-01_ses-M012.safetensors"]
    );
    assert_eq!(row[3].len(), 64);
}

#[test]
fn only_new_content_is_decoded_and_threads_do_not_matter() {
    let world = World::new();
    let (first, _) = world.run(json!({}), 1).unwrap();
    assert_eq!((first.items_reused, first.items_computed), (0, 6));
    // Another name for known content, and nothing else.
    let folder = world.image("sub-06", "ses-M000");
    std::fs::create_dir_all(folder.parent().unwrap()).unwrap();
    std::fs::copy(world.image("sub-01", "ses-M000"), folder).unwrap();
    let (second, _) = world.run(json!({}), 3).unwrap();
    assert_eq!((second.items_reused, second.items_computed), (7, 0));
    std::fs::remove_dir_all(world.path("caps/subjects/sub-06")).unwrap();
    std::fs::remove_dir_all(world.path("store")).unwrap();
    let (third, _) = world.run(json!({}), 3).unwrap();
    assert_eq!(first.outputs, third.outputs);
}

#[test]
fn sessions_of_a_table_without_image_are_named_or_dropped() {
    let world = World::new();
    let table = "participant_id\tsession_id\nsub-01\tses-M000\nsub-01\tses-M006\nsub-9\tses-M000\n";
    std::fs::write(world.path("participants.tsv"), table).unwrap();
    let error = world.error();
    assert!(
        error
            .message
            .contains("for 2 of 3 sessions of `participants.tsv`"),
        "{error}"
    );
    assert!(
        error.message.ends_with("sub-01, ses-M006; sub-9, ses-M000"),
        "{error}"
    );
    let (finished, tree) = world.run(json!({ "on_missing": "drop" }), 1).unwrap();
    assert_eq!((finished.items_computed, tree.files.len()), (1, 4));
    assert!(world.warned().contains("sub-01, ses-M006; sub-9, ses-M000"));
    let missing = std::fs::read_to_string(world.object(&tree, "missing.tsv")).unwrap();
    let row = format!(
        "sub-01\tses-M006\t{}",
        PrepareDataParams::default().file_type().pattern
    );
    assert_eq!(missing.lines().nth(1), Some(row.as_str()));
    let table = "participant_id\tsession_id\nsub-9\tses-M000\n";
    std::fs::write(world.path("participants.tsv"), table).unwrap();
    let error = world.run(json!({ "on_missing": "drop" }), 1).unwrap_err();
    assert_eq!(
        error.message,
        "no session of `participants.tsv` has an image"
    );
}

#[test]
fn all_broken_images_are_named_at_once() {
    let world = World::new();
    std::fs::write(world.image("sub-02", "ses-M000"), "text").unwrap();
    let path = world.image("sub-03", "ses-M000");
    let bytes = std::fs::read(&path).unwrap();
    std::fs::write(&path, &bytes[..bytes.len() - 1]).unwrap();
    let error = world.error();
    assert!(
        error.message.starts_with("2 images cannot be used: "),
        "{error}"
    );
    for part in [
        "sub-02",
        "shorter than a NIfTI header",
        "sub-03",
        "truncated or damaged gzip",
    ] {
        assert!(error.message.contains(part), "{error}");
    }
}

#[test]
fn a_folder_without_images_and_a_bids_are_told_apart() {
    let world = World::new();
    let error = world
        .run(json!({ "use_uncropped_image": true }), 1)
        .unwrap_err();
    let expected = "`caps` has no image \
                    `subjects/sub-*/ses-*/**/*space-MNI152NLin2009cSym_res-1x1x1_T1w.nii.gz`";
    assert_eq!(error.message, expected);
    std::fs::remove_dir_all(world.path("caps")).unwrap();
    std::fs::create_dir_all(world.path("caps/sub-01/ses-M000/anat")).unwrap();
    std::fs::write(
        world.path("caps/sub-01/ses-M000/anat/sub-01_ses-M000_T1w.json"),
        "{}",
    )
    .unwrap();
    assert!(
        world
            .error()
            .message
            .contains("looks like a BIDS (`sub-01` is at its root)")
    );
}

#[test]
fn an_image_that_does_not_count_changes_no_digest() {
    let world = World::new();
    let (first, _) = world.run(json!({}), 1).unwrap();
    let hidden = world
        .image("sub-01", "ses-M000")
        .with_file_name(".sub-01_T1w.nii.gz");
    std::fs::write(hidden, "x").unwrap();
    std::fs::write(world.path("caps/README.txt"), "x").unwrap();
    let (second, _) = world.run(json!({}), 1).unwrap();
    assert_eq!(first.outputs, second.outputs);
}
