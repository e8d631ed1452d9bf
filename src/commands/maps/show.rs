//! `clinicadl maps show`.

use std::fmt::Write;

use maps::Maps;
use maps::files::Interval;
use stages::metrics::find;

use super::summary::{self, Filter, Group, Joined, Model, Row};
use super::{Session, unreadable};
use crate::cli::MapsShowArgs;
use crate::failure::{Code, Failure};
use crate::table::Table;

pub(super) fn show_maps(session: &Session, args: &MapsShowArgs) -> Result<(), Failure> {
    let maps = Maps::open(&args.maps).map_err(unreadable)?;
    let columns = args.metric.iter();
    let columns = columns.map(|name| find(name).map_or(name.clone(), |m| m.column.to_owned()));
    let filter = Filter {
        splits: &args.split,
        groups: &args.group,
        metrics: columns.collect(),
    };
    let known: Vec<String> = maps.splits().iter().map(usize::to_string).collect();
    for split in &args.split {
        must_be_known("split", &split.to_string(), &known)?;
    }
    let known = maps.groups().map_err(unreadable)?;
    for group in &args.group {
        must_be_known("data group", group, &known)?;
    }
    let groups = summary::groups(&maps, &filter)?;
    let models = summary::models(&maps, &filter)?;
    let rows = summary::rows(&maps, &filter)?;
    let joined = summary::joined(&maps, &filter)?;
    if rows.is_empty() && joined.is_empty() && !args.metric.is_empty() {
        let all = Filter {
            metrics: Vec::new(),
            ..filter
        };
        let mut known: Vec<String> = Vec::new();
        for row in summary::rows(&maps, &all)? {
            if !known.contains(&row.metric) {
                known.push(row.metric);
            }
        }
        must_be_known("metric", &args.metric[0], &known)?;
    }
    let json = summary::json(&maps, &groups, &models, &rows, &joined);
    let mut text = heading(&maps);
    text.push_str(&group_table(&groups));
    text.push_str(&model_table(&models));
    text.push_str(&metric_tables(&maps, &filter, &rows));
    text.push_str(&ensemble_tables(&joined));
    session.print(text, &json);
    Ok(())
}

/// A table for each ensemble, data group and level.
fn ensemble_tables(rows: &[Joined]) -> String {
    let place = |row: &Joined| {
        (
            row.ensemble.clone(),
            row.selected_by.clone(),
            row.group.clone(),
            row.level,
        )
    };
    let mut text = String::new();
    for rows in rows.chunk_by(|a, b| place(a) == place(b)) {
        let mut table = Table::new(["metric", "all splits"]);
        for row in rows {
            let value = value_cell(row.column.value, row.column.interval);
            table.row([row.column.name.clone(), value]);
        }
        let (ensemble, selected_by, group, level) = place(&rows[0]);
        // Writing to a String cannot fail.
        let _ = write!(
            text,
            "\n{group}, ensemble `{ensemble}` of best-{selected_by}, {level} level\n{table}"
        );
    }
    text
}

fn must_be_known(what: &str, name: &str, known: &[String]) -> Result<(), Failure> {
    if known.iter().any(|known| known == name) {
        return Ok(());
    }
    let known: Vec<String> = known.iter().map(|name| format!("`{name}`")).collect();
    let failure = Failure::new(Code::Invalid, format!("the MAPS has no {what} `{name}`"));
    if known.is_empty() {
        return Err(failure);
    }
    Err(failure.hint(format!("known: {}", known.join(", "))))
}

fn heading(maps: &Maps) -> String {
    let parameters = maps.parameters();
    let unknown = "unknown";
    let task = parameters.network_task().unwrap_or(unknown);
    let label = parameters.label().ok().flatten();
    let of_label = label.map_or_else(String::new, |label| format!(" of `{label}`"));
    let codes = parameters.label_code().unwrap_or_default();
    let codes: Vec<String> = codes
        .iter()
        .map(|(l, code)| format!("{l} {code}"))
        .collect();
    let codes = if codes.is_empty() {
        String::new()
    } else {
        format!(": {}", codes.join(", "))
    };
    let sizes = parameters.input_size().unwrap_or_default();
    let sizes: Vec<String> = sizes.iter().map(usize::to_string).collect();
    let network = parameters.architecture().unwrap_or(unknown);
    let mode = parameters.mode().unwrap_or(unknown);
    let splits: Vec<String> = maps.splits().iter().map(usize::to_string).collect();
    let number = |key: &str| {
        let value = parameters.fields().get(key);
        value.map_or_else(|| unknown.to_owned(), ToString::to_string)
    };
    format!(
        "{}\n  network   {network}, mode {mode}, {}\n  task      {task}{of_label}{codes}\n  \
         training  {} epochs at most, batches of {}, seed {}\n  splits    {}\n",
        maps.folder().display(),
        sizes.join("×"),
        number("epochs"),
        number("batch_size"),
        number("seed"),
        splits.join(", "),
    )
}

