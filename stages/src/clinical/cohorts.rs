//! Stage `merge-cohorts`: the tables of several cohorts in one, with a column `cohort`.
//!
//! # Source
//! ClinicaDL 1.6.1 takes a table with the columns `cohort`, `path` and `diagnoses` in place of a folder,
//! and its training on it does not start. Here cohorts are inputs: their files are known by content.

use std::collections::{BTreeMap, BTreeSet};

use engine::{Context, InputPort, OutputPort, ParamIssue, Ports, Run, Stage, StageError};
use indexmap::IndexSet;

use crate::table::{COHORT, Table, is_identifier};

/// Column by which rows are chosen.
const DIAGNOSIS: &str = "diagnosis";

engine::params! {
    /// Parameters of `merge-cohorts`.
    pub struct MergeCohortsParams {
        /// Names of the cohorts, each of which is an input of its own.
        #[schemars(length(min = 1))]
        semantic cohorts: Vec<String> = Vec::new(),
        /// Diagnoses taken of a cohort; all of those that are not listed. Default: all of each.
        semantic diagnoses: BTreeMap<String, Vec<String>> = BTreeMap::new(),
    }
}

/// Puts tables of cohorts together.
#[derive(Debug)]
pub struct MergeCohorts;

impl Stage for MergeCohorts {
    const ID: &'static str = "merge-cohorts";
    const VERSION: u32 = 1;
    const SUMMARY: &'static str = "Puts the tables of several cohorts together.";
    type Params = MergeCohortsParams;

    fn ports(params: &MergeCohortsParams) -> Ports {
        let input =
            |name: &String| InputPort::new(name.clone(), &["table"], "Sessions of a cohort.");
        let summary = "Sessions of all cohorts, with a column `cohort`.";
        Ports {
            inputs: params.cohorts.iter().map(input).collect(),
            outputs: vec![OutputPort::new("labels", "table", summary)],
        }
    }

    fn check(params: &MergeCohortsParams) -> Vec<ParamIssue> {
        let mut issues = Vec::new();
        let mut refuse =
            |field: &str, message: String| issues.push(ParamIssue::new(field, message));
        if params.cohorts.is_empty() {
            refuse("cohorts", "expected at least one cohort".to_owned());
        }
        let mut seen = BTreeSet::new();
        for cohort in &params.cohorts {
            if cohort.is_empty() || !is_identifier(cohort) {
                refuse(
                    "cohorts",
                    format!("`{cohort}` cannot be the name of a cohort"),
                );
            }
            if !seen.insert(cohort) {
                refuse("cohorts", format!("`{cohort}` is there twice"));
            }
        }
        for (cohort, diagnoses) in &params.diagnoses {
            if !seen.contains(cohort) {
                refuse("diagnoses", format!("`{cohort}` is none of `cohorts`"));
            }
            if diagnoses.is_empty() {
                refuse("diagnoses", format!("nothing would be taken of `{cohort}`"));
            }
        }
        issues
    }
}

impl Run for MergeCohorts {
    fn run(params: &MergeCohortsParams, context: &Context) -> Result<(), StageError> {
        let read = |cohort: &String| {
            let table = Table::read(context.input(cohort)?.only_file()?)?;
            Ok((cohort.clone(), table))
        };
        let tables = params.cohorts.iter().map(read);
        let tables = tables.collect::<Result<Vec<_>, StageError>>()?;
        let merged = merge(params, &tables)?;
        context
            .output("labels")?
            .write("labels.tsv", &merged.to_tsv()?)
    }
}

