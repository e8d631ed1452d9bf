//! A process that belongs to an action: its output read, its memory watched, its end awaited.

use std::io::{self, BufRead, BufReader, Read};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group};
use serde::{Deserialize, Serialize};

use super::log::Log;
use super::stop::Stop;

/// How often the wish to stop is looked at.
const TICK: Duration = Duration::from_millis(20);
/// How often memory is looked at.
const LOOK: Duration = Duration::from_millis(200);
/// How long a process that was told to terminate may take.
const GRACE: Duration = Duration::from_secs(10);
/// How long to wait for output of processes that a finished one left behind.
const LEFTOVERS: Duration = Duration::from_secs(2);

/// How a process is told to stop in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gently {
    /// By the end of its standard input.
    EndOfInput,
    /// By SIGTERM to its process group.
    Terminate,
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

/// What a process used.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Usage {
    /// Most memory that its process group held when it was looked at, in bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub peak_memory_bytes: Option<u64>,
    /// Processor time of the group in seconds, as last seen.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu_s: Option<f64>,
    /// Its exit code, if it exited by itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<i32>,
}

/// How a process ended.
#[derive(Debug)]
pub struct Ended {
    /// Its status; none if it could not be found out.
    pub status: Option<ExitStatus>,
    /// What it used.
    pub usage: Usage,
    /// Whether it was killed because of its memory.
    pub exceeded_memory: bool,
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
        Gently::EndOfInput => Stdio::piped(),
        Gently::Terminate => Stdio::null(),
    };
    // A process group of its own: Ctrl-C reaches the engine, which stops the process in order.
    let mut child = command
        .stdin(stdin)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .spawn()?;
    let (sender, receiver) = channel();
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
                    watch.kill();
                }
            }
        }
    }
    let status = ended.and_then(|(status, _)| status);
    let mut usage = watch.usage;
    usage.exit_code = status.and_then(|status| status.code());
    Ok(Ended {
        status,
        usage,
        exceeded_memory: watch.exceeded,
    })
}

fn read_lines(
    stream: impl Read + Send + 'static,
    sender: Sender<Said>,
    wrap: impl Fn(String) -> Said + Send + 'static,
) {
    std::thread::spawn(move || {
        let mut stream = BufReader::new(stream);
        let mut line = Vec::new();
        // Foreign programs write what they like: bytes that are no text are replaced.
        while stream
            .read_until(b'\n', &mut line)
            .is_ok_and(|read| read > 0)
        {
            let text = String::from_utf8_lossy(&line);
            if sender
                .send(wrap(text.trim_end_matches(['\n', '\r']).to_owned()))
                .is_err()
            {
                return;
            }
            line.clear();
        }
    });
}

/// Looks after a running process.
struct Watch<'a> {
    supervision: &'a Supervision<'a>,
    group: Option<Pid>,
    looked: Instant,
    asked: Option<Instant>,
    usage: Usage,
    exceeded: bool,
}

impl<'a> Watch<'a> {
    fn new(child: &Child, supervision: &'a Supervision<'a>) -> Self {
        Self {
            supervision,
            group: i32::try_from(child.id()).ok().and_then(Pid::from_raw),
            looked: Instant::now(),
            asked: None,
            usage: Usage::default(),
            exceeded: false,
        }
    }

    fn look(&mut self, child: &mut Child) {
        let stop = self.supervision.stop;
        if stop.is_asked() && self.asked.is_none() {
            self.asked = Some(Instant::now());
            match self.supervision.gently {
                Gently::EndOfInput => drop(child.stdin.take()),
                Gently::Terminate => self.signal(Signal::TERM),
            }
        }
        let is_late = self.supervision.gently == Gently::Terminate
            && self.asked.is_some_and(|asked| asked.elapsed() > GRACE);
        if stop.is_urgent() || is_late {
            self.kill();
        }
        if self.looked.elapsed() >= LOOK {
            self.looked = Instant::now();
            self.look_at_usage();
        }
    }

    fn look_at_usage(&mut self) {
        let Some((memory, cpu_s)) = self.group.map(usage_of_group) else {
            return;
        };
        let peak = self.usage.peak_memory_bytes.unwrap_or(0).max(memory);
        self.usage.peak_memory_bytes = Some(peak);
        self.usage.cpu_s = Some(self.usage.cpu_s.unwrap_or(0.0).max(cpu_s));
        if self
            .supervision
            .memory_limit
            .is_some_and(|limit| memory > limit)
        {
            self.exceeded = true;
            self.kill();
        }
    }

    fn kill(&self) {
        self.signal(Signal::KILL);
    }

    fn signal(&self, signal: Signal) {
        if let Some(group) = self.group {
            // A group that is gone needs no signal.
            let _gone = kill_process_group(group, signal);
        }
    }
}

/// Resident memory in bytes and processor seconds of all processes of a group.
fn usage_of_group(group: Pid) -> (u64, f64) {
    let group = group.as_raw_nonzero().get().to_string();
    let mut memory = 0;
    let mut ticks = 0;
    for entry in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
        let is_process = entry.file_name().as_encoded_bytes()[0].is_ascii_digit();
        if !is_process {
            continue;
        }
        let stat = std::fs::read_to_string(entry.path().join("stat")).unwrap_or_default();
        // The name, in parentheses, may hold anything; after it: state, parent, group, …
        let Some((_, fields)) = stat.rsplit_once(") ") else {
            continue;
        };
        let fields: Vec<&str> = fields.split(' ').collect();
        if fields.get(2) != Some(&group.as_str()) {
            continue;
        }
        let number = |at: usize| {
            fields
                .get(at)
                .and_then(|f| f.parse::<u64>().ok())
                .unwrap_or(0)
        };
        ticks += number(11) + number(12);
        memory += number(21) * rustix::param::page_size() as u64;
    }
    #[expect(clippy::cast_precision_loss, reason = "seconds")]
    let seconds = ticks as f64 / rustix::param::clock_ticks_per_second() as f64;
    (memory, seconds)
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
        assert!(ended.exceeded_memory);
        assert!(ended.usage.peak_memory_bytes.unwrap() > 30_000_000);
    }
}
