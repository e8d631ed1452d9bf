use engine::Stage;

use super::names::SavedName;
use super::networks::NetworkParams;
use super::*;

fn fields(issues: &[ParamIssue]) -> Vec<&str> {
    issues.iter().map(|issue| issue.field.as_str()).collect()
}

#[test]
fn defaults_have_no_problem() {
    assert!(Train::check(&TrainParams::default()).is_empty());
    assert!(Predict::check(&PredictParams::default()).is_empty());
    assert!(Interpret::check(&InterpretParams::default()).is_empty());
}

#[test]
fn every_problem_of_a_training_is_told_at_once() {
    let params = TrainParams {
        selection_metrics: vec!["loss".into(), "acuracy".into(), "loss".into()],
        network: NetworkParams::new(
            "Conv5_FC3",
            serde_json::Map::from_iter([("dropout".to_owned(), 1.5.into())]),
        ),
        size_reduction_factor: 7,
        epochs: 0,
        label_code: [("AD".to_owned(), 0), ("CN".to_owned(), 2)].into(),
        ..TrainParams::default()
    };
    assert_eq!(
        fields(&Train::check(&params)),
        [
            "selection_metrics[1]",
            "selection_metrics[2]",
            "network.dropout",
            "epochs",
            "size_reduction_factor",
            "label_code"
        ]
    );
}

#[test]
fn metrics_are_known_by_id_and_by_column() {
    assert_eq!(selection_column("loss"), Some("loss"));
    assert_eq!(selection_column("balanced_accuracy"), Some("BA"));
    assert_eq!(selection_column("BA"), Some("BA"));
    assert_eq!(selection_column("MCC"), Some("MCC"));
    assert_eq!(selection_column("nonsense"), None);
}

#[test]
fn groups_of_the_training_cannot_be_predicted_under_their_names() {
    for name in ["train", "validation", "", "../x", ".hidden", "a/b"] {
        assert_eq!(fields(&check_data_group(name)), ["data_group"], "{name}");
    }
    assert!(check_data_group("test-RANDOM").is_empty());
}

#[test]
fn only_the_tables_of_the_chosen_regime_are_inputs() {
    let params = TrainParams::default();
    assert!(Train::selects(&params, "splits", "split-3/train.tsv"));
    assert!(Train::selects(&params, "splits", "validation_baseline.tsv"));
    assert!(!Train::selects(
        &params,
        "splits",
        "split-3/train_baseline.tsv"
    ));
    assert!(!Train::selects(&params, "splits", "kfold.json"));
}

#[test]
fn what_a_prediction_saves_is_listed_once_and_a_label_needs_labels() {
    let params = PredictParams {
        save: vec![SavedName::Latent, SavedName::Nifti, SavedName::Latent],
        label: Some("rating".into()),
        use_labels: false,
        ..PredictParams::default()
    };
    let told = Predict::check(&params);
    assert_eq!(fields(&told), ["label", "save[2]"]);
    assert_eq!(told[1].message, "`latent` is listed twice");
    let empty = PredictParams {
        label: Some(String::new()),
        ..PredictParams::default()
    };
    assert_eq!(fields(&Predict::check(&empty)), ["label"]);
}

#[test]
fn only_the_chosen_models_are_inputs() {
    let params = PredictParams {
        selection_metrics: vec!["balanced_accuracy".into()],
        ..PredictParams::default()
    };
    assert!(Predict::selects(
        &params,
        "model",
        "split-0/best-BA/model.pth.tar"
    ));
    assert!(Predict::selects(&params, "model", "maps.json"));
    assert!(!Predict::selects(
        &params,
        "model",
        "best-loss/model.pth.tar"
    ));
    assert!(!Predict::selects(
        &params,
        "model",
        "split-0/best-BA/model.safetensors"
    ));
}

#[test]
fn maps_are_computed_again_in_chains_of_layers_only() {
    let problems = |name: &str, task: Task| {
        let params = TrainParams {
            task,
            network: NetworkParams::new(name, serde_json::Map::new()),
            gradient_checkpointing: true,
            ..TrainParams::default()
        };
        Train::check(&params)
    };
    assert!(problems("ResNet50", Task::Classification).is_empty());
    let told = problems("UNet", Task::Reconstruction);
    assert_eq!(fields(&told), ["gradient_checkpointing"]);
    assert!(
        told[0].message.contains("`UNet` is no chain"),
        "{}",
        told[0].message
    );
}

