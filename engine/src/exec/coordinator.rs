//! The coordinator: the only owner of a run's state.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::action::{ActionSpec, Finished, OutputSpec, execute};
use super::event::{Event, EventHandler};
use super::process::run_in_worker;
use super::report::{ActionOutcome, ActionReport, RunReport};
use super::slots::{Free, Machine};
use crate::context::{Input, Slots, StageEvent};
use crate::error::{FailureKind, StageError};
use crate::key::{KeyDocument, Reason};
use crate::manifest::Manifest;
use crate::plan::{
    ActionId, Conditions, LastRun, Plan, PlannedAction, PlannedInput, State, examine, inputs_of,
    key_document, remember_inputs,
};
use crate::registry::Registry;
use crate::stage::RunsIn;
use crate::store::{ActionRecord, Artifact, Store};

/// How often the coordinator looks whether it was interrupted.
const TICK: Duration = Duration::from_millis(50);

/// The user's wish to stop: once means in order, twice means now.
#[derive(Debug, Clone, Default)]
pub struct Interrupt(Arc<AtomicUsize>);

impl Interrupt {
    /// Asks to stop; a second call asks to stop at once.
    pub fn ask(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    /// Whether it was asked to stop.
    pub fn is_set(&self) -> bool {
        self.0.load(Ordering::Relaxed) > 0
    }

    pub(super) fn is_urgent(&self) -> bool {
        self.0.load(Ordering::Relaxed) > 1
    }
}

/// How to run.
#[derive(Debug, Clone)]
pub struct RunOptions {
    /// What may be used.
    pub machine: Machine,
    /// Which stored results are not reused.
    pub conditions: Conditions,
    /// The worker executable.
    pub worker: PathBuf,
    /// Stops the run when asked.
    pub interrupt: Interrupt,
}

/// Why a run could not even be recorded.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RunError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] crate::store::StoreError),
}

enum Message {
    Event(ActionId, StageEvent),
    Waiting(ActionId),
    Done(ActionId, Box<Result<Done, StageError>>),
}

/// What a thread found: it ran the action, or another process did meanwhile.
enum Done {
    Ran(Finished, Option<Value>),
    Elsewhere(ActionRecord),
}

struct Running {
    started: Instant,
    reason: Reason,
    document: KeyDocument,
    slots: Slots,
}

struct Coordinator<'a> {
    plan: &'a Plan,
    store: &'a Store,
    registry: Registry,
    options: &'a RunOptions,
    events: EventHandler<'a>,
    last: LastRun,
    waiting: Vec<ActionId>,
    running: BTreeMap<ActionId, Running>,
    outputs: BTreeMap<ActionId, BTreeMap<String, Vec<Artifact>>>,
    reports: BTreeMap<ActionId, ActionReport>,
    free: Free,
    sender: Sender<Message>,
    cancelled: Arc<std::sync::atomic::AtomicBool>,
}

/// Runs a plan: looks every action up, executes what is missing.
///
/// # Errors
/// The store cannot be used at all; failures of actions are in the report.
pub fn run(
    manifest: &Manifest,
    plan: &Plan,
    store: &Store,
    registry: Registry,
    options: &RunOptions,
    events: EventHandler<'_>,
) -> Result<RunReport, RunError> {
    let started = Instant::now();
    let (sender, receiver) = channel();
    let mut coordinator = Coordinator {
        plan,
        store,
        registry,
        options,
        events,
        last: LastRun::load(store, manifest),
        waiting: plan.order().to_vec(),
        running: BTreeMap::new(),
        outputs: BTreeMap::new(),
        reports: BTreeMap::new(),
        free: Free::new(options.machine),
        sender,
        cancelled: Arc::default(),
    };
    (coordinator.events)(&Event::Planned {
        actions: plan.order().len(),
    });
    coordinator.work(&receiver);
    let last = std::mem::take(&mut coordinator.last);
    if let Err(error) = last.save(store, manifest) {
        tracing::debug!(%error, "the account of this run was not kept; reasons will be less precise");
    }
    store.save_stats();
    let reports = coordinator.reports;
    Ok(RunReport {
        interrupted: options.interrupt.is_set(),
        actions: plan
            .order()
            .iter()
            .filter_map(|id| reports.get(id).cloned())
            .collect(),
        elapsed_s: started.elapsed().as_secs_f64(),
    })
}

