use engine::manifest::Manifest;
use engine::registry::Registry;

use super::*;
use crate::table::Table;

fn table(text: &str) -> Table {
    Table::parse(text.as_bytes(), "t.tsv").unwrap()
}

fn group(name: &str, origin: Origin, text: &str) -> Group {
    let table = table(text);
    // Two names for one scan.
    let scan = |session: crate::table::Session<'_>| match session.participant {
        "sub-twin" => format!("sub-1/{}", session.session),
        participant => format!("{participant}/{}", session.session),
    };
    let voxels = table
        .sessions()
        .unwrap()
        .into_iter()
        .map(|session| Some(scan(session)));
    Group::of_table(name, &table, origin, voxels.collect()).unwrap()
}

const HEADER: &str = "participant_id\tsession_id\tcohort\tderived_from\n";

fn train(rows: &str) -> Group {
    group("train", Origin::Train, &format!("{HEADER}{rows}"))
}

/// What is shared between a training and a validation, per check.
fn shared(left: &str, right: &str) -> Vec<usize> {
    let right = group(
        "validation",
        Origin::Validation,
        &format!("{HEADER}{right}"),
    );
    separation::compare(&train(left), &right)
        .into_iter()
        .map(|(_, found)| found.len())
        .collect()
}

#[test]
fn a_participant_its_copies_and_its_scans_are_on_one_side() {
    let left = "sub-1\tses-1\ta\t\nsub-2\tses-1\ta\t\n";
    assert_eq!(shared(left, "sub-3\tses-1\ta\t\n"), [0, 0, 0]);
    assert_eq!(shared(left, "sub-1\tses-2\ta\t\n"), [1, 0, 0]);
    // The same name in another cohort is somebody else, but here with the same scan.
    assert_eq!(shared(left, "sub-1\tses-1\tb\t\n"), [0, 0, 1]);
    assert_eq!(shared(left, "sub-2\tses-2\tb\t\n"), [0, 0, 0]);
    assert_eq!(shared(left, "sub-4\tses-1\ta\tsub-2\n"), [0, 1, 0]);
    assert_eq!(
        shared("sub-5\tses-1\ta\tsub-2\n", "sub-4\tses-1\ta\tsub-2\n"),
        [0, 1, 0]
    );
    assert_eq!(shared(left, "sub-twin\tses-1\ta\t\n"), [0, 0, 1]);
}

#[test]
fn without_cohorts_on_one_side_names_decide() {
    assert_eq!(
        shared("sub-1\tses-9\ta\t\n", "sub-1\tses-8\tsingle\t\n"),
        [1, 0, 0]
    );
}

#[test]
fn everybody_seen_reads_back_from_its_table() {
    let train = train("sub-2\tses-1\ta\tsub-0\nsub-1\tses-1\ta\t\n");
    let before = group(
        "before",
        Origin::PreTraining,
        "participant_id\tsession_id\nsub-9\tses-1\n",
    );
    let bytes = Group::seen(&[&train, &before, &train]).unwrap();
    let text = String::from_utf8(bytes.clone()).unwrap();
    assert_eq!(
        text,
        "participant_id\tsession_id\tcohort\torigin\tderived_from\tvoxels\n\
         sub-1\tses-1\ta\ttrain\t\tsub-1/ses-1\n\
         sub-2\tses-1\ta\ttrain\tsub-0\tsub-2/ses-1\n\
         sub-9\tses-1\tsingle\tpre-training\t\tsub-9/ses-1\n"
    );
    let back = Group::of_seen(&Table::parse(&bytes, "x").unwrap(), "x").unwrap();
    assert_eq!(back.sessions.len(), 3);
    assert_eq!(Group::seen(&[&back]).unwrap(), bytes);
    let shared = "participant_id\tsession_id\tcohort\torigin\nsub-1\tses-1\ta\ttrain\n";
    let shared = Table::parse(shared.as_bytes(), "x").unwrap();
    assert_eq!(Group::of_seen(&shared, "x").unwrap().participants(), 1);
    let odd = text.replace("pre-training", "guess");
    let error = Group::of_seen(&Table::parse(odd.as_bytes(), "x").unwrap(), "x").unwrap_err();
    assert_eq!(error.message, "`x`: `guess` is no use of a session");
}

#[test]
fn a_certificate_has_the_digest_of_what_it_says() {
    let mut certificate = Certificate::default();
    assert_eq!(certificate.watermark(), None);
    let clean = certificate.document().unwrap();
    certificate.allow("a demonstration", &["biased split"]);
    let leaky = certificate.document().unwrap();
    assert_ne!(clean["digest"], leaky["digest"]);
    assert_eq!(
        certificate.watermark().as_deref(),
        Some("biased split: a demonstration")
    );
}

const STAGES: &str = "
clinicadl: 1
name: x
inputs: { caps: caps, labels: labels.tsv, others: others.tsv, given: given }
stages:
  extract: { uses: prepare-data, inputs: { caps: caps } }
  holdout: { uses: split, inputs: { labels: labels } }
  more: { uses: get-metadata, inputs: { labels: holdout.train, metadata: labels } }
  folds: { uses: kfold, inputs: { labels: more } }
";

/// What is refused of a manifest with these further stages.
fn refused(stages: &str) -> Vec<String> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("experiment.yaml");
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    };
    let header = "participant_id\tsession_id\tdiagnosis\n";
    std::fs::create_dir(folder.path().join("caps")).unwrap();
    write("labels.tsv", &format!("{header}sub-1\tses-1\tAD\n"));
    write("others.tsv", &format!("{header}sub-3\tses-1\tAD\n"));
    write(
        "given/split-0/train.tsv",
        &format!("{header}sub-1\tses-1\tAD\nsub-2\tses-1\tAD\n"),
    );
    write(
        "given/split-0/validation_baseline.tsv",
        &format!("{header}sub-2\tses-2\tAD\nsub-3\tses-1\tCN\n"),
    );
    let text = format!("{STAGES}{stages}");
    let manifest = Manifest::parse(&path, text, Registry::new(crate::STAGES)).unwrap();
    let issues = plan::check(&manifest).into_iter();
    issues
        .map(|issue| format!("{}: {}", issue.key, issue.message))
        .collect()
}

