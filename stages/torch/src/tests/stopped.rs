//! Predictions that are stopped or killed, and what they read.

use std::collections::BTreeMap;
use std::path::PathBuf;

use engine::context::StageEvent;
use engine::{FailureKind, StageError};
use serde_json::{Value, json};

use super::world::{Done, Row, World, table};
use crate::data::shared::reads;

const SESSIONS: usize = 1000;

/// Whom the model is trained on, before those that are tested.
const TRAINED: usize = 12;

/// So many sessions of 4³ voxels to predict.
fn sessions(count: usize) -> World {
    let world = World::empty();
    let rows: Vec<Row> = (0..TRAINED + count)
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

/// Two models of one layer.
fn trained(world: &World) -> Done {
    let layers = json!(["flatten", { "linear": "outputs" }]);
    let params = json!({
        "epochs": 2, "selection_metrics": ["loss", "balanced_accuracy"],
        "network": { "name": "Layers", "layers": layers },
    });
    world.train("main", params).unwrap()
}

/// The scratch folder of the only prediction in a store.
fn scratch(world: &World, store: &str) -> PathBuf {
    let folders = std::fs::read_dir(world.path(&format!("stores/{store}/scratch"))).unwrap();
    folders.map(|entry| entry.unwrap().path()).next().unwrap()
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
    let world = sessions(SESSIONS);
    let model = trained(&world);
    let params = json!({ "bootstrap": 1 });
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
    // A crash of the machine may leave a segment that is not whole.
    let segment = scratch(&world, "stopped").join("segment-3.json");
    let text = std::fs::read_to_string(&segment).unwrap();
    std::fs::write(&segment, &text[..text.len() / 2]).unwrap();
    let resumed = predict(&world, "stopped", &model, &params, &|_| false).unwrap();
    assert_eq!(resumed.input.digest, whole.input.digest);
    assert_eq!(before(&resumed), Some(96), "three segments of 32 images");
    assert_eq!(reads::take(&folder), vec![1; SESSIONS - 96]);
}

#[test]
fn files_of_images_are_kept_and_looked_at() {
    let world = sessions(40);
    let model = trained(&world);
    let params = json!({ "bootstrap": 1, "save": ["tensors"] });
    let folder = world.path("tensors");
    let whole = predict(&world, "whole", &model, &params, &|_| false).unwrap();
    // Everything is kept until the engine has the result; nothing is read again.
    reads::take(&folder);
    let again = predict(&world, "whole", &model, &params, &|_| false).unwrap();
    assert_eq!(again.input.digest, whole.input.digest);
    assert_eq!(reads::take(&folder), Vec::<usize>::new());
    // A kill may leave a file that nobody finished, and files of a segment that was not kept.
    let tensors = scratch(&world, "whole").join("files/best-loss/test/tensors");
    std::fs::remove_file(tensors.join("sub-0047_ses-M000_image-0_output.pt")).unwrap();
    let half = tensors.join("sub-0047_ses-M000_image-0_output.pt");
    std::fs::write(half, "half").unwrap();
    let resumed = predict(&world, "whole", &model, &params, &|_| false).unwrap();
    assert_eq!(resumed.input.digest, whole.input.digest);
    assert_eq!(reads::take(&folder), [1; 8], "the last segment");
}
