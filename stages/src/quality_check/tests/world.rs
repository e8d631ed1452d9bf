//! A CAPS, a store, and an engine for one action.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use engine::context::Slots;
use engine::exec::{ActionSpec, Finished, OutputSpec, execute};
use engine::inputs::read_external;
use engine::key::ActionKey;
use engine::registry::AnyStage;
use engine::store::{StatCache, Store};
use engine::{Native, Registry, StageError, StageEvent};
use serde_json::{Value, json};

use crate::io::nifti;
use crate::quality_check::{QualityCheckPetLinear, QualityCheckT1Volume};
use crate::volume::Volume;

static STAGES: &[&dyn AnyStage] = &[
    &Native::<QualityCheckPetLinear>::new(),
    &Native::<QualityCheckT1Volume>::new(),
];

/// The grid of the vectors.
pub(super) const SHAPE: [usize; 3] = [19, 23, 19];

/// A volume given by a formula of its indices.
pub(super) fn volume(shape: [usize; 3], value: impl Fn(usize, usize, usize) -> f64) -> Volume {
    let [nx, ny, nz] = shape;
    let places = (0..nx).flat_map(|i| (0..ny).flat_map(move |j| (0..nz).map(move |k| (i, j, k))));
    let mut affine = [[0.0; 4]; 4];
    for (axis, row) in affine.iter_mut().enumerate() {
        row[axis] = 1.0;
    }
    Volume {
        data: places.map(|(i, j, k)| value(i, j, k) as f32).collect(),
        shape,
        affine,
    }
}

pub(super) struct World {
    folder: tempfile::TempDir,
    told: Arc<Mutex<Vec<StageEvent>>>,
}

/// A finished action and its output files by port.
pub(super) struct Done {
    pub(super) finished: Finished,
    pub(super) tables: BTreeMap<String, String>,
}

impl World {
    pub(super) fn new() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
            told: Arc::default(),
        }
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(super) fn write(&self, name: &str, text: &str) {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    pub(super) fn write_volume(&self, name: &str, volume: &Volume) {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        nifti::write(&path, volume).unwrap();
    }

    /// Runs a stage on `caps` and on the inputs of these ports, files of the same name.
    pub(super) fn run(
        &self,
        stage: &str,
        params: Value,
        cpus: usize,
        volumes: &[&str],
    ) -> Result<Done, StageError> {
        let store = Store::open(&self.path("store")).unwrap();
        let stage = Registry::new(STAGES).find(stage).unwrap();
        let params = stage.resolve(&params).unwrap();
        assert!(stage.check(&params).is_empty(), "parameters of the test");
        let selector = stage.selector(&params);
        let read = |port: &str, kind: &str, name: &str| {
            let selects = |path: &str| selector(port, path);
            let stats = StatCache::default();
            let input = read_external(&self.path(name), kind, name, &selects, &stats).unwrap();
            (port.to_owned(), input)
        };
        let mut inputs = vec![read("caps", "caps", "caps")];
        for port in volumes {
            inputs.push(read(port, "volume", &format!("{port}.nii.gz")));
        }
        if self.path("participants.tsv").exists() {
            inputs.push(read("participants", "table", "participants.tsv"));
        }
        let ports = stage.ports(&params).outputs;
        let outputs = ports.iter().map(|port| {
            let kind = port.kind.clone().into_owned();
            (
                port.name.clone().into_owned(),
                OutputSpec { kind, splits: None },
            )
        });
        let spec = ActionSpec {
            name: "check".to_owned(),
            key: ActionKey::of_document(&json!({ "test": true })),
            stage: stage.id().to_owned(),
            params,
            inputs: inputs.into_iter().collect(),
            outputs: outputs.collect(),
            split: None,
            seed: 0,
            slots: Slots { cpus, gpus: 0 },
            memory_limit: None,
            profile: false,
            store: self.path("store"),
        };
        let told = Arc::clone(&self.told);
        let events = Arc::new(move |event| told.lock().unwrap().push(event));
        let finished = execute(&spec, Registry::new(STAGES), &store, events, Arc::default())?;
        let tables = finished.outputs.iter().map(|(port, artifacts)| {
            let tree = store.tree(&artifacts[0].digest).unwrap();
            let file = tree.files.values().next().unwrap();
            let text = std::fs::read_to_string(store.object_path(&file.digest)).unwrap();
            (port.clone(), text)
        });
        Ok(Done {
            tables: tables.collect(),
            finished,
        })
    }

    /// All warnings so far.
    pub(super) fn warned(&self) -> String {
        let told = self.told.lock().unwrap();
        let warnings = told.iter().filter_map(|event| match event {
            StageEvent::Warning { message } => Some(message.as_str()),
            _ => None,
        });
        warnings.collect::<Vec<_>>().join("\n")
    }
}

/// Vectors made by a script of `tests/reference/quality_check`.
pub(super) fn read_reference(name: &str) -> Value {
    let folder = "../tests/reference/quality_check";
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join(folder)
        .join(name);
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}
