//! Ctrl-C, killed workers, killed engines: what was finished stays, nothing is half-written.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use crate::support::{Project, command, files, image_path, nifti};

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

/// Waits for a worker whose engine was killed.
fn wait_for_end(worker: u32) {
    let deadline = Instant::now() + PATIENCE;
    while Path::new(&format!("/proc/{worker}/exe")).exists() {
        assert!(
            Instant::now() < deadline,
            "worker {worker} outlives its engine"
        );
        std::thread::sleep(Duration::from_millis(5));
    }
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
    wait_for_end(worker);
    let plan = project
        .clinicadl(&["plan", "experiment.yaml"])
        .success()
        .stdout;
    assert!(plan.contains("hit  extract"), "{plan}");
}

/// Files with their bytes.
type Files = Vec<(String, Vec<u8>)>;

/// What a project's MAPS holds besides records of its runs.
fn results(project: &Project) -> Files {
    results_of(&project.path("maps"))
}

fn results_of(maps: &Path) -> Files {
    let names = files(maps).into_iter();
    let results = names.filter(|name| !name.starts_with("provenance/") && !name.starts_with("ro-"));
    results
        .map(|name| {
            let bytes = std::fs::read(maps.join(&name)).unwrap();
            (name, bytes)
        })
        .collect()
}

fn same(got: &Files, expected: &Files) {
    let names = |all: &Files| -> Vec<String> { all.iter().map(|(name, _)| name.clone()).collect() };
    assert_eq!(names(got), names(expected));
    for ((name, got), (_, expected)) in got.iter().zip(expected) {
        assert!(got == expected, "{name}");
    }
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
            same(&results(&project), &expected);
            project = stateful_project();
        } else {
            kills += 1;
        }
    }
    assert!(resumed > 0, "some trainings went on from a checkpoint");
    eprintln!("{kills} kills, {finished} trainings, {resumed} resumed");
}

/// Sessions that are predicted, of a training of few.
const PREDICTED: usize = 160;

