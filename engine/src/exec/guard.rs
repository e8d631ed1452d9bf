//! The process between the engine and a foreign program.
//!
//! A foreign program knows nothing of the engine and would go on when that is killed. The guard is a
//! process of this very program that starts the foreign one and waits for it. Its standard input comes
//! from the engine: a byte asks the program to terminate, and the end of input, which is also what the
//! death of the engine looks like, kills it. As the reaper of its descendants the guard finds those
//! that left the process group too; when it ends, none of them is left.

use std::ffi::{OsStr, OsString};
use std::io::{self, Read};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, WaitOptions, kill_process, set_child_subreaper, wait};
use serde::{Deserialize, Serialize};

use super::usage::{Usage, descendants};

/// The first argument by which the program knows that it is a guard.
pub const GUARD: &str = "__guard";

/// What the engine writes to ask the program to terminate.
pub(super) const TERMINATE: &[u8] = b"t";

/// How long processes that were killed may take to be gone.
const PATIENCE: Duration = Duration::from_secs(5);

/// What a guard tells about its program.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Outcome {
    /// It ended.
    Ended(Usage),
    /// It could not be started: the system's words, and its number for them.
    NotStarted(String, Option<i32>),
}

/// The command that runs a program under a guard, which tells how it ended in the file `report`.
pub(super) fn command(guard: &Path, report: &Path, program: &Path, args: &[OsString]) -> Command {
    let mut command = Command::new(guard);
    command.arg(GUARD).arg(report).arg(program).args(args);
    command
}

/// Runs `arguments`: the file to report to, the program, and its arguments.
pub fn guard_main(mut arguments: impl Iterator<Item = OsString>) -> ExitCode {
    let (Some(report), Some(program)) = (arguments.next(), arguments.next()) else {
        return ExitCode::from(2);
    };
    let outcome = match guard(&program, arguments) {
        Ok(usage) => Outcome::Ended(usage),
        Err(error) => Outcome::NotStarted(error.to_string(), error.raw_os_error()),
    };
    let told = serde_json::to_vec(&outcome)
        .map_err(io::Error::from)
        .and_then(|text| std::fs::write(report, text));
    // Without a report the engine knows that this went wrong.
    if told.is_ok() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

fn guard(program: &OsStr, arguments: impl Iterator<Item = OsString>) -> io::Result<Usage> {
    let this = rustix::process::getpid();
    set_child_subreaper(Some(this))?;
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .spawn()?;
    std::thread::spawn(move || {
        let mut byte = [0];
        while let Ok(1) = io::stdin().read(&mut byte) {
            send(this, Signal::TERM);
        }
        // Nobody waits for the result any more; what is started meanwhile is found next time.
        loop {
            send(this, Signal::KILL);
            std::thread::sleep(Duration::from_millis(10));
        }
    });
    let status = child.wait()?;
    reap(this);
    Ok(Usage {
        exit_code: status.code(),
        signal: status.signal(),
        ..Usage::of_children()
    })
}

/// Kills what the program left behind.
fn reap(this: Pid) {
    let until = Instant::now() + PATIENCE;
    while Instant::now() < until {
        // With no child left there is no descendant left: orphans become children of this process.
        while let Ok(Some(_)) = wait(WaitOptions::NOHANG) {}
        if wait(WaitOptions::NOHANG).is_err() {
            return;
        }
        send(this, Signal::KILL);
        std::thread::sleep(Duration::from_millis(2));
    }
}

fn send(this: Pid, signal: Signal) {
    for pid in descendants(this.as_raw_nonzero().get()) {
        if let Some(pid) = Pid::from_raw(pid) {
            // One that is gone needs no signal.
            let _gone = kill_process(pid, signal);
        }
    }
}
