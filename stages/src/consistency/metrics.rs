//! Metrics tables against the predictions that they are of.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use maps::files::{MeasuredTable, MetricsTable, NetworkMetrics, PredictionTable};
use maps::files::{RECONSTRUCTION_COLUMNS, REGRESSION_COLUMNS};
use maps::layout::{LEVELS, SplitPath};
use maps::{Maps, MapsIssue};

use super::relative;
use crate::learning::names::Task;
use crate::metrics::{METRICS, Outcomes, REGRESSION};

/// How far a value may be from its formula, in units of the larger of it and 1: sums have another order.
const TOLERANCE: f64 = 1e-9;
/// The same for reconstructions, whose measures ClinicaDL adds up in 32 bits.
const SINGLE: f64 = 1e-6;

/// The line of values, in the layout with intervals and in the one without.
const VALUES: u64 = 2;

/// What every version of ClinicaDL writes for a task. A metric that came later may be missing.
const fn always(task: Task) -> &'static [&'static str] {
    match task {
        Task::Classification => &["accuracy", "sensitivity", "specificity"],
        Task::Regression | Task::Reconstruction => &["MAE", "RMSE"],
    }
}

/// Checks every table of a model on a data group.
pub(super) fn check(maps: &Maps, split: usize, metric: &str, group: &str) -> Vec<MapsIssue> {
    tables(maps, metric, group, |path| maps.path(split, path))
}

/// Checks every table of an ensemble on a data group.
pub(super) fn check_ensemble(maps: &Maps, name: &str, metric: &str, group: &str) -> Vec<MapsIssue> {
    tables(maps, metric, group, |path| maps.ensemble_path(name, path))
}

fn tables<'a>(
    maps: &Maps,
    metric: &'a str,
    group: &'a str,
    place: impl Fn(SplitPath<'a>) -> PathBuf,
) -> Vec<MapsIssue> {
    let name = maps.parameters().network_task().unwrap_or_default();
    let Some(&task) = Task::ALL.iter().find(|task| task.name() == name) else {
        return Vec::new();
    };
    let mut issues = Vec::new();
    for level in LEVELS {
        let path = place(SplitPath::Metrics {
            metric,
            group,
            level,
        });
        let predictions = place(SplitPath::Prediction {
            metric,
            group,
            level,
        });
        let (Ok(table), Ok(predictions)) = (fs::read(&path), fs::read(&predictions)) else {
            continue;
        };
        let file = relative(maps, &path);
        issues.extend(check_table(task, &file, &table, &predictions));
    }
    issues
}

/// Compares a table of metrics with a table of predictions: as a whole, or the table of each network with the
/// predictions of its parts.
fn check_table(task: Task, file: &str, table: &[u8], predictions: &[u8]) -> Vec<MapsIssue> {
    let several = NetworkMetrics::read(table, file).unwrap_or_default();
    if several.networks.is_empty() {
        let Ok(table) = MetricsTable::read(table, file) else {
            return Vec::new();
        };
        let expected = values(task, predictions).unwrap_or_default();
        return match expected.is_empty() {
            true => Vec::new(),
            false => compare(task, (file, VALUES), &table, &expected),
        };
    }
    let Some(parts) = Parts::of(predictions) else {
        return Vec::new();
    };
    let networks: Vec<usize> = several
        .networks
        .iter()
        .map(|(network, _)| *network)
        .collect();
    let mut issues = Vec::new();
    let mut line = VALUES;
    for ((_, table), part) in several.networks.iter().zip(parts.of_networks(&networks)) {
        if let Some(expected) = part.and_then(|part| values(task, parts.table(part).as_bytes())) {
            issues.extend(compare(task, (file, line), table, &expected));
        }
        line += lines_of(table);
    }
    issues
}

/// The lines of the table of a network, with that of its number.
fn lines_of(table: &MetricsTable) -> u64 {
    let bytes = table.to_bytes();
    1 + bytes.iter().filter(|&&byte| byte == b'\n').count() as u64
}

/// The rows of a table of predictions by the number of their part.
struct Parts<'a> {
    header: &'a str,
    rows: BTreeMap<usize, Vec<&'a str>>,
}

impl<'a> Parts<'a> {
    /// `None` where the table has no column of parts.
    fn of(predictions: &'a [u8]) -> Option<Self> {
        let mut lines = std::str::from_utf8(predictions).ok()?.lines();
        let header = lines.next()?;
        let names = LEVELS.map(|level| format!("{level}_id"));
        let is_part = |name: &str| names.iter().any(|known| known == name);
        let column = header.split('\t').position(is_part)?;
        let mut rows: BTreeMap<usize, Vec<&str>> = BTreeMap::new();
        for line in lines {
            let part = line.split('\t').nth(column)?.parse().ok()?;
            rows.entry(part).or_default().push(line);
        }
        Some(Self { header, rows })
    }

