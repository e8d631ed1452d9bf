//! Running a foreign program: exactly the file that the plan hashed, in exactly the environment given.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};

use super::child::{self, Ended, Gently, Supervision};
use super::guard::{self, Outcome};
use super::log::Log;
use super::stop::Stop;
use super::usage::Usage;
use crate::error::StageError;

/// A foreign program to run.
#[derive(Debug)]
pub struct Program {
    /// Its file; nothing looks it up again.
    pub path: PathBuf,
    /// What to call it in messages.
    pub shown: String,
    /// Its arguments.
    pub arguments: Vec<OsString>,
    /// Its working folder.
    pub folder: PathBuf,
    /// Its whole environment.
    pub variables: BTreeMap<OsString, OsString>,
}

/// On whose behalf a program runs.
pub(crate) struct Behalf<'a> {
    pub(crate) guard: Option<&'a Path>,
    /// A folder for the guard's report.
    pub(crate) folder: &'a Path,
    pub(crate) stop: &'a Stop,
    pub(crate) memory_limit: Option<u64>,
    pub(crate) log: &'a Log,
    pub(crate) usage: &'a Mutex<Usage>,
}

impl Program {
    /// Runs it until it and everything it started has ended.
    pub(crate) fn run(&self, behalf: &Behalf<'_>) -> Result<(), StageError> {
        let report = tempfile::NamedTempFile::new_in(behalf.folder)
            .map_err(|e| StageError::io("create a file in", behalf.folder, &e))?;
        let mut command = match behalf.guard {
            Some(guard) => guard::command(guard, report.path(), &self.path, &self.arguments),
            None => {
                let mut command = Command::new(&self.path);
                command.args(&self.arguments);
                command
            }
        };
        command
            .current_dir(&self.folder)
            .env_clear()
            .envs(&self.variables);
        let supervision = Supervision {
            stop: behalf.stop,
            gently: behalf.guard.map_or(Gently::Terminate, |_| Gently::Guard),
            memory_limit: behalf.memory_limit,
            log: behalf.log,
        };
        let started = child::run(&mut command, &supervision, &mut |line| {
            behalf.log.line(&line);
        });
        let cannot_start = |e: io::Error| StageError::io("start", &self.path, &e);
        let mut ended = started.map_err(cannot_start)?;
        if behalf.guard.is_some() {
            let told = std::fs::read(report.path()).unwrap_or_default();
            ended.usage = match serde_json::from_slice(&told) {
                Ok(Outcome::Ended(usage)) => usage.at_least(without_end(ended.usage)),
                Ok(Outcome::NotStarted(_, Some(number))) => {
                    return Err(cannot_start(io::Error::from_raw_os_error(number)));
                }
                Ok(Outcome::NotStarted(why, None)) => {
                    return Err(cannot_start(io::Error::other(why)));
                }
                // The guard was killed, and its program with it.
                Err(_) => Usage {
                    signal: ended.status.and_then(|status| status.signal()),
                    ..without_end(ended.usage)
                },
            };
        }
        *behalf.usage.lock().unwrap_or_else(PoisonError::into_inner) = ended.usage;
        self.judge(behalf, &ended)
    }

    fn judge(&self, behalf: &Behalf<'_>, ended: &Ended) -> Result<(), StageError> {
        let shown = &self.shown;
        if let Some(largest) = &ended.exceeded_memory {
            return Err(StageError::environment(format!(
                "`{shown}` held {} MiB of memory, more than the limit of {} MiB, and was stopped; \
                 most of it was held by its process `{largest}`",
                ended.usage.peak_memory_bytes.unwrap_or(0) >> 20,
                behalf.memory_limit.unwrap_or(0) >> 20
            ))
            .hint("raise `resources: { memory: … }` of the stage, or let it use less"));
        }
        if behalf.stop.is_asked() {
            return Err(StageError::cancelled());
        }
        match (ended.usage.exit_code, ended.usage.signal) {
            (Some(0), _) => Ok(()),
            (Some(code), _) => Err(StageError::new(format!("`{shown}` ended with code {code}"))),
            // The system does this when memory runs out; so may whoever looks after the machine.
            (None, Some(9)) => Err(StageError::environment(format!(
                "`{shown}` was killed by signal 9 (SIGKILL)"
            ))
            .hint("the system kills processes when memory runs out")),
            (None, Some(signal)) => Err(StageError::new(format!(
                "`{shown}` was killed by signal {signal}"
            ))),
            (None, None) => Err(StageError::environment(format!("`{shown}` disappeared"))),
        }
    }
}

/// What was used, without how the process ended that was watched in place of another.
fn without_end(usage: Usage) -> Usage {
    Usage {
        exit_code: None,
        signal: None,
        ..usage
    }
}