#[test]
fn networks_of_parts_and_what_tells_their_votes_are_inputs() {
    let params = PredictParams::default();
    for path in [
        "split-0/best-loss/network-12_model.pth.tar",
        "best-loss/voting.tsv",
        "split-0/best-BA/validation/validation_patch_level_prediction.tsv",
    ] {
        assert!(Predict::selects(&params, "model", path), "{path}");
    }
    for path in [
        "best-loss/validation/validation_image_level_prediction.tsv",
        "best-loss/train/train_patch_level_prediction.tsv",
        "best-loss/network-0_model.safetensors",
    ] {
        assert!(!Predict::selects(&params, "model", path), "{path}");
    }
    let interpret = InterpretParams::default();
    assert!(!Interpret::selects(
        &interpret,
        "model",
        "best-loss/voting.tsv"
    ));
    let network = "best-loss/network-0_model.pth.tar";
    assert!(Train::selects(&TrainParams::default(), "source", network));
    let balanced = PredictParams {
        selection_metrics: vec!["balanced_accuracy".into()],
        ..PredictParams::default()
    };
    assert!(!Predict::selects(&balanced, "model", network));
    assert!(Predict::selects(&balanced, "model", "best-BA/voting.tsv"));
}

#[test]
fn rules_of_votes_that_mean_nothing_are_refused() {
    use super::names::{Task, VotingName};
    let train = |task, voting, selection_threshold| {
        let params = TrainParams {
            task,
            voting,
            selection_threshold,
            ..TrainParams::default()
        };
        let issues = Train::check(&params);
        fields(&issues)
            .into_iter()
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    let (balanced, equal) = (VotingName::BalancedAccuracy, VotingName::Equal);
    assert!(train(Task::Classification, VotingName::Accuracy, 1.0).is_empty());
    let threshold = ["selection_threshold"];
    assert_eq!(train(Task::Classification, balanced, 1.5), threshold);
    assert_eq!(train(Task::Classification, balanced, f64::NAN), threshold);
    assert_eq!(train(Task::Classification, equal, 0.5), threshold);
    assert_eq!(train(Task::Regression, balanced, 0.5), threshold);
    assert_eq!(train(Task::Regression, equal, 0.0), ["voting"]);
    let predict = |voting, selection_threshold| {
        let params = PredictParams {
            voting,
            selection_threshold,
            ..PredictParams::default()
        };
        Predict::check(&params).len()
    };
    assert_eq!(predict(None, Some(0.5)), 0);
    assert_eq!(predict(Some(equal), Some(0.5)), 1);
    assert_eq!(predict(None, Some(-0.1)), 1);
}

/// What is told of a manifest with these inputs and parameters of its training.
fn told(inputs: &str, with: &str) -> Vec<String> {
    let text = format!(
        "clinicadl: 1
name: x
inputs: {{ caps: caps, target: target, given: given, other: other, table: table.tsv }}
stages:
  extract: {{ uses: prepare-data, inputs: {{ caps: caps }} }}
  more: {{ uses: prepare-data, inputs: {{ caps: target }} }}
  train: {{ uses: train, inputs: {{ images: extract, splits: given{inputs} }}, with: {{ {with} }} }}
"
    );
    let registry = engine::registry::Registry::new(crate::STAGES);
    let path = std::path::Path::new("m.yaml");
    let manifest = engine::manifest::Manifest::parse(path, text, registry);
    let issues = manifest.err().map_or(Vec::new(), |issues| issues.0);
    // The files themselves are not there.
    let of_stages = issues
        .into_iter()
        .filter(|issue| !issue.key.starts_with("inputs."));
    let all = of_stages.map(|issue| {
        let hint = issue.hint.unwrap_or_default();
        format!("{}: {} [{hint}]", issue.key, issue.message)
    });
    all.collect()
}

#[test]
fn a_second_domain_is_for_its_network_and_its_network_is_for_two() {
    let target = ", target_images: more, target_splits: other, unlabelled: table";
    let two = "network: { name: Conv5_FC3_SSDA }";
    assert_eq!(told(target, two), [] as [String; 0]);
    assert_eq!(told("", ""), [] as [String; 0]);
    let missing = told("", two);
    assert_eq!(missing.len(), 3, "{missing:#?}");
    assert!(
        missing[0].starts_with("stages.train: input `target_images` (tensors) is not connected"),
        "{missing:#?}"
    );
    let useless = told(target, "network: { name: Conv5_FC3 }");
    assert_eq!(useless.len(), 3, "{useless:#?}");
    assert_eq!(
        useless[0],
        "stages.train.inputs.target_images: input `target_images` has no use here \
         [it is for two domains: choose `network: { name: Conv5_FC3_SSDA }`]"
    );
    let regression = told(target, &format!("task: regression, {two}"));
    assert!(
        regression[0].contains("`Conv5_FC3_SSDA` cannot learn a regression"),
        "{regression:#?}"
    );
    let params = TrainParams {
        network: NetworkParams::new("Conv5_FC3_SSDA", serde_json::Map::new()),
        ..TrainParams::default()
    };
    for (port, path, is_used) in [
        ("target_images", "images/a.safetensors", true),
        ("target_images", "notes.txt", false),
        ("target_splits", "split-1/train.tsv", true),
        ("target_splits", "split-1/validation.tsv", false),
    ] {
        assert_eq!(Train::selects(&params, port, path), is_used, "{path}");
    }
}
