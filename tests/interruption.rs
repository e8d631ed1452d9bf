//! Ctrl-C, killed workers, killed engines: what was finished stays, nothing is half-written.

use std::io::{BufRead, BufReader};
use std::process::{Child, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use crate::support::{Project, command, files};

/// No step of these tests takes longer on any machine.
const PATIENCE: Duration = Duration::from_secs(120);

/// A project whose training takes many epochs.
fn slow_project() -> Project {
    let project = Project::with_caps(12);
    project.edit("experiment.yaml", "epochs: 2", "epochs: 60");
    project
}

/// A running engine, killed when its test ends, however it ends.
struct Engine(Child);

impl Engine {
    fn id(&self) -> u32 {
        self.0.id()
    }

    fn wait(&mut self) -> std::io::Result<std::process::ExitStatus> {
        self.0.wait()
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        // One that has ended cannot be killed, which is as good.
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// Starts a run; its standard error arrives line by line.
fn start(project: &Project) -> (Engine, Receiver<String>) {
    let mut child = command(&project.path("."), &["run", "experiment.yaml", "-v"])
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let stderr = child.stderr.take().unwrap();
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        for line in BufReader::new(stderr).lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                return;
            }
        }
    });
    (Engine(child), receiver)
}

/// Waits for a line that contains `text`.
fn wait_for(lines: &Receiver<String>, text: &str) -> String {
    let deadline = Instant::now() + PATIENCE;
    let mut seen = Vec::new();
    while let Ok(line) = lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
        if line.contains(text) {
            return line;
        }
        seen.push(line);
    }
    panic!("`{text}` never came after:\n{}", seen.join("\n"));
}

fn signal(pid: u32, name: &str) {
    let status = std::process::Command::new("kill")
        .arg(name)
        .arg(pid.to_string())
        .status();
    assert!(status.unwrap().success());
}

/// The process ID of the worker that `engine` started.
fn worker_of(engine: u32) -> u32 {
    let deadline = Instant::now() + PATIENCE;
    while Instant::now() < deadline {
        for entry in std::fs::read_dir("/proc").unwrap().flatten() {
            let Ok(pid) = entry.file_name().to_string_lossy().parse::<u32>() else {
                continue;
            };
            let stat = std::fs::read_to_string(entry.path().join("stat")).unwrap_or_default();
            // pid (name) state parent …
            let after = stat.rsplit_once(") ").map_or("", |(_, after)| after);
            if stat.contains("(clinicadl-worke")
                && after.split(' ').nth(1) == Some(&engine.to_string())
            {
                return pid;
            }
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    panic!("no worker of {engine}");
}

#[test]
fn ctrl_c_stops_in_order_and_the_next_run_goes_on() {
    let project = slow_project();
    let (mut child, lines) = start(&project);
    wait_for(&lines, "train (split 0): 12/120");
    signal(child.id(), "-INT");
    wait_for(&lines, "stopping");
    let status = child.wait().unwrap();
    assert_eq!(status.code(), Some(130));
    assert!(!project.path("maps").exists());
    let (mut child, lines) = start(&project);
    wait_for(&lines, "hit  extract");
    let resumed = wait_for(&lines, "train (split 0): ");
    assert!(
        !resumed.contains(": 1/120"),
        "training goes on from its checkpoint: {resumed}"
    );
    signal(child.id(), "-INT");
    assert_eq!(child.wait().unwrap().code(), Some(130));
}

#[test]
fn a_killed_worker_fails_its_action_with_the_signal_and_loses_nothing_else() {
    let project = slow_project();
    let (mut child, lines) = start(&project);
    wait_for(&lines, "train (split 0): ");
    signal(worker_of(child.id()), "-KILL");
    let message = wait_for(&lines, "was killed by signal 9");
    assert!(message.contains("train (split 0)"), "{message}");
    signal(child.id(), "-INT");
    assert!(matches!(child.wait().unwrap().code(), Some(7 | 130)));
    assert!(!project.path("maps").exists());
    project.clinicadl(&["plan", "experiment.yaml"]).success();
}

#[test]
fn a_killed_engine_leaves_no_worker_and_a_usable_store() {
    let project = slow_project();
    let (mut child, lines) = start(&project);
    wait_for(&lines, "train (split 0): ");
    let worker = worker_of(child.id());
    signal(child.id(), "-KILL");
    child.wait().unwrap();
    let deadline = Instant::now() + PATIENCE;
    while std::path::Path::new(&format!("/proc/{worker}/exe")).exists() {
        assert!(
            Instant::now() < deadline,
            "worker {worker} outlives its engine"
        );
        std::thread::sleep(Duration::from_millis(20));
    }
    let plan = project
        .clinicadl(&["plan", "experiment.yaml"])
        .success()
        .stdout;
    assert!(plan.contains("hit  extract"), "{plan}");
}

/// What a MAPS holds besides records of its runs.
fn results(project: &Project) -> Vec<(String, Vec<u8>)> {
    let maps = project.path("maps");
    let names = files(&maps).into_iter();
    let results = names.filter(|name| !name.starts_with("provenance/") && !name.starts_with("ro-"));
    results
        .map(|name| {
            let bytes = std::fs::read(maps.join(&name)).unwrap();
            (name, bytes)
        })
        .collect()
}

/// A training of all that has a state: augmentation, dropout, scheduler, several metrics, early stopping.
fn stateful_project() -> Project {
    let project = Project::with_caps(12);
    project.edit(
        "experiment.yaml",
        "epochs: 2",
        "epochs: 12\n      patience: 4\n      warmup_epochs: 1\n      scheduler: { name: cosine }\n      \
         accumulation_steps: 2\n      evaluation_steps: 2\n      gradient_clipping: 1.0\n      \
         data_augmentation: [{ name: Noise }, { name: Flip }]",
    );
    project
}

#[test]
fn fifty_kills_at_any_instant_change_nothing() {
    let straight = stateful_project();
    straight.run().success();
    let expected = results(&straight);
    assert!(
        expected
            .iter()
            .any(|(name, _)| name.ends_with("model.pth.tar"))
    );
    let (mut kills, mut finished, mut resumed) = (0_u64, 0, 0);
    let mut project = stateful_project();
    while kills < 50 || finished == 0 {
        // Instants of no pattern, the same in every run of this test; later ones where nothing ends.
        let instant = 150 + kills * 7919 % 1009 + kills.saturating_sub(60) * 20;
        let (mut engine, lines) = start(&project);
        let deadline = Instant::now() + Duration::from_millis(instant);
        let has_ended = loop {
            if let Ok(Some(status)) = engine.0.try_wait() {
                assert!(status.success(), "{status}");
                break true;
            }
            if Instant::now() >= deadline {
                break false;
            }
            std::thread::sleep(Duration::from_millis(5));
        };
        drop(engine);
        resumed += lines
            .iter()
            .filter(|line| line.contains("going on after"))
            .count();
        if has_ended {
            finished += 1;
            let got = results(&project);
            let names = |all: &[(String, Vec<u8>)]| -> Vec<String> {
                all.iter().map(|(name, _)| name.clone()).collect()
            };
            assert_eq!(names(&got), names(&expected));
            for ((name, got), (_, expected)) in got.iter().zip(&expected) {
                assert!(got == expected, "{name}");
            }
            project = stateful_project();
        } else {
            kills += 1;
        }
    }
    assert!(resumed > 0, "some trainings went on from a checkpoint");
    eprintln!("{kills} kills, {finished} trainings, {resumed} resumed");
}
