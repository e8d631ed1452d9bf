//! A small world to learn in: extracted images of 18³ voxels, split tables, a store, an engine.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use engine::context::{Slots, StageEvent};
use engine::exec::{ActionSpec, OutputSpec, execute};
use engine::inputs::{input_of, read_external};
use engine::key::ActionKey;
use engine::store::Store;
use engine::{Input, InputFile, Registry, StageError};
use serde_json::{Value, json};
use stages::tensor_file;
use stages::volume::Volume;

use crate::WORKER_STAGES;

pub(super) const SIZE: usize = 18;

pub(super) struct World {
    folder: tempfile::TempDir,
}

/// A finished action: its files by path, and the events it sent.
#[derive(Debug)]
pub(super) struct Done {
    pub(super) input: Input,
    pub(super) events: Vec<StageEvent>,
}

/// One image: participant, session, label.
pub(super) type Row = (String, String, String);

/// Rows `sub-<first>…`, alternating `AD` and `CN`; every third participant has two sessions.
pub(super) fn rows(first: usize, count: usize) -> Vec<Row> {
    (first..first + count)
        .flat_map(|i| {
            let label = if i % 2 == 0 { "AD" } else { "CN" };
            let sessions: &[&str] = if i % 3 == 0 {
                &["ses-M000", "ses-M012"]
            } else {
                &["ses-M000"]
            };
            sessions.iter().map(move |session| {
                (
                    format!("sub-{i:02}"),
                    (*session).to_owned(),
                    label.to_owned(),
                )
            })
        })
        .collect()
}

/// Rows as a table.
pub(super) fn table(rows: &[Row]) -> String {
    let mut text = "participant_id\tsession_id\tdiagnosis\n".to_owned();
    for (participant, session, label) in rows {
        text.push_str(&format!("{participant}\t{session}\t{label}\n"));
    }
    text
}

impl World {
    /// Ten participants to train on, four to validate, four to test, with their images.
    pub(super) fn new() -> Self {
        let world = Self::empty();
        world.write("splits/train.tsv", &table(&rows(0, 10)));
        world.write(
            "splits/validation_baseline.tsv",
            &table(&baseline(&rows(10, 4))),
        );
        world.write("test.tsv", &table(&rows(20, 4)));
        world.write_images(&rows(0, 24));
        world
    }

