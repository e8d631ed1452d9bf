//! The engine's side of a worker process.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::Value;

use super::action::{ActionSpec, Finished};
use super::coordinator::Interrupt;
use super::worker::Message;
use crate::context::EventSink;
use crate::error::StageError;
use crate::store::Store;

/// Lines of a worker's diagnostics kept for its error message.
const KEPT_LINES: usize = 20;

/// Runs an action in a worker process and waits for it.
pub(super) fn run_in_worker(
    worker: &Path,
    spec: &ActionSpec,
    store: &Store,
    events: &EventSink,
    interrupt: &Interrupt,
) -> Result<(Finished, Value), StageError> {
    let folder = store.temporary_folder()?;
    let path = folder.path().join("action.json");
    let text = serde_json::to_vec(spec).map_err(StageError::internal)?;
    std::fs::write(&path, text).map_err(|e| StageError::io("write", &path, &e))?;
    let mut child = spawn(worker, &path)?;
    let stderr = child.stderr.take().map(collect_lines);
    let stdout = child.stdout.take();
    let child = Arc::new(Mutex::new(child));
    let watch = watch_interrupt(&child, interrupt);
    let mut done = None;
    if let Some(stdout) = stdout {
        for line in BufReader::new(stdout).lines().map_while(Result::ok) {
            match serde_json::from_str::<Message>(&line) {
                Ok(Message::Event(event)) => events(event),
                Ok(Message::Done { result, numerics }) => done = Some((result, numerics)),
                Err(_) => tracing::debug!(target: "worker", "{line}"),
            }
        }
    }
    let status = watch.join().unwrap_or_default();
    let said = stderr
        .map(|lines| lines.join().unwrap_or_default())
        .unwrap_or_default();
    match done {
        Some((Ok(finished), numerics)) => Ok((finished, numerics)),
        Some((Err(error), _)) => Err(error),
        None if interrupt.is_set() => Err(StageError::cancelled()),
        None => Err(died(&spec.name, status, &said)),
    }
}

fn spawn(worker: &Path, spec: &Path) -> Result<Child, StageError> {
    Command::new(worker)
        .arg("run")
        .arg(spec)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        // A process group of its own: Ctrl-C reaches the engine, which stops the worker in order.
        .process_group(0)
        .spawn()
        .map_err(|e| {
            StageError::io("start", worker, &e)
                .hint("the worker belongs beside `clinicadl`; build with the `torch` feature")
        })
}

/// Waits for the child; asks it to stop when the run is interrupted, kills it when asked twice.
fn watch_interrupt(
    child: &Arc<Mutex<Child>>,
    interrupt: &Interrupt,
) -> std::thread::JoinHandle<Option<ExitStatus>> {
    let child = child.clone();
    let interrupt = interrupt.clone();
    std::thread::spawn(move || {
        loop {
            let mut child = child.lock().unwrap_or_else(PoisonError::into_inner);
            if interrupt.is_set() {
                drop(child.stdin.take());
            }
            if interrupt.is_urgent() {
                drop(child.kill());
            }
            match child.try_wait() {
                Ok(Some(status)) => return Some(status),
                Ok(None) => {}
                Err(_) => return None,
            }
            drop(child);
            std::thread::sleep(Duration::from_millis(20));
        }
    })
}

fn collect_lines(stderr: std::process::ChildStderr) -> std::thread::JoinHandle<VecDeque<String>> {
    std::thread::spawn(move || {
        let mut kept = VecDeque::new();
        for line in BufReader::new(stderr).lines().map_while(Result::ok) {
            tracing::debug!(target: "worker", "{line}");
            if kept.len() == KEPT_LINES {
                kept.pop_front();
            }
            kept.push_back(line);
        }
        kept
    })
}

fn died(action: &str, status: Option<ExitStatus>, said: &VecDeque<String>) -> StageError {
    let signal = status.and_then(|status| status.signal());
    let how = match (signal, status.and_then(|status| status.code())) {
        (Some(9), _) => "was killed by signal 9 (SIGKILL)".to_owned(),
        (Some(11), _) => "crashed with signal 11 (SIGSEGV)".to_owned(),
        (Some(15), _) => "was stopped by signal 15 (SIGTERM)".to_owned(),
        (Some(signal), _) => format!("was killed by signal {signal}"),
        (None, Some(code)) => format!("exited with code {code}"),
        (None, None) => "disappeared".to_owned(),
    };
    let mut message = format!("the worker of `{action}` {how} before it was done");
    if let Some(last) = said.back() {
        message = format!("{message}; it last said: {last}");
    }
    let error = StageError::environment(message);
    if signal == Some(9) {
        error.hint(
            "the system kills processes when memory runs out: use a smaller batch size, or run \
             again: finished epochs are kept",
        )
    } else {
        error.hint("run again: what was finished is kept")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_worker_killed_for_memory_is_told_apart() {
        let status = ExitStatus::from_raw(9);
        let error = died("train (split 0)", Some(status), &VecDeque::new());
        assert!(
            error
                .message
                .contains("`train (split 0)` was killed by signal 9"),
            "{error}"
        );
        assert!(error.hints[0].contains("memory"));
        assert_eq!(error.kind, crate::error::FailureKind::Environment);
    }
}
