//! Predictions that are stopped or killed, and what they read.

use std::collections::BTreeMap;

use engine::context::StageEvent;
use engine::{FailureKind, StageError};
use serde_json::{Value, json};

use super::world::{Done, Row, World, table};
use crate::data::shared::reads;

const SESSIONS: usize = 1000;

/// Whom the model is trained on, before those that are tested.
const TRAINED: usize = 12;

/// A thousand sessions of 4³ voxels to predict.
fn thousand() -> World {
    let world = World::empty();
    let rows: Vec<Row> = (0..TRAINED + SESSIONS)
        .map(|i| {
            let label = if i % 2 == 0 { "AD" } else { "CN" };
            (
                format!("sub-{i:04}"),
                "ses-M000".to_owned(),
                label.to_owned(),
            )
        })
        .collect();
    world.write_sized_images(&rows, [4; 3]);
    world.write("splits/train.tsv", &table(&rows[..8]));
    world.write("splits/validation_baseline.tsv", &table(&rows[8..TRAINED]));
    world.write("test.tsv", &table(&rows[TRAINED..]));
    world
}

fn predict(
    world: &World,
    store: &str,
    model: &Done,
    params: &Value,
    stop: &(dyn Fn(&StageEvent) -> bool + Sync),
) -> Result<Done, StageError> {
    let inputs = BTreeMap::from([
        ("model", model.input.clone()),
        ("images", world.input("tensors", "tensors")),
        ("participants", world.input("test.tsv", "table")),
    ]);
    world.run(store, "predict", params.clone(), inputs, stop)
}

/// How many images were predicted before a run, as it tells.
fn before(done: &Done) -> Option<usize> {
    done.events.iter().find_map(|event| match event {
        StageEvent::Info { message } => {
            let count = message.strip_suffix(" of 1000 were predicted before")?;
            count.parse().ok()
        }
        _ => None,
    })
}

#[test]
fn a_prediction_of_a_thousand_sessions_reads_each_once_and_goes_on_to_the_same_bytes() {
    let world = thousand();
    let layers = json!(["flatten", { "linear": "outputs" }]);
    let model = world
        .train(
            "main",
            json!({
                "epochs": 2, "selection_metrics": ["loss", "balanced_accuracy"],
                "network": { "name": "Layers", "layers": layers },
            }),
        )
        .unwrap();
    let params = json!({ "bootstrap": 1, "save": ["tensors"] });
    let folder = world.path("tensors");
    reads::take(&folder);
    let whole = predict(&world, "whole", &model, &params, &|_| false).unwrap();
    assert_eq!(
        reads::take(&folder),
        vec![1; SESSIONS],
        "two models, one pass"
    );
    assert_eq!(before(&whole), None);

    let half =
        |event: &StageEvent| matches!(event, StageEvent::Progress { done, .. } if *done >= 500);
    let error = predict(&world, "stopped", &model, &params, &half).unwrap_err();
    assert_eq!(error.kind, FailureKind::Cancelled);
    let first = reads::take(&folder).len();
    assert!((500..SESSIONS).contains(&first), "{first}");
    // A kill leaves a segment that is not whole, files of the next, and files that nobody finished.
    let scratch = std::fs::read_dir(world.path("stores/stopped/scratch")).unwrap();
    let scratch = scratch.map(|entry| entry.unwrap().path()).next().unwrap();
    let segment = scratch.join("segment-3.json");
    let text = std::fs::read_to_string(&segment).unwrap();
    std::fs::write(&segment, &text[..text.len() / 2]).unwrap();
    let tensors = "files/best-loss/test/tensors";
    std::fs::write(scratch.join(tensors).join(".write-12345"), "half").unwrap();
    let resumed = predict(&world, "stopped", &model, &params, &|_| false).unwrap();
    assert_eq!(resumed.input.digest, whole.input.digest);
    assert_eq!(before(&resumed), Some(96), "three segments of 32 images");
    assert_eq!(reads::take(&folder), vec![1; SESSIONS - 96]);
}

#[test]
fn what_was_kept_is_not_predicted_again_also_of_the_last_segment() {
    let world = thousand();
    let layers = json!(["flatten", { "linear": "outputs" }]);
    let network = json!({ "network": { "name": "Layers", "layers": layers }, "epochs": 1 });
    let model = world.train("main", network).unwrap();
    world.write("test.tsv", &{
        let text = std::fs::read_to_string(world.path("test.tsv")).unwrap();
        text.lines()
            .take(41)
            .map(|line| format!("{line}\n"))
            .collect::<String>()
    });
    let params = json!({ "bootstrap": 1 });
    let folder = world.path("tensors");
    let whole = predict(&world, "whole", &model, &params, &|_| false).unwrap();
    reads::take(&folder);
    let stop = |event: &StageEvent| matches!(event, StageEvent::Progress { done: 40, .. });
    // Whether the stop is seen before the end depends on threads.
    match predict(&world, "stopped", &model, &params, &stop) {
        Err(error) => assert_eq!(error.kind, FailureKind::Cancelled),
        Ok(done) => assert_eq!(done.input.digest, whole.input.digest),
    }
    reads::take(&folder);
    let resumed = predict(&world, "stopped", &model, &params, &|_| false).unwrap();
    assert_eq!(resumed.input.digest, whole.input.digest);
    assert_eq!(reads::take(&folder), Vec::<usize>::new());
}