    /// The part of each network: that of its number, or, as ClinicaDL 1.6.1 numbers slices from the first of the
    /// image and networks from the first that is kept, that of its rank.
    fn of_networks(&self, networks: &[usize]) -> Vec<Option<usize>> {
        let are_numbers = networks
            .iter()
            .all(|network| self.rows.contains_key(network));
        let are_ranks = networks.len() == self.rows.len() && networks.is_sorted();
        let ranks = self.rows.keys().copied();
        match (are_numbers, are_ranks) {
            (true, _) => networks.iter().copied().map(Some).collect(),
            (false, true) => ranks.map(Some).collect(),
            (false, false) => vec![None; networks.len()],
        }
    }

    fn table(&self, part: usize) -> String {
        let rows = self.rows.get(&part).into_iter().flatten().copied();
        let lines: Vec<&str> = std::iter::once(self.header).chain(rows).collect();
        lines.join("\n") + "\n"
    }
}

/// The metrics that follow from a table of predictions, by column; none without labels.
fn values(task: Task, predictions: &[u8]) -> Option<Vec<(String, f64)>> {
    match task {
        Task::Classification => of_classes(&PredictionTable::read(predictions, "").ok()?),
        Task::Regression => {
            let table = MeasuredTable::read(predictions, "", &REGRESSION_COLUMNS).ok()?;
            let pairs = table.rows.iter().map(|row| (row.values[0], row.values[1]));
            let (truth, predicted): (Vec<f64>, Vec<f64>) = pairs.unzip();
            if truth.is_empty()
                || truth
                    .iter()
                    .all(|number| (number + 1.0).abs() < f64::EPSILON)
            {
                return None;
            }
            let each = REGRESSION.iter();
            Some(
                each.map(|metric| {
                    let column = metric.about().column.to_owned();
                    (column, metric.value(&truth, &predicted))
                })
                .collect(),
            )
        }
        Task::Reconstruction => {
            let table = MeasuredTable::read(predictions, "", &RECONSTRUCTION_COLUMNS).ok()?;
            let count = table.rows.len() as f64;
            let columns = RECONSTRUCTION_COLUMNS.iter().enumerate();
            let mean = |column: usize| {
                let sum: f64 = table.rows.iter().map(|row| row.values[column]).sum();
                sum / count
            };
            (count > 0.0).then(|| {
                columns
                    .map(|(column, name)| ((*name).to_owned(), mean(column)))
                    .collect()
            })
        }
    }
}

fn of_classes(table: &PredictionTable) -> Option<Vec<(String, f64)>> {
    let classes = table.n_classes();
    let code = |code: i64| usize::try_from(code).ok().filter(|&code| code < classes);
    let (mut truth, mut predicted, mut probabilities) = (Vec::new(), Vec::new(), Vec::new());
    for row in table.rows() {
        truth.push(code(row.true_label?)?);
        predicted.push(code(row.predicted_label)?);
        probabilities.extend(row.probabilities.iter().copied());
    }
    if truth.is_empty() {
        return None;
    }
    let outcomes = Outcomes {
        classes,
        truth: &truth,
        predicted: &predicted,
        probabilities: &probabilities,
    };
    let mut values = Vec::new();
    for metric in METRICS {
        values.push((metric.column().to_owned(), metric.value(&outcomes)));
        // ClinicaDL writes each class of several as a column of its own.
        let each = if metric.is_by_class() { classes } else { 0 };
        values.extend((0..each).map(|class| {
            let name = format!("{}-{class}", metric.column());
            (name, metric.of_class(&outcomes, class))
        }));
    }
    Some(values)
}

