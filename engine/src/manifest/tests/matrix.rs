//! The same experiment for several values of its params.

use serde_json::json;

use super::*;

/// `words` does not depend on the matrix, `parts` on `n`, `joined` on `n` through `parts`.
const SWEEP: &str = "\
clinicadl: 1
name: demo
seed: ${params.seed}
params: { n: 2, seed: 1, mode: words }
matrix: { n: [2, 3], seed: [1, 2] }
inputs: { text: . }
stages:
  words: { uses: count, inputs: { text: text }, with: { mode: '${params.mode}' } }
  more: { uses: count, inputs: { text: text }, with: { factor: '${params.n}' } }
  parts: { uses: fold, inputs: { count: words }, with: { n_splits: '${params.n}' } }
  joined: { uses: join, inputs: { part: parts, count: more } }
maps: out
";

fn names(manifest: &Manifest) -> Vec<&str> {
    manifest.stages.keys().map(String::as_str).collect()
}

fn sweep(matrix: &str) -> Manifest {
    parse(&SWEEP.replace("{ n: [2, 3], seed: [1, 2] }", matrix)).unwrap()
}

fn labels(manifest: &Manifest) -> Vec<&str> {
    manifest
        .publications()
        .iter()
        .map(|p| p.label.as_str())
        .collect()
}

#[test]
fn stages_that_do_not_differ_are_shared() {
    let manifest = parse(SWEEP).unwrap();
    assert_eq!(
        names(&manifest),
        [
            "words",
            "more [n=2]",
            "more [n=3]",
            // The only stage that draws numbers, and what reads it.
            "parts [n=2, seed=1]",
            "parts [n=2, seed=2]",
            "parts [n=3, seed=1]",
            "parts [n=3, seed=2]",
            "joined [n=2, seed=1]",
            "joined [n=2, seed=2]",
            "joined [n=3, seed=1]",
            "joined [n=3, seed=2]",
        ]
    );
    let joined = &manifest.stages["joined [n=3, seed=1]"];
    let source = |stage: &str, port: &str| Source::Stage {
        stage: stage.into(),
        port: port.into(),
    };
    assert_eq!(
        joined.inputs["part"],
        source("parts [n=3, seed=1]", "parts")
    );
    assert_eq!(joined.inputs["count"], source("more [n=3]", "count"));
    assert_eq!(manifest.stages["parts [n=2, seed=2]"].seed, 2);
}

#[test]
fn every_cell_is_published_by_itself() {
    let manifest = parse(SWEEP).unwrap();
    let expected = ["n=2, seed=1", "n=2, seed=2", "n=3, seed=1", "n=3, seed=2"];
    assert_eq!(labels(&manifest), expected);
    let cell = &manifest.publications()[2];
    assert_eq!(cell.maps.as_deref(), Some(Path::new("./out/n=3,seed=1")));
    assert_eq!(cell.stages["parts"], "parts [n=3, seed=1]");
    assert_eq!((cell.stages["words"].as_str(), cell.seed), ("words", 1));
    assert_eq!(json!(cell.params), json!({ "n": 3, "seed": 1 }));
    let alone = manifest.of(cell);
    assert_eq!(alone.stages.len(), 4);
    assert_eq!(alone.publications(), std::slice::from_ref(cell));
    assert_eq!(manifest.stages_called("parts").len(), 4);
    assert_eq!(manifest.stages_called("parts [n=3, seed=1]").len(), 1);
    assert!(manifest.stages_called("nothing").is_empty());
}

#[test]
fn a_folder_that_names_every_param_is_taken_as_it_is() {
    let text = SWEEP.replace("maps: out", "maps: out/${params.n}/${params.seed}");
    let manifest = parse(&text).unwrap();
    let folder = manifest.publications()[1].maps.clone();
    assert_eq!(folder.as_deref(), Some(Path::new("./out/2/2")));
    let text = SWEEP.replace("maps: out", "maps: out-${params.n}");
    let folder = parse(&text).unwrap().publications()[1].maps.clone();
    assert_eq!(folder.as_deref(), Some(Path::new("./out-2/n=2,seed=2")));
}

#[test]
fn folders_of_cells_never_lie_in_one_another() {
    let text = "\
clinicadl: 1
name: demo
params: { sub: a }
matrix: { sub: [a, a/b] }
inputs: { text: . }
stages: { words: { uses: count, inputs: { text: text }, with: { fault: '${params.sub}' } } }
maps: out/${params.sub}
";
    assert!(messages(text)[0].contains("one inside of the other"));
}

#[test]
fn without_a_matrix_there_is_one_publication() {
    let manifest = parse(GOOD).unwrap();
    let [only] = manifest.publications() else {
        panic!("one")
    };
    assert_eq!((only.label.as_str(), only.stages.len()), ("", 3));
    assert_eq!(manifest.maps_path(), only.maps);
    assert_eq!(only.maps.as_deref(), Some(Path::new("./out")));
}

