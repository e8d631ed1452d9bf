//! A process that belongs to an action: its output read, its memory watched, its end awaited.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{RecvTimeoutError, SyncSender, sync_channel};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group};

use super::guard::TERMINATE;
use super::log::Log;
use super::stop::Stop;
use super::usage::{self, Usage};

/// How often the wish to stop is looked at.
const TICK: Duration = Duration::from_millis(20);
/// How often memory is looked at.
const LOOK: Duration = Duration::from_millis(200);
/// How long a process that was told to terminate may take.
const GRACE: Duration = Duration::from_secs(10);
/// How long to wait for output of processes that a finished one left behind.
const LEFTOVERS: Duration = Duration::from_secs(2);
/// How long a guard may take to kill its program before it is killed itself.
const GUARD_GRACE: Duration = Duration::from_secs(1);
/// Bytes of a line; a longer one is cut into several.
const LONGEST: usize = 64 << 10;
/// Lines that wait to be read; a program that says more waits too.
const WAITING_LINES: usize = 256;

/// How a process is told to stop in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gently {
    /// By the end of its standard input.
    EndOfInput,
    /// By SIGTERM to its process group.
    Terminate,
    /// By a byte to the guard that started it.
    Guard,
}

/// Under which conditions a process runs.
#[derive(Debug)]
pub struct Supervision<'a> {
    /// Ends it.
    pub stop: &'a Stop,
    /// How it is told.
    pub gently: Gently,
    /// Bytes of memory that its process group may hold.
    pub memory_limit: Option<u64>,
    /// Takes its standard error.
    pub log: &'a Log,
}

/// How a process ended.
#[derive(Debug)]
pub struct Ended {
    /// Its status; none if it could not be found out.
    pub status: Option<ExitStatus>,
    /// What it used.
    pub usage: Usage,
    /// The name of the process that held most of the memory for which all were killed.
    pub exceeded_memory: Option<String>,
}

enum Said {
    Out(String),
    Err(String),
}

/// Runs a process in a group of its own until it ends; every line of its standard output goes to
/// `on_line`.
///
/// # Errors
/// It cannot be started.
pub(crate) fn run(
    command: &mut Command,
    supervision: &Supervision<'_>,
    on_line: &mut dyn FnMut(String),
) -> io::Result<Ended> {
    let stdin = match supervision.gently {
        Gently::EndOfInput | Gently::Guard => Stdio::piped(),
        Gently::Terminate => Stdio::null(),
    };
    // A process group of its own: Ctrl-C reaches the engine, which stops the process in order.
    let mut child = command
        .stdin(stdin)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .spawn()?;
    let (sender, receiver) = sync_channel(WAITING_LINES);
    if let Some(stdout) = child.stdout.take() {
        read_lines(stdout, sender.clone(), Said::Out);
    }
    if let Some(stderr) = child.stderr.take() {
        read_lines(stderr, sender.clone(), Said::Err);
    }
    drop(sender);
    let mut watch = Watch::new(&child, supervision);
    let mut ended: Option<(Option<ExitStatus>, Instant)> = None;
    loop {
        match receiver.recv_timeout(TICK) {
            Ok(Said::Out(line)) => on_line(line),
            Ok(Said::Err(line)) => supervision.log.line(&line),
            Err(RecvTimeoutError::Timeout) => {}
            // Both outputs are closed: the process is about to end.
            Err(RecvTimeoutError::Disconnected) if ended.is_some() => break,
            Err(RecvTimeoutError::Disconnected) => std::thread::sleep(Duration::from_millis(1)),
        }
        match &ended {
            Some((_, at)) if at.elapsed() > LEFTOVERS => break,
            Some(_) => {}
            None => {
                watch.look(&mut child);
                match child.try_wait() {
                    Ok(None) => {}
                    Ok(status) => ended = Some((status, Instant::now())),
                    Err(_) => ended = Some((None, Instant::now())),
                }
                if ended.is_some() {
                    // What it left behind would go on writing.
                    watch.signal(Signal::KILL);
                }
            }
        }
    }
    let status = ended.and_then(|(status, _)| status);
    let mut usage = watch.usage;
    usage.exit_code = status.and_then(|status| status.code());
    usage.signal = status.and_then(|status| status.signal());
    Ok(Ended {
        status,
        usage,
        exceeded_memory: watch.exceeded,
    })
}

fn read_lines(
    stream: impl Read + Send + 'static,
    sender: SyncSender<Said>,
    wrap: impl Fn(String) -> Said + Send + 'static,
) {
    std::thread::spawn(move || {
        let mut stream = BufReader::new(stream);
        while let Some(line) = next_line(&mut stream) {
            if sender.send(wrap(line)).is_err() {
                return;
            }
        }
    });
}

/// The next line, or a part of an endless one. Foreign programs write what they like: bytes that are
/// no text are replaced.
fn next_line(stream: &mut impl BufRead) -> Option<String> {
    let mut line = Vec::new();
    let read = stream
        .take(LONGEST as u64)
        .read_until(b'\n', &mut line)
        .unwrap_or(0);
    let text = String::from_utf8_lossy(&line);
    (read > 0).then(|| text.trim_end_matches(['\n', '\r']).to_owned())
}

