//! A small world for the stages that read and write predictions.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};

use engine::context::{Slots, StageEvent};
use engine::exec::{ActionSpec, OutputSpec, execute};
use engine::inputs::read_external;
use engine::key::ActionKey;
use engine::store::Store;
use engine::{Registry, StageError};
use serde_json::{Value, json};

pub(crate) struct World {
    folder: tempfile::TempDir,
}

impl World {
    pub(crate) fn new() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
        }
    }

    pub(crate) fn path(&self, path: &str) -> PathBuf {
        self.folder.path().join(path)
    }

    pub(crate) fn write(&self, path: &str, text: &str) {
        let path = self.path(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    pub(crate) fn text(&self, path: &str) -> String {
        std::fs::read_to_string(self.path(path)).unwrap()
    }

    /// Runs a stage on `inputs` (port, path, kind), writes what it makes below `made`, and gives its warnings.
    pub(crate) fn run(
        &self,
        stage: &str,
        params: Value,
        inputs: &[(&str, &str, &str)],
        made: &str,
    ) -> Result<Vec<String>, StageError> {
        let registry = Registry::new(crate::STAGES);
        let declared = registry.find(stage).unwrap();
        let params = declared.resolve(&params).unwrap();
        let issues = declared.check(&params);
        assert!(issues.is_empty(), "{issues:?}");
        let store = Store::open(&self.path("store")).unwrap();
        let read = |&(port, path, kind): &(&str, &str, &str)| {
            let selector = declared.selector(&params);
            let selects = |file: &str| selector(port, file);
            let input = read_external(&self.path(path), kind, path, &selects, store.stats());
            (port.to_owned(), input.unwrap())
        };
        let inputs: BTreeMap<_, _> = inputs.iter().map(read).collect();
        let digests: BTreeMap<_, _> = inputs.iter().map(|(port, i)| (port, i.digest)).collect();
        let semantic = declared.semantic(&params);
        let document = json!({ "stage": stage, "params": semantic, "inputs": digests });
        let ports = declared.ports(&params);
        let (port, kind) = (&*ports.outputs[0].name, &*ports.outputs[0].kind);
        let output = OutputSpec {
            kind: kind.to_owned(),
            splits: None,
        };
        let spec = ActionSpec {
            name: stage.to_owned(),
            key: ActionKey::of_document(&document),
            stage: stage.to_owned(),
            params,
            inputs,
            outputs: [(port.to_owned(), output)].into(),
            split: Some(0),
            seed: 42,
            slots: Slots { cpus: 1, gpus: 0 },
            memory_limit: None,
            profile: false,
            store: self.path("store"),
        };
        let events = Arc::new(Mutex::new(Vec::new()));
        let sink = events.clone();
        let tell = Arc::new(move |event| sink.lock().unwrap().push(event));
        let cancelled = Arc::new(AtomicBool::new(false));
        let result = execute(&spec, registry, &store, tell, cancelled)?;
        let tree = store.tree(&result.outputs[port][0].digest).unwrap();
        for (path, file) in &tree.files {
            let text = std::fs::read_to_string(store.object_path(&file.digest)).unwrap();
            self.write(&format!("{made}/{path}"), &text);
        }
        let events = std::mem::take(&mut *events.lock().unwrap());
        let warnings = events.into_iter().filter_map(|event| match event {
            StageEvent::Warning { message } => Some(message),
            _ => None,
        });
        Ok(warnings.collect())
    }
}

/// The cells of a table by row, and by column name.
pub(crate) fn cells(text: &str) -> Vec<BTreeMap<String, String>> {
    let mut lines = text.lines().map(|line| line.split('\t').map(str::to_owned));
    let header: Vec<String> = lines.next().unwrap().collect();
    lines
        .map(|cells| header.iter().cloned().zip(cells).collect())
        .collect()
}
