//! Stage `split`: one partition of the participants, stratified and balanced.

use std::collections::BTreeMap;

use engine::{Context, InputPort, OutputPort, ParamIssue, Ports, Run, Stage, StageError};
use rand::Rng;
use rand::seq::SliceRandom;

use super::write_split;
use crate::statistics::{chi_square, t_test};
use crate::table::{Table, is_missing};

engine::params! {
    /// Parameters of `split`.
    pub struct SplitParams {
        /// Participants held out: a fraction below 1, or a number. Default: 0.2.
        #[schemars(range(min = 0.0))]
        semantic n_test: f64 = 0.2,
        /// Column whose values both parts have in the same proportions; null for none. Default: diagnosis.
        semantic label: Option<String> = Some("diagnosis".to_owned()),
        /// Columns in which the parts must not differ: numbers by a t-test, others by a chi-square test on counts. Default: age and sex.
        semantic balance: Vec<String> = vec!["age".to_owned(), "sex".to_owned()],
        /// Least p-value of those tests, 0 to 1. Default: 0.8.
        #[schemars(range(min = 0.0, max = 1.0))]
        semantic p_threshold: f64 = 0.8,
        /// Partitions tried before giving up. Default: 1000.
        #[schemars(range(min = 1))]
        semantic max_trials: usize = 1000,
        /// Also write all sessions of the held-out part as `validation.tsv` of `splits`. Default: false.
        semantic validation_longitudinal: bool = false,
    }
}

/// Holds participants out.
#[derive(Debug)]
pub struct Split;

impl Stage for Split {
    const ID: &'static str = "split";
    const VERSION: u32 = 1;
    const SUMMARY: &'static str = "Holds participants out, stratified by label, balanced by age and sex.";
    const SEEDED: bool = true;
    type Params = SplitParams;

    fn ports(_: &SplitParams) -> Ports {
        Ports {
            inputs: vec![InputPort::new("labels", &["table"], "Sessions with their labels.")],
            outputs: vec![
                OutputPort::new("train", "table", "All sessions of the larger part."),
                OutputPort::new("test", "table", "All sessions of the held-out part."),
                OutputPort::new("splits", "splits", "The same as training and validation.").splits(1),
            ],
        }
    }

    fn check(params: &SplitParams) -> Vec<ParamIssue> {
        let n = params.n_test;
        if n <= 0.0 {
            let message = "0 holds nobody out: leave the stage away, or give a fraction or a number";
            return vec![ParamIssue::new("n_test", message)];
        }
        if n >= 1.0 && n.fract() != 0.0 {
            let message = format!("{n} is neither a fraction below 1 nor a whole number");
            return vec![ParamIssue::new("n_test", message)];
        }
        Vec::new()
    }
}

impl Run for Split {
    fn run(params: &SplitParams, context: &Context) -> Result<(), StageError> {
        let table = Table::read(context.input("labels")?.only_file()?)?;
        let baseline = table.baseline()?;
        let n_test = size_of_test(params, &table, baseline.len())?;
        let classes = classes(params, &table, &baseline, n_test)?;
        let columns = params
            .balance
            .iter()
            .map(|name| Balanced::read(&table, name, &baseline))
            .collect::<Result<Vec<_>, _>>()?;
        let test = search(params, &table, &classes, &columns, n_test, context)?;
        let rows = |inside: bool| -> Vec<usize> {
            let members = baseline.iter().zip(&test);
            members.filter(|(_, held)| **held == inside).map(|(row, _)| *row).collect()
        };
        let (train, test) = (rows(false), rows(true));
        let sessions = |part: &[usize]| -> Result<Vec<u8>, StageError> {
            let mut rows = table.longitudinal(part)?;
            rows.sort_unstable();
            table.select(&rows).to_tsv()
        };
        context.output("train")?.write("train.tsv", &sessions(&train)?)?;
        context.output("test")?.write("test.tsv", &sessions(&test)?)?;
        let output = context.output("splits")?;
        write_split(output, 0, &table, &train, &test, params.validation_longitudinal)
    }
}

fn size_of_test(
    params: &SplitParams,
    table: &Table,
    participants: usize,
) -> Result<usize, StageError> {
    let wanted =
        if params.n_test < 1.0 { params.n_test * participants as f64 } else { params.n_test };
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "checked positive")]
    let n_test = wanted as usize;
    if n_test == 0 || n_test >= participants {
        let shown = table.shown();
        return Err(StageError::new(format!(
            "`{shown}` has {participants} participants: {n_test} cannot be held out"
        ))
        .hint("change `n_test`: a fraction below 1, or a number of participants"));
    }
    Ok(n_test)
}

