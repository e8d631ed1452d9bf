//! The firewall at run time, and parts of images.

use maps::files::{MapsJson, MetricsTable, PredictionTable};
use serde_json::{Value, json};

use super::world::{Row, World, baseline, rows, table};

/// Training and validation tables.
fn splits(world: &World, train: &[Row], validation: &[Row]) {
    world.write("splits/train.tsv", &table(train));
    world.write("splits/validation_baseline.tsv", &table(validation));
}

/// The digests of voxels in the index of images.
fn digests(world: &World, digest: impl Fn(&str) -> String) {
    let path = world.path("tensors/images.tsv");
    let text = std::fs::read_to_string(&path).unwrap();
    let mut lines = text.lines();
    let mut new = format!("{}\tvoxels\n", lines.next().unwrap());
    for line in lines {
        let participant = line.split('\t').next().unwrap();
        new.push_str(&format!("{line}\t{}\n", digest(participant)));
    }
    std::fs::write(path, new).unwrap();
}

#[test]
fn sessions_of_one_person_on_both_sides_are_refused_and_marked_when_allowed() {
    let world = World::new();
    let all = rows(0, 4);
    let (first, later): (Vec<Row>, Vec<Row>) = all
        .into_iter()
        .partition(|(_, session, _)| session == "ses-M000");
    splits(&world, &first, &later);
    let error = world.train("main", json!({})).unwrap_err();
    assert_eq!(
        error.message,
        "data leakage (biased split): train (`splits/train.tsv`) and validation \
         (`splits/validation_baseline.tsv`) share 2 participants: `sub-00`; `sub-03`"
    );
    assert!(
        error.hints[1].contains("split participants, not sessions"),
        "{:?}",
        error.hints
    );

    let model = world
        .train("main", json!({ "allow_leakage": "to see it" }))
        .unwrap();
    assert!(model.warnings()[0].ends_with("allowed because: to see it"));
    let mark = Some("biased split: to see it");
    for group in ["train", "validation"] {
        let path = format!("best-loss/{group}/{group}_image_level_metrics.tsv");
        let metrics = MetricsTable::read(&model.bytes(&path), &path).unwrap();
        assert_eq!(metrics.leakage.as_deref(), mark);
        let path = format!("best-loss/{group}/{group}_image_level_prediction.tsv");
        let rows = PredictionTable::read(&model.bytes(&path), &path).unwrap();
        assert_eq!(rows.leakage(), mark);
        assert!(
            model
                .text(&format!("best-loss/{group}/description.log"))
                .contains("Data leakage")
        );
    }
    // What comes of a leaky model says so too, although its own group is clean.
    let tested = world
        .apply("predict", &model, json!({ "bootstrap": 10 }))
        .unwrap();
    let path = "best-loss/test/test_image_level_metrics.tsv";
    let metrics = MetricsTable::read(&tested.bytes(path), path).unwrap();
    assert_eq!(metrics.leakage.as_deref(), mark);
    let certificate: Value = serde_json::from_str(&tested.text("leakage/test.json")).unwrap();
    assert_eq!(certificate["checks"][0]["shared"], 0);
    assert_eq!(certificate["checks"][0]["participants"], json!([4, 4]));
}

#[test]
fn one_scan_under_two_names_is_refused_whatever_its_file() {
    let world = World::new();
    digests(&world, |participant| match participant {
        "sub-10" => "of-sub-01".to_owned(),
        participant => format!("of-{participant}"),
    });
    let error = world.train("main", json!({})).unwrap_err();
    assert!(
        error
            .message
            .starts_with("data leakage (duplicated images): train ("),
        "{error}"
    );
    assert!(
        error
            .message
            .ends_with("`sub-01`, ses-M000 = `sub-10`, ses-M000"),
        "{error}"
    );
    // In the test set as well: digests of all that was seen are in the model.
    let world = World::new();
    digests(&world, |participant| match participant {
        "sub-21" => "of-sub-01".to_owned(),
        participant => format!("of-{participant}"),
    });
    let model = world.train("main", json!({})).unwrap();
    let error = world.apply("predict", &model, json!({})).unwrap_err();
    assert!(
        error.message.contains("(duplicated images)")
            && error
                .message
                .ends_with("`sub-01`, ses-M000 = `sub-21`, ses-M000"),
        "{error}"
    );
}

#[test]
fn copies_of_one_person_stay_on_one_side() {
    let world = World::new();
    let derived = |rows: &[Row], from: &str| {
        let text = table(rows);
        let lines = text.lines().enumerate();
        lines
            .map(|(i, line)| match i {
                0 => format!("{line}\tderived_from\n"),
                _ => format!("{line}\t{from}\n"),
            })
            .collect::<String>()
    };
    world.write("splits/train.tsv", &derived(&rows(0, 4), "sub-x"));
    world.write(
        "splits/validation_baseline.tsv",
        &derived(&baseline(&rows(10, 2)), "sub-x"),
    );
    let error = world.train("main", json!({})).unwrap_err();
    assert!(
        error.message.starts_with("data leakage (late split): "),
        "{error}"
    );
    assert!(
        error
            .hints
            .iter()
            .any(|hint| hint.contains("group: derived_from"))
    );
    world.write(
        "splits/validation_baseline.tsv",
        &derived(&baseline(&rows(10, 2)), "sub-y"),
    );
    world.train("main", json!({})).unwrap();
}