fn compare(
    task: Task,
    (file, line): (&str, u64),
    table: &MetricsTable,
    expected: &[(String, f64)],
) -> Vec<MapsIssue> {
    let tolerance = match task {
        Task::Reconstruction => SINGLE,
        _ => TOLERANCE,
    };
    let mut issues = Vec::new();
    for (name, value) in expected {
        let Some(column) = table.get(name) else {
            continue;
        };
        let scale = value.abs().max(1.0);
        let is_near = (column.value - value).abs() <= tolerance * scale;
        let is_undefined = column.value.is_nan() && value.is_nan();
        if !is_near && !is_undefined {
            let message = format!(
                "is {}, but {value} follows from the predictions",
                column.value
            );
            issues.push(MapsIssue::new(file, message).at(Some(line)).in_column(name));
        }
    }
    for name in always(task) {
        let of_class = format!("{name}-0");
        if table.get(name).is_none() && table.get(&of_class).is_none() {
            issues.push(MapsIssue::new(file, format!("has no column `{name}`")));
        }
    }
    issues
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn peer() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/reference/maps/peer")
    }

    fn compared(name: &str, change: f64) -> Vec<String> {
        let path = "split-0/best-loss/train/train_image_level";
        let read = |end: &str| fs::read(peer().join(format!("{path}_{end}.tsv"))).unwrap();
        let mut table = MetricsTable::read(&read("metrics"), "m.tsv").unwrap();
        for column in &mut table.columns {
            if column.name == name {
                column.value += change;
            }
        }
        let expected = values(Task::Classification, &read("prediction")).unwrap();
        let issues = compare(Task::Classification, ("m.tsv", VALUES), &table, &expected);
        issues.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn metrics_of_clinicadl_follow_from_its_predictions() {
        let maps = Maps::open(&peer()).unwrap();
        for group in ["train", "validation", "test"] {
            assert_eq!(maps.levels(0, "loss", group), ["image"]);
            assert_eq!(check(&maps, 0, "loss", group), []);
        }
    }

    #[test]
    fn a_metric_that_does_not_follow_is_told_with_both_numbers() {
        assert_eq!(compared("BA", 1e-12), Vec::<String>::new());
        let issues = compared("BA", 0.125);
        assert_eq!(issues.len(), 1, "{issues:?}");
        assert!(
            issues[0].starts_with("m.tsv, line 2, column `BA`: is "),
            "{issues:?}"
        );
        assert!(
            issues[0].ends_with("follows from the predictions"),
            "{issues:?}"
        );
        assert_eq!(
            compared("loss", 1.0),
            Vec::<String>::new(),
            "the loss is not in predictions"
        );
    }

    #[test]
    fn metrics_of_networks_of_parts_follow_from_the_predictions_of_their_parts() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
        let folder = folder.join("../tests/reference/learning/multi_maps");
        let maps = Maps::open(&folder).unwrap();
        assert_eq!(check(&maps, 0, "loss", "validation"), []);
        let path = "split-0/best-loss/validation/validation_slice_level";
        let read =
            |end: &str| fs::read_to_string(folder.join(format!("{path}_{end}.tsv"))).unwrap();
        let (metrics, predictions) = (read("metrics"), read("prediction"));
        // The specificity of the second network, whose slice has the number 9.
        let (before, after) = metrics.split_once("Values\t0.5\t0.5\t0\t0.0\t1.0").unwrap();
        let changed = format!("{before}Values\t0.5\t0.5\t0\t0.0\t0.75{after}");
        let told = |metrics: &str, predictions: &str| -> Vec<String> {
            let (metrics, predictions) = (metrics.as_bytes(), predictions.as_bytes());
            let issues = check_table(Task::Classification, "m.tsv", metrics, predictions);
            issues.iter().map(ToString::to_string).collect()
        };
        let expected =
            "m.tsv, line 8, column `specificity`: is 0.75, but 1 follows from the predictions";
        assert_eq!(told(&changed, &predictions), [expected]);
        // Ours count parts from 0.
        let ours = predictions
            .replace("\t8\t", "\t0\t")
            .replace("\t9\t", "\t1\t");
        assert_eq!(told(&changed, &ours), [expected]);
        assert_eq!(told(&metrics, &ours), Vec::<String>::new());
        // Nothing tells which is whose.
        let strange = predictions.replacen("\t8\t", "\t5\t", 1);
        assert_eq!(told(&changed, &strange), Vec::<String>::new());
    }

    #[test]
    fn a_metric_that_is_missing_is_told() {
        let issues = compare(
            Task::Regression,
            ("m.tsv", VALUES),
            &MetricsTable::default(),
            &[],
        );
        let issues: Vec<String> = issues.iter().map(ToString::to_string).collect();
        assert_eq!(
            issues,
            ["m.tsv: has no column `MAE`", "m.tsv: has no column `RMSE`"]
        );
    }

    #[test]
    fn numbers_and_measures_have_their_metrics() {
        let text = "participant_id\tsession_id\timage_id\ttrue_label\tpredicted_label\n\
                    sub-1\tses-1\t0\t60.0\t61.0\nsub-2\tses-1\t0\t70.0\t67.0\n";
        let found = values(Task::Regression, text.as_bytes()).unwrap();
        // (1 + 3) / 2, and the root of (1 + 9) / 2.
        assert!(
            found
                .iter()
                .any(|(name, value)| name == "MAE" && (value - 2.0).abs() < 1e-12)
        );
        let root = 5.0_f64.sqrt();
        assert!(
            found
                .iter()
                .any(|(name, value)| name == "RMSE" && (value - root).abs() < 1e-12)
        );
        let text = text.replace("60.0", "-1.0").replace("70.0", "-1.0");
        assert_eq!(values(Task::Regression, text.as_bytes()), None);
        let text = "participant_id\tsession_id\timage_id\tMAE\tRMSE\tPSNR\tSSIM\n\
                    sub-1\tses-1\t0\t1.0\t2.0\t3.0\t4.0\nsub-2\tses-1\t0\t3.0\t2.0\t5.0\t0.0\n";
        let found = values(Task::Reconstruction, text.as_bytes()).unwrap();
        let expected = [("MAE", 2.0), ("RMSE", 2.0), ("PSNR", 4.0), ("SSIM", 2.0)];
        let expected = expected.map(|(name, value)| (name.to_owned(), value));
        assert_eq!(found[..4], expected);
        // What came later is not in tables of ClinicaDL 1.6.1.
        assert!(found[4..].iter().all(|(_, value)| value.is_nan()));
    }
}
