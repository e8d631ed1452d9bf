//! The engine's side of a worker process.

use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, ExitStatus};

use serde_json::Value;

use super::action::{ActionSpec, Finished};
use super::child::{Gently, Supervision, run};
use super::log::Log;
use super::stop::Stop;
use super::usage::Usage;
use super::worker::Message;
use crate::context::EventSink;
use crate::error::StageError;
use crate::store::Store;

/// What a worker process made and used.
pub(super) type Worked = (Result<(Finished, Value), StageError>, Usage);

/// Runs an action in a worker process and waits for it.
pub(super) fn run_in_worker(
    worker: &Path,
    spec: &ActionSpec,
    store: &Store,
    events: &EventSink,
    stop: &Stop,
    log: &Log,
) -> Worked {
    match attempt(worker, spec, store, events, stop, log) {
        Ok(worked) => worked,
        Err(error) => (Err(error), Usage::default()),
    }
}

fn attempt(
    worker: &Path,
    spec: &ActionSpec,
    store: &Store,
    events: &EventSink,
    stop: &Stop,
    log: &Log,
) -> Result<Worked, StageError> {
    let folder = store.temporary_folder()?;
    let path = folder.path().join("action.json");
    let text = serde_json::to_vec(spec).map_err(StageError::internal)?;
    std::fs::write(&path, text).map_err(|e| StageError::io("write", &path, &e))?;
    let supervision = Supervision {
        stop,
        gently: Gently::EndOfInput,
        memory_limit: spec.memory_limit,
        log,
    };
    let mut done = None;
    let mut command = Command::new(worker);
    command.arg("run").arg(&path);
    let ended = run(
        &mut command,
        &supervision,
        &mut |line| match serde_json::from_str::<Message>(&line) {
            Ok(Message::Event(event)) => events(event),
            Ok(Message::Done {
                result,
                numerics,
                usage,
            }) => done = Some((result, numerics, usage)),
            Err(_) => log.line(&line),
        },
    )
    .map_err(|e| {
        StageError::io("start", worker, &e)
            .hint("the worker belongs beside `clinicadl`; build with the `torch` feature")
    })?;
    let mut usage = ended.usage;
    let result = match done {
        Some((result, numerics, used)) => {
            usage = usage.at_least(used);
            result.map(|finished| (finished, numerics))
        }
        None if ended.exceeded_memory.is_some() => Err(too_much_memory(spec, &ended.usage)),
        None if stop.is_asked() => Err(StageError::cancelled()),
        None => Err(died(&spec.name, ended.status, &log.last_lines(), &usage)),
    };
    Ok((result, usage))
}

/// An action that held more memory than it declared.
pub(super) fn too_much_memory(spec: &ActionSpec, usage: &Usage) -> StageError {
    let mebibytes = |bytes: u64| bytes >> 20;
    StageError::environment(format!(
        "`{}` held {} MiB of memory, more than its limit of {} MiB, and was stopped",
        spec.name,
        mebibytes(usage.peak_memory_bytes.unwrap_or(0)),
        mebibytes(spec.memory_limit.unwrap_or(0)),
    ))
    .hint(
        "raise `resources: { memory: … }` of the stage, or let it use less (a smaller batch size)",
    )
}

fn died(action: &str, status: Option<ExitStatus>, said: &[String], usage: &Usage) -> StageError {
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
    if let Some(last) = said.last() {
        message = format!("{message}; it last said: {last}");
    }
    let error = StageError::environment(message);
    if signal == Some(9) {
        let held = usage.peak_memory_bytes.map_or(0, |bytes| bytes >> 20);
        error.hint(format!(
            "the system kills processes when memory runs out, and it held {held} MiB: use a smaller \
             batch size, or run again: finished epochs are kept"
        ))
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
        let usage = Usage {
            peak_memory_bytes: Some(3 << 30),
            ..Usage::default()
        };
        let error = died("train (split 0)", Some(status), &[], &usage);
        assert!(
            error
                .message
                .contains("`train (split 0)` was killed by signal 9"),
            "{error}"
        );
        assert!(error.hints[0].contains("it held 3072 MiB"));
        assert_eq!(error.kind, crate::error::FailureKind::Environment);
    }
}