const TRAIN: &str = "  train: { uses: train, inputs: { images: extract, splits: folds } }\n";

#[test]
fn a_model_is_not_tested_on_a_table_it_was_trained_on() {
    let tested = |table: &str| {
        let test = format!(
            "  test: {{ uses: predict, inputs: {{ model: train, images: extract, participants: {table} }} }}\n"
        );
        refused(&format!("{TRAIN}{test}"))
    };
    assert_eq!(tested("holdout.test"), [] as [String; 0]);
    assert_eq!(tested("others"), [] as [String; 0]);
    for table in ["labels", "holdout.train", "more"] {
        let found = tested(table);
        assert_eq!(found.len(), 1, "{table}");
        assert!(
            found[0].starts_with(
                "stages.test.inputs.participants: data leakage (no independent test set)"
            ),
            "{found:?}"
        );
    }
}

#[test]
fn an_ensemble_needs_a_reason_of_its_own() {
    let refused = |test: &str, ensemble: &str| {
        let inputs = "model: train, images: extract, participants: labels";
        let test = format!("  test:\n    uses: predict\n    inputs: {{ {inputs} }}\n    {test}\n");
        let inputs = "model: train, predictions: test";
        let ensemble =
            format!("  all:\n    uses: ensemble\n    inputs: {{ {inputs} }}\n    {ensemble}\n");
        refused(&format!("{TRAIN}{test}{ensemble}"))
    };
    let allowed = "with: { allow_leakage: known }";
    let told = refused("", "");
    assert_eq!(told.len(), 1, "only the prediction: {told:?}");
    let told = refused(allowed, "");
    assert_eq!(told.len(), 1, "{told:?}");
    for part in [
        "stages.all.inputs.predictions",
        "data leakage (biased ensembling): `all` joins what `test` applies `train` to `labels`",
        "spoils the vote of all",
    ] {
        assert!(told[0].contains(part), "{told:?}");
    }
    assert_eq!(refused(allowed, allowed), [] as [String; 0]);
}

#[test]
fn given_splits_that_share_participants_are_refused_before_anything_runs() {
    let train = "  train: { uses: train, inputs: { images: extract, splits: given } }\n";
    let test = "  test: { uses: predict, inputs: { model: train, images: extract, participants: others } }\n";
    let found = refused(&format!("{train}{test}"));
    assert_eq!(found.len(), 2, "{found:?}");
    assert!(found[0].contains(
        "(biased split): 1 participants are in training and in validation of `split-0`: sub-2"
    ));
    assert!(found[1].contains("1 participants of `others` were seen in training (`given`): sub-3"));
    let simple = "  simple: { uses: baselines, inputs: { splits: given } }\n";
    let found = refused(simple);
    assert!(
        found[0].contains("in validation of `split-0`: sub-2"),
        "{found:?}"
    );
    let allowed = train.replace(" } }", " }, with: { allow_leakage: a demonstration } }");
    assert_eq!(refused(&allowed), [] as [String; 0]);
}

#[test]
fn tables_of_a_second_domain_are_compared_too() {
    let train = "  train:
    uses: train
    inputs: { images: extract, splits: folds, target_images: extract, target_splits: given, unlabelled: others }
    with: { network: { name: Conv5_FC3_SSDA }REASON }
";
    let test = |table: &str| {
        format!(
            "  test: {{ uses: predict, inputs: {{ model: train, images: extract, participants: {table} }} }}\n"
        )
    };
    let found = refused(&format!(
        "{}{}",
        train.replace("REASON", ""),
        test("others")
    ));
    assert_eq!(found.len(), 2, "{found:#?}");
    assert!(
        found[1].starts_with("stages.train.inputs.target_splits: data leakage (biased split)")
            || found[0]
                .starts_with("stages.train.inputs.target_splits: data leakage (biased split)"),
        "{found:#?}"
    );
    let allowed = train.replace("REASON", ", allow_leakage: a demonstration");
    // Sessions without labels were seen as well.
    let found = refused(&format!("{allowed}{}", test("others")));
    assert_eq!(found.len(), 1, "{found:#?}");
    assert!(
        found[0].contains("to `others`, which that model was trained on"),
        "{found:#?}"
    );
    let found = refused(&format!("{allowed}{}", test("labels")));
    assert_eq!(found.len(), 1, "{found:#?}");
}

#[test]
fn what_is_fitted_to_everybody_stands_behind_the_split() {
    let fitted = |inputs: &str, names: &str| {
        format!(
            "  harmonise:
    uses: command
    inputs: {{ {inputs} }}
    with: {{ argv: [x], inputs: [{names}], fitted: true, outputs: {{ caps: {{ path: out, kind: caps }} }} }}
  again: {{ uses: prepare-data, inputs: {{ caps: harmonise.caps }} }}
  train: {{ uses: train, inputs: {{ images: again, splits: folds }} }}
"
        )
    };
    let found = refused(&fitted("raw: caps", "raw"));
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].contains("(late split): `harmonise` is fitted to all participants, and `train` trains on what it made"));
    let behind = fitted("raw: caps, who: holdout.train", "raw, who");
    assert_eq!(refused(&behind), [] as [String; 0]);
    assert_eq!(
        refused(&fitted("raw: caps", "raw").replace("fitted: true, ", "")),
        [] as [String; 0]
    );
}
