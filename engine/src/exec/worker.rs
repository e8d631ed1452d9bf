//! The worker's side: one action in a process of its own.
//!
//! The process reads the specification from a file, writes one JSON message a line to its standard
//! output, and takes the end of its standard input as the wish to stop: that is also what it sees when
//! the engine dies, so that no worker is left behind. It touches nothing but the store.

use std::io::{self, Read, Write};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::action::{ActionSpec, Finished, execute};
use super::usage::Usage;
use crate::context::{Slots, StageEvent};
use crate::error::StageError;
use crate::registry::Registry;
use crate::store::Store;

/// How long a worker whose engine is gone may take to stop in order.
const ORPHAN_GRACE: Duration = Duration::from_secs(60);

/// A line of a worker's standard output.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Message {
    /// The stage told something.
    Event(StageEvent),
    /// The action is over: the last line.
    Done {
        /// Its artifacts, or why there are none.
        result: Result<Finished, StageError>,
        /// The class of hardware and libraries.
        numerics: Value,
        /// What this process used.
        #[serde(default)]
        usage: Usage,
    },
}

/// Runs the action described in the file `spec` and reports on standard output.
pub fn worker_main(spec: &Path, registry: Registry, numerics: fn(Slots) -> Value) -> ExitCode {
    let cancelled = Arc::new(AtomicBool::new(false));
    watch_input(cancelled.clone());
    let mut class = Value::Null;
    let result = read_spec(spec).and_then(|(spec, store)| {
        class = numerics(spec.slots);
        let events = Arc::new(|event| send(&Message::Event(event)));
        execute(&spec, registry, &store, events, cancelled)
    });
    let failed = result.is_err();
    send(&Message::Done {
        result,
        numerics: class,
        usage: Usage::of_this_process(),
    });
    if failed {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    }
}

/// Prints the class of hardware and libraries that an action with these slots would have.
pub fn print_numerics(slots: Slots, numerics: fn(Slots) -> Value) -> ExitCode {
    match writeln!(io::stdout(), "{}", numerics(slots)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

fn read_spec(path: &Path) -> Result<(ActionSpec, Store), StageError> {
    let text = std::fs::read(path).map_err(|e| StageError::io("read", path, &e))?;
    let spec: ActionSpec = serde_json::from_slice(&text).map_err(StageError::internal)?;
    let store = Store::open(&spec.store)?;
    Ok((spec, store))
}

/// Sets `cancelled` when standard input ends; ends a process that does not stop although its engine is
/// gone.
fn watch_input(cancelled: Arc<AtomicBool>) {
    let engine = rustix::process::getppid();
    std::thread::spawn(move || {
        let mut buffer = [0; 64];
        while !matches!(io::stdin().read(&mut buffer), Ok(0) | Err(_)) {}
        cancelled.store(true, Ordering::Relaxed);
        std::thread::sleep(ORPHAN_GRACE);
        // An engine that lives decides itself how long it waits.
        if rustix::process::getppid() != engine {
            let this = rustix::process::getpid();
            let _gone = rustix::process::kill_process(this, rustix::process::Signal::KILL);
        }
    });
}

fn send(message: &Message) {
    if let Ok(mut line) = serde_json::to_vec(message) {
        line.push(b'\n');
        // Without an engine to read it, a message has no purpose; the stop comes through the input.
        drop(io::stdout().lock().write_all(&line));
    }
}
