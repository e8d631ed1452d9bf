//! From the errors of the libraries to what the user sees and the exit code.

use std::io::Write;
use std::process::ExitCode;

use engine::FailureKind;
use engine::StageError;
use engine::manifest::Issues;
use engine::plan::PlanError;
use engine::publish::PublishError;
use engine::store::StoreError;

/// The documented exit codes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Code {
    /// An action failed.
    ActionFailed = 1,
    /// The command line or the manifest is invalid.
    Invalid = 2,
    /// Something would have to run.
    NotUpToDate = 3,
    /// Verification found faults of several kinds, or a MAPS has faults.
    Mismatch = 4,
    /// A published file was changed by hand.
    Tampered = 5,
    /// Somebody else is using what is needed.
    Busy = 6,
    /// Disk, permission or hardware.
    Environment = 7,
    /// Verification: the content of an input changed.
    InputChanged = 40,
    /// Verification: a stored or published output changed or is missing.
    OutputChanged = 41,
    /// Verification: a metric is outside its bounds, tolerance or spread.
    MetricOutside = 42,
    /// Verification: this machine has another numerics class than the lock.
    OtherNumerics = 43,
    /// Verification: the same action gave other bytes.
    NotReproducible = 44,
    /// A bug of this program.
    Internal = 70,
    /// Stopped by a cluster that wants its machine back.
    Preempted = 75,
    /// Interrupted.
    Interrupted = 130,
}

impl From<Code> for ExitCode {
    fn from(code: Code) -> Self {
        Self::from(code as u8)
    }
}

/// Text for `clinicadl help` that documents the exit codes.
pub(crate) const EXIT_CODES: &str = "\
Exit codes:
    0  done, or up to date
    1  an action failed
    2  the command line or the manifest is invalid
    3  not up to date (`status --check`, `plan --exit-code`, `run --frozen`, `run --locked`,
       `verify` of a changed manifest or without a lock, `store pull` of what is not there)
    4  `verify`: several of 40 to 44; `maps validate`: something is wrong
    5  a published file was changed by hand, or a stored one is damaged, here or there
    6  busy: a run is using the store
    7  environment: disk, permission, missing hardware, time or memory limit
   40  `verify`: an input changed
   41  `verify`: a stored or published output changed or is missing
   42  `verify`: a metric is outside its bounds, tolerance or spread of seeds
   43  `verify`: this machine computes with another numerics class than the lock's
   44  `verify`: a stage is not reproducible
   70  a bug of this program
   75  stopped by SIGTERM or SIGUSR1: run again to go on
  130  interrupted";

/// Why a command failed.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) code: Code,
    /// Messages, each with its advice.
    pub(crate) messages: Vec<(String, Vec<String>)>,
}

impl Failure {
    pub(crate) fn new(code: Code, message: impl Into<String>) -> Self {
        Self {
            code,
            messages: vec![(message.into(), Vec::new())],
        }
    }

    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        if let Some((_, hints)) = self.messages.last_mut() {
            hints.push(hint.into());
        }
        self
    }

    /// A failure whose messages were shown while they happened.
    pub(crate) fn silent(code: Code) -> Self {
        Self {
            code,
            messages: Vec::new(),
        }
    }

    pub(crate) fn show(&self) {
        let mut stderr = anstream::stderr().lock();
        for (message, hints) in &self.messages {
            // Nobody is left to tell when standard error is closed.
            drop(writeln!(stderr, "\x1b[1;31merror\x1b[0m: {message}"));
            for hint in hints {
                drop(writeln!(stderr, "  \x1b[1;36mhint\x1b[0m: {hint}"));
            }
        }
    }
}

/// Tells something that needs attention and stops nothing.
pub(crate) fn warn(message: &str, hint: &str) {
    let mut stderr = anstream::stderr().lock();
    drop(writeln!(stderr, "\x1b[1;33mwarning\x1b[0m: {message}"));
    if !hint.is_empty() {
        drop(writeln!(stderr, "  \x1b[1;36mhint\x1b[0m: {hint}"));
    }
}

pub(crate) fn code_of(kind: FailureKind) -> Code {
    match kind {
        FailureKind::Failed => Code::ActionFailed,
        FailureKind::Cancelled => Code::Interrupted,
        FailureKind::Environment => Code::Environment,
        FailureKind::Internal => Code::Internal,
    }
}

impl From<StageError> for Failure {
    fn from(error: StageError) -> Self {
        Self {
            code: code_of(error.kind),
            messages: vec![(error.message, error.hints)],
        }
    }
}

impl From<StoreError> for Failure {
    /// Whatever keeps the store from being used, it is the machine and not the experiment.
    fn from(error: StoreError) -> Self {
        Self {
            code: Code::Environment,
            ..StageError::from(error).into()
        }
    }
}

impl From<Issues> for Failure {
    fn from(issues: Issues) -> Self {
        let messages = issues
            .0
            .into_iter()
            .map(|issue| (issue.to_string(), issue.hint.into_iter().collect()))
            .collect();
        Self {
            code: Code::Invalid,
            messages,
        }
    }
}

impl From<PlanError> for Failure {
    fn from(error: PlanError) -> Self {
        let code = match &error {
            PlanError::Input { source, .. } if source.kind == FailureKind::Environment => {
                Code::Environment
            }
            _ => Code::Invalid,
        };
        Self {
            code,
            messages: vec![(error.to_string(), error.hints())],
        }
    }
}

impl From<PublishError> for Failure {
    fn from(error: PublishError) -> Self {
        let code = match &error {
            PublishError::Tampered { .. } => Code::Tampered,
            PublishError::Stage(error) => code_of(error.kind),
            _ => Code::Environment,
        };
        Self {
            code,
            messages: vec![(error.to_string(), error.hints())],
        }
    }
}
