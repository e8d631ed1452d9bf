//! The coordinator: the only owner of a run's state.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant, SystemTime};

use serde_json::{Value, json};

use super::action::{ActionSpec, OutputSpec};
use super::energy::{Meter, Power, Reading};
use super::event::{Event, EventHandler};
use super::job::{Done, Job, Message};
use super::journal::{Journal, journal_path, log_path};
use super::log::Log;
use super::queue::{Candidate, Queue};
use super::report::{ActionOutcome, ActionReport, FailedTry, RunReport};
use super::slots::{Free, Machine};
use super::stop::{Interrupt, Stop};
use super::usage::Usage;
use crate::context::{Input, Slots, StageEvent};
use crate::error::{FailureKind, StageError};
use crate::key::{Keyed, Reason};
use crate::manifest::Manifest;
use crate::plan::{
    ActionId, Conditions, LastRun, Plan, PlannedAction, State, examine, inputs_of, key_document,
    remember_inputs,
};
use crate::provenance::timestamp;
use crate::registry::Registry;
use crate::remote::Tier;
use crate::store::{ActionRecord, Artifact, Store};

/// How often the coordinator looks whether it was interrupted, or a time is over.
const TICK: Duration = Duration::from_millis(50);
/// How long threads that were told to end at once may take before they are given up.
const LAST_GRACE: Duration = Duration::from_secs(5);
/// How long an action whose time is over may take to stop in order.
const GRACE: Duration = Duration::from_secs(30);
/// The longest wait between two tries.
const LONGEST_DELAY: Duration = Duration::from_secs(60);

/// How to run.
#[derive(Debug, Clone)]
pub struct RunOptions {
    /// What may be used.
    pub machine: Machine,
    /// Which stored results are not reused.
    pub conditions: Conditions,
    /// The worker executable.
    pub worker: PathBuf,
    /// The executable whose `main` is [`super::guard_main`] when its first argument is
    /// [`super::GUARD`]: foreign programs then end with the engine.
    pub guard: Option<PathBuf>,
    /// Where results may be that are not in the store.
    pub remote: Option<Tier>,
    /// What is known of the machine's power, for the energy of actions.
    pub power: Power,
    /// Actions tell where their time goes.
    pub profile: bool,
    /// Stops the run when asked.
    pub interrupt: Interrupt,
    /// Stop at the first failure instead of finishing what does not depend on it.
    pub fail_fast: bool,
    /// Wait before the second try of an action that has several; doubled before each further one.
    pub first_delay: Duration,
}

/// Why a run could not even be recorded.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RunError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] crate::store::StoreError),
}

struct Running {
    /// Since when it has been computed here: what another process takes is not its time.
    started: Instant,
    /// Whether another process computes it.
    waits: bool,
    since: SystemTime,
    /// What the machine had counted by then.
    reading: Reading,
    candidate: Candidate,
    slots: Slots,
    stop: Stop,
    log: Arc<Log>,
    /// When its time was over.
    timed_out: Option<Instant>,
}

