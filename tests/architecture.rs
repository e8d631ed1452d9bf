//! The layer rules of ARCHITECTURE.md, enforced.

use std::fs;
use std::path::{Path, PathBuf};

use engine::registry::AnyStage;

use crate::support::root;

/// Which of our own crates each crate may use.
const LAYERS: [(&str, &[&str]); 4] = [
    ("engine", &[]),
    ("maps", &["engine"]),
    ("stages", &["engine", "maps"]),
    ("stages/torch", &["engine", "maps", "stages"]),
];

/// Libraries that belong to one place: name in `use` paths, and the only files that may name it.
const HOMES: [(&str, &[&str]); 9] = [
    ("tch::", &["stages/torch/"]),
    ("use nifti::", &["stages/src/io/nifti"]),
    ("saphyr_parser::", &["engine/src/manifest/yaml.rs"]),
    // The other reader with which ours is compared.
    ("serde_yaml::", &["engine/src/manifest/tests/"]),
    ("petgraph::", &["engine/src/plan/"]),
    (
        "blake3::",
        &[
            "engine/src/digest.rs",
            "engine/src/key/",
            "engine/src/seed.rs",
        ],
    ),
    ("clap::", &["src/"]),
    ("indicatif::", &["src/progress.rs"]),
    ("quick_junit::", &["src/commands/verify/report.rs"]),
];

fn rust_files() -> Vec<(String, String)> {
    let mut files = Vec::new();
    for top in ["src", "engine", "maps", "stages", "tests", "build.rs"] {
        collect(&root().join(top), &mut files);
    }
    files
        .into_iter()
        .map(|path| {
            let name = path
                .strip_prefix(root())
                .unwrap()
                .to_str()
                .unwrap()
                .to_owned();
            (name, fs::read_to_string(&path).unwrap())
        })
        .collect()
}

fn collect(path: &Path, files: &mut Vec<PathBuf>) {
    if path.is_file() {
        files.extend(
            path.extension()
                .is_some_and(|e| e == "rs")
                .then(|| path.to_owned()),
        );
    } else if path.file_name().is_some_and(|name| name != "target") {
        for entry in fs::read_dir(path).unwrap() {
            collect(&entry.unwrap().path(), files);
        }
    }
}

/// Source lines that are code: what a comment says about a library is no use of it.
fn code(text: &str) -> impl Iterator<Item = &str> {
    text.lines()
        .map(str::trim)
        .filter(|line| !line.starts_with("//"))
}

/// Whether a line names a library at the start of a path.
fn names(line: &str, library: &str) -> bool {
    line.match_indices(library).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        before.is_none_or(|c| !c.is_alphanumeric() && c != '_' && c != ':')
    })
}

#[test]
fn crates_depend_downwards_only() {
    let ours = ["engine", "maps", "stages", "stages-torch"];
    for (folder, allowed) in LAYERS {
        let text = fs::read_to_string(root().join(folder).join("Cargo.toml")).unwrap();
        let document: toml::Table = text.parse().unwrap();
        let dependencies = document["dependencies"].as_table().unwrap();
        for name in ours.iter().filter(|name| dependencies.contains_key(**name)) {
            assert!(
                allowed.contains(name),
                "`{folder}` must not depend on `{name}`"
            );
        }
    }
}

#[test]
fn the_engine_knows_no_tensors_images_or_maps() {
    let text = fs::read_to_string(root().join("engine/Cargo.toml")).unwrap();
    let document: toml::Table = text.parse().unwrap();
    for name in [
        "tch",
        "torch-sys",
        "nifti",
        "ndarray",
        "maps",
        "csv",
        "clap",
    ] {
        assert!(
            !document["dependencies"]
                .as_table()
                .unwrap()
                .contains_key(name),
            "{name}"
        );
    }
}

#[test]
fn each_library_is_named_in_its_home_only() {
    for (name, text) in rust_files() {
        for (library, homes) in HOMES {
            let home =
                homes.iter().any(|home| name.starts_with(home)) || name == "tests/architecture.rs";
            let used = code(&text).any(|line| names(line, library));
            assert!(
                home || !used,
                "`{name}` names `{library}`, which belongs to {homes:?}"
            );
        }
    }
}

#[test]
fn the_command_line_program_does_not_name_the_torch_crate() {
    for (name, text) in rust_files()
        .iter()
        .filter(|(name, _)| name.starts_with("src/"))
    {
        let names = code(text).any(|line| line.contains("stages_torch"));
        assert_eq!(names, name == "src/bin/clinicadl-worker.rs", "{name}");
    }
}

#[test]
fn files_stay_small_and_say_what_they_are() {
    for (name, text) in rust_files() {
        let lines = text.lines().count();
        assert!(
            lines <= 800,
            "`{name}` has {lines} lines: split it by responsibility"
        );
        let is_tests =
            name.ends_with("/tests.rs") || name.contains("/src/") && name.contains("/tests/");
        assert!(
            is_tests || text.starts_with("//!"),
            "`{name}` has no module documentation"
        );
    }
}

#[test]
fn every_source_file_is_compiled() {
    for (name, _) in rust_files() {
        let path = Path::new(&name);
        let stem = path.file_stem().unwrap().to_str().unwrap();
        if matches!(stem, "main" | "lib" | "build" | "clinicadl-worker") {
            continue;
        }
        let folder = path.parent().unwrap();
        // Each is a program of its own.
        if folder.ends_with("examples") {
            continue;
        }
        let (module, parent) = match stem {
            "mod" => (
                folder.file_name().unwrap().to_str().unwrap(),
                folder.parent().unwrap(),
            ),
            file => (file, folder),
        };
        let declares = |file: &Path| {
            let text = fs::read_to_string(root().join(file)).unwrap_or_default();
            text.contains(&format!("mod {module};"))
        };
        let parents = ["mod.rs", "lib.rs", "main.rs"].map(|file| parent.join(file));
        let declared =
            parents.iter().any(|file| declares(file)) || declares(&parent.with_extension("rs"));
        assert!(declared, "`{name}` belongs to no module");
    }
}

#[test]
fn every_integration_test_file_is_part_of_the_binary() {
    let main = fs::read_to_string(root().join("tests/main.rs")).unwrap();
    for entry in fs::read_dir(root().join("tests")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        if let Some(module) = name.strip_suffix(".rs").filter(|module| *module != "main") {
            assert!(
                main.contains(&format!("mod {module};")),
                "tests/main.rs forgets `{module}`"
            );
        }
    }
}

#[test]
fn the_table_of_stages_is_sorted_and_documented() {
    let ids: Vec<&str> = stages::STAGES.iter().map(|stage| stage.id()).collect();
    let mut sorted = ids.clone();
    sorted.sort_unstable();
    sorted.dedup();
    assert_eq!(ids, sorted);
    for stage in stages::STAGES {
        assert!(
            stage
                .id()
                .chars()
                .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-'),
            "{}",
            stage.id()
        );
        assert!(stage.summary().ends_with('.'), "{}", stage.id());
        documented(*stage);
    }
}

fn documented(stage: &dyn AnyStage) {
    let schema = stage.schema();
    let fields = schema["properties"]
        .as_object()
        .cloned()
        .unwrap_or_default();
    for (name, field) in fields {
        assert!(
            field["description"].is_string(),
            "`{}.{name}` has no description",
            stage.id()
        );
    }
}