    /// Nothing yet.
    pub(super) fn empty() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
        }
    }

    pub(super) fn path(&self, path: &str) -> PathBuf {
        self.folder.path().join(path)
    }

    pub(super) fn write(&self, path: &str, text: &str) {
        let path = self.path(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    pub(super) fn write_images(&self, rows: &[Row]) {
        self.write_sized_images(rows, [SIZE; 3]);
    }

    pub(super) fn write_sized_images(&self, rows: &[Row], shape: [usize; 3]) {
        let mut index = "participant_id\tsession_id\tfile\n".to_owned();
        for (i, (participant, session, label)) in rows.iter().enumerate() {
            let file = format!("images/{participant}_{session}.safetensors");
            index.push_str(&format!("{participant}\t{session}\t{file}\n"));
            self.write_image(&file, i, label, shape);
        }
        self.write("tensors/images.tsv", &index);
        let extraction = json!({
            "preprocessing": "t1-linear", "mode": "image", "use_uncropped_image": false,
            "prepare_dl": false, "extract_json": "extract.json",
            "file_type": { "pattern": "*", "description": "", "needed_pipeline": "t1-linear" },
        });
        self.write("tensors/extraction.json", &extraction.to_string());
    }

    /// Noise, with a dark half in class `AD`.
    pub(super) fn write_image(&self, file: &str, number: usize, label: &str, shape: [usize; 3]) {
        let count = shape.iter().product::<usize>();
        let voxel = |i: usize| {
            let noise = ((i * 7919 + number * 104_729) % 1009) as f32 / 1009.0;
            let is_dark = label == "AD" && i < count / 2;
            100.0 + if is_dark { 0.2 * noise } else { noise }
        };
        let affine = [
            [-2.0, 0.0, 0.0, 90.0],
            [0.0, 2.0, 0.1, -126.0],
            [0.0, -0.1, 2.0, -72.0],
            [0.0, 0.0, 0.0, 1.0],
        ];
        let path = self.path(&format!("tensors/{file}"));
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        let data = (0..count).map(voxel).collect();
        tensor_file::write_volume(
            &path,
            &Volume {
                data,
                shape,
                affine,
            },
        )
        .unwrap();
    }

    /// An external input.
    pub(super) fn input(&self, path: &str, kind: &str) -> Input {
        self.read(&self.path(path), kind, path)
    }

    pub(super) fn read(&self, path: &Path, kind: &str, shown: &str) -> Input {
        read_external(path, kind, shown, &|_| true, self.store("main").stats()).unwrap()
    }

    pub(super) fn store(&self, name: &str) -> Store {
        Store::open(&self.path(&format!("stores/{name}"))).unwrap()
    }

    /// Parameters of a short training, with changes.
    pub(super) fn train_params(changes: Value) -> Value {
        let mut params = json!({ "epochs": 3, "batch_size": 4, "bootstrap": 20 });
        for (key, value) in changes.as_object().unwrap() {
            params[key] = value.clone();
        }
        params
    }

    /// Trains in the store called `store`.
    pub(super) fn train(&self, store: &str, changes: Value) -> Result<Done, StageError> {
        self.train_until(store, changes, &|_| false)
    }

    /// Trains until an event asks to stop.
    pub(super) fn train_until(
        &self,
        store: &str,
        changes: Value,
        stop: &(dyn Fn(&StageEvent) -> bool + Sync),
    ) -> Result<Done, StageError> {
        let inputs = [
            ("images", self.input("tensors", "tensors")),
            ("splits", self.input("splits", "splits")),
        ];
        self.run(
            store,
            "train",
            Self::train_params(changes),
            inputs.into(),
            stop,
        )
    }

    /// Applies a model to the table `test.tsv`.
    pub(super) fn apply(
        &self,
        stage: &str,
        model: &Done,
        params: Value,
    ) -> Result<Done, StageError> {
        self.apply_with(stage, model, params, &[])
    }

    /// The same with more inputs: port, kind, path.
    pub(super) fn apply_with(
        &self,
        stage: &str,
        model: &Done,
        params: Value,
        more: &[(&'static str, &str, &str)],
    ) -> Result<Done, StageError> {
        let mut inputs = BTreeMap::from([
            ("model", model.input.clone()),
            ("images", self.input("tensors", "tensors")),
            ("participants", self.input("test.tsv", "table")),
        ]);
        for &(port, kind, path) in more {
            inputs.insert(port, self.input(path, kind));
        }
        self.run("main", stage, params, inputs, &|_| false)
    }

    pub(super) fn run(
        &self,
        store: &str,
        stage: &str,
        params: Value,
        inputs: BTreeMap<&str, Input>,
        stop: &(dyn Fn(&StageEvent) -> bool + Sync),
    ) -> Result<Done, StageError> {
        let registry = Registry::new(WORKER_STAGES);
        let declared = registry.find(stage).unwrap();
        let params = declared.resolve(&params).unwrap();
        assert!(declared.check(&params).is_empty(), "parameters of the test");
        let ports = declared.ports(&params);
        let (port, kind) = (&*ports.outputs[0].name, &*ports.outputs[0].kind);
        let digests: BTreeMap<&str, _> = inputs.iter().map(|(port, i)| (*port, i.digest)).collect();
        let document = json!({
            "stage": stage, "params": declared.semantic(&params), "inputs": digests,
        });
        let spec = ActionSpec {
            name: stage.to_owned(),
            key: ActionKey::of_document(&document),
            stage: stage.to_owned(),
            params,
            inputs: inputs
                .into_iter()
                .map(|(port, input)| (port.to_owned(), input))
                .collect(),
            outputs: [(
                port.to_owned(),
                OutputSpec {
                    kind: kind.to_owned(),
                    splits: None,
                },
            )]
            .into(),
            split: Some(0),
            seed: 42,
            slots: Slots { cpus: 1, gpus: 0 },
            memory_limit: None,
            profile: false,
            store: self.path("stores"),
        };
        let store = self.store(store);
        let cancelled = Arc::new(AtomicBool::new(false));
        let events = Arc::new(Mutex::new(Vec::new()));
        let (sink, asked) = (events.clone(), cancelled.clone());
        // Tests hand over a borrowed closure; the sink must own what it uses.
        let (sender, receiver) = std::sync::mpsc::channel::<StageEvent>();
        let result = std::thread::scope(|scope| {
            scope.spawn(move || {
                for event in receiver {
                    if stop(&event) {
                        asked.store(true, Ordering::Relaxed);
                    }
                    sink.lock().unwrap().push(event);
                }
            });
            let sender = Mutex::new(sender);
            let tell = Arc::new(move |event| sender.lock().unwrap().send(event).unwrap());
            execute(&spec, registry, &store, tell, cancelled)
        })?;
        let artifact = &result.outputs[port][0];
        let tree = store.tree(&artifact.digest).unwrap();
        let files = tree.files.iter().map(|(path, file)| {
            let file = InputFile {
                path: store.object_path(&file.digest),
                shown: format!("{stage}/{path}"),
                digest: file.digest,
                size: file.size,
            };
            (path.clone(), file)
        });
        let events = std::mem::take(&mut *events.lock().unwrap());
        Ok(Done {
            input: input_of(kind, stage, files.collect()),
            events,
        })
    }
}

impl Done {
    pub(super) fn bytes(&self, path: &str) -> Vec<u8> {
        std::fs::read(&self.input.files[path].path).unwrap()
    }

    pub(super) fn text(&self, path: &str) -> String {
        String::from_utf8(self.bytes(path)).unwrap()
    }

    pub(super) fn paths(&self) -> Vec<&str> {
        self.input.files.keys().map(String::as_str).collect()
    }

    pub(super) fn warnings(&self) -> Vec<&str> {
        let warnings = self.events.iter().filter_map(|event| match event {
            StageEvent::Warning { message } => Some(message.as_str()),
            _ => None,
        });
        warnings.collect()
    }
}

/// The first session of each participant.
pub(super) fn baseline(rows: &[Row]) -> Vec<Row> {
    rows.iter()
        .filter(|(_, session, _)| session == "ses-M000")
        .cloned()
        .collect()
}
