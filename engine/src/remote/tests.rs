use std::fs;
use std::io::Read;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::*;
use crate::exec::RunReport;
use crate::lock::Lock;
use crate::lock::testing::{Project, execute, execute_with};
use crate::store::Store;

/// A folder that is a remote, and fails when told to.
#[derive(Debug)]
struct Folder {
    root: PathBuf,
    is_read_only: bool,
    is_broken: AtomicBool,
}

impl Folder {
    fn failure(&self, path: &str) -> Result<(), RemoteError> {
        match self.is_broken.load(Ordering::Relaxed) {
            false => Ok(()),
            true => Err(self.error(path, io::Error::other("the cable is out"))),
        }
    }

    fn error(&self, path: &str, error: io::Error) -> RemoteError {
        RemoteError::Transfer {
            act: "move",
            path: path.to_owned(),
            address: "there".to_owned(),
            source: error.into(),
        }
    }
}

impl Remote for Folder {
    fn address(&self) -> &str {
        "there"
    }

    fn is_read_only(&self) -> bool {
        self.is_read_only
    }

    fn size(&self, path: &str) -> Result<Option<u64>, RemoteError> {
        self.failure(path)?;
        Ok(fs::metadata(self.root.join(path)).ok().map(|m| m.len()))
    }

    fn get(&self, path: &str, to: &mut dyn Write) -> Result<bool, RemoteError> {
        self.failure(path)?;
        let Ok(mut file) = fs::File::open(self.root.join(path)) else {
            return Ok(false);
        };
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)
            .and_then(|_| to.write_all(&bytes))
            .map_err(|e| self.error(path, e))?;
        Ok(true)
    }

    fn put(&self, path: &str, from: &Path) -> Result<(), RemoteError> {
        self.failure(path)?;
        let target = self.root.join(path);
        fs::create_dir_all(target.parent().unwrap()).unwrap();
        drop(fs::remove_file(&target));
        fs::copy(from, target).map_err(|e| self.error(path, e))?;
        Ok(())
    }
}

/// A project that ran, its results in a remote, and an empty store.
struct There {
    project: Project,
    lock: Lock,
    remote: Arc<Folder>,
    empty: Store,
}

fn there() -> There {
    let project = Project::new();
    let lock = project.lock("factor: 2");
    let remote = Arc::new(Folder {
        root: project.folder().join("there"),
        is_read_only: false,
        is_broken: AtomicBool::new(false),
    });
    let keys: Vec<_> = lock.actions.values().map(|action| action.key).collect();
    let pushed = Tier::open_or_create(remote.clone())
        .unwrap()
        .push(&project.store(), &keys)
        .unwrap();
    assert!(
        pushed
            .iter()
            .all(|p| matches!(p, Pushed::New { bytes } if *bytes > 0))
    );
    let empty = Store::open(&project.folder().join(".other")).unwrap();
    There {
        project,
        lock,
        remote,
        empty,
    }
}

impl There {
    /// The key of another action than `words`.
    fn other_key(&self) -> crate::key::ActionKey {
        let mut others = self
            .lock
            .actions
            .iter()
            .filter(|(name, _)| *name != "words");
        others.next_back().unwrap().1.key
    }

    fn tier(&self) -> Tier {
        Tier::open(self.remote.clone()).unwrap()
    }

    fn run(&self, tier: Tier) -> RunReport {
        let manifest = self.project.manifest("m.yaml");
        execute_with(&manifest, &self.empty, Some(tier)).1
    }

    /// Every file of the remote in a folder.
    fn files(&self, folder: &str) -> Vec<PathBuf> {
        let root = self.remote.root.join(folder);
        let names = crate::store::walk_folder(&root).unwrap();
        names.iter().map(|name| root.join(name)).collect()
    }
}

/// Gives a read-only file other bytes.
fn write(path: &Path, bytes: &[u8]) {
    fs::remove_file(path).unwrap();
    fs::write(path, bytes).unwrap();
}