/// A quick training, and a prediction of many small images.
fn prediction_project() -> Project {
    let project = Project::empty();
    let mut labels = String::from("participant_id\tsession_id\tdiagnosis\tsex\tage\n");
    for i in 0..PREDICTED + 8 {
        let (diagnosis, level) = if i % 2 == 0 { ("AD", 1) } else { ("CN", 9) };
        labels.push_str(&format!("sub-{i:03}\tses-M000\t{diagnosis}\tF\t70\n"));
        // Noise: images that are alike would be refused.
        let voxel = |x, y, z| {
            let position = ((i * 6 + x) * 6 + y) * 6 + z;
            let mixed = (position as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            let mixed = (mixed ^ (mixed >> 32)).wrapping_mul(0xd6e8_feb8_6659_fd93);
            (level + (mixed >> 56)) as f32
        };
        project.write_bytes(&image_path(i), &nifti([6; 3], voxel));
    }
    project.write("labels.tsv", &labels);
    let manifest = PREDICTION.replace("COUNT", &PREDICTED.to_string());
    project.write("experiment.yaml", &manifest);
    project
}

/// A network of one layer; files of every image.
const PREDICTION: &str = "\
clinicadl: 1
name: many
seed: 42
inputs: { caps: caps, labels: labels.tsv }
stages:
  extract:
    uses: prepare-data
    inputs: { caps: caps }
  holdout:
    uses: split
    inputs: { labels: labels }
    with: { n_test: COUNT, balance: [] }
  folds:
    uses: split
    inputs: { labels: holdout.train }
    with: { n_test: 4, balance: [] }
  train:
    uses: train
    inputs: { images: extract, splits: folds }
    with:
      epochs: 1
      network: { name: Layers, layers: [flatten, { linear: outputs }] }
      selection_metrics: [loss]
  test:
    uses: predict
    inputs: { model: train, images: extract, participants: holdout.test }
    with: { data_group: test, bootstrap: 10, batch_size: 4, save: [tensors] }
maps: maps
";

/// How many segments of a prediction are kept in a store.
fn segments(store: &Path) -> usize {
    let Ok(folders) = std::fs::read_dir(store.join("scratch")) else {
        return 0;
    };
    let files = folders
        .flatten()
        .filter_map(|folder| std::fs::read_dir(folder.path()).ok());
    let names = files.flat_map(|files| files.flatten().map(|file| file.file_name()));
    names
        .filter(|name| {
            let name = name.to_string_lossy();
            name.starts_with("segment-") && name.ends_with(".json")
        })
        .count()
}

#[test]
fn a_killed_prediction_goes_on_behind_what_it_kept_to_the_same_bytes() {
    let project = prediction_project();
    let (mut engine, lines) = start(&project);
    let store = project.path(".clinicadl");
    let deadline = Instant::now() + PATIENCE;
    while segments(&store) == 0 {
        let ended = engine.0.try_wait().unwrap();
        if ended.is_some() || Instant::now() > deadline {
            let said: Vec<String> = lines.iter().collect();
            panic!("{ended:?}, no segment was kept:\n{}", said.join("\n"));
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    let worker = worker_of(engine.id());
    engine.0.kill().unwrap();
    engine.wait().unwrap();
    wait_for_end(worker);
    // Whole segments of 32 images, in their order.
    let kept = segments(&store);
    assert!((1..PREDICTED / 32).contains(&kept), "{kept} segments");
    assert!(!project.path("maps").exists());

    let (mut engine, lines) = start(&project);
    assert!(engine.wait().unwrap().success());
    let said: Vec<String> = lines.iter().collect();
    let said = said.join("\n");
    for earlier in ["extract", "train (split 0)"] {
        assert!(said.contains(&format!("hit  {earlier}")), "{said}");
    }
    let before = kept * 32;
    let resumed = format!("{before} of {PREDICTED} were predicted before");
    assert!(said.contains(&resumed), "{said}");
    let first = said.lines().find(|line| line.ends_with(" predicted"));
    let first = first.and_then(|line| line.rsplit(": ").next());
    let next = format!("{}/{PREDICTED} predicted", before + 4);
    assert_eq!(first, Some(next.as_str()), "{said}");

    let resumed = results(&project);
    let arguments = ["--force", "test", "--maps", "straight"];
    let report = project.report(&arguments);
    let outcome = &report["run"]["actions"][4]["outcome"]["outcome"];
    assert_eq!(outcome, "ran", "{report}");
    let straight = results_of(&project.path("straight"));
    assert!(
        straight
            .iter()
            .any(|(name, _)| name.ends_with("_output.pt"))
    );
    same(&resumed, &straight);
}

/// Stages that see all splits, with so many resamples that they take a while.
const ALL_SPLITS: &str = "  together:
    uses: ensemble
    inputs: { model: train, predictions: test }
    with: { bootstrap: 60000 }
  beside:
    uses: compare
    inputs: { cnn: test, both: together }
    with: { models: [cnn/loss, both/loss], bootstrap: 60000 }
maps: maps
";

#[test]
fn a_stage_of_all_splits_is_stopped_and_the_next_run_does_it_alone() {
    let project = Project::with_caps(12);
    let text = project.read("experiment.yaml");
    let (kept, _) = text.split_once("  saliency:").unwrap();
    project.write("experiment.yaml", &format!("{kept}{ALL_SPLITS}"));
    project.edit(
        "experiment.yaml",
        "epochs: 2",
        "epochs: 1\n      bootstrap: 10",
    );
    project.edit(
        "experiment.yaml",
        "data_group: test }",
        "data_group: test, bootstrap: 10 }",
    );

    // Ctrl-C between the ensembles of two metrics, then a cluster that wants its node back.
    for (stage, name, code) in [("together", "-INT", 130), ("beside", "-TERM", 75)] {
        let (mut engine, lines) = start(&project);
        wait_for(&lines, &format!("{stage}: "));
        signal(engine.id(), name);
        assert_eq!(engine.wait().unwrap().code(), Some(code), "{stage}");
        let said: Vec<String> = lines.iter().collect();
        assert!(
            !said
                .iter()
                .any(|line| line.contains(&format!("done  {stage}"))),
            "{said:?}"
        );
        assert!(!project.path("maps").exists());
        project.clinicadl(&["store", "verify"]).success();
    }
    let report = project.report(&[]);
    let actions = report["run"]["actions"].as_array().unwrap().iter();
    let ran = actions.filter(|action| action["outcome"]["outcome"] == "ran");
    let ran: Vec<&str> = ran.filter_map(|action| action["action"].as_str()).collect();
    assert_eq!(ran, ["beside"], "{report}");
    assert!(project.path("maps/ensemble/mean/best-loss").exists());
    project.clinicadl(&["verify", "experiment.yaml"]).success();
}