/// Looks after a running process.
struct Watch<'a> {
    supervision: &'a Supervision<'a>,
    process: Option<Pid>,
    looked: Instant,
    asked: Option<Instant>,
    killed: Option<Instant>,
    usage: Usage,
    exceeded: Option<String>,
}

impl<'a> Watch<'a> {
    fn new(child: &Child, supervision: &'a Supervision<'a>) -> Self {
        Self {
            supervision,
            process: i32::try_from(child.id()).ok().and_then(Pid::from_raw),
            looked: Instant::now(),
            asked: None,
            killed: None,
            usage: Usage::default(),
            exceeded: None,
        }
    }

    fn look(&mut self, child: &mut Child) {
        let stop = self.supervision.stop;
        if stop.is_asked() && self.asked.is_none() {
            self.asked = Some(Instant::now());
            match (self.supervision.gently, &mut child.stdin) {
                (Gently::EndOfInput, stdin) => drop(stdin.take()),
                (Gently::Terminate, _) => self.signal(Signal::TERM),
                // A guard that is gone has taken its program with it.
                (Gently::Guard, Some(stdin)) => drop(stdin.write_all(TERMINATE)),
                (Gently::Guard, None) => {}
            }
        }
        let is_late = self.supervision.gently != Gently::EndOfInput
            && self.asked.is_some_and(|asked| asked.elapsed() > GRACE);
        if stop.is_urgent() || is_late || self.killed.is_some() {
            self.kill(child);
        }
        if self.looked.elapsed() >= LOOK {
            self.looked = Instant::now();
            self.look_at_usage(child);
        }
    }

    fn look_at_usage(&mut self, child: &mut Child) {
        let limit = self.supervision.memory_limit;
        let Some(process) = self.process else {
            return;
        };
        let moment = usage::look(process.as_raw_nonzero().get(), limit);
        self.usage = self.usage.at_least(Usage {
            peak_memory_bytes: Some(moment.memory),
            user_cpu_s: Some(moment.user_s),
            system_cpu_s: Some(moment.system_s),
            ..Usage::default()
        });
        if limit.is_some_and(|limit| moment.memory > limit) && self.exceeded.is_none() {
            self.exceeded = Some(moment.largest);
            self.kill(child);
        }
    }

    /// Kills the process and what it started. A guard does it itself, because it finds all of them.
    fn kill(&mut self, child: &mut Child) {
        let since = *self.killed.get_or_insert_with(Instant::now);
        if self.supervision.gently == Gently::Guard && since.elapsed() < GUARD_GRACE {
            drop(child.stdin.take());
        } else {
            self.signal(Signal::KILL);
        }
    }

    fn signal(&self, signal: Signal) {
        if let Some(group) = self.process {
            // A group that is gone needs no signal.
            let _gone = kill_process_group(group, signal);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str, stop: &Stop, limit: Option<u64>) -> (Ended, Vec<String>, Log) {
        let log = Log::new(None);
        let mut lines = Vec::new();
        let supervision = Supervision {
            stop,
            gently: Gently::Terminate,
            memory_limit: limit,
            log: &log,
        };
        let mut command = Command::new("sh");
        command.arg("-c").arg(script);
        let ended = run(&mut command, &supervision, &mut |line| lines.push(line)).unwrap();
        (ended, lines, log)
    }

    #[test]
    fn output_and_status_are_told_apart() {
        let stop = Stop::default();
        let (ended, lines, log) = shell("echo out; echo err >&2; exit 3", &stop, None);
        assert_eq!(ended.usage.exit_code, Some(3));
        assert_eq!(lines, ["out"]);
        assert_eq!(log.last_lines(), ["err"]);
    }

    #[test]
    fn a_process_that_does_not_terminate_is_killed_with_its_children() {
        let stop = Stop::default();
        stop.urge();
        let (ended, _, _) = shell("trap '' TERM; sleep 600 & sleep 600", &stop, None);
        assert_eq!(ended.usage.exit_code, None);
    }

    #[test]
    fn a_group_that_holds_too_much_memory_is_killed() {
        let stop = Stop::default();
        let hungry = "x=$(head -c 60000000 /dev/zero | tr '\\0' x); sleep 600; echo $x";
        let (ended, _, _) = shell(hungry, &stop, Some(30_000_000));
        assert!(ended.exceeded_memory.is_some());
        assert!(ended.usage.peak_memory_bytes.unwrap() > 30_000_000);
    }

    #[test]
    fn an_endless_line_is_cut_and_bytes_that_are_no_text_are_replaced() {
        let endless = vec![b'x'; LONGEST + 10];
        let mut stream = io::Cursor::new([&endless[..], b"\r\n\xff\nlast"].concat());
        let mut lines = Vec::new();
        while let Some(line) = next_line(&mut stream) {
            lines.push(line);
        }
        let lengths: Vec<usize> = lines.iter().map(String::len).collect();
        assert_eq!(lengths[..2], [LONGEST, 10]);
        assert_eq!(lines[2..], ["\u{fffd}", "last"]);
    }
}