#[test]
fn a_run_takes_what_is_there_and_computes_nothing() {
    let there = there();
    let report = there.run(there.tier());
    assert_eq!((report.hits(), report.ran()), (report.actions.len(), 0));
    assert_eq!(report.pulled(), report.actions.len());
    assert_eq!(there.empty.check().unwrap().1, []);
    // From here on it is in the store.
    let again = there.run(there.tier());
    assert_eq!((again.hits(), again.pulled()), (report.actions.len(), 0));
    for action in there.lock.actions.values() {
        let record = there.empty.record(&action.key).unwrap();
        let outputs = record.outputs.into_iter();
        let digests = outputs.map(|(port, all)| (port, all.iter().map(|a| a.digest).collect()));
        assert_eq!(
            digests.collect::<std::collections::BTreeMap<_, Vec<_>>>(),
            action.outputs
        );
    }
}

#[test]
fn what_is_there_is_not_sent_again_and_other_results_stay() {
    let there = there();
    let keys: Vec<_> = there.lock.actions.values().map(|a| a.key).collect();
    let store = there.project.store();
    let before: Vec<_> = there
        .files("")
        .iter()
        .map(|f| fs::metadata(f).unwrap().modified().unwrap())
        .collect();
    let pushed = there.tier().push(&store, &keys).unwrap();
    assert!(pushed.iter().all(|pushed| *pushed == Pushed::Same));
    let after: Vec<_> = there
        .files("")
        .iter()
        .map(|f| fs::metadata(f).unwrap().modified().unwrap())
        .collect();
    assert_eq!(before, after);

    let mut record = store.record(&keys[0]).unwrap();
    let other = store.record(&keys[1]).unwrap();
    record.outputs = other.outputs;
    store.put_record(&record).unwrap();
    assert_eq!(
        there.tier().push(&store, &keys[..1]).unwrap(),
        [Pushed::Other]
    );
    assert_eq!(
        push(&*there.remote, &there.empty, &keys[0]).unwrap(),
        Pushed::Missing
    );
}

#[test]
fn what_was_lost_there_is_sent_again() {
    let there = there();
    let keys: Vec<_> = there.lock.actions.values().map(|a| a.key).collect();
    let store = there.project.store();
    let objects = there.files("objects");
    fs::remove_file(&objects[0]).unwrap();
    write(&objects[1], b"");
    let pushed = there.tier().push(&store, &keys).unwrap();
    assert!(pushed.iter().any(|p| matches!(p, Pushed::New { .. })));
    let report = there.run(there.tier());
    assert_eq!(report.pulled(), report.actions.len());
}

#[test]
fn nothing_that_is_damaged_arrives() {
    type Damage = fn(&Path) -> Vec<u8>;
    let bytes_of: [(&str, Damage); 4] = [
        ("flipped", |path| {
            let mut bytes = fs::read(path).unwrap();
            bytes[0] ^= 1;
            bytes
        }),
        ("truncated", |path| {
            let bytes = fs::read(path).unwrap();
            bytes[..bytes.len() / 2].to_vec()
        }),
        ("longer", |path| {
            let mut bytes = fs::read(path).unwrap();
            bytes.extend([0; 4096]);
            bytes
        }),
        ("empty", |_| Vec::new()),
    ];
    for folder in ["objects", "actions"] {
        for (what, bytes) in bytes_of {
            let there = there();
            for path in there.files(folder) {
                let bytes = bytes(&path);
                write(&path, &bytes);
            }
            let key = there.lock.actions["words"].key;
            let error = there.tier().pull(&there.empty, &key, None, &|| false);
            assert!(
                matches!(error, Err(RemoteError::Damaged { .. })),
                "{folder} {what}: {error:?}"
            );
            assert!(!there.empty.is_whole(&key));
            assert_eq!(there.empty.check().unwrap().1, []);
            let report = there.run(there.tier());
            assert!(report.is_complete(), "{folder} {what}");
            assert!(report.ran() > 0, "{folder} {what}");
        }
    }
}