impl Coordinator<'_> {
    fn work(&mut self, receiver: &Receiver<Message>) {
        let mut stopping = false;
        loop {
            if self.options.interrupt.is_set() && !stopping {
                stopping = true;
                self.cancelled.store(true, Ordering::Relaxed);
                (self.events)(&Event::Stopping);
            }
            if !stopping {
                self.start_what_can();
            }
            if self.running.is_empty() {
                break;
            }
            match receiver.recv_timeout(TICK) {
                Ok(message) => self.handle(message),
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {}
            }
        }
        for id in std::mem::take(&mut self.waiting) {
            self.report(id, ActionOutcome::NotReached, None);
        }
    }

    /// Settles hits and starts actions until nothing more can be done without waiting.
    fn start_what_can(&mut self) {
        loop {
            let mut moved = false;
            for id in std::mem::take(&mut self.waiting) {
                if self.advance(id) {
                    moved = true;
                } else {
                    self.waiting.push(id);
                }
            }
            if !moved {
                return;
            }
        }
    }

    /// Whether the action left the waiting list.
    fn advance(&mut self, id: ActionId) -> bool {
        let dependencies = self.plan.dependencies(id);
        if let Some(failed) = dependencies.iter().find(|d| self.has_no_result(**d)) {
            let because = self.plan.action(*failed).name();
            let action = self.plan.action(id).name();
            (self.events)(&Event::Skipped {
                action,
                because: because.clone(),
            });
            self.report(id, ActionOutcome::Skipped { because }, None);
            return true;
        }
        if !dependencies.iter().all(|d| self.outputs.contains_key(d)) {
            return false;
        }
        let action = self.plan.action(id);
        let Some(inputs) = inputs_of(self.plan, action, &self.outputs, self.store) else {
            let error = StageError::internal("an artifact vanished from the store during the run");
            self.fail(id, error);
            return true;
        };
        let document = key_document(action, &inputs);
        match examine(
            action,
            &inputs,
            &document,
            self.store,
            &self.last,
            &self.options.conditions,
        ) {
            State::Hit(record) => {
                (self.events)(&Event::Hit {
                    action: action.name(),
                });
                self.settle(id, &document, *record, ActionOutcome::Hit);
                true
            }
            State::Run { reason, .. } => {
                if self
                    .running
                    .values()
                    .any(|running| running.document == document)
                    || !self.free.take(&action.stage.resources)
                {
                    return false;
                }
                self.start(id, inputs, document, reason);
                true
            }
            State::Pending { .. } => false,
        }
    }

    fn has_no_result(&self, id: ActionId) -> bool {
        self.reports.get(&id).is_some_and(|report| {
            matches!(
                report.outcome,
                ActionOutcome::Failed { .. } | ActionOutcome::Skipped { .. }
            )
        })
    }

    fn start(
        &mut self,
        id: ActionId,
        inputs: BTreeMap<String, Input>,
        document: KeyDocument,
        reason: Reason,
    ) {
        let action = self.plan.action(id);
        remember_inputs(&inputs, self.store);
        let slots = self.free.slots(&action.stage.resources);
        let forced = reason == Reason::Forced;
        (self.events)(&Event::Started {
            action: action.name(),
            reason: reason.to_string(),
        });
        let spec = self.spec(action, inputs, &document, slots);
        let job = Job {
            id,
            spec,
            runs_in: action.stage.stage.runs_in(),
            forced,
            registry: self.registry,
            store: self.store.clone(),
            worker: self.options.worker.clone(),
            interrupt: self.options.interrupt.clone(),
            cancelled: self.cancelled.clone(),
            sender: self.sender.clone(),
        };
        std::thread::spawn(move || job.run());
        let running = Running {
            started: Instant::now(),
            reason,
            document,
            slots,
        };
        self.running.insert(id, running);
    }

    fn spec(
        &self,
        action: &PlannedAction,
        inputs: BTreeMap<String, Input>,
        document: &KeyDocument,
        slots: Slots,
    ) -> ActionSpec {
        ActionSpec {
            name: action.name(),
            key: document.key(),
            stage: document.stage.clone(),
            params: action.stage.params.clone(),
            inputs,
            outputs: action
                .outputs
                .iter()
                .map(|output| {
                    let spec = OutputSpec {
                        kind: output.kind.clone().into_owned(),
                        splits: output.splits,
                    };
                    (output.name.clone().into_owned(), spec)
                })
                .collect(),
            split: action.split,
            seed: action.stage.seed,
            slots,
            store: self.store.root().to_owned(),
        }
    }

    fn handle(&mut self, message: Message) {
        match message {
            Message::Event(id, event) => {
                if let StageEvent::Items { reused, computed } = event
                    && let Some(report) = self.reports.get_mut(&id)
                {
                    report.items = Some((reused, computed));
                }
                let action = self.plan.action(id).name();
                (self.events)(&Event::Stage { action, event });
            }
            Message::Waiting(id) => {
                let action = self.plan.action(id).name();
                (self.events)(&Event::Waiting { action });
            }
            Message::Done(id, result) => self.finish(id, *result),
        }
    }

    fn finish(&mut self, id: ActionId, result: Result<Done, StageError>) {
        let Some(running) = self.running.remove(&id) else {
            return;
        };
        let action = self.plan.action(id);
        self.free.give_back(&action.stage.resources);
        let elapsed_s = running.started.elapsed().as_secs_f64();
        let outcome = result.and_then(|done| match done {
            Done::Elsewhere(record) => Ok((record, ActionOutcome::Hit, None)),
            Done::Ran(finished, numerics) => {
                self.inputs_unchanged(action)?;
                for artifact in finished.outputs.values().flatten() {
                    self.store.trust_artifact(&artifact.digest);
                }
                let document = running.document.to_value();
                let mut record =
                    ActionRecord::new(running.document.key(), document, finished.outputs);
                record.numerics = numerics;
                self.store.put_record(&record)?;
                self.store.remove_scratch(&record.key);
                let items = (finished.items_reused, finished.items_computed);
                let why = running.reason.clone();
                Ok((record, ActionOutcome::Ran { why }, Some(items)))
            }
        });
        match outcome {
            Ok((record, outcome, items)) => {
                let name = action.name();
                (self.events)(&Event::Finished {
                    action: name,
                    elapsed_s,
                });
                self.settle(id, &running.document, record, outcome);
                if let Some(report) = self.reports.get_mut(&id) {
                    report.elapsed_s = Some(elapsed_s);
                    report.slots = Some(running.slots);
                    report.items = items.filter(|&(reused, computed)| reused + computed > 0);
                }
            }
            Err(error) if error.kind == FailureKind::Cancelled => {
                self.report(id, ActionOutcome::NotReached, Some(&running.document));
            }
            Err(error) => self.fail(id, error),
        }
    }

    /// Looks at external inputs again: what changed while it was read must not be recorded.
    fn inputs_unchanged(&self, action: &PlannedAction) -> Result<(), StageError> {
        for input in action.inputs.values() {
            let PlannedInput::External(input) = input else {
                continue;
            };
            for file in input.files.values() {
                let now = self.store.stats().digest_of(&file.path);
                if !now.is_ok_and(|(digest, _)| digest == file.digest) {
                    let message = format!("`{}` changed while it was being read", file.shown);
                    return Err(StageError::new(message).hint("run again when it is complete"));
                }
            }
        }
        Ok(())
    }

    fn settle(
        &mut self,
        id: ActionId,
        document: &KeyDocument,
        record: ActionRecord,
        outcome: ActionOutcome,
    ) {
        self.last
            .actions
            .insert(self.plan.action(id).name(), document.clone());
        self.outputs.insert(id, record.outputs.clone());
        self.report(id, outcome, Some(document));
        if let Some(report) = self.reports.get_mut(&id) {
            report.record = Some(record);
        }
    }

    fn fail(&mut self, id: ActionId, error: StageError) {
        let action = self.plan.action(id).name();
        (self.events)(&Event::Failed {
            action,
            error: error.clone(),
        });
        self.report(id, ActionOutcome::Failed { error }, None);
    }

    fn report(&mut self, id: ActionId, outcome: ActionOutcome, document: Option<&KeyDocument>) {
        let action = self.plan.action(id);
        self.reports.insert(
            id,
            ActionReport {
                action: action.name(),
                stage_name: action.stage_name.clone(),
                stage: action.stage.stage.id().to_owned(),
                split: action.split,
                key: document.map(KeyDocument::key),
                document: document.cloned(),
                outcome,
                elapsed_s: None,
                slots: None,
                items: None,
                record: None,
            },
        );
    }
}

