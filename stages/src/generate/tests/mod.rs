mod artifacts;
mod hypometabolic;
pub(super) mod oracle;
mod page;
mod random;
mod shepplogan;
mod trivial;
mod world;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

use engine::exec::{ActionSpec, Finished, OutputSpec, execute};
use engine::inputs::read_external;
use engine::key::ActionKey;
use engine::registry::AnyStage;
use engine::store::{StatCache, Store, Tree};
use engine::{Native, Registry};
use serde_json::{Value, json};

use super::*;
use crate::io::nifti;
use crate::volume::to_world;

static STAGES: &[&dyn AnyStage] = &[&Native::<Generate>::new()];

/// An image with a pattern, 4 mm voxels, and 0 mm at voxel (10, 11, 12).
pub(super) fn template() -> Volume {
    let shape = [20, 22, 24];
    let data = (0..20 * 22 * 24).map(|i| 50.0 + (i % 97) as f32).collect();
    let affine = [
        [4.0, 0.0, 0.0, -40.0],
        [0.0, 4.0, 0.0, -44.0],
        [0.0, 0.0, 4.0, -48.0],
        [0.0, 0.0, 0.0, 1.0],
    ];
    Volume {
        data,
        shape,
        affine,
    }
}

/// Parameters with one centre in the middle of that image.
pub(super) fn params() -> GenerateParams {
    GenerateParams {
        centres_mm: vec![[0.0, 0.0, 0.0]],
        ..GenerateParams::default()
    }
}

/// A folder with a template and a store.
struct World {
    folder: tempfile::TempDir,
}