struct Coordinator<'a> {
    manifest: &'a Manifest,
    plan: &'a Plan,
    store: &'a Store,
    registry: Registry,
    options: &'a RunOptions,
    events: EventHandler<'a>,
    journal: Journal,
    last: LastRun,
    queue: Queue,
    running: BTreeMap<ActionId, Running>,
    failed_tries: BTreeMap<ActionId, Vec<FailedTry>>,
    outputs: BTreeMap<ActionId, BTreeMap<String, Vec<Artifact>>>,
    reports: BTreeMap<ActionId, ActionReport>,
    free: Free,
    meter: Meter,
    sender: Sender<Message>,
    /// Nothing new is started any more.
    stopping: bool,
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
    // Nothing is collected until the run is over.
    let _in_use = store.in_use();
    let (sender, receiver) = channel();
    let mut coordinator = Coordinator {
        manifest,
        plan,
        store,
        registry,
        options,
        events,
        journal: Journal::new(journal_path(store, manifest)),
        last: LastRun::of(store, manifest),
        queue: Queue::of(plan),
        running: BTreeMap::new(),
        failed_tries: BTreeMap::new(),
        outputs: BTreeMap::new(),
        reports: BTreeMap::new(),
        free: Free::new(options.machine),
        meter: Meter::new(options.power),
        sender,
        stopping: false,
    };
    coordinator.tell(&Event::Planned {
        actions: plan.order().len(),
    });
    coordinator.work(&receiver);
    let Coordinator {
        last,
        mut reports,
        journal,
        ..
    } = coordinator;
    if let Err(error) = last.save() {
        tracing::debug!(%error, "the account of this run was not kept; reasons will be less precise");
    }
    store.save_stats();
    let report = RunReport {
        interrupted: options.interrupt.is_set(),
        actions: plan
            .order()
            .iter()
            .filter_map(|id| reports.remove(id))
            .collect(),
        elapsed_s: started.elapsed().as_secs_f64(),
    };
    journal.end(json!({
        "ran": report.ran(), "hits": report.hits(), "actions": report.actions.len(),
    }));
    Ok(report)
}

