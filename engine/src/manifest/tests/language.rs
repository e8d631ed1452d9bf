//! Params, overrides, defaults, conditions, versions, names, hints.

use serde_json::json;

use super::*;

/// A manifest with these lines at the top and these fields of its only stage.
fn with(top: &str, stage: &str) -> String {
    format!(
        "clinicadl: 1\nname: demo\ninputs: {{ text: . }}\n{top}\nstages:\n  words:\n    uses: \
         count\n    inputs: {{ text: text }}\n{stage}\n"
    )
}

fn words(text: &str) -> ResolvedStage {
    parse(text).unwrap().stages["words"].clone()
}

fn set(text: &str, arguments: &[&str]) -> Result<Manifest, Issues> {
    let mut overrides = Overrides::default();
    for argument in arguments {
        overrides.set(argument).unwrap();
    }
    resolve::resolve(Path::new("m.yaml"), text.to_owned(), REGISTRY, &overrides)
}

#[test]
fn a_param_keeps_its_type_alone_and_is_written_out_within_a_text() {
    let text = with(
        "params: { n: 3, how: lines, who: { first: ann }, all: { factor: 2, fault: x } }",
        "    with: { factor: '${params.n}', mode: '${params.how}', fault: \
         '${params.who.first}-${params.n} $${params.n}' }",
    );
    let params = words(&text).params;
    assert_eq!(params["factor"], json!(3));
    assert_eq!(params["mode"], json!("lines"));
    assert_eq!(params["fault"], json!("ann-3 ${params.n}"));
    let whole = with(
        "params: { all: { factor: 2, mode: lines } }",
        "    with: ${params.all}",
    );
    assert_eq!(words(&whole).params["factor"], json!(2));
}

#[test]
fn params_reach_every_part_of_a_manifest() {
    let text = "\
clinicadl: 1
name: study-${params.site}
seed: ${params.seed}
params: { site: lyon, seed: 7, here: ., port: words, cpus: 2, split: 1, tries: 3, low: 0.5 }
inputs: { text: '${params.here}' }
stages:
  words:
    uses: ${params.kind}
    inputs: { text: text }
  parts: { uses: fold, inputs: { count: '${params.port}.count' } }
  joined:
    uses: join
    inputs: { part: parts }
    splits: ['${params.split}']
    resources: { cpus: '${params.cpus}' }
    retries: ${params.tries}
    timeout: ${params.cpus}h
maps: out/${params.site}
expect: [{ metric: joined.r, min: '${params.low}' }]
";
    let manifest = parse(&text.replace("site: lyon", "site: lyon, kind: count")).unwrap();
    assert_eq!((manifest.name.as_str(), manifest.seed), ("study-lyon", 7));
    let joined = &manifest.stages["joined"];
    assert_eq!(joined.splits, Some(vec![1]));
    assert_eq!(
        (joined.resources.cpus, joined.patience.retries),
        (Some(2), 3)
    );
    assert_eq!(joined.patience.timeout, Some(Duration::from_secs(7200)));
    assert_eq!(manifest.maps.as_deref(), Some("out/lyon"));
    assert_eq!(manifest.expect[0].min, Some(0.5));
}

#[test]
fn params_may_refer_to_params_but_not_in_a_circle() {
    let text = with(
        "params: { a: '${params.b}', b: { c: 4 }, d: '${params.a.c}' }",
        "    with: { factor: '${params.d}' }",
    );
    assert_eq!(words(&text).params["factor"], json!(4));
    let text = with(
        "params: { a: '${params.b}', b: '${params.a}' }",
        "    with: { factor: '${params.a}' }",
    );
    assert_eq!(
        messages(&text),
        ["m.yaml:4:11: `params.a`: param `a` refers to itself"]
    );
}

#[test]
fn wrong_references_are_reported_where_they_are() {
    let text = with(
        "params: { rate: 1, net: { name: x } }",
        "    with: { factor: '${params.rat}', mode: '${params.net.nme}', fault: 'x ${params.net}', \
         workers: '${env.HOME}' }",
    );
    let found = messages(&text);
    assert!(
        found[0].contains(
            "9:13: `stages.words.with.factor`: unknown param `rat` [did you mean `rate`?]"
        ),
        "{found:#?}"
    );
    assert!(found[1].contains("`${env.HOME}` is unknown"), "{found:#?}");
    let text = text.replace("rat}", "rate}").replace("${env.HOME}", "1");
    assert!(messages(&text)[0].contains("param `net` has no `nme` [did you mean `name`?]"));
    let text = text.replace(".nme", ".name");
    assert!(messages(&text)[0].contains("a mapping, which cannot be part of a text"));
}

#[test]
fn a_wrong_value_is_told_where_the_param_is_used() {
    let text = with("params: { n: 12 }", "    with: { factor: '${params.n}' }");
    assert_eq!(
        messages(&text),
        ["m.yaml:9:13: `stages.words.with.factor`: 12 is too large, expected at most 9"]
    );
}