/// What the thread of an action needs.
struct Job {
    id: ActionId,
    spec: ActionSpec,
    runs_in: RunsIn,
    forced: bool,
    registry: Registry,
    store: Store,
    worker: PathBuf,
    interrupt: Interrupt,
    cancelled: Arc<std::sync::atomic::AtomicBool>,
    sender: Sender<Message>,
}

impl Job {
    fn run(self) {
        let result = self.locked();
        // The coordinator outlives its threads, except when it panicked.
        drop(self.sender.send(Message::Done(self.id, Box::new(result))));
    }

    /// Computes the action unless another process is doing it: then waits, and takes its result.
    fn locked(&self) -> Result<Done, StageError> {
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
            if self.interrupt.is_set() {
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
        let sender = std::sync::Mutex::new(self.sender.clone());
        let id = self.id;
        let events: crate::context::EventSink = Arc::new(move |event| {
            let sender = sender
                .lock()
                .unwrap_or_else(std::sync::PoisonError::into_inner);
            drop(sender.send(Message::Event(id, event)));
        });
        match self.runs_in {
            RunsIn::Engine => execute(
                &self.spec,
                self.registry,
                &self.store,
                events,
                self.cancelled.clone(),
            )
            .map(|finished| Done::Ran(finished, None)),
            RunsIn::Worker => run_in_worker(
                &self.worker,
                &self.spec,
                &self.store,
                &events,
                &self.interrupt,
            )
            .map(|(finished, numerics)| Done::Ran(finished, Some(numerics))),
        }
    }
}