/// Members of each class, and how many of them are held out: proportional, largest remainders first.
fn classes(
    params: &SplitParams,
    table: &Table,
    baseline: &[usize],
    n_test: usize,
) -> Result<Vec<(Vec<usize>, usize)>, StageError> {
    let mut members: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    match &params.label {
        Some(label) => {
            let labels = table.complete_texts(label)?;
            for (member, &row) in baseline.iter().enumerate() {
                members.entry(labels[row]).or_default().push(member);
            }
        }
        None => drop(members.insert("", (0..baseline.len()).collect())),
    }
    if let Some((class, _)) = members.iter().find(|(_, members)| members.len() < 2) {
        let label = params.label.as_deref().unwrap_or_default();
        return Err(StageError::new(format!(
            "`{}`: only one participant has `{label}` {class}, which cannot be in both parts",
            table.shown()
        )));
    }
    if n_test < members.len() || baseline.len() - n_test < members.len() {
        let message = format!(
            "{n_test} of {} participants cannot hold all {} values of the label",
            baseline.len(),
            members.len()
        );
        return Err(StageError::new(message).hint("change `n_test`"));
    }
    let share = |members: usize| members as f64 * n_test as f64 / baseline.len() as f64;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share of a count")]
    let mut parts: Vec<(Vec<usize>, usize)> =
        members.into_values().map(|m| (m.clone(), share(m.len()) as usize)).collect();
    let mut by_remainder: Vec<usize> = (0..parts.len()).collect();
    by_remainder.sort_by(|&a, &b| {
        let rest = |i: usize| share(parts[i].0.len()).fract();
        rest(b).total_cmp(&rest(a)).then(a.cmp(&b))
    });
    let missing = n_test - parts.iter().map(|(_, count)| count).sum::<usize>();
    for &class in by_remainder.iter().cycle().take(missing) {
        parts[class].1 += 1;
    }
    Ok(parts)
}

/// A column in which the parts must not differ.
enum Balanced {
    Numbers(String, Vec<Option<f64>>),
    Categories(String, Vec<Option<usize>>, usize),
}

impl Balanced {
    /// A column is numeric if all its known values are numbers. Missing values take no part in tests.
    fn read(table: &Table, name: &str, baseline: &[usize]) -> Result<Self, StageError> {
        let texts = table.texts(name).map_err(|e| e.hint("or change `balance`"))?;
        let texts: Vec<&str> = baseline.iter().map(|&row| texts[row]).collect();
        let known = || texts.iter().filter(|text| !is_missing(text));
        if known().all(|text| text.parse::<f64>().is_ok_and(f64::is_finite)) {
            let numbers = texts.iter().map(|text| text.parse().ok().filter(|n: &f64| n.is_finite()));
            return Ok(Self::Numbers(name.to_owned(), numbers.collect()));
        }
        let mut values: Vec<&str> = known().copied().collect();
        values.sort_unstable();
        values.dedup();
        let codes = texts.iter().map(|text| values.iter().position(|value| value == text)).collect();
        Ok(Self::Categories(name.to_owned(), codes, values.len()))
    }

    fn name(&self) -> &str {
        match self {
            Self::Numbers(name, _) | Self::Categories(name, ..) => name,
        }
    }

    /// The p-value of the test between the parts; 1 where it cannot tell them apart.
    fn p_value(&self, test: &[bool]) -> f64 {
        let p = match self {
            Self::Numbers(_, values) => {
                let part = |inside: bool| -> Vec<f64> {
                    let pairs = values.iter().zip(test).filter(|(_, held)| **held == inside);
                    pairs.filter_map(|(value, _)| *value).collect()
                };
                t_test(&part(true), &part(false))
            }
            Self::Categories(_, codes, count) => {
                let mut counts = [vec![0; *count], vec![0; *count]];
                for (code, &held) in codes.iter().zip(test) {
                    if let Some(code) = code {
                        counts[usize::from(held)][*code] += 1;
                    }
                }
                chi_square(&counts[1], &counts[0])
            }
        };
        if p.is_nan() { 1.0 } else { p }
    }
}

/// Draws partitions until one is balanced.
fn search(
    params: &SplitParams,
    table: &Table,
    classes: &[(Vec<usize>, usize)],
    columns: &[Balanced],
    n_test: usize,
    context: &Context,
) -> Result<Vec<bool>, StageError> {
    let participants = classes.iter().map(|(members, _)| members.len()).sum();
    let mut rng = context.stream().child("partition").rng();
    let mut best: Option<(f64, Vec<f64>)> = None;
    for trial in 0..params.max_trials {
        context.check_cancelled()?;
        let test = draw(classes, participants, &mut rng);
        let values: Vec<f64> = columns.iter().map(|column| column.p_value(&test)).collect();
        let least = values.iter().copied().fold(1.0, f64::min);
        if least >= params.p_threshold {
            let told: Vec<String> =
                columns.iter().zip(&values).map(|(c, p)| format!(", {} p = {p:.2}", c.name())).collect();
            context.info(format!(
                "{n_test} of {participants} participants held out at trial {}{}",
                trial + 1,
                told.concat()
            ));
            return Ok(test);
        }
        if best.as_ref().is_none_or(|(before, _)| least > *before) {
            best = Some((least, values));
        }
    }
    let (_, values) = best.unwrap_or_default();
    let told: Vec<String> =
        columns.iter().zip(&values).map(|(c, p)| format!("{} p = {p:.3}", c.name())).collect();
    Err(StageError::new(format!(
        "`{}`: none of {} partitions has p ≥ {} for all of `balance`; the best has {}",
        table.shown(),
        params.max_trials,
        params.p_threshold,
        told.join(", ")
    ))
    .hint("lower `p_threshold`, raise `max_trials`, change `n_test`, or balance fewer columns"))
}

/// Draws the held-out members of each class.
fn draw(classes: &[(Vec<usize>, usize)], participants: usize, rng: &mut impl Rng) -> Vec<bool> {
    let mut test = vec![false; participants];
    for (members, count) in classes {
        let mut order = members.clone();
        order.shuffle(rng);
        for &member in &order[..*count] {
            test[member] = true;
        }
    }
    test
}