#[test]
fn participants_of_pre_training_are_refused_through_generations() {
    let world = World::new();
    let mut model = world.train("main", json!({})).unwrap();
    let seen = format!(
        "{}sub-22\tses-M000\tsingle\tpre-training\t\t\n",
        model.text("leakage/seen.tsv")
    );
    world.write("seen.tsv", &seen);
    model.input.files.get_mut("leakage/seen.tsv").unwrap().path = world.path("seen.tsv");
    let error = world.apply("predict", &model, json!({})).unwrap_err();
    assert!(
        error
            .message
            .starts_with("data leakage (biased transfer learning): "),
        "{error}"
    );
    assert!(error.message.ends_with(": `sub-22`"), "{error}");
}

fn of_parts(world: &World, entries: Value) {
    let path = world.path("tensors/extraction.json");
    let mut extraction: Value =
        serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
    for (key, value) in entries.as_object().unwrap() {
        extraction[key] = value.clone();
    }
    std::fs::write(path, extraction.to_string()).unwrap();
}

#[test]
fn slices_are_learnt_and_predicted_each() {
    let world = World::new();
    of_parts(
        &world,
        json!({
            "mode": "slice", "slice_direction": 1, "slice_mode": "single", "discarded_slices": [7, 8],
        }),
    );
    let model = world.train("main", json!({ "epochs": 2 })).unwrap();
    let definition = MapsJson::read(&model.bytes("maps.json"), "maps.json").unwrap();
    assert_eq!(definition.input_size().unwrap(), [1, 18, 18]);
    assert_eq!(definition.mode().unwrap(), "slice");
    let path = "best-loss/validation/validation_slice_level_prediction.tsv";
    let table = PredictionTable::read(&model.bytes(path), path).unwrap();
    assert_eq!((table.level(), table.rows().len()), ("slice", 4 * 3));
    let parts: Vec<u32> = table
        .rows()
        .iter()
        .take(4)
        .map(|row| row.image_id)
        .collect();
    assert_eq!(parts, [0, 1, 2, 0]);
    assert!(
        model
            .text(path)
            .starts_with("participant_id\tsession_id\tslice_id\t")
    );
    // Each session once in the table of the group.
    assert_eq!(model.text("groups/validation/data.tsv").lines().count(), 5);
    assert!(
        model
            .text("best-loss/validation/description.log")
            .contains("Number of sessions: 4")
    );
    let tested = world
        .apply("predict", &model, json!({ "bootstrap": 10 }))
        .unwrap();
    assert!(
        tested
            .input
            .files
            .contains_key("best-loss/test/test_slice_level_metrics.tsv")
    );
}

#[test]
fn a_table_may_choose_parts_and_the_same_person_is_then_found_out() {
    let world = World::new();
    of_parts(
        &world,
        json!({
            "mode": "patch", "patch_size": 9, "stride_size": 9,
        }),
    );
    let of = |part: &str| -> String {
        let text = table(&baseline(&rows(0, 6)));
        let lines = text.lines().enumerate();
        lines
            .map(|(i, line)| format!("{line}\t{}\n", if i == 0 { "patch_id" } else { part }))
            .collect()
    };
    world.write("splits/train.tsv", &of("0"));
    world.write("splits/validation_baseline.tsv", &of("7"));
    let error = world.train("main", json!({})).unwrap_err();
    assert!(
        error
            .message
            .starts_with("data leakage (biased split): train ("),
        "{error}"
    );
    world.write("splits/validation_baseline.tsv", &of("8"));
    let error = world.train("main", json!({})).unwrap_err();
    assert!(error.message.contains("has 8 parts, not part 8"), "{error}");
    world.write("splits/validation_baseline.tsv", &of("x"));
    let error = world.train("main", json!({})).unwrap_err();
    assert!(
        error
            .message
            .ends_with("line 2, column `patch_id`: `x` is no number of a part"),
        "{error}"
    );
}

#[test]
fn people_of_two_cohorts_are_told_apart_by_the_column_that_says_so() {
    let world = World::new();
    let path = world.path("tensors/images.tsv");
    let text = std::fs::read_to_string(&path).unwrap();
    let mut index = String::new();
    for (i, line) in text.lines().enumerate() {
        if i == 0 {
            index.push_str(&format!("{line}\tcohort\n"));
        } else {
            index.push_str(&format!("{line}\tA\n{line}\tB\n"));
        }
    }
    std::fs::write(&path, index).unwrap();
    let error = world.train("main", json!({})).unwrap_err();
    assert!(
        error
            .message
            .ends_with("is in several cohorts of `tensors`"),
        "{error}"
    );
    let of = |rows: &[Row], cohort: &str| -> String {
        let text = table(rows);
        let lines = text.lines().enumerate();
        lines
            .map(|(i, line)| format!("{line}\t{}\n", if i == 0 { "cohort" } else { cohort }))
            .collect()
    };
    world.write("splits/train.tsv", &of(&rows(0, 6), "A"));
    // The same names, other people.
    world.write(
        "splits/validation_baseline.tsv",
        &of(&baseline(&rows(0, 4)), "B"),
    );
    let model = world.train("main", json!({})).unwrap();
    assert!(
        model
            .text("groups/validation/data.tsv")
            .contains("sub-00\tses-M000\tB\tAD")
    );
    world.write(
        "splits/validation_baseline.tsv",
        &of(&baseline(&rows(0, 4)), "C"),
    );
    let error = world.train("main", json!({})).unwrap_err();
    assert!(error.message.contains("have no image"), "{error}");
}
