use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;
use crate::lock::testing::{Project, execute};
use crate::store::Root;

/// Runs a manifest of these parameters and keeps what it needs, as `run` does.
fn run(project: &Project, file: &str, factor: u32) {
    project.write(file, &project.text(&format!("factor: {factor}")));
    let (manifest, store) = (project.manifest(file), project.store());
    let (_, report) = execute(&manifest, &store);
    let root = Root {
        manifest: manifest.path.clone(),
        lock: project.folder().join("none"),
        maps: BTreeSet::new(),
        actions: report.actions.iter().filter_map(|a| a.key).collect(),
    };
    store.keep(&root).unwrap();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Manifests share results, change and go in any order: collecting frees what no manifest needs
    /// that is there, all of it, and nothing else.
    #[test]
    fn nothing_that_is_reachable_is_ever_freed(
        runs in prop::collection::vec((0..4_usize, 1..4_u32), 1..8),
        gone in prop::collection::btree_set(0..4_usize, 0..4),
    ) {
        let project = Project::new();
        let file = |i: usize| format!("m{i}.yaml");
        for &(i, factor) in &runs {
            run(&project, &file(i), factor);
        }
        let ran: BTreeSet<usize> = runs.iter().map(|(i, _)| *i).collect();
        for i in ran.intersection(&gone) {
            fs::remove_file(project.folder().join(file(*i))).unwrap();
        }
        let store = project.store();
        store.collect(Duration::ZERO, true).unwrap();
        prop_assert_eq!(store.check().unwrap().1, []);
        let alive: Vec<usize> = ran.difference(&gone).copied().collect();
        for i in &alive {
            let (_, report) = execute(&project.manifest(&file(*i)), &store);
            prop_assert_eq!(report.hits(), report.actions.len(), "{}", file(*i));
        }
        // What is left is what they need.
        prop_assert_eq!(store.garbage(SystemTime::now()).collected.objects, 0);
        if alive.is_empty() {
            prop_assert!(sharded(&store.root().join("objects")).is_empty());
        }
    }
}
