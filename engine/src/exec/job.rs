//! The thread of one action: waits for its turn among processes, executes it, tells the coordinator.

use std::path::PathBuf;
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::Value;

use super::action::{ActionSpec, Finished, Surroundings, execute_in};
use super::child::Usage;
use super::log::Log;
use super::process::run_in_worker;
use super::stop::Stop;
use crate::context::StageEvent;
use crate::error::StageError;
use crate::plan::ActionId;
use crate::registry::Registry;
use crate::stage::RunsIn;
use crate::store::{ActionRecord, Store};

/// How often a waiting action looks whether the other process is done.
const TICK: Duration = Duration::from_millis(50);

/// What a thread tells the coordinator.
pub(super) enum Message {
    Event(ActionId, StageEvent),
    Waiting(ActionId),
    Done(ActionId, Box<Result<Done, StageError>>, Usage),
}

/// What a thread found: it ran the action, or another process did meanwhile.
pub(super) enum Done {
    Ran(Finished, Option<Value>),
    Elsewhere(ActionRecord),
}

/// What the thread of an action needs.
pub(super) struct Job {
    pub(super) id: ActionId,
    pub(super) spec: ActionSpec,
    pub(super) runs_in: RunsIn,
    pub(super) forced: bool,
    pub(super) registry: Registry,
    pub(super) store: Store,
    pub(super) worker: PathBuf,
    pub(super) stop: Stop,
    pub(super) log: Arc<Log>,
    pub(super) sender: Sender<Message>,
}

impl Job {
    pub(super) fn run(self) {
        let mut usage = Usage::default();
        let result = self.locked(&mut usage);
        // The coordinator outlives its threads, except when it panicked.
        let done = Message::Done(self.id, Box::new(result), usage);
        drop(self.sender.send(done));
    }

    /// Computes the action unless another process is doing it: then waits, and takes its result.
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
        if waited
            && !self.forced
            && let Some(record) = self.store.record(&self.spec.key)
        {
            return Ok(Done::Elsewhere(record));
        }
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
                };
                let result = execute_in(&self.spec, self.registry, &self.store, &surroundings);
                *usage = *surroundings
                    .usage
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner);
                result.map(|finished| Done::Ran(finished, None))
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
                result.map(|(finished, numerics)| Done::Ran(finished, Some(numerics)))
            }
        }
    }
}
