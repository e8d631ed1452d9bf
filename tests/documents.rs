//! Schemas, example manifests and documents agree with the code.

use std::fs;

use crate::support::{clinicadl, root};

#[test]
fn the_committed_schema_is_the_current_one() {
    let path = root().join("schemas/manifest.schema.json");
    let current = clinicadl(&["schema"]).success().stdout;
    if std::env::var_os("UPDATE").is_some() {
        fs::write(&path, &current).unwrap();
    }
    let committed = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        committed == current,
        "run `UPDATE=1 cargo test --test integration documents`"
    );
}

#[test]
fn every_example_names_its_schema_and_parses_without_its_data() {
    let registry = engine::Registry::new(stages::STAGES);
    let mut examples = 0;
    for entry in fs::read_dir(root().join("pipelines")).unwrap() {
        let path = entry.unwrap().path();
        // Scripts lie beside the manifests that run them.
        if path.extension().is_some_and(|extension| extension == "awk") {
            continue;
        }
        let text = fs::read_to_string(&path).unwrap();
        if path
            .extension()
            .is_some_and(|extension| extension == "yaml")
        {
            assert!(
                text.starts_with("# yaml-language-server: $schema=../schemas/manifest.schema.json")
            );
        }
        examples += 1;
        let Err(issues) = engine::manifest::Manifest::parse(&path, text, registry) else {
            continue;
        };
        // The data of an example is made or fetched by its first use.
        let other: Vec<_> = issues
            .0
            .iter()
            .filter(|i| !i.message.contains("does not exist"))
            .collect();
        assert!(other.is_empty(), "{}: {other:#?}", path.display());
    }
    assert!(examples > 0);
}

#[test]
fn the_documents_stay_within_their_size_and_name_real_commands() {
    let read = |name: &str| fs::read_to_string(root().join(name)).unwrap();
    assert!(read("ARCHITECTURE.md").lines().count() <= 200);
    let help = clinicadl(&["--help"]).success().stdout;
    for line in read("README.md").lines() {
        let Some(rest) = line.trim().strip_prefix("clinicadl ") else {
            continue;
        };
        let verb = rest.split_whitespace().next().unwrap_or_default();
        assert!(
            help.contains(&format!("  {verb} ")) || verb.starts_with('-'),
            "`{line}`"
        );
    }
}
