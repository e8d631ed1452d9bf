//! Scalars and structures mean what another reader of YAML 1.2 says they mean.

use std::path::Path;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::super::node::Node;
use super::super::source;
use super::yaml_value;

fn node(text: &str) -> Node {
    source::parse(0, Path::new("m.yaml"), text).unwrap()
}

fn refusal(text: &str) -> String {
    let refusal = source::parse(0, Path::new("m.yaml"), text).unwrap_err();
    format!(
        "{}:{}: {}",
        refusal.place.line, refusal.place.column, refusal.message
    )
}

#[test]
fn plain_scalars_follow_the_core_schema_of_yaml_1_2() {
    let cases = [
        ("12", json!(12)),
        ("-3", json!(-3)),
        ("+4", json!(4)),
        ("0x1F", json!(31)),
        ("0o17", json!(15)),
        ("1.5", json!(1.5)),
        ("1e-3", json!(0.001)),
        (".5", json!(0.5)),
        ("5.", json!(5.0)),
        ("18446744073709551615", json!(u64::MAX)),
        ("-9223372036854775808", json!(i64::MIN)),
        ("true", json!(true)),
        ("False", json!(false)),
        ("~", Value::Null),
        ("null", Value::Null),
        ("yes", json!("yes")),
        ("no", json!("no")),
        ("on", json!("on")),
        ("010", json!("010")),
        ("1_000", json!("1_000")),
        ("1.2.3", json!("1.2.3")),
        ("2024-01-31", json!("2024-01-31")),
        ("1e", json!("1e")),
        ("-", json!([null])),
        ("e5", json!("e5")),
        ("infinity", json!("infinity")),
        ("\"12\"", json!("12")),
        ("'true'", json!("true")),
        ("!!str 12", json!("12")),
    ];
    for (text, value) in cases {
        assert_eq!(yaml_value(text).unwrap(), value, "{text}");
    }
}

#[test]
fn numbers_that_are_not_finite_are_refused() {
    for text in [".inf", "-.inf", ".nan", "1e999"] {
        assert!(
            yaml_value(text)
                .unwrap_err()
                .contains("not a finite number"),
            "{text}"
        );
    }
}

#[test]
fn what_only_some_readers_understand_is_refused_with_its_place() {
    assert_eq!(
        refusal("a: 1\na: 2\n"),
        "2:1: duplicate key `a`, first on line 1"
    );
    assert_eq!(
        refusal("a: !!int 3\n"),
        "1:4: tag `!!int` is not allowed in a manifest"
    );
    assert!(refusal("a: &x {b: 1}\nc: { <<: *x }\n").contains("merge keys"));
    assert!(refusal("a: 1\n---\nb: 2\n").contains("second document"));
    assert!(refusal("? [a, b]\n: 1\n").contains("cannot be a key"));
    assert!(refusal("a: [1, 2\n").contains("not valid YAML"));
    assert!(refusal("a: *nothing\n").contains("not valid YAML"));
    assert!(refusal("a: &a [*a]\n").contains("inside of what it names"));
}

#[test]
fn aliases_stand_for_copies() {
    let value = node("a: &x { b: [1, 2] }\nc: *x\nd: [*x]\n").to_value();
    assert_eq!(value["c"], json!({ "b": [1, 2] }));
    assert_eq!(value["d"][0], value["a"]);
}

#[test]
fn places_are_those_of_keys_and_items() {
    let node = node("# é\na:\n  - x: 1\n    \"y/z\": 2\n");
    let place = |pointer: &str| {
        let (node, _) = node.nearest(pointer);
        (node.place.line, node.place.column)
    };
    assert_eq!(place("/a"), (2, 1));
    assert_eq!(place("/a/0"), (3, 5));
    assert_eq!(place("/a/0/y~1z"), (4, 5));
    assert_eq!(place("/a/0/nothing/below"), (3, 5));
}

#[test]
fn toml_and_yaml_places_agree_on_what_a_line_is() {
    let text = "title = \"é\"\n[a]\n\"b.c\" = [1, { d = 2 }]\n";
    let node = source::parse(0, Path::new("m.toml"), text).unwrap();
    let place = |pointer: &str| {
        let (node, _) = node.nearest(pointer);
        (node.place.line, node.place.column)
    };
    assert_eq!(place("/a/b.c"), (3, 1));
    assert_eq!(place("/a/b.c/1"), (3, 13));
    assert_eq!(place("/a/b.c/1/d"), (3, 15));
}

/// The same value by another reader; `None` where it is meant to differ or to refuse.
fn other_reader(text: &str) -> Option<Value> {
    let value: serde_yaml::Value = serde_yaml::from_str(text).ok()?;
    // It takes tags and keys that are no texts, which are refused here.
    serde_json::to_value(value).ok()
}

proptest! {
    #[test]
    fn plain_words_mean_the_same_to_another_reader(text in "[0-9a-z+.eE_~-]{1,8}") {
        let document = format!("a: {text}\n");
        // Binary numbers and signs before `0x` are no part of YAML 1.2; `0b1` stays a text here.
        prop_assume!(!text.contains("0b") && !text.contains("x") && !text.contains("0o"));
        prop_assume!(!text.contains("inf") && !text.contains("nan"));
        // What is too large to be a number is refused here, and null there.
        prop_assume!(!text.parse::<f64>().is_ok_and(f64::is_infinite));
        if let Some(value) = other_reader(&document) {
            prop_assert_eq!(yaml_value(&document).unwrap(), value);
        }
    }

    #[test]
    fn what_is_written_is_read_back(value in any_value()) {
        let text = serde_yaml::to_string(&value).unwrap();
        prop_assert_eq!(yaml_value(&text).unwrap(), value);
    }

    #[test]
    fn no_text_makes_the_reader_panic(text in "[-a:b \\[\\]{}&*!|>'\"%@#?,\n0]{0,40}") {
        drop(yaml_value(&text));
        drop(source::parse(0, Path::new("m.toml"), &text));
    }
}

fn any_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        (-1.0e9..1.0e9_f64).prop_map(Value::from),
        "[ -~é]{0,12}".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 24, 4, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            proptest::collection::btree_map("[a-z0-9 ._/~-]{1,8}", inner, 0..4)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}