#[test]
fn cells_are_excluded_and_included() {
    let matrix = "{ n: [2, 3], seed: [1, 2], exclude: [{ n: 3, seed: 2 }, { n: 2.0, seed: 1 }] }";
    assert_eq!(labels(&sweep(matrix)), ["n=2, seed=2", "n=3, seed=1"]);
    // Agrees with the cells of n=3, and sets another param there.
    let matrix = "{ n: [2, 3], include: [{ n: 3, mode: lines }, { n: 5, mode: lines }] }";
    let manifest = sweep(matrix);
    assert_eq!(
        labels(&manifest),
        ["n=2", "n=3, mode=lines", "n=5, mode=lines"]
    );
    assert_eq!(
        names(&manifest)[..2],
        ["words", "words [mode=lines]"],
        "the cells of n=3 and n=5 share theirs"
    );
    assert_eq!(
        manifest.publications()[2].stages["words"],
        "words [mode=lines]"
    );
    let matrix = "{ include: [{ n: 2 }, { n: 4, seed: 9 }] }";
    let manifest = sweep(matrix);
    assert_eq!(labels(&manifest), ["n=2", "n=4, seed=9"]);
    assert_eq!(manifest.publications()[0].seed, 1, "the declared value");
    assert!(manifest.stages.contains_key("more [n=4]"));
}

#[test]
fn names_show_what_makes_the_difference_only() {
    let manifest = sweep("{ n: [2], seed: [1, 2], mode: [words, lines] }");
    assert_eq!(
        names(&manifest)[..3],
        ["words [mode=words]", "words [mode=lines]", "more"]
    );
    // Without the cell that would tell them apart, the first of two params does.
    let manifest = sweep("{ include: [{ n: 2, mode: words }, { n: 3, mode: lines }] }");
    assert!(
        manifest.stages.contains_key("joined [n=3]"),
        "{:?}",
        names(&manifest)
    );
}

#[test]
fn values_that_come_out_the_same_are_one_stage() {
    let text = SWEEP
        .replace(
            "matrix: { n: [2, 3], seed: [1, 2] }",
            "matrix: { mode: [words, ~] }",
        )
        .replace(
            "with: { mode: '${params.mode}' } }",
            "with: { mode: words }, when: { params.mode: [words, ~] } }",
        );
    let manifest = parse(&text).unwrap();
    assert_eq!(names(&manifest), ["words", "more", "parts", "joined"]);
    assert_eq!(manifest.publications().len(), 2);
}

#[test]
fn a_stage_may_be_left_out_of_some_cells() {
    let text = SWEEP.replace(
        "with: { factor: '${params.n}' } }",
        "when: { params.n: 2 } }",
    );
    let manifest = parse(&text).unwrap();
    assert!(
        manifest.stages.contains_key("more"),
        "the same wherever it is"
    );
    assert!(manifest.publications()[0].stages.contains_key("more"));
    assert!(!manifest.publications()[2].stages.contains_key("more"));
    let joined = &manifest.stages["joined [n=3, seed=1]"];
    assert_eq!(joined.inputs.keys().collect::<Vec<_>>(), ["part"]);
}

#[test]
fn inputs_may_differ_between_cells() {
    let text = "\
clinicadl: 1
name: demo
params: { site: . }
matrix: { site: [., ./] }
inputs: { text: '${params.site}', fixed: . }
stages: { words: { uses: count, inputs: { text: text } } }
";
    let manifest = parse(text).unwrap();
    let inputs: Vec<&str> = manifest.inputs.keys().map(String::as_str).collect();
    assert_eq!(inputs, ["text [site=.]", "fixed", "text [site=./]"]);
    assert_eq!(names(&manifest), ["words [site=.]", "words [site=./]"]);
}

#[test]
fn bounds_belong_to_cells() {
    let text = format!(
        "{}expect: [{{ metric: more.n, min: '${{params.n}}' }}, {{ metric: joined.r, max: 1 }}]\n",
        SWEEP.replace(
            "with: { factor: '${params.n}' } }",
            "when: { params.n: 2 } }"
        )
    );
    let manifest = parse(&text).unwrap();
    let metrics = |cell: usize| {
        let expect = &manifest.publications()[cell].expect;
        expect.iter().map(|e| e.metric.clone()).collect::<Vec<_>>()
    };
    assert_eq!(metrics(0), ["more.n", "joined.r"]);
    assert_eq!(metrics(3), ["joined.r"], "`more` is left out there");
    assert_eq!(manifest.expect.len(), 2);
}

