//! The tables of a comparison, and its summary in words.

use std::collections::{BTreeMap, BTreeSet};

use super::{CompareParams, Compared};

/// A number as Python writes it; empty where it is undefined.
fn cell(value: f64) -> String {
    match value {
        nan if nan.is_nan() => String::new(),
        value => format!("{value:?}"),
    }
}

fn table(header: &[&str], rows: impl Iterator<Item = Vec<String>>) -> Vec<u8> {
    let mut text = header.join("\t") + "\n";
    for row in rows {
        text.push_str(&row.join("\t"));
        text.push('\n');
    }
    text.into_bytes()
}

/// Every metric of every run on every split, beside the reference.
pub(super) fn differences(all: &[Compared]) -> Vec<u8> {
    let header = [
        "split",
        "model",
        "run",
        "reference",
        "metric",
        "value",
        "reference_value",
        "difference",
        "lower",
        "upper",
        "standard_error",
    ];
    let rows = all.iter().flat_map(|compared| {
        compared.metrics.iter().map(|metric| {
            let (reference, interval) = metric.beside.unwrap_or((f64::NAN, None));
            let bounds = interval.map_or([f64::NAN; 3], |i| [i.lower, i.upper, i.standard_error]);
            let numbers = [metric.value, reference, metric.value - reference];
            let mut row = vec![
                compared.split.to_string(),
                compared.model.clone(),
                compared.run.clone(),
                compared.reference.clone(),
                metric.metric.to_owned(),
            ];
            row.extend(numbers.into_iter().chain(bounds).map(cell));
            row
        })
    });
    table(&header, rows)
}

/// Every test.
pub(super) fn tests(all: &[Compared]) -> Vec<u8> {
    let header = [
        "split",
        "model",
        "run",
        "reference",
        "test",
        "difference",
        "lower",
        "upper",
        "statistic",
        "p_value",
    ];
    let rows = all.iter().flat_map(|compared| {
        compared.tests.iter().map(|test| {
            let (lower, upper) = test.interval.unwrap_or((f64::NAN, f64::NAN));
            let mut row = vec![
                compared.split.to_string(),
                compared.model.clone(),
                compared.run.clone(),
                compared.reference.clone(),
                test.test.clone(),
            ];
            let numbers = [test.difference, lower, upper, test.statistic, test.p_value];
            row.extend(numbers.map(cell));
            row
        })
    });
    table(&header, rows)
}

/// Mean and deviation of some values.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Spread {
    count: usize,
    mean: f64,
    /// NaN of one value.
    deviation: f64,
}

impl Spread {
    fn of(values: &[f64]) -> Self {
        let n = values.len() as f64;
        let mean = values.iter().sum::<f64>() / n;
        let squares: f64 = values.iter().map(|v| (v - mean).powi(2)).sum();
        Self {
            count: values.len(),
            mean,
            deviation: match values.len() {
                1 => f64::NAN,
                _ => (squares / (n - 1.0)).sqrt(),
            },
        }
    }
}

/// By model, metric, and what is held: `run` or `split`.
type Series = BTreeMap<(String, String, String), Vec<f64>>;

/// How metrics spread over splits, run by run, and over runs with other seeds, split by split.
pub(super) fn spreads(all: &[Compared]) -> Vec<u8> {
    let header = [
        "model",
        "metric",
        "over",
        "of",
        "count",
        "mean",
        "standard_deviation",
    ];
    let mut rows = Vec::new();
    for over in ["splits", "seeds"] {
        for ((model, metric, of), values) in series(all, over) {
            let spread = Spread::of(&values);
            // One seed has no spread over seeds.
            if over == "splits" || spread.count > 1 {
                let numbers = [cell(spread.mean), cell(spread.deviation)];
                let mut row = vec![model, metric, over.to_owned(), of, spread.count.to_string()];
                row.extend(numbers);
                rows.push(row);
            }
        }
    }
    table(&header, rows.into_iter())
}

fn series(all: &[Compared], over: &str) -> Series {
    let mut series = Series::new();
    for compared in all {
        for metric in &compared.metrics {
            let of = match over {
                "splits" => compared.run.clone(),
                _ => format!("split-{}", compared.split),
            };
            let key = (compared.model.clone(), metric.metric.to_owned(), of);
            series.entry(key).or_default().push(metric.value);
        }
    }
    series
}

/// What a reader wants to know first.
pub(super) fn text(params: &CompareParams, all: &[Compared], leakage: &BTreeSet<&str>) -> String {
    let group = &params.data_group;
    let splits: BTreeSet<usize> = all.iter().map(|compared| compared.split).collect();
    let mut text = format!(
        "Models on data group {group}, {} split(s); reference: {}\n",
        splits.len(),
        params.models[0]
    );
    for leak in leakage {
        text.push_str(&format!("Data leakage, allowed: {leak}\n"));
    }
    text.push_str("\nMean and standard deviation over splits\n");
    for ((_, metric, run), values) in series(all, "splits") {
        let spread = Spread::of(&values);
        text.push_str(&format!("  {metric:<36} {run:<24} {}\n", told(spread)));
    }
    let seeds: Vec<_> = series(all, "seeds")
        .into_iter()
        .filter(|(_, v)| v.len() > 1)
        .collect();
    if !seeds.is_empty() {
        text.push_str("\nMean and standard deviation over seeds\n");
    }
    for ((model, metric, split), values) in seeds {
        let spread = Spread::of(&values);
        text.push_str(&format!(
            "  {metric:<36} {model} {split:<10} {}\n",
            told(spread)
        ));
    }
    text.push_str("\nDifferences from the reference, 95 % intervals over participants\n");
    let mut count = 0;
    for compared in all.iter().filter(|compared| !compared.reference.is_empty()) {
        let head = format!(
            "{} - {}, split {}",
            compared.run, compared.reference, compared.split
        );
        text.push_str(&format!("  {head}\n"));
        for metric in &compared.metrics {
            let Some((reference, interval)) = metric.beside else {
                continue;
            };
            let interval = interval.map_or("no interval".to_owned(), |interval| {
                count += 1;
                format!("[{:+.4}, {:+.4}]", interval.lower, interval.upper)
            });
            let difference = metric.value - reference;
            text.push_str(&format!(
                "    {:<36} {difference:+.4} {interval}\n",
                metric.metric
            ));
        }
        for test in &compared.tests {
            count += 1;
            text.push_str(&format!("    {:<36} p = {:.4}\n", test.test, test.p_value));
        }
    }
    text.push_str(&format!(
        "\n{count} intervals and tests, not corrected for their number. Splits share participants of\n\
         their trainings: their deviation is no standard error.\n"
    ));
    text
}

fn told(spread: Spread) -> String {
    match spread.deviation.is_nan() {
        true => format!("{:.4}", spread.mean),
        false => format!(
            "{:.4} ± {:.4} of {}",
            spread.mean, spread.deviation, spread.count
        ),
    }
}