impl Coordinator<'_> {
    fn work(&mut self, receiver: &Receiver<Message>) {
        let mut urgent: Option<Instant> = None;
        loop {
            if self.options.interrupt.is_set() && !self.stopping {
                self.stop_all();
            }
            if self.options.interrupt.is_urgent() {
                self.running
                    .values()
                    .for_each(|running| running.stop.urge());
                // A thread cannot be killed. It writes to its private folder only, and ends with the
                // process.
                if urgent.get_or_insert_with(Instant::now).elapsed() > LAST_GRACE {
                    break;
                }
            }
            let mut waits = false;
            if !self.stopping {
                waits = self.queue.wake(Instant::now());
                self.look_at_ready(receiver);
            }
            if self.running.is_empty() && (!waits || self.stopping) {
                break;
            }
            match receiver.recv_timeout(TICK) {
                Ok(message) => self.handle(message),
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {}
            }
            self.watch_time();
            self.meter.keep_up();
        }
        for &id in self.plan.order() {
            if !self.reports.contains_key(&id) {
                self.report(id, ActionOutcome::NotReached, None);
            }
        }
    }

    fn tell(&mut self, event: &Event) {
        self.journal.note(event);
        (self.events)(event);
    }

    /// Starts nothing new and asks what runs to stop in order.
    fn stop_all(&mut self) {
        self.stopping = true;
        self.running.values().for_each(|running| running.stop.ask());
        self.tell(&Event::Stopping);
    }

    /// Stops actions whose time is over, first in order, then at once.
    fn watch_time(&mut self) {
        for (id, running) in &mut self.running {
            let limit = self.plan.action(*id).stage.patience.timeout;
            match running.timed_out {
                None if running.waits => {}
                None if limit.is_some_and(|limit| running.started.elapsed() >= limit) => {
                    running.timed_out = Some(Instant::now());
                    running.stop.ask();
                }
                Some(at) if at.elapsed() >= GRACE => running.stop.urge(),
                _ => {}
            }
        }
    }

    /// Looks up every action whose dependencies are settled: hits are done, the others start as soon as
    /// there is room. What runs is heard in between, so that no slot stays empty during a long look.
    fn look_at_ready(&mut self, receiver: &Receiver<Message>) {
        self.start_what_fits();
        while !self.stopping
            && !self.options.interrupt.is_set()
            && let Some(id) = self.queue.next_ready()
        {
            self.look_up(id);
            while let Ok(message) = receiver.try_recv() {
                self.handle(message);
            }
            self.start_what_fits();
        }
    }

    fn look_up(&mut self, id: ActionId) {
        let plan = self.plan;
        let action = plan.action(id);
        let mut dependencies = plan.dependencies(id).iter();
        if let Some(failed) = dependencies.find(|d| !self.outputs.contains_key(d)) {
            let because = plan.action(*failed).name();
            self.tell(&Event::Skipped {
                action: action.name(),
                because: because.clone(),
            });
            self.report(id, ActionOutcome::Skipped { because }, None);
            self.queue.settled(plan, id);
            return;
        }
        let Some(inputs) = inputs_of(plan, action, &self.outputs, self.store) else {
            self.fail(id, vanished());
            return;
        };
        let keyed = key_document(action, &inputs).keyed();
        let state = examine(
            action,
            &inputs,
            &keyed,
            self.store,
            &self.last,
            &self.options.conditions,
        );
        match state {
            State::Run { reason, .. } => {
                let demand = self.free.demand(&action.stage.resources);
                self.queue.must_run(id, demand, Candidate { keyed, reason });
            }
            State::Hit(record) => {
                self.tell(&Event::Hit {
                    action: action.name(),
                });
                self.settle(id, &keyed, *record, ActionOutcome::Hit);
            }
            // A forced action that was looked up again; it cannot happen otherwise.
            State::Pending { .. } => self.fail(id, vanished()),
        }
    }

    fn start_what_fits(&mut self) {
        while !self.stopping && !self.free.is_full() {
            let free = &self.free;
            let Some((id, candidate)) = self.queue.take(|demand| free.fits(demand)) else {
                return;
            };
            self.start(id, candidate);
        }
    }

    fn start(&mut self, id: ActionId, candidate: Candidate) {
        let action = self.plan.action(id);
        let Some(inputs) = inputs_of(self.plan, action, &self.outputs, self.store) else {
            self.queue.released(&candidate.keyed.key);
            self.fail(id, vanished());
            return;
        };
        self.free.take(&self.free.demand(&action.stage.resources));
        remember_inputs(&inputs, self.store);
        let slots = self.free.slots(&action.stage.resources);
        let forced = matches!(
            candidate.reason,
            Reason::Forced | Reason::NumericsClass { .. }
        );
        let name = action.name();
        self.tell(&Event::Started {
            action: name.clone(),
            reason: candidate.reason.to_string(),
        });
        let stop = Stop::default();
        let path = log_path(self.store, self.manifest, &name);
        let log = Arc::new(if self.failed_tries.contains_key(&id) {
            Log::continued(&path)
        } else {
            Log::new(Some(&path))
        });
        let job = Job {
            id,
            spec: self.spec(action, inputs, &candidate.keyed, slots),
            document: candidate.keyed.document.clone(),
            needs: action.stage.stage.needs(&action.stage.params),
            runs_in: action.stage.stage.runs_in(),
            is_foreign: action.stage.stage.is_foreign(),
            remote: self.options.remote.clone().filter(|_| !forced),
            class: self.class_of(action),
            forced,
            registry: self.registry,
            store: self.store.clone(),
            worker: self.options.worker.clone(),
            guard: self.options.guard.clone(),
            stop: stop.clone(),
            log: log.clone(),
            sender: self.sender.clone(),
        };
        std::thread::spawn(move || job.run());
        let running = Running {
            started: Instant::now(),
            waits: false,
            since: SystemTime::now(),
            reading: self.meter.read(),
            candidate,
            slots,
            stop,
            log,
            timed_out: None,
        };
        self.running.insert(id, running);
    }

    /// The class that a result must be of, if that matters.
    fn class_of(&self, action: &PlannedAction) -> Option<Value> {
        let classes = self.options.conditions.same_class.as_ref()?;
        classes.of(action).cloned()
    }

    fn spec(
        &self,
        action: &PlannedAction,
        inputs: BTreeMap<String, Input>,
        keyed: &Keyed,
        slots: Slots,
    ) -> ActionSpec {
        ActionSpec {
            name: action.name(),
            key: keyed.key,
            stage: keyed.document.stage.clone(),
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
            memory_limit: action.stage.resources.memory_bytes(),
            profile: self.options.profile,
            store: self.store.root().to_owned(),
        }
    }

    fn handle(&mut self, message: Message) {
        match message {
            Message::Event(id, event) => {
                let action = self.plan.action(id).name();
                if let (Some(running), Some(line)) = (self.running.get(&id), told(&event)) {
                    running.log.line(&line);
                }
                self.tell(&Event::Stage { action, event });
            }
            Message::Waiting(id) => {
                if let Some(running) = self.running.get_mut(&id) {
                    running.waits = true;
                }
                let action = self.plan.action(id).name();
                self.tell(&Event::Waiting { action });
            }
            Message::Turn(id) => {
                if let Some(running) = self.running.get_mut(&id) {
                    running.waits = false;
                    running.started = Instant::now();
                    running.since = SystemTime::now();
                    running.reading = self.meter.read();
                }
                let action = self.plan.action(id).name();
                self.tell(&Event::Turn { action });
            }
            Message::Done(id, result, usage) => self.finish(id, *result, usage),
        }
    }

    fn finish(&mut self, id: ActionId, result: Result<Done, StageError>, mut usage: Usage) {
        let Some(running) = self.running.remove(&id) else {
            return;
        };
        let action = self.plan.action(id);
        self.free
            .give_back(&self.free.demand(&action.stage.resources));
        self.queue.released(&running.candidate.keyed.key);
        let elapsed_s = running.started.elapsed().as_secs_f64();
        let between = (timestamp(running.since), timestamp(SystemTime::now()));
        if matches!(result, Ok(Done::Ran { .. }) | Err(_)) {
            let (since, cpus) = (running.reading, running.slots.cpus);
            self.meter.add_to(&mut usage, since, elapsed_s, cpus);
        }
        let outcome = result.map(|done| match done {
            Done::Elsewhere(record) => (record, ActionOutcome::Hit, None, None),
            Done::Pulled(pulled) => (pulled.record, ActionOutcome::Hit, None, Some(pulled.bytes)),
            Done::Ran { record, items } => {
                let why = running.candidate.reason.clone();
                (record, ActionOutcome::Ran { why }, Some(items), None)
            }
        });
        match outcome {
            Ok((record, outcome, items, pulled)) => {
                let action = action.name();
                self.tell(&match pulled {
                    Some(bytes) => Event::Pulled { action, bytes },
                    None => Event::Finished { action, elapsed_s },
                });
                self.settle(id, &running.candidate.keyed, record, outcome);
                if let Some(report) = self.reports.get_mut(&id) {
                    report.items = items.filter(|&(reused, computed)| reused + computed > 0);
                    report.pulled_bytes = pulled;
                }
            }
            Err(error) if error.kind == FailureKind::Cancelled && running.timed_out.is_none() => {
                self.report(
                    id,
                    ActionOutcome::NotReached,
                    Some(&running.candidate.keyed),
                );
            }
            Err(error) => {
                let error = explained(error, action, &running);
                running.log.note(&format!("failed: {error}"));
                if self.can_try_again(id, action, &error) {
                    let failed = FailedTry {
                        between,
                        error,
                        usage,
                    };
                    self.failed_tries.entry(id).or_default().push(failed);
                    return;
                }
                self.fail(id, with_log(error, self.store, &running.log));
            }
        }
        let failed_tries = self.failed_tries.remove(&id).unwrap_or_default();
        let root = self.store.root();
        if let Some(report) = self.reports.get_mut(&id) {
            report.elapsed_s = Some(elapsed_s);
            report.slots = Some(running.slots);
            report.attempts = u32::try_from(failed_tries.len() + 1).ok();
            report.failed_tries = failed_tries;
            report.between = Some(between);
            report.usage = (usage != Usage::default()).then_some(usage);
            report.log = running.log.path_below(root);
        }
    }

    /// Queues another try of an action that the machine failed, if the manifest allows one.
    fn can_try_again(&mut self, id: ActionId, action: &PlannedAction, error: &StageError) -> bool {
        let failed = self.failed_tries.get(&id).map_or(0, Vec::len);
        let attempts = u32::try_from(failed + 1).unwrap_or(u32::MAX);
        let allowed = attempts <= action.stage.patience.retries;
        if !allowed || self.stopping || error.kind != FailureKind::Environment {
            return false;
        }
        let delay = delay_after(self.options.first_delay, attempts);
        self.tell(&Event::Retrying {
            action: action.name(),
            error: error.clone(),
            attempts,
            delay_s: delay.as_secs_f64(),
        });
        self.queue.try_again(id, Instant::now() + delay);
        true
    }

    fn settle(
        &mut self,
        id: ActionId,
        keyed: &Keyed,
        record: ActionRecord,
        outcome: ActionOutcome,
    ) {
        self.last.note(self.plan.action(id).name(), keyed);
        self.outputs.insert(id, record.outputs.clone());
        self.report(id, outcome, Some(keyed));
        if let Some(report) = self.reports.get_mut(&id) {
            report.record = Some(record);
        }
        self.queue.settled(self.plan, id);
    }

    fn fail(&mut self, id: ActionId, error: StageError) {
        let action = self.plan.action(id).name();
        self.tell(&Event::Failed {
            action,
            error: error.clone(),
        });
        self.report(id, ActionOutcome::Failed { error }, None);
        if self.options.fail_fast && !self.stopping {
            self.stop_all();
        }
        self.queue.settled(self.plan, id);
    }

    fn report(&mut self, id: ActionId, outcome: ActionOutcome, keyed: Option<&Keyed>) {
        let mut report = ActionReport::new(self.plan.action(id), outcome);
        report.key = keyed.map(|keyed| keyed.key);
        report.document = keyed.map(|keyed| keyed.document.clone());
        self.reports.insert(id, report);
    }
}

