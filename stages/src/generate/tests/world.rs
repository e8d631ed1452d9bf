//! A folder with a CAPS and a store, in which stages of this family run.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use engine::exec::{ActionSpec, Finished, OutputSpec, execute};
use engine::inputs::read_external;
use engine::key::ActionKey;
use engine::store::{StatCache, Store};
use engine::{Registry, StageError, StageEvent};
use serde_json::{Value, json};

use crate::io::nifti;
use crate::volume::Volume;

pub(super) const T1: &str = "space-MNI152NLin2009cSym_desc-Crop_res-1x1x1_T1w.nii.gz";
pub(super) const PET: &str =
    "trc-18FFDG_space-MNI152NLin2009cSym_desc-Crop_res-1x1x1_suvr-cerebellumPons2_pet.nii.gz";

/// A volume whose voxels are 2 mm, with values from a function of the index.
pub(super) fn volume(shape: [usize; 3], value: impl Fn(usize) -> f32) -> Volume {
    Volume {
        data: (0..shape.iter().product()).map(value).collect(),
        shape,
        affine: [
            [2.0, 0.0, 0.0, -9.0],
            [0.0, 2.0, 0.0, -8.0],
            [0.0, 0.0, 2.0, -7.0],
            [0.0, 0.0, 0.0, 1.0],
        ],
    }
}

pub(super) struct World {
    folder: tempfile::TempDir,
    warnings: Arc<Mutex<Vec<String>>>,
}

impl World {
    pub(super) fn new() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
            warnings: Arc::default(),
        }
    }

    /// A world with T1-weighted images of three participants, the second with two sessions.
    pub(super) fn with_t1() -> Self {
        let world = Self::new();
        let image = |seed: usize| {
            volume([9, 8, 7], move |i| {
                10.0 + ((i * (seed + 3)) % 89) as f32 / 2.0
            })
        };
        for (seed, (participant, session)) in [
            ("sub-1", "ses-M000"),
            ("sub-2", "ses-M012"),
            ("sub-2", "ses-M100"),
            ("sub-3", "ses-M000"),
        ]
        .into_iter()
        .enumerate()
        {
            world.put(participant, session, "t1_linear", T1, &image(seed));
        }
        world
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(super) fn put(
        &self,
        participant: &str,
        session: &str,
        folder: &str,
        tail: &str,
        image: &Volume,
    ) {
        let folder = self.path(&format!("caps/subjects/{participant}/{session}/{folder}"));
        std::fs::create_dir_all(&folder).unwrap();
        let path = folder.join(format!("{participant}_{session}_{tail}"));
        nifti::write(&path, image).unwrap();
    }

    pub(super) fn write(&self, name: &str, image: &Volume) {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        nifti::write(&path, image).unwrap();
    }

    /// Runs a stage on all of `caps`, `participants.tsv`, `masks` and `mask` that exist and fit it.
    pub(super) fn run(
        &self,
        stage: &str,
        params: &Value,
        cpus: usize,
    ) -> Result<Finished, StageError> {
        let registry = Registry::new(crate::STAGES);
        let stage = registry.find(stage).unwrap();
        let params = stage.resolve(params).unwrap();
        assert!(stage.check(&params).is_empty());
        let selector = stage.selector(&params);
        let ports = stage.ports(&params);
        let read = |port: &str, kind: &str| {
            let name = match port {
                "participants" => "participants.tsv",
                other => other,
            };
            let selects = |path: &str| selector(port, path);
            let path = self.path(name);
            path.exists().then(|| {
                let stats = StatCache::default();
                let input = read_external(&path, kind, name, &selects, &stats).unwrap();
                (port.to_owned(), input)
            })
        };
        let inputs = ports.inputs.iter();
        let output = |name: &str, kind: &str| {
            let spec = OutputSpec {
                kind: kind.to_owned(),
                splits: None,
            };
            (name.to_owned(), spec)
        };
        let spec = ActionSpec {
            name: "data".to_owned(),
            key: ActionKey::of_document(&json!({ "test": true })),
            stage: stage.id().to_owned(),
            params,
            inputs: inputs
                .filter_map(|port| read(&port.name, port.kinds[0]))
                .collect(),
            outputs: [output("caps", "caps"), output("labels", "table")].into(),
            split: None,
            seed: 7,
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
        execute(&spec, registry, &self.store(), events, Arc::default())
    }

    pub(super) fn error(&self, stage: &str, params: &Value) -> String {
        self.run(stage, params, 2).unwrap_err().message
    }

    pub(super) fn warnings(&self) -> Vec<String> {
        self.warnings.lock().unwrap().clone()
    }

    fn store(&self) -> Store {
        Store::open(&self.path("store")).unwrap()
    }

    /// The files of an output, by path.
    pub(super) fn files(&self, finished: &Finished, port: &str) -> BTreeMap<String, PathBuf> {
        let store = self.store();
        let tree = store.tree(&finished.outputs[port][0].digest).unwrap();
        let files = tree.files.iter();
        files
            .map(|(name, file)| (name.clone(), store.object_path(&file.digest)))
            .collect()
    }

    /// The images of an output, by path.
    pub(super) fn images(&self, finished: &Finished) -> BTreeMap<String, Volume> {
        let files = self.files(finished, "caps").into_iter();
        files
            .filter(|(name, _)| name.ends_with(".nii.gz"))
            .map(|(name, path)| {
                let image = nifti::read(&path, &name).unwrap();
                (name, image)
            })
            .collect()
    }

    /// The rows of the labels, the header first.
    pub(super) fn labels(&self, finished: &Finished) -> Vec<Vec<String>> {
        let text = self.text(finished, "labels", "labels.tsv");
        let rows = text.lines();
        rows.map(|row| row.split('\t').map(str::to_owned).collect())
            .collect()
    }

    pub(super) fn text(&self, finished: &Finished, port: &str, name: &str) -> String {
        std::fs::read_to_string(&self.files(finished, port)[name]).unwrap()
    }
}

/// The fields of parameters with an issue.
pub(super) fn issues(stage: &str, params: &Value) -> Vec<String> {
    let stage = Registry::new(crate::STAGES).find(stage).unwrap();
    let params = stage.resolve(params).unwrap();
    let issues = stage.check(&params).into_iter();
    issues.map(|issue| issue.field).collect()
}