#[test]
fn a_param_that_nothing_uses_is_a_warning() {
    let manifest = parse(&with("params: { a: 1, b: 2, c: '${params.b}' }", "")).unwrap();
    let told: Vec<String> = manifest.warnings.iter().map(ToString::to_string).collect();
    assert_eq!(
        told,
        [
            "m.yaml:4:11: `params.a`: param `a` is not used",
            "m.yaml:4:23: `params.c`: param `c` is not used"
        ]
    );
    assert!(
        manifest
            .warnings
            .iter()
            .all(|w| w.severity == Severity::Warning)
    );
}

#[test]
fn the_command_line_sets_params_and_the_seed() {
    let text = with(
        "params: { n: 3, net: { name: a, deep: [1, 2] } }",
        "    with: { factor: '${params.n}', fault: '${params.net.name}${params.net.deep.1}' }",
    );
    let manifest = set(&text, &["n=5", "net.name=b", "net.deep.1=7", "seed=9"]).unwrap();
    assert_eq!(manifest.stages["words"].params["factor"], json!(5));
    assert_eq!(manifest.stages["words"].params["fault"], json!("b7"));
    assert_eq!((manifest.seed, manifest.stages["words"].seed), (9, 9));
    assert_eq!(manifest.overrides[0], ("n".to_owned(), json!(5)));
    let wrong = set(&text, &["m=5", "net.nam=b", "n.x=1"]).unwrap_err();
    let told: Vec<String> = wrong
        .0
        .iter()
        .map(|i| format!("{i} [{}]", i.hint.clone().unwrap_or_default()))
        .collect();
    assert!(
        told[0].contains("unknown param `m` [did you mean `n`?]"),
        "{told:#?}"
    );
    assert!(
        told[1].contains("there is no `nam` [did you mean `name`?]"),
        "{told:#?}"
    );
    assert!(told[2].contains("`x` is below 3"), "{told:#?}");
    assert!(Overrides::default().set("no value").is_err());
    assert!(Overrides::default().set("a=[1").is_err());
}

#[test]
fn a_param_called_seed_is_what_is_set() {
    let text = with("seed: '${params.seed}'\nparams: { seed: 1 }", "");
    assert_eq!(set(&text, &["seed=4"]).unwrap().seed, 4);
}

#[test]
fn defaults_lie_below_what_a_stage_says() {
    let text = with(
        "defaults: { count: { with: { factor: 4, mode: lines }, resources: { cpus: 3, gpus: 1 }, \
         retries: 2 } }",
        "    with: { factor: 5 }\n    resources: { cpus: 1 }",
    );
    let words = words(&text);
    assert_eq!(words.params["factor"], json!(5));
    assert_eq!(words.params["mode"], json!("lines"));
    assert_eq!((words.resources.cpus, words.resources.gpus), (Some(1), 1));
    assert_eq!(words.patience.retries, 2);
}

#[test]
fn wrong_defaults_are_told_once_and_where_they_are() {
    let text = with(
        "defaults:\n  cuont: {}\n  count:\n    with: { factor: 12, fatcor: 1 }\n    resourcs: {}\n  \
         fold: { with: { n_splits: many } }",
        "  more: { uses: count, inputs: { text: text } }",
    );
    assert_eq!(
        messages(&text),
        [
            "m.yaml:5:3: `defaults.cuont`: unknown stage `cuont` [did you mean `count`?]",
            "m.yaml:7:13: `defaults.count.with.factor`: 12 is too large, expected at most 9",
            "m.yaml:7:25: `defaults.count.with.fatcor`: unknown field `fatcor` [did you mean `factor`?]",
            "m.yaml:8:5: `defaults.count.resourcs`: unknown field `resourcs` [did you mean `resources`?]",
            "m.yaml:9:19: `defaults.fold.with.n_splits`: expected integer, got `many`",
        ]
    );
}

#[test]
fn a_stage_whose_conditions_do_not_hold_is_left_out() {
    let text = with(
        "params: { how: fast, net: { big: false } }",
        "    when: { params.how: [fast, slow], params.net.big: false }
  parts:
    uses: fold
    inputs: { count: words }
    when: { params.net.big: true }",
    );
    let manifest = parse(&text).unwrap();
    assert_eq!(manifest.stages.keys().collect::<Vec<_>>(), ["words"]);
    let manifest = set(&text, &["net.big=true", "how=other"]).unwrap_err();
    assert!(
        manifest
            .to_string()
            .contains("`words` is left out by its `when`, and input `count` is needed"),
        "{manifest}"
    );
}