impl World {
    fn new() -> Self {
        let world = Self {
            folder: tempfile::tempdir().unwrap(),
        };
        nifti::write(&world.path("template"), &template()).unwrap();
        world
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn store(&self) -> Store {
        Store::open(&self.path("store")).unwrap()
    }

    fn run(&self, with: Value, seed: u64, cpus: usize) -> Result<Finished, StageError> {
        let mut params = json!({ "crop": false, "centres_mm": [[0.0, 0.0, 0.0]] });
        params
            .as_object_mut()
            .unwrap()
            .extend(with.as_object().unwrap().clone());
        let read = |name: &str| {
            let stats = StatCache::default();
            let input = read_external(&self.path(name), "volume", name, &|_| true, &stats);
            (name.to_owned(), input.unwrap())
        };
        let names = ["template", "mask"]
            .into_iter()
            .filter(|name| self.path(name).exists());
        let output = |name: &str, kind: &str| {
            let spec = OutputSpec {
                kind: kind.to_owned(),
                splits: None,
            };
            (name.to_owned(), spec)
        };
        let spec = ActionSpec {
            name: "participants".to_owned(),
            key: ActionKey::of_document(&json!({ "test": true })),
            stage: Generate::ID.to_owned(),
            params: STAGES[0].resolve(&params).unwrap(),
            inputs: names.map(read).collect(),
            outputs: [output("caps", "caps"), output("labels", "table")].into(),
            split: None,
            seed,
            slots: engine::context::Slots { cpus, gpus: 0 },
            memory_limit: None,
            profile: false,
            store: self.path("store"),
        };
        let events = Arc::new(|_| {});
        execute(
            &spec,
            Registry::new(STAGES),
            &self.store(),
            events,
            Arc::default(),
        )
    }

    fn tree(&self, finished: &Finished, port: &str) -> Tree {
        self.store()
            .tree(&finished.outputs[port][0].digest)
            .unwrap()
            .as_ref()
            .clone()
    }

    fn labels(&self, finished: &Finished) -> Vec<Vec<String>> {
        let tree = self.tree(finished, "labels");
        let path = self.store().object_path(&tree.files["labels.tsv"].digest);
        let text = std::fs::read_to_string(path).unwrap();
        assert!(text.starts_with("participant_id\tsession_id\tdiagnosis\tsex\tage\n"));
        let rows = text.lines().skip(1);
        rows.map(|row| row.split('\t').map(str::to_owned).collect())
            .collect()
    }
}

#[test]
fn any_number_of_threads_gives_the_same_bytes_and_another_seed_gives_others() {
    let (one, four) = (World::new(), World::new());
    let with = || json!({ "n_participants": 6 });
    let first = one.run(with(), 42, 1).unwrap();
    assert_eq!(first.outputs, four.run(with(), 42, 4).unwrap().outputs);
    let other = one.run(with(), 43, 1).unwrap();
    assert_ne!(first.outputs["caps"], other.outputs["caps"]);
}

#[test]
fn more_participants_make_only_the_new_images() {
    let world = World::new();
    let with = |n: usize| json!({ "n_participants": n, "follow_up_fraction": 0.0 });
    let few = world.run(with(4), 1, 2).unwrap();
    assert_eq!((few.items_reused, few.items_computed), (0, 4));
    let more = world.run(with(6), 1, 2).unwrap();
    assert_eq!((more.items_reused, more.items_computed), (4, 2));
    let (few, more) = (world.tree(&few, "caps"), world.tree(&more, "caps"));
    assert!(
        few.files
            .iter()
            .all(|(name, file)| more.files[name].digest == file.digest)
    );
}

#[test]
fn classes_and_sexes_are_balanced_and_every_session_has_its_image() {
    let world = World::new();
    let with = json!({ "n_participants": 16, "follow_up_fraction": 0.5, "deformation_mm": 0.0 });
    let finished = world.run(with, 7, 2).unwrap();
    let labels = world.labels(&finished);
    let baseline: Vec<_> = labels.iter().filter(|row| row[1] == "ses-M000").collect();
    assert_eq!(baseline.len(), 16);
    for class in CLASSES {
        for sex in ["F", "M"] {
            let same = baseline
                .iter()
                .filter(|row| row[2] == class && row[3] == sex);
            assert_eq!(same.count(), 4, "{class} {sex}");
        }
    }
    assert!(
        (17..32).contains(&labels.len()),
        "some have a second session"
    );
    let files: BTreeSet<String> = world.tree(&finished, "caps").files.into_keys().collect();
    let expected = labels.iter().map(|row| {
        let (sub, ses) = (&row[0], &row[1]);
        format!(
            "subjects/{sub}/{ses}/t1_linear/\
             {sub}_{ses}_space-MNI152NLin2009cSym_desc-Crop_res-1x1x1_T1w.nii.gz"
        )
    });
    assert_eq!(files, expected.collect());
}

#[test]
fn without_deformation_gain_and_noise_the_classes_differ_by_the_effect_alone() {
    let world = World::new();
    let with = json!({
        "n_participants": 2, "follow_up_fraction": 0.0,
        "deformation_mm": 0.0, "noise_percent": 0.0, "gain_percent": 0.0,
    });
    let finished = world.run(with, 7, 1).unwrap();
    let images: Vec<Volume> = world
        .tree(&finished, "caps")
        .files
        .values()
        .map(|file| nifti::read(&world.store().object_path(&file.digest), "image").unwrap())
        .collect();
    assert_eq!(images[1], template());
    assert_eq!(
        images[0].data,
        template::ill(&params(), &template(), None).unwrap()
    );
    assert!(
        to_world(&images[0].affine, [10.0, 11.0, 12.0])
            .iter()
            .all(|mm| mm.abs() < 1e-6)
    );
}

#[test]
fn a_mask_on_another_grid_and_a_template_without_size_are_refused() {
    let world = World::new();
    let error = |world: &World| world.run(json!({}), 1, 1).unwrap_err().message;
    let mut mask = template();
    mask.affine[0][3] += 4.0;
    nifti::write(&world.path("mask"), &mask).unwrap();
    assert!(error(&world).contains("`mask` has another orientation or position"));
    let flat = Volume {
        affine: [[0.0; 4]; 4],
        ..template()
    };
    nifti::write(&world.path("template"), &flat).unwrap();
    assert!(error(&world).contains("`template` has voxels of [0.0, 0.0, 0.0] mm"));
}