#[test]
fn a_circle_in_a_matrix_is_left_to_the_plan() {
    let text = SWEEP
        .replace(
            "inputs: { count: words }, with: { n_splits: '${params.n}' }",
            "inputs: { count: words }",
        )
        .replace(
            "inputs: { text: text }, with: { factor",
            "inputs: { text: text }, splits: [0], with: { factor",
        );
    assert!(messages(&text)[0].contains("does not run once per split"));
    let circle = "\
clinicadl: 1
name: demo
params: { n: 1 }
matrix: { n: [1, 2] }
inputs: { text: . }
stages:
  a: { uses: fold, inputs: { count: b }, with: { n_splits: '${params.n}' } }
  b: { uses: fold, inputs: { count: a } }
";
    assert!(
        messages(circle)
            .iter()
            .all(|m| m.contains("provides no number")),
        "{:?}",
        messages(circle)
    );
}

#[test]
fn the_command_line_fixes_a_param_of_the_matrix() {
    let mut overrides = Overrides::default();
    overrides.set("seed=2").unwrap();
    let read = |overrides: &Overrides, text: &str| {
        resolve::resolve(Path::new("m.yaml"), text.to_owned(), REGISTRY, overrides).unwrap()
    };
    let manifest = read(&overrides, SWEEP);
    assert_eq!(labels(&manifest), ["n=2, seed=2", "n=3, seed=2"]);
    // Where it is published does not depend on how many cells are run.
    let folder = manifest.publications()[0].maps.clone();
    assert_eq!(folder.as_deref(), Some(Path::new("./out/n=2,seed=2")));
    overrides.set("n=3").unwrap();
    let manifest = read(&overrides, SWEEP);
    assert_eq!(names(&manifest), ["words", "more", "parts", "joined"]);
    let folder = manifest.publications()[0].maps.clone();
    assert_eq!(folder.as_deref(), Some(Path::new("./out/n=3,seed=2")));
    let entries = "{ n: [2, 3], include: [{ n: 3, seed: 2 }, { n: 4, seed: 7 }] }";
    let text = SWEEP.replace("{ n: [2, 3], seed: [1, 2] }", entries);
    assert_eq!(labels(&read(&overrides, &text)), ["n=3, seed=2"]);
}

#[test]
fn a_matrix_that_cannot_be_is_refused() {
    let cases = [
        ("{ m: [1] }", "`m` is not a param"),
        ("{ n: 3 }", "expected a list of values, got 3"),
        ("{ n: [] }", "expected 1 to 10000 values"),
        ("{ n: [2, 2.0] }", "2.0 is listed twice"),
        ("[n]", "expected a mapping"),
        ("{ n: [2], exclude: [{ n: 2 }] }", "has no cells"),
        (
            "{ n: [2], exclude: [{ seed: 1 }] }",
            "`seed` has no list in the matrix",
        ),
        ("{ n: [2], include: [3] }", "expected a mapping of params"),
        (
            "{ n: [2], include: { n: 3 } }",
            "expected a list of mappings",
        ),
        (
            "{ n: ['${params.seed}'], seed: [1] }",
            "refers to a param that the matrix varies",
        ),
    ];
    for (matrix, message) in cases {
        let found = messages(&SWEEP.replace("{ n: [2, 3], seed: [1, 2] }", matrix));
        assert!(
            found.iter().any(|m| m.contains(message)),
            "{matrix}: {found:#?}"
        );
    }
    let warning = &sweep("{ n: [2], exclude: [{ n: 3 }] }").warnings[0];
    assert_eq!(warning.message, "removes no cell");
    let many: Vec<String> = (0..101).map(|n| n.to_string()).collect();
    let many = format!("{{ n: [{0}], seed: [{0}] }}", many.join(", "));
    let found = messages(&SWEEP.replace("{ n: [2, 3], seed: [1, 2] }", &many));
    assert!(
        found[0].contains("the matrix has 10201 cells, expected at most 10000"),
        "{found:#?}"
    );
}

#[test]
fn a_problem_of_a_cell_names_the_cell() {
    let found = messages(&SWEEP.replace("n: [2, 3]", "n: [2, 12]"));
    assert_eq!(
        found,
        [
            "m.yaml:9:56: `stages.more.with.factor`: 12 is too large, expected at most 9 (in the \
             cell `n=12, seed=1`)"
        ]
    );
    let text = SWEEP.replace("name: demo", "name: demo-${params.n}");
    assert!(messages(&text)[0].contains("differs between the cells"));
}

#[test]
fn ten_thousand_cells_share_what_they_can() {
    let values: Vec<String> = (1..=100).map(|n| n.to_string()).collect();
    let matrix = format!("{{ n: [{0}], seed: [{0}] }}", values.join(", "));
    let text = SWEEP
        .replace("{ n: [2, 3], seed: [1, 2] }", &matrix)
        .replace("with: { factor: '${params.n}' } }", "}");
    let manifest = parse(&text).unwrap();
    assert_eq!(manifest.publications().len(), 10_000);
    assert_eq!(manifest.stages.len(), 2 + 20_000);
}