#[test]
fn an_optional_input_from_a_stage_that_is_left_out_is_not_connected() {
    let text = with(
        "params: { both: false }",
        "  extra: { uses: count, inputs: { text: text }, when: { params.both: true } }
  parts: { uses: fold, inputs: { count: words } }
  joined: { uses: join, inputs: { part: parts, count: extra } }",
    );
    let ports = |manifest: &Manifest| {
        let inputs = manifest.stages["joined"].inputs.keys();
        inputs.cloned().collect::<Vec<_>>()
    };
    assert_eq!(ports(&parse(&text).unwrap()), ["part"]);
    assert_eq!(
        ports(&set(&text, &["both=true"]).unwrap()),
        ["part", "count"]
    );
}

#[test]
fn conditions_are_on_params_only() {
    let text = with(
        "params: { a: 1 }",
        "    when: { factor: 1, params.b: 2, params.a: { x: 1 } }",
    );
    let found = messages(&text);
    assert!(found[0].contains("`factor` is not a param"), "{found:#?}");
    assert!(found[1].contains("unknown param `b`"), "{found:#?}");
    let text = with("params: { a: 1 }", "    when: { params.a: 2 }");
    assert!(messages(&text)[0].contains("every stage is left out"));
}

#[test]
fn a_newer_minor_version_is_read_with_a_warning_and_a_newer_major_one_is_not() {
    for version in ["1", "\"1\"", "\"1.0\""] {
        let text = GOOD.replace("clinicadl: 1", &format!("clinicadl: {version}"));
        assert!(parse(&text).unwrap().warnings.is_empty(), "{version}");
    }
    let newer = GOOD.replace("clinicadl: 1", "clinicadl: \"1.7\"\nsweep: {}");
    let manifest = parse(&newer).unwrap();
    let warning = &manifest.warnings[0];
    assert!(warning.message.contains("`sweep` is ignored") && warning.message.contains("1.7"));
    assert!(messages(&newer.replace("1.7", "1.0"))[0].contains("unknown field `sweep`"));
    let inside = newer.replace("factor: 2", "facctor: 2");
    assert!(
        messages(&inside)[0].contains("factor"),
        "inside of stages nothing is ignored"
    );
    for version in ["1.5", "0", "one", "[1]", "\"1.\"", "\"v1\""] {
        let text = GOOD.replace("clinicadl: 1", &format!("clinicadl: {version}"));
        assert!(
            messages(&text)[0].contains("expected a version of the format"),
            "{version}"
        );
    }
    let text = GOOD.replace("clinicadl: 1\n", "");
    assert!(messages(&text)[0].contains("`clinicadl` is missing"));
}

#[test]
fn names_that_would_confuse_are_refused() {
    let long = "x".repeat(101);
    for name in [
        "a.b",
        "a/b",
        "..",
        "",
        "a b ",
        "x[1]",
        "a(b",
        "$a",
        "tab\\t",
        long.as_str(),
    ] {
        let text = GOOD
            .replace("  words:", &format!("  \"{name}\":"))
            .replace("count: words", "count: joined");
        let found = messages(&text);
        assert!(
            found.iter().any(|m| m.contains("cannot be a stage's name")),
            "{name}: {found:#?}"
        );
        let text = GOOD.replace(
            "inputs: { text: . }",
            &format!("inputs: {{ text: ., \"{name}\": . }}"),
        );
        assert!(
            messages(&text)[0].contains("cannot be an input's name"),
            "{name}"
        );
    }
    let text = with("params: { \"a b\": 1 }", "");
    assert!(messages(&text)[0].contains("cannot be a param's name"));
    assert!(messages(&GOOD.replace("name: demo", "name: \"a\\u0007b\""))[0].contains("control"));
}

#[test]
fn values_that_yaml_reads_otherwise_than_they_look_get_a_hint() {
    let hint = |schema: &str, written: &str| {
        let schema = schema::Validator::new(json!({ "type": schema }));
        let findings = schema.findings(&yaml_value(written).unwrap());
        findings[0].hint.clone().unwrap_or_default()
    };
    assert!(hint("boolean", "yes").contains("write `true`"));
    assert!(hint("boolean", "Off").contains("write `false`"));
    assert!(hint("boolean", "\"true\"").contains("without quotes"));
    assert!(hint("integer", "010").contains("write `10`, or `0o10`"));
    assert!(hint("integer", "1_000").contains("write `1000`"));
    assert!(hint("number", "\"1.5\"").contains("without quotes"));
    assert!(hint("string", "12").contains("in quotes: \"12\""));
    assert!(hint("string", "true").contains("in quotes"));
    assert_eq!(hint("integer", "many"), "");
}

#[test]
fn bounds_name_a_group_or_a_stage_and_a_metric() {
    let found = messages(&format!("{GOOD}expect: [{{ metric: n }}]\n"));
    assert!(found[0].contains("expected `group.metric`"), "{found:#?}");
}
