//! Stage `adapt`: tables of ClinicaDL 1.1.1 and older, which has one file per label, as one per part.
//!
//! # Source
//! ClinicaDL 1.6.1, `tsvtools adapt`, with these deviations: files are taken in order of their names, and
//! not in that of the disk; labels can be chosen; a session under two labels, a participant in two parts
//! and folds that are not there are told; a relative folder is like any other (1.6.1 finds nothing in it).

mod layout;

pub(super) use layout::convert;

use std::collections::BTreeMap;

use engine::{Context, InputPort, OutputPort, ParamIssue, Ports, Run, Stage, StageError};

use crate::table::Table;

engine::params! {
    /// Parameters of `adapt`.
    pub struct AdaptParams {
        /// Labels whose files are taken; an empty list for all. Default: all.
        semantic labels: Vec<String> = Vec::new(),
        /// Path of a table of the new layout, such as `split/train.tsv`, that is given as output `table` too; null for none. Default: labels.tsv.
        semantic table: Option<String> = Some("labels.tsv".to_owned()),
        /// Folder of the new layout that is given as output `splits` too: `split` or one that ends with `<n>_fold`, such as `split/5_fold`; null for none. Default: none.
        semantic splits: Option<String> = None,
    }
}

/// The number of splits in a folder of the new layout, as its name tells.
fn count(folder: &str) -> Option<usize> {
    match folder.rsplit('/').next()? {
        "split" => Some(1),
        name => name
            .strip_suffix("_fold")?
            .parse()
            .ok()
            .filter(|n| (1..=1000).contains(n)),
    }
}

/// Converts tables.
#[derive(Debug)]
pub struct Adapt;

impl Stage for Adapt {
    const ID: &'static str = "adapt";
    const VERSION: u32 = 1;
    const SUMMARY: &'static str =
        "Converts the tables of ClinicaDL 1.1.1 and older, one file per label, to one per part.";
    type Params = AdaptParams;

    fn ports(params: &AdaptParams) -> Ports {
        let mut outputs = vec![OutputPort::new(
            "tables",
            "folder",
            "All tables in the layout of ClinicaDL 1.2 and later.",
        )];
        if params.table.is_some() {
            outputs.push(OutputPort::new("table", "table", "One of them."));
        }
        if let Some(count) = params.splits.as_deref().and_then(count) {
            let summary = "Training and validation tables of one folder of them.";
            outputs.push(OutputPort::new("splits", "splits", summary).splits(count));
        }
        Ports {
            inputs: vec![InputPort::new(
                "old",
                &[],
                "Folder with one table per label, `split.json`, `kfold.json` and what they tell of.",
            )],
            outputs,
        }
    }

    fn check(params: &AdaptParams) -> Vec<ParamIssue> {
        match params.splits.as_deref() {
            Some(folder) if count(folder).is_none() => {
                let message =
                    format!("`{folder}` is neither `split` nor ends with `<n>_fold`, n up to 1000");
                vec![ParamIssue::new("splits", message)]
            }
            _ => Vec::new(),
        }
    }

    fn selects(_: &AdaptParams, _: &str, path: &str) -> bool {
        let name = path.rsplit('/').next().unwrap_or(path);
        name.ends_with(".tsv") || name == "split.json" || name == "kfold.json"
    }
}

impl Run for Adapt {
    fn run(params: &AdaptParams, context: &Context) -> Result<(), StageError> {
        let input = context.input("old")?;
        let converted = convert(params, input)?;
        let output = context.output("tables")?;
        for (path, table) in &converted.tables {
            context.check_cancelled()?;
            output.write(path, &table.to_tsv()?)?;
        }
        let find = |path: &str| {
            converted.tables.get(path).ok_or_else(|| {
                let there: Vec<String> =
                    converted.tables.keys().map(|p| format!("`{p}`")).collect();
                StageError::new(format!("`{}` gives no `{path}`", input.shown))
                    .hint(format!("it gives {}", there.join(", ")))
            })
        };
        if let Some(path) = &params.table {
            let name = path.rsplit('/').next().unwrap_or(path);
            context
                .output("table")?
                .write(name, &find(path)?.to_tsv()?)?;
        }
        let Some(folder) = &params.splits else {
            return Ok(());
        };
        for split in 0..count(folder).unwrap_or_default() {
            let place = match folder.ends_with("_fold") {
                true => format!("{folder}/split-{split}"),
                false => folder.clone(),
            };
            let subset = converted.subsets.get(&place);
            let subset = subset.map_or("validation", String::as_str);
            let files = BTreeMap::from([
                ("train", "train".to_owned()),
                ("train_baseline", "train_baseline".to_owned()),
                ("validation_baseline", format!("{subset}_baseline")),
            ]);
            let write = |name: &str, table: &Table| {
                let path = format!("split-{split}/{name}.tsv");
                context.output("splits")?.write(&path, &table.to_tsv()?)
            };
            for (name, old) in files {
                write(name, find(&format!("{place}/{old}.tsv"))?)?;
            }
            if let Some(table) = converted.tables.get(&format!("{place}/{subset}.tsv")) {
                write("validation", table)?;
            }
        }
        Ok(())
    }
}