/// All rows, cohort by cohort; a column that a cohort lacks is empty there.
pub(super) fn merge(
    params: &MergeCohortsParams,
    tables: &[(String, Table)],
) -> Result<Table, StageError> {
    let mut columns: IndexSet<String> = IndexSet::new();
    for (_, table) in tables {
        table.sessions()?;
        columns.extend(
            table
                .columns()
                .iter()
                .filter(|name| *name != COHORT)
                .cloned(),
        );
    }
    let mut rows = Vec::new();
    for (cohort, table) in tables {
        let wanted = params.diagnoses.get(cohort);
        let diagnoses = match wanted {
            Some(_) => table.texts(DIAGNOSIS)?,
            None => Vec::new(),
        };
        let places: Vec<Option<usize>> = columns
            .iter()
            .map(|name| table.columns().iter().position(|column| column == name))
            .collect();
        let before = rows.len();
        let is_wanted = |row: usize| {
            wanted.is_none_or(|wanted| wanted.iter().any(|name| name == diagnoses[row]))
        };
        for row in (0..table.len()).filter(|&row| is_wanted(row)) {
            let cells = places.iter().map(|place| {
                place
                    .map_or("", |column| table.cell(row, column))
                    .to_owned()
            });
            rows.push(cells.chain([cohort.clone()]).collect());
        }
        if rows.len() == before {
            let message = format!("`{}` of cohort `{cohort}` gives no row", table.shown());
            return Err(
                StageError::new(message).hint("change `diagnoses`, or leave the cohort out")
            );
        }
    }
    let columns = columns.into_iter().chain([COHORT.to_owned()]).collect();
    Ok(Table::of_rows("labels", columns, rows))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(name: &str, text: &str) -> (String, Table) {
        let table = Table::parse(text.replace(' ', "\t").as_bytes(), name).unwrap();
        (name.to_owned(), table)
    }

    fn params(diagnoses: &[(&str, &[&str])]) -> MergeCohortsParams {
        let list = |names: &&[&str]| names.iter().map(|&name| name.to_owned()).collect();
        MergeCohortsParams {
            cohorts: vec!["adni".to_owned(), "aibl".to_owned()],
            diagnoses: diagnoses
                .iter()
                .map(|(c, names)| ((*c).to_owned(), list(names)))
                .collect(),
        }
    }

    #[test]
    fn rows_keep_their_cohort_and_columns_that_one_lacks_are_empty() {
        let tables = [
            table(
                "adni",
                "participant_id session_id diagnosis age\nsub-1 ses-M000 AD 70\nsub-2 ses-M000 CN 60\n",
            ),
            table(
                "aibl",
                "participant_id session_id diagnosis site\nsub-1 ses-M000 CN x\n",
            ),
        ];
        let text = |params: &MergeCohortsParams| {
            String::from_utf8(merge(params, &tables).unwrap().to_tsv().unwrap()).unwrap()
        };
        assert_eq!(
            text(&params(&[])),
            "participant_id\tsession_id\tdiagnosis\tage\tsite\tcohort\n\
             sub-1\tses-M000\tAD\t70\t\tadni\nsub-2\tses-M000\tCN\t60\t\tadni\n\
             sub-1\tses-M000\tCN\t\tx\taibl\n"
        );
        assert_eq!(text(&params(&[("adni", &["AD"])])).lines().count(), 3);
        let error = merge(&params(&[("aibl", &["AD"])]), &tables).unwrap_err();
        assert_eq!(error.message, "`aibl` of cohort `aibl` gives no row");
    }

    #[test]
    fn names_that_cannot_be_and_cohorts_that_are_not_there_are_told() {
        assert!(MergeCohorts::check(&params(&[("adni", &["AD"])])).is_empty());
        let mut odd = params(&[("oasis", &[])]);
        odd.cohorts.extend(["adni".to_owned(), "a/b".to_owned()]);
        let fields: Vec<String> = MergeCohorts::check(&odd)
            .into_iter()
            .map(|i| i.field)
            .collect();
        assert_eq!(fields, ["cohorts", "cohorts", "diagnoses", "diagnoses"]);
        assert_eq!(MergeCohorts::check(&MergeCohortsParams::default()).len(), 1);
    }
}
