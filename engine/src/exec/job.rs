//! The thread of one action: waits for its turn among processes, executes it, tells the coordinator.

use std::path::PathBuf;
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::Value;

use super::action::{ActionSpec, Finished, Surroundings, execute_in};
use super::log::Log;
use super::process::run_in_worker;
use super::stop::Stop;
use super::usage::Usage;
use crate::context::StageEvent;
use crate::error::StageError;
use crate::key::KeyDocument;
use crate::plan::{ActionId, resolve_needs};
use crate::registry::Registry;
use crate::remote::{Pulled, Tier};
use crate::stage::{Need, RunsIn};
use crate::store::{ActionRecord, Store};

/// How often a waiting action looks whether the other process is done.
const TICK: Duration = Duration::from_millis(50);

/// What a thread tells the coordinator.
pub(super) enum Message {
    Event(ActionId, StageEvent),
    /// Another process computes the action.
    Waiting(ActionId),
    /// The wait is over, and the action is computed here.
    Turn(ActionId),
    Done(ActionId, Box<Result<Done, StageError>>, Usage),
}

/// What a thread found: it ran the action and published the result, or another process did meanwhile.
pub(super) enum Done {
    Ran {
        record: ActionRecord,
        /// Items reused and computed.
        items: (u64, u64),
    },
    Elsewhere(ActionRecord),
    /// A remote had it.
    Pulled(Pulled),
}

/// What the thread of an action needs.
pub(super) struct Job {
    pub(super) id: ActionId,
    pub(super) spec: ActionSpec,
    pub(super) document: KeyDocument,
    /// What of the machine belongs to the key; looked at again before anything is recorded.
    pub(super) needs: Vec<Need>,
    pub(super) runs_in: RunsIn,
    pub(super) is_foreign: bool,
    pub(super) forced: bool,
    pub(super) registry: Registry,
    pub(super) store: Store,
    pub(super) worker: PathBuf,
    pub(super) guard: Option<PathBuf>,
    /// Asked before anything is computed.
    pub(super) remote: Option<Tier>,
    /// The class that a result of a remote must be of.
    pub(super) class: Option<Value>,
    pub(super) stop: Stop,
    pub(super) log: Arc<Log>,
    pub(super) sender: Sender<Message>,
}

impl Job {
    pub(super) fn run(self) {
        let mut usage = Usage::default();
        let result = self.locked(&mut usage);
        // The coordinator outlives its threads, except when it panicked or gave them up.
        let done = Message::Done(self.id, Box::new(result), usage);
        drop(self.sender.send(done));
    }

    /// Computes the action unless another process is doing it: then waits, and takes its result.
    ///
    /// The lock is held until the result is published, so that whoever waits for it finds it.
    fn locked(&self, usage: &mut Usage) -> Result<Done, StageError> {
        let lock = self.store.lock_file(&self.spec.key)?;
        let mut waited = false;
        while let Err(error) = lock.try_lock() {
            match error {
                std::fs::TryLockError::WouldBlock => {}
                // A file system without locks: the worst case is the same work done twice.
                std::fs::TryLockError::Error(_) => break,
            }
            if !waited {
                drop(self.sender.send(Message::Waiting(self.id)));
                waited = true;
            }
            if self.stop.is_asked() {
                return Err(StageError::cancelled());
            }
            std::thread::sleep(TICK);
        }
        if waited {
            if !self.forced
                && let Some(record) = self.store.record(&self.spec.key)
            {
                return Ok(Done::Elsewhere(record));
            }
            drop(self.sender.send(Message::Turn(self.id)));
        }
        if let Some(remote) = &self.remote {
            let stop = || self.stop.is_asked();
            let class = self.class.as_ref();
            if let Some(pulled) = remote.try_pull(&self.store, &self.spec.key, class, &stop) {
                return Ok(Done::Pulled(pulled));
            }
        }
        let (finished, numerics) = self.compute(usage)?;
        let items = (finished.items_reused, finished.items_computed);
        let record = self.publish(finished, numerics)?;
        Ok(Done::Ran { record, items })
    }

    fn compute(&self, usage: &mut Usage) -> Result<(Finished, Option<Value>), StageError> {
        let sender = Mutex::new(self.sender.clone());
        let id = self.id;
        let events: crate::context::EventSink = Arc::new(move |event| {
            let sender = sender.lock().unwrap_or_else(PoisonError::into_inner);
            drop(sender.send(Message::Event(id, event)));
        });
        match self.runs_in {
            RunsIn::Engine => {
                let surroundings = Surroundings {
                    events,
                    stop: self.stop.clone(),
                    log: self.log.clone(),
                    usage: Arc::default(),
                    guard: self.guard.clone(),
                };
                let result = execute_in(&self.spec, self.registry, &self.store, &surroundings);
                *usage = *surroundings
                    .usage
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner);
                result.map(|finished| (finished, None))
            }
            RunsIn::Worker => {
                let (result, used) = run_in_worker(
                    &self.worker,
                    &self.spec,
                    &self.store,
                    &events,
                    &self.stop,
                    &self.log,
                );
                *usage = used;
                result.map(|(finished, numerics)| (finished, Some(numerics)))
            }
        }
    }

    /// Makes the result visible, if it is what its key says.
    fn publish(
        &self,
        finished: Finished,
        numerics: Option<Value>,
    ) -> Result<ActionRecord, StageError> {
        self.inputs_unchanged()?;
        self.needs_unchanged()?;
        for artifact in finished.outputs.values().flatten() {
            self.store.trust_artifact(&artifact.digest);
        }
        let document = self.document.to_value();
        let mut record = ActionRecord::new(self.spec.key, document, finished.outputs);
        record.numerics = numerics;
        self.store.put_record(&record)?;
        self.store.remove_scratch(&record.key);
        Ok(record)
    }

    /// Looks at inputs again: what changed while it was read must not be recorded. What is in the store
    /// changes by nobody but a foreign program with the rights to do so.
    fn inputs_unchanged(&self) -> Result<(), StageError> {
        let files = self.spec.inputs.values().flat_map(|i| i.files.values());
        let looked_at =
            files.filter(|file| self.is_foreign || !file.path.starts_with(self.store.root()));
        for file in looked_at {
            let now = self.store.stats().digest_of(&file.path);
            if !now.is_ok_and(|(digest, _)| digest == file.digest) {
                let message = format!("`{}` changed while it was being read", file.shown);
                return Err(StageError::new(message).hint("run again when it is complete"));
            }
        }
        Ok(())
    }

    /// Looks at programs and variables again.
    fn needs_unchanged(&self) -> Result<(), StageError> {
        if self.needs.is_empty() {
            return Ok(());
        }
        let now = resolve_needs(&self.spec.name, self.needs.clone(), self.store.stats())
            .map_err(StageError::environment)?;
        let differs = |(name, identity): &(&String, &String)| now.get(*name) != Some(*identity);
        match self.document.surroundings.iter().find(differs) {
            None => Ok(()),
            Some((name, _)) => {
                let message = format!("`{name}` changed while `{}` ran", self.spec.name);
                Err(StageError::new(message).hint("run again when it is installed"))
            }
        }
    }
}