#[test]
fn a_record_of_another_action_is_refused() {
    let there = there();
    let (words, parts) = (there.lock.actions["words"].key, there.other_key());
    let path = |key: &crate::key::ActionKey| {
        there
            .remote
            .root
            .join(crate::store::name_of("actions", &key.digits()))
    };
    let other = fs::read(path(&parts)).unwrap();
    write(&path(&words), &other);
    let error = there
        .tier()
        .pull(&there.empty, &words, None, &|| false)
        .unwrap_err();
    assert!(matches!(error, RemoteError::Damaged { .. }), "{error}");
}

#[test]
fn a_lock_decides_what_may_come() {
    let there = there();
    // Somebody with the right to write there made another result of the same action, in good order.
    let key = there.lock.actions["words"].key;
    let store = there.project.store();
    let mut forged = store.record(&key).unwrap();
    let other = store.record(&there.other_key()).unwrap();
    let outputs: Vec<_> = other.outputs.into_values().collect();
    for artifacts in forged.outputs.values_mut() {
        artifacts.clone_from(&outputs[0]);
    }
    let path = crate::store::name_of("actions", &key.digits());
    let scratch = Store::open(&there.project.folder().join(".scratch")).unwrap();
    scratch.put_record(&forged).unwrap();
    write(
        &there.remote.root.join(&path),
        &fs::read(scratch.root().join(&path)).unwrap(),
    );

    let tier = there.tier().bound_by(&there.lock);
    assert_eq!(
        tier.pull(&there.empty, &key, None, &|| false).unwrap(),
        None
    );
    let report = there.run(tier);
    assert!(report.is_complete() && report.ran() >= 1);
    assert_eq!(there.empty.record(&key).unwrap().outputs, {
        let (_, report) = execute(&there.project.manifest("m.yaml"), &there.empty);
        report.actions[0].record.clone().unwrap().outputs
    });
    // Without a lock there is nothing to compare with.
    let unbound = there.tier().pull(&scratch, &key, None, &|| false).unwrap();
    assert_eq!(unbound.unwrap().record.outputs, forged.outputs);
}

#[test]
fn a_remote_that_fails_is_left_alone() {
    let there = there();
    let tier = there.tier();
    there.remote.is_broken.store(true, Ordering::Relaxed);
    let report = there.run(tier);
    assert_eq!(report.ran(), report.actions.len());
    let error = Tier::open(there.remote.clone()).unwrap_err().to_string();
    assert_eq!(error, "failed to move `FORMAT` of there: the cable is out");
}

#[test]
fn a_wrong_class_and_a_stop_take_nothing() {
    let there = there();
    let key = there.lock.actions["words"].key;
    let class = serde_json::json!({ "device": "abacus" });
    let tier = there.tier();
    assert_eq!(
        tier.pull(&there.empty, &key, Some(&class), &|| false)
            .unwrap(),
        None
    );
    let stopped = tier.pull(&there.empty, &key, None, &|| true).unwrap_err();
    assert!(matches!(stopped, RemoteError::Stopped));
    assert!(!there.empty.is_whole(&key));
}

#[test]
fn a_store_of_another_format_is_none() {
    let there = there();
    write(&there.remote.root.join("FORMAT"), b"{\"format\":99}");
    let error = Tier::open(there.remote.clone()).unwrap_err().to_string();
    assert!(error.contains("`FORMAT` is `{\"format\":99}`"), "{error}");
    let nothing = Folder {
        root: there.project.folder().join("nothing"),
        is_read_only: true,
        is_broken: AtomicBool::new(false),
    };
    let error = Tier::open(Arc::new(nothing)).unwrap_err().to_string();
    assert!(error.contains("it has no `FORMAT`"), "{error}");
}
