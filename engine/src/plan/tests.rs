use std::path::Path;

use super::*;
use crate::testing::REGISTRY;

fn plan(text: &str) -> Result<Plan, PlanError> {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("a.txt"), "one two").unwrap();
    let path = folder.path().join("m.yaml");
    let manifest = Manifest::parse(Path::new(&path), text.to_owned(), REGISTRY).unwrap();
    Plan::build(
        &manifest,
        &Store::open(&folder.path().join(".store")).unwrap(),
    )
}

fn names(plan: &Plan) -> Vec<String> {
    plan.order()
        .iter()
        .map(|&id| plan.action(id).name())
        .collect()
}

const HEAD: &str = "clinicadl: 1\nname: demo\ninputs: { text: a.txt }\nstages:\n";

#[test]
fn splits_expand_and_what_is_read_comes_first() {
    let text = format!(
        "{HEAD}  joined: {{ uses: join, inputs: {{ part: parts }} }}
  parts: {{ uses: fold, inputs: {{ count: words }}, with: {{ n_splits: 3 }} }}
  words: {{ uses: count, inputs: {{ text: text }} }}
"
    );
    let plan = plan(&text).unwrap();
    let expected = [
        "words",
        "parts",
        "joined (split 0)",
        "joined (split 1)",
        "joined (split 2)",
    ];
    assert_eq!(names(&plan), expected);
    for (position, &id) in plan.order().iter().enumerate() {
        for dependency in plan.dependencies(id) {
            assert!(plan.order()[..position].contains(dependency));
        }
    }
}

#[test]
fn a_cycle_is_shown_as_a_path() {
    let text = "clinicadl: 1\nname: demo\nstages:\n  a: { uses: fold, inputs: { count: b } }\n  b: \
                { uses: fold, inputs: { count: a } }\n";
    let text = text.replace("uses: fold, inputs: { count", "uses: loop, inputs: { x");
    let manifest = Manifest::parse(Path::new("m.yaml"), text, LOOPS).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let error = Plan::build(&manifest, &Store::open(folder.path()).unwrap()).unwrap_err();
    assert_eq!(error.to_string(), "stages form a cycle: `a` → `b` → `a`");
}

#[test]
fn asking_for_a_split_that_is_not_there_is_an_error() {
    let text = format!(
        "{HEAD}  words: {{ uses: count, inputs: {{ text: text }} }}
  parts: {{ uses: fold, inputs: {{ count: words }} }}
  joined: {{ uses: join, inputs: {{ part: parts }}, splits: [2] }}
"
    );
    let error = plan(&text).unwrap_err();
    assert_eq!(
        error.to_string(),
        "stage `joined`: `splits` asks for [2] of [0, 1]"
    );
}

#[test]
fn splits_of_a_folder_are_selected() {
    let folder = tempfile::tempdir().unwrap();
    for split in [0, 2, 5] {
        let folder = folder.path().join(format!("parts/split-{split}"));
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join("part.txt"), split.to_string()).unwrap();
    }
    let plan = |splits: &str| {
        let text = format!(
            "clinicadl: 1\nname: demo\ninputs: {{ parts: parts }}\nstages:\n  joined: {{ uses: join, inputs: {{ part: parts }}{splits} }}\n"
        );
        let path = folder.path().join("m.yaml");
        let manifest = Manifest::parse(&path, text, REGISTRY).unwrap();
        Plan::build(
            &manifest,
            &Store::open(&folder.path().join(".store")).unwrap(),
        )
    };
    let all = ["joined (split 0)", "joined (split 2)", "joined (split 5)"];
    assert_eq!(names(&plan("").unwrap()), all);
    assert_eq!(names(&plan(", splits: [5, 0]").unwrap()), [all[0], all[2]]);
    assert_eq!(
        plan(", splits: [1, 2]").unwrap_err().to_string(),
        "stage `joined`: `splits` asks for [1, 2] of [0, 2, 5]"
    );
}

static LOOPS: crate::Registry = crate::Registry::new(&[&crate::registry::Declared::<Loop>::new()]);

crate::params! {
    /// None.
    struct LoopParams {}
}

/// A stage that can read itself.
struct Loop;

impl crate::Stage for Loop {
    const ID: &'static str = "loop";
    const VERSION: u32 = 1;
    const SUMMARY: &'static str = "Loops.";
    type Params = LoopParams;
    fn ports(_: &LoopParams) -> crate::Ports {
        crate::Ports {
            inputs: vec![InputPort::new("x", &["x"], "X.")],
            outputs: vec![OutputPort::new("y", "x", "Y.")],
        }
    }
}