fn group_table(groups: &[Group]) -> String {
    let mut table = Table::new(["group", "split", "participants", "sessions", "labels"]);
    for group in groups {
        let labels = group
            .labels
            .iter()
            .map(|(label, count)| format!("{label} {count}"));
        table.row([
            group.name.clone(),
            group
                .split
                .map_or_else(|| "all".to_owned(), |split| split.to_string()),
            group.participants.to_string(),
            group.sessions.to_string(),
            labels.collect::<Vec<_>>().join(", "),
        ]);
    }
    format!("\nData groups\n{table}")
}

fn model_table(models: &[Model]) -> String {
    let mut table = Table::new(["split", "selected by", "epoch", "evaluations"]);
    for model in models {
        let number = |number: Option<u64>| number.map_or_else(|| "-".to_owned(), |n| n.to_string());
        table.row([
            model.split.to_string(),
            model.selected_by.clone(),
            number(model.epoch),
            number(model.evaluations.map(|count| count as u64)),
        ]);
    }
    format!("\nModels (epochs count from 0)\n{table}")
}

/// A table for each data group, model and level.
fn metric_tables(maps: &Maps, filter: &Filter<'_>, rows: &[Row]) -> String {
    let splits: Vec<usize> = maps.splits();
    let splits: Vec<usize> = splits
        .into_iter()
        .filter(|&s| filter.has_split(s))
        .collect();
    let mut text = String::new();
    let mut places: Vec<(&str, &str, &str)> = Vec::new();
    for row in rows {
        let place = (
            row.group.as_str(),
            row.selected_by.as_str(),
            row.level.as_str(),
        );
        if !places.contains(&place) {
            places.push(place);
        }
    }
    for (group, selected_by, level) in places {
        let mut header = vec!["metric".to_owned()];
        header.extend(splits.iter().map(|split| format!("split {split}")));
        if splits.len() > 1 {
            header.push("mean ± sd".to_owned());
        }
        let mut table = Table::new(header);
        let here =
            |row: &&Row| row.group == group && row.selected_by == selected_by && row.level == level;
        for row in rows.iter().filter(here) {
            let mut cells = vec![row.metric.clone()];
            cells.extend(splits.iter().map(|split| cell(row, *split)));
            if splits.len() > 1 {
                cells.push(mean_cell(row));
            }
            table.row(cells);
        }
        // Writing to a String cannot fail.
        let _ = write!(
            text,
            "\n{group}, best-{selected_by}, {level} level\n{table}"
        );
    }
    text
}

fn cell(row: &Row, split: usize) -> String {
    match row.values.get(&split) {
        None => "-".to_owned(),
        Some((value, interval)) => value_cell(*value, *interval),
    }
}

fn value_cell(value: f64, interval: Option<Interval>) -> String {
    match interval {
        None => short(value),
        Some(interval) => format!(
            "{} [{}, {}]",
            short(value),
            short(interval.lower),
            short(interval.upper)
        ),
    }
}

fn mean_cell(row: &Row) -> String {
    match row.mean() {
        (Some(mean), Some(deviation)) => format!("{} ± {}", short(mean), short(deviation)),
        (Some(mean), None) => short(mean),
        (None, _) => "-".to_owned(),
    }
}

/// Four digits after the point, or where that is nothing in powers of ten.
fn short(value: f64) -> String {
    let size = value.abs();
    if value.is_nan() {
        "-".to_owned()
    } else if size > 0.0 && !(1e-3..1e6).contains(&size) {
        format!("{value:.3e}")
    } else {
        format!("{value:.4}")
    }
}
