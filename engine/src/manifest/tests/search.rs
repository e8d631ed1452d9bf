//! The same experiment for params that are drawn.

use super::*;

const SEARCH: &str = "\
clinicadl: 1
name: demo
seed: 3
params: { n: 2, rate: 0.1, mode: words, layers: [1] }
search: SPACE
inputs: { text: . }
stages:
  words: { uses: count, inputs: { text: text }, with: { mode: '${params.mode}' } }
  parts: { uses: fold, inputs: { count: words }, with: { n_splits: '${params.n}' } }
maps: out
";

fn search(space: &str) -> Manifest {
    parse(&SEARCH.replace("SPACE", space)).unwrap()
}

fn values(manifest: &Manifest, param: &str) -> Vec<Value> {
    let trials = manifest.publications().iter();
    trials.map(|trial| trial.params[param].clone()).collect()
}

#[test]
fn trials_are_drawn_from_the_space_each_for_itself() {
    let space = "{ trials: 200, space: { n: { integer: [2, 4] }, rate: { log_uniform: [1.0e-4, 1] }, mode: { choice: [words, lines] } } }";
    let manifest = search(space);
    assert_eq!(manifest.publications().len(), 200);
    let rates: Vec<f64> = values(&manifest, "rate")
        .iter()
        .map(|rate| rate.as_f64().unwrap())
        .collect();
    assert!(rates.iter().all(|rate| (1e-4..=1.0).contains(rate)));
    // Half of them on either side of the geometric mean: within five standard deviations.
    let small = rates.iter().filter(|&&rate| rate < 1e-2).count();
    assert!((65..=135).contains(&small), "{small}");
    let all = values(&manifest, "n");
    for n in 2..=4 {
        let count = all.iter().filter(|value| **value == n).count();
        assert!((35..=100).contains(&count), "{n}: {count}");
    }
    // More trials, and a param more, change no draw.
    let more = "{ trials: 300, space: { rate: { log_uniform: [1.0e-4, 1] }, n: { integer: [2, 4] }, mode: { choice: [words, lines] }, layers: { choice: [[1], [2, 3]] } } }";
    let more = search(more);
    for param in ["n", "rate", "mode"] {
        assert_eq!(values(&more, param)[..200], values(&manifest, param));
    }
    let other = search(&space.replace("{ trials", "{ seed: 1, trials"));
    assert_ne!(values(&other, "rate"), values(&manifest, "rate"));
    // What the search does not reach is shared.
    let words = manifest
        .stages
        .keys()
        .filter(|name| name.starts_with("words"));
    assert_eq!(words.count(), 2);
}

#[test]
fn a_grid_has_every_combination_once() {
    let manifest = search(
        "{ method: grid, space: { rate: { log_uniform: [1.0e-4, 0.01], steps: 3 }, n: { integer: [2, 3] } } }",
    );
    let expected = [
        (1e-4, 2),
        (1e-4, 3),
        (1e-3, 2),
        (1e-3, 3),
        (1e-2, 2),
        (1e-2, 3),
    ];
    let found = values(&manifest, "rate")
        .into_iter()
        .zip(values(&manifest, "n"));
    let expected = expected.map(|(rate, n)| (Value::from(rate), Value::from(n)));
    assert_eq!(found.collect::<Vec<_>>(), expected);
}

#[test]
fn a_trial_that_was_drawn_before_is_drawn_again_as_long_as_there_are_others() {
    let manifest =
        search("{ trials: 5, space: { n: { integer: [2, 3] }, mode: { choice: [words] } } }");
    let mut drawn: Vec<String> = values(&manifest, "n")
        .iter()
        .map(Value::to_string)
        .collect();
    drawn.sort();
    assert_eq!(drawn, ["2", "3"]);
    assert!(
        manifest
            .warnings
            .iter()
            .any(|w| w.message.contains("2 trials only"))
    );
}

#[test]
fn a_param_that_is_set_has_its_value_in_every_trial() {
    let text = SEARCH.replace(
        "SPACE",
        "{ trials: 4, space: { n: { integer: [2, 9] }, rate: { uniform: [0, 1] } } }",
    );
    let set = Overrides {
        params: vec![("n".to_owned(), Value::from(5))],
        ..Overrides::default()
    };
    let path = Path::new("m.yaml");
    let manifest = resolve::resolve(path, text, REGISTRY, &set).unwrap();
    assert_eq!(manifest.publications().len(), 4);
    for trial in manifest.publications() {
        assert!(trial.params.get("n").is_none_or(|n| *n == 5));
        let parts = &manifest.stages[&trial.stages["parts"]];
        assert_eq!(parts.params["n_splits"], 5);
    }
}

#[test]
fn what_is_wrong_with_a_search_is_told_at_its_place() {
    for (space, told) in [
        (
            "{ space: { rtae: { choice: [1] } } }",
            "search.space.rtae`: `rtae` is not a param",
        ),
        ("{ space: { rate: {} } }", "expected one of `choice`"),
        (
            "{ space: { rate: { choice: [1], uniform: [0, 1] } } }",
            "expected one of `choice`",
        ),
        (
            "{ space: { rate: { choice: [] } } }",
            "expected at least one value",
        ),
        ("{ space: { rate: { log_uniform: [0, 1] } } }", "above 0"),
        (
            "{ space: { rate: { uniform: [2, 1] } } }",
            "the smaller one first",
        ),
        (
            "{ space: { rate: { unifrom: [1, 2] } } }",
            "did you mean `uniform`",
        ),
        (
            "{ trials: 0, space: { rate: { uniform: [0, 1] } } }",
            "search.trials",
        ),
        (
            "{ method: grid, space: { rate: { uniform: [0, 1] } } }",
            "needs `steps`",
        ),
        ("{ space: {} }", "expected 1 to 16 params"),
        (
            "{ metric: test.loss, space: { rate: { uniform: [0, 1] } } }",
            "chosen by its test set",
        ),
        (
            "{ space: { rate: { choice: ['${params.n}'] } } }",
            "cannot refer to params",
        ),
        (
            "{ method: grid, space: { n: { integer: [-9223372036854775808, 9223372036854775807] } } }",
            "expected at most 10000 values",
        ),
        (
            "{ space: { rate: { uniform: [-1.0e+308, 1.0e+308] } } }",
            "the smaller one first",
        ),
    ] {
        let found = messages(&SEARCH.replace("SPACE", space)).join("\n");
        assert!(found.contains(told), "{space}: {found}");
    }
    let both = SEARCH.replace(
        "SPACE",
        "{ space: { n: { integer: [2, 3] } } }\nmatrix: { n: [2] }",
    );
    assert!(messages(&both).join("\n").contains("not both"));
}

#[test]
fn numbers_that_are_none_are_the_worst() {
    use std::cmp::Ordering::{Greater, Less};
    assert_eq!(Goal::Minimize.compare(1.0, 2.0), Less);
    assert_eq!(Goal::Maximize.compare(1.0, 2.0), Greater);
    for goal in [Goal::Minimize, Goal::Maximize] {
        assert_eq!(goal.compare(f64::NAN, 1e300), Greater);
        assert_eq!(goal.compare(-1e300, f64::NAN), Less);
    }
}

#[test]
fn a_search_may_be_as_large_as_a_matrix() {
    let space = "{ trials: 10000, space: { rate: { uniform: [0, 1] }, n: { integer: [2, 9] } } }";
    assert_eq!(search(space).publications().len(), 10_000);
    let one = search("{ trials: 10000, space: { n: { choice: [2] } } }");
    assert_eq!(one.publications().len(), 1);
}
