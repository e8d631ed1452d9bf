//! What is written reads back, for every file that is both.

use proptest::prelude::*;
use serde_json::{Map, Value, json};

use crate::files::{
    GroupJson, Identity, Interval, LeakageJson, MapsJson, MeasuredRow, MeasuredTable, MetricColumn,
    MetricsTable, PredictionRow, PredictionTable, RECONSTRUCTION_COLUMNS, REGRESSION_COLUMNS,
    Session, SessionsTable, TrainingParams, TrainingRow, TrainingTable,
};
use crate::weights::{
    Array, ArrayData, Checkpoint, Weights, read_pt, read_pth, write_pt, write_pth,
};

/// Text as it may come from anywhere: quotes, tabs and line breaks included.
fn text() -> impl Strategy<Value = String> {
    "[a-zA-Z0-9é\"\\\\\t\n -]{1,8}"
}

fn number() -> impl Strategy<Value = f64> {
    prop_oneof![Just(0.0), Just(-1.0), -1e300_f64..1e300, 0.0_f64..1.0]
}

fn array() -> impl Strategy<Value = Array> {
    prop::collection::vec(0_usize..4, 0..4).prop_flat_map(|shape| {
        let count: usize = shape.iter().product();
        prop::collection::vec(-1e30_f32..1e30, count)
            .prop_map(move |data| Array::try_new(shape.clone(), ArrayData::F32(data)).unwrap())
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_sessions_survive(rows in prop::collection::vec((text(), text()), 0..6)) {
        let rows = rows.into_iter().map(|(participant, session)| Session { participant, session });
        let table = SessionsTable { rows: rows.collect() };
        prop_assert_eq!(SessionsTable::read(&table.to_bytes(), "s").unwrap(), table);
    }

    #[test]
    fn any_description_of_a_group_survives(caps_directory in text(), multi_cohort in any::<bool>()) {
        let group = GroupJson { caps_directory, multi_cohort };
        prop_assert_eq!(GroupJson::read(&group.to_bytes(), "g").unwrap(), group);
    }

    #[test]
    fn any_course_of_a_training_survives(
        metrics in 1_usize..4,
        rows in prop::collection::vec((0_u64..100, 0_u64..100, prop::option::of(number())), 0..5),
        values in prop::collection::vec(number(), 40),
    ) {
        let names = (0..metrics).map(|i| format!("metric {i}")).collect();
        let rows = rows.into_iter().enumerate().map(|(i, (epoch, iteration, time_s))| TrainingRow {
            epoch, iteration, time_s,
            train: values[i..i + metrics].to_vec(),
            validation: values[20 + i..20 + i + metrics].to_vec(),
        });
        let table = TrainingTable::try_new(names, rows.collect()).unwrap();
        prop_assert_eq!(TrainingTable::read(&table.to_bytes(), "t").unwrap(), table);
    }

    #[test]
    fn any_measures_survive(
        is_regression in any::<bool>(),
        level in prop::sample::select(&["image", "patch", "roi", "slice"][..]),
        rows in prop::collection::vec((text(), text(), 0_u32..9, prop::collection::vec(number(), 6)), 1..5),
        leakage in prop::option::of(text()),
    ) {
        let columns: &'static [&'static str] = if is_regression { &REGRESSION_COLUMNS } else { &RECONSTRUCTION_COLUMNS };
        let rows = rows.into_iter().map(|(participant, session, image_id, values)| MeasuredRow {
            identity: Identity { participant, session, image_id },
            values: values[..columns.len()].to_vec(),
        });
        let table = MeasuredTable { columns, level: level.to_owned(), leakage, rows: rows.collect() };
        prop_assert_eq!(MeasuredTable::read(&table.to_bytes(), "m", columns).unwrap(), table);
    }

    #[test]
    fn any_predictions_survive(
        classes in 1_usize..4,
        level in prop::sample::select(&["image", "patch", "roi", "slice"][..]),
        rows in prop::collection::vec(
            (text(), text(), 0_u32..9, prop::option::of(0_i64..4), 0_i64..4, prop::collection::vec(0.0_f64..1.0, 4)), 1..5,
        ),
        leakage in prop::option::of(text()),
    ) {
        let rows = rows.into_iter().map(|(participant, session, image_id, true_label, predicted_label, values)| {
            let probabilities = values[..classes].to_vec();
            PredictionRow { participant, session, image_id, true_label, predicted_label, probabilities }
        });
        let table = PredictionTable::try_new(classes, rows.collect()).unwrap();
        let table = table.of_level(level).marked(leakage.as_deref());
        prop_assert_eq!(PredictionTable::read(&table.to_bytes(), "p").unwrap(), table);
    }

    #[test]
    fn any_metrics_survive(
        values in prop::collection::vec((number(), prop::option::of((number(), number(), number()))), 1..6),
        leakage in prop::option::of(text()),
    ) {
        let columns = values.into_iter().enumerate().map(|(i, (value, bounds))| MetricColumn {
            name: format!("metric {i}"),
            value,
            interval: bounds.map(|(lower, upper, standard_error)| Interval { lower, upper, standard_error }),
        });
        let table = MetricsTable { columns: columns.collect(), leakage };
        prop_assert_eq!(MetricsTable::read(&table.to_bytes(), "m").unwrap(), table);
    }

    #[test]
    fn any_parameters_survive(
        label in text(), codes in prop::collection::btree_map(text(), 0_i64..9, 1..4),
        learning_rate in 0.0_f64..1.0, seed in any::<u64>(), sizes in prop::collection::vec(1_usize..300, 3..5),
        option in number(),
    ) {
        let params = TrainingParams {
            label: Some(label), label_code: codes.into_iter().collect(), learning_rate, seed,
            input_size: sizes, output_size: 2,
            options: Map::from_iter([("width".to_owned(), json!(option))]),
            preprocessing: [("mode".to_owned(), json!("image")), ("use_uncropped_image".to_owned(), json!(false))].into_iter().collect(),
            ..TrainingParams::default()
        };
        let parameters = MapsJson::of_training(&params);
        let bytes = parameters.to_bytes();
        let read = MapsJson::read(&bytes, "maps.json").unwrap();
        prop_assert_eq!(&read, &parameters);
        prop_assert_eq!(read.to_bytes(), bytes);
    }

    #[test]
    fn any_certificate_survives(
        groups in prop::collection::btree_map(text(), 0_u64..9, 0..3),
        checked in prop::collection::btree_map(text(), number(), 0..3),
        is_allowed in any::<bool>(),
    ) {
        let checked: Map<String, Value> = checked.into_iter().map(|(path, n)| (path, json!({ "shared": n }))).collect();
        let allowed = checked.iter().filter(|_| is_allowed).map(|(path, _)| (path.clone(), json!(["why"])));
        let certificate = LeakageJson { allowed: allowed.collect(), models_tested_on: groups, checked };
        prop_assert_eq!(LeakageJson::read(&certificate.to_bytes(), "l").unwrap(), certificate);
    }

    #[test]
    fn any_tensor_survives(array in array()) {
        prop_assert_eq!(read_pt(&write_pt(&array)).unwrap(), array);
    }

    #[test]
    fn any_checkpoint_survives(
        arrays in prop::collection::btree_map("[a-z.]{1,9}", array(), 1..4),
        epoch in prop::option::of(any::<i64>()), name in prop::option::of(text()),
    ) {
        let model: Weights = arrays.into_iter().collect();
        let checkpoint = Checkpoint { model, epoch, name };
        prop_assert_eq!(read_pth(&write_pth(&checkpoint)).unwrap(), checkpoint);
    }
}