/// How long to wait after so many tries: twice as long each time, up to a minute.
fn delay_after(first: Duration, attempts: u32) -> Duration {
    let factor = 2_u32.saturating_pow(attempts.saturating_sub(1));
    first.saturating_mul(factor).min(LONGEST_DELAY)
}

fn vanished() -> StageError {
    StageError::internal("an artifact vanished from the store during the run")
}

/// An action that was stopped because its time was over failed for that reason.
fn explained(error: StageError, action: &PlannedAction, running: &Running) -> StageError {
    let Some(limit) = action
        .stage
        .patience
        .timeout
        .filter(|_| running.timed_out.is_some())
    else {
        return error;
    };
    StageError::environment(format!(
        "`{}` was not done within its `timeout` of {} s",
        action.name(),
        limit.as_secs()
    ))
    .hint("raise `timeout`, or give the stage less to do; finished epochs and images are kept")
}

/// A failure with the last lines of what was said, and where the rest is.
fn with_log(error: StageError, store: &Store, log: &Log) -> StageError {
    let Some(path) = log.path_below(store.root()) else {
        return error;
    };
    let said = log.last_lines().join("\n        ");
    let path = store.root().join(path);
    error
        .hint(format!("it last said:\n        {said}"))
        .hint(format!("its log is `{}`", path.display()))
}

/// A line of the log for what a stage tells.
fn told(event: &StageEvent) -> Option<String> {
    match event {
        StageEvent::Progress {
            done,
            total,
            detail,
        } => Some(format!("{done}/{total} {detail}")),
        StageEvent::Info { message } => Some(message.clone()),
        StageEvent::Warning { message } => Some(format!("warning: {message}")),
        StageEvent::Items { .. } | StageEvent::Phase(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wait_between_tries_doubles_up_to_a_minute() {
        let delays = [1, 2, 3, 7, 8, 100].map(|n| delay_after(Duration::from_secs(1), n).as_secs());
        assert_eq!(delays, [1, 2, 4, 60, 60, 60]);
    }
}
