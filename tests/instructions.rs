//! How many instructions the paths take that users wait for: a run that has nothing to do, and reading images.
//!
//! Times depend on the machine and on what else it does; these counts do not: valgrind counts on a processor
//! of its own making, the same everywhere. They were taken with one compiler, whose version is beside them.
//! `INSTRUCTIONS=record cargo nextest run --workspace -E 'test(instructions::)'` takes them anew, which belongs
//! into a change that makes one of these paths longer on purpose, with its reason.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Map, Value, json};

use crate::support::{Project, files, nifti, root, run};

/// How much more or less than the recorded count is no change: what differs are lengths of paths and times.
const TOLERANCE: f64 = 0.05;
const IMAGE: &str = "caps/subjects/sub-001/ses-M000/t1_linear/sub-001_ses-M000_space-MNI152NLin2009cSym_desc-Crop_res-1x1x1_T1w.nii.gz";

fn record_path() -> PathBuf {
    root().join("tests/reference/instructions.json")
}

/// What a program says of itself; none if it is not installed.
fn version_of(program: &str) -> Option<String> {
    let output = Command::new(program).arg("--version").output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    Some(text.trim().to_owned())
}

/// Instructions of the program with these arguments.
fn count(folder: &Path, arguments: &[&str]) -> f64 {
    let mut command = Command::new("valgrind");
    command
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(env!("CARGO_BIN_EXE_clinicadl"))
        .args(arguments)
        .current_dir(folder)
        .env("RAYON_NUM_THREADS", "1")
        .env_remove("CLINICADL_LOG");
    let said = run(&mut command).success();
    let collected = said.stderr.rsplit_once("Collected :");
    let count = collected.and_then(|(_, rest)| rest.split_whitespace().next());
    count.unwrap().parse().unwrap()
}

/// The counts by what is done.
fn counts() -> Map<String, Value> {
    let tables = Project::with_tables(24);
    tables.run().success();
    let folder = tables.path("");
    // Longer than the clock of any file system here takes to tick.
    std::thread::sleep(std::time::Duration::from_millis(40));
    tables.run().success();
    let memo = files(&tables.path(".clinicadl/runs"));
    let memo = memo.into_iter().find(|file| file.ends_with("settled"));
    let recalled = count(&folder, &["run", "experiment.yaml"]);
    fs::remove_file(tables.path(".clinicadl/runs").join(memo.unwrap())).unwrap();
    let looked_up = count(&folder, &["run", "experiment.yaml"]);
    let images = Project::empty();
    let voxel = |x: usize, y: usize, z: usize| ((x * 7 + y * 5 + z * 3) % 13) as f32;
    images.write_bytes(IMAGE, &nifti([64; 3], voxel));
    let arguments = [
        "exec",
        "prepare-data",
        "--cpus",
        "1",
        "--input",
        "caps=caps",
        "-o",
        "out",
    ];
    let read = count(&images.path(""), &arguments);
    let counts = [
        ("run with nothing to do, recalled", recalled),
        ("run with nothing to do, looked up", looked_up),
        ("extraction of an image of 64x64x64", read),
    ];
    counts
        .map(|(what, count)| (what.to_owned(), json!(count)))
        .into_iter()
        .collect()
}

#[test]
fn no_more_instructions_than_recorded() {
    let (Some(rustc), Some(_)) = (version_of("rustc"), version_of("valgrind")) else {
        eprintln!("not looked at: valgrind is not installed");
        return;
    };
    let is_recording = std::env::var_os("INSTRUCTIONS").is_some_and(|value| value == "record");
    if is_recording {
        let record = json!({ "rustc": rustc, "counts": counts() });
        let text = serde_json::to_string_pretty(&record).unwrap() + "\n";
        fs::write(record_path(), text).unwrap();
        return;
    }
    let record: Value = serde_json::from_slice(&fs::read(record_path()).unwrap()).unwrap();
    if record["rustc"] != rustc.as_str() || !cfg!(debug_assertions) {
        eprintln!(
            "not looked at: recorded with rustc {} in dev builds",
            record["rustc"]
        );
        return;
    }
    let counts = counts();
    let recorded = record["counts"].as_object().unwrap();
    assert_eq!(counts.len(), recorded.len());
    for (what, count) in &counts {
        let (now, before) = (count.as_f64().unwrap(), recorded[what].as_f64().unwrap());
        let change = now / before - 1.0;
        assert!(
            change.abs() <= TOLERANCE,
            "{what}: {now} instructions, {before} were recorded ({:+.1} %)",
            100.0 * change
        );
    }
}
