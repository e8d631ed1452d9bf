//! `search:`: an experiment once per trial, whose params are drawn from a space.
//!
//! Trials are the cells of a matrix that nobody wrote: what is the same in several of them runs once.
//! Every draw has a random stream of its own, named by the seed of the search, the trial and the param:
//! more trials, or another param beside it, change no draw.

use std::rc::Rc;

use indexmap::{IndexMap, IndexSet};
use rand::Rng;
use serde_json::Value;

use super::collect::Collector;
use super::matrix::{Cell, MAX_CELLS, MAX_KEYS, Matrix, constant, normal};
use super::node::{Node, key_path, shorten};
use super::params::{Params, Resolved};
use super::schema::Validator;
use super::wire::{RangeDoc, SearchDoc, SearchMethod};
use super::{Goal, Search};
use crate::seed::Stream;

/// How often a trial that was drawn before is drawn again.
const REDRAWS: u32 = 100;
/// Significant digits of drawn numbers.
const DIGITS: usize = 4;

/// The values that a param can have.
enum Range {
    Choice(Vec<Value>),
    Integer(i64, i64),
    Uniform(f64, f64),
    /// The logarithm is uniform.
    LogUniform(f64, f64),
}

/// A search whose every value was checked.
pub(super) struct Space {
    doc: SearchDoc,
    ranges: IndexMap<String, Range>,
}

impl Space {
    /// Reads a search, whose values refer to no param; `None` if something is wrong, which was reported.
    pub(super) fn read(
        node: &Node,
        declared: &IndexMap<String, Node>,
        collector: &mut Collector,
    ) -> Option<Self> {
        if node.live {
            let message = "cannot refer to params: they are what it gives".to_owned();
            collector.error(node.place, "search", message, None);
            return None;
        }
        let none = IndexMap::new();
        let mut nothing = Params::new(&none, &[], collector);
        let before = collector.errors();
        let value = constant(&mut nothing, node, "search", collector)?;
        for finding in Validator::of::<SearchDoc>().findings(&value) {
            let (nearest, _) = node.nearest(&finding.pointer);
            let key = key_path("search", &finding.pointer);
            collector.error(nearest.place, &key, finding.message, finding.hint);
        }
        if collector.errors() > before {
            return None;
        }
        let doc: SearchDoc = match serde_json::from_value(value) {
            Ok(doc) => doc,
            Err(error) => {
                collector.error(node.place, "search", error.to_string(), None);
                return None;
            }
        };
        let mut refuse = |pointer: &str, message: String, hint: Option<String>| {
            let (nearest, _) = node.nearest(pointer);
            let key = key_path("search", pointer);
            collector.error(nearest.place, &key, message, hint);
        };
        if !doc.metric.starts_with("validation.") {
            let message = format!(
                "expected `validation.<metric>`, got `{}`",
                shorten(&doc.metric)
            );
            let hint = "a model that was chosen by its test set is not tested by it";
            refuse("/metric", message, Some(hint.to_owned()));
        }
        if doc.space.is_empty() || doc.space.len() > MAX_KEYS {
            let message = format!("expected 1 to {MAX_KEYS} params, got {}", doc.space.len());
            let hint =
                "write what they are drawn from: `space: { dropout: { uniform: [0, 0.5] } }`";
            refuse("/space", message, Some(hint.to_owned()));
        }
        let mut ranges = IndexMap::new();
        for (name, range) in &doc.space {
            let pointer = format!("/space/{name}");
            if !declared.contains_key(name) {
                let message = format!("`{}` is not a param", shorten(name));
                let hint = "declare it under `params:`".to_owned();
                refuse(&pointer, message, Some(hint));
            }
            match range.range() {
                Ok(range) => drop(ranges.insert(name.clone(), range)),
                Err(message) => refuse(&pointer, message, None),
            }
        }
        (collector.errors() == before).then_some(Self { doc, ranges })
    }

    /// The params that vary.
    pub(super) fn keys(&self) -> Vec<String> {
        self.ranges.keys().cloned().collect()
    }

    /// How trials are compared.
    pub(super) fn comparison(&self) -> Search {
        Search {
            metric: self.doc.metric.clone(),
            goal: self.doc.goal,
        }
    }

    /// Draws the trials; a param that is `fixed` has that value in all of them.
    pub(super) fn trials(
        &self,
        node: &Node,
        fixed: &[(String, Value)],
        collector: &mut Collector,
    ) -> Option<Matrix> {
        let ranges: Vec<(&str, Option<&Range>)> = self
            .ranges
            .iter()
            .map(|(name, range)| {
                let is_fixed = fixed.iter().any(|(fixed, _)| fixed == name);
                (name.as_str(), (!is_fixed).then_some(range))
            })
            .collect();
        let mut draft = Draft {
            values: vec![IndexMap::new(); ranges.len()],
            cells: IndexSet::new(),
        };
        match self.doc.method {
            SearchMethod::Grid => self.grid(&ranges, &mut draft, node, collector)?,
            SearchMethod::Random => {
                self.random(&ranges, &mut draft);
                let got = draft.cells.len();
                if got < self.doc.trials {
                    let message = format!("the space has {got} trials only");
                    collector.warn(node.place, "search.trials", message, None);
                }
            }
        }
        Some(Matrix {
            keys: self.keys(),
            values: draft
                .values
                .into_iter()
                .map(|known| known.into_values().collect())
                .collect(),
            cells: draft
                .cells
                .into_iter()
                .map(|values| Cell { values })
                .collect(),
            declared: true,
        })
    }

    fn random(&self, ranges: &[(&str, Option<&Range>)], draft: &mut Draft) {
        let root = Stream::root(self.doc.seed).child("search");
        for trial in 0..self.doc.trials {
            let is_new = (0..=REDRAWS).any(|again| {
                let stream = root.child(trial).child(again);
                let drawn = ranges.iter().map(|(name, range)| {
                    let range = (*range)?;
                    Some(range.draw(&stream.child(name)))
                });
                draft.add(drawn.collect())
            });
            if !is_new {
                // The space has nothing left: another hundred draws for each of the others find nothing.
                return;
            }
        }
    }

    /// Every combination, the last param varying fastest.
    fn grid(
        &self,
        ranges: &[(&str, Option<&Range>)],
        draft: &mut Draft,
        node: &Node,
        collector: &mut Collector,
    ) -> Option<()> {
        let mut axes = Vec::new();
        for (name, range) in ranges {
            let steps = self.doc.space[*name].steps;
            let axis = match range.map(|range| range.steps(steps)) {
                None => vec![None],
                Some(Some(values)) => values.into_iter().map(Some).collect(),
                Some(None) => {
                    let (nearest, _) = node.nearest(&format!("/space/{name}"));
                    let message = match range {
                        Some(Range::Integer(..)) => format!("expected at most {MAX_CELLS} values"),
                        _ => "a grid needs `steps` here, 2 to 1000".to_owned(),
                    };
                    let key = format!("search.space.{name}");
                    collector.error(nearest.place, &key, message, None);
                    return None;
                }
            };
            axes.push(axis);
        }
        let count = axes
            .iter()
            .try_fold(1_usize, |count, axis| count.checked_mul(axis.len()))
            .filter(|&count| count <= MAX_CELLS);
        let Some(count) = count else {
            let message = format!("the grid has more than {MAX_CELLS} trials");
            collector.error(node.place, "search.space", message, None);
            return None;
        };
        for number in 0..count {
            let mut rest = number;
            let mut values = vec![None; axes.len()];
            for (value, axis) in values.iter_mut().zip(&axes).rev() {
                value.clone_from(&axis[rest % axis.len()]);
                rest /= axis.len();
            }
            draft.add(values);
        }
        Some(())
    }
}

/// Trials while they are drawn.
struct Draft {
    /// The distinct values of each param, by a text that tells them apart.
    values: Vec<IndexMap<String, Rc<Resolved>>>,
    cells: IndexSet<Vec<Option<usize>>>,
}

impl Draft {
    /// Adds a trial; false if it is there.
    fn add(&mut self, trial: Vec<Option<Value>>) -> bool {
        let numbers = trial
            .into_iter()
            .zip(&mut self.values)
            .map(|(value, known)| {
                let value = value?;
                let entry = known.entry(normal(&value));
                let number = entry.index();
                entry.or_insert_with(|| Rc::new(Resolved::new(value)));
                Some(number)
            });
        self.cells.insert(numbers.collect())
    }
}

impl RangeDoc {
    /// The one range that is given.
    fn range(&self) -> Result<Range, String> {
        let mut found = Vec::new();
        if let Some(values) = &self.choice {
            found.push(Range::Choice(values.clone()));
        }
        if let Some([least, most]) = self.integer {
            found.push(Range::Integer(least, most));
        }
        if let Some([least, most]) = self.uniform {
            found.push(Range::Uniform(least, most));
        }
        if let Some([least, most]) = self.log_uniform {
            found.push(Range::LogUniform(least, most));
        }
        let (Some(range), true) = (found.pop(), found.is_empty()) else {
            return Err("expected one of `choice`, `integer`, `uniform`, `log_uniform`".to_owned());
        };
        let is_right = match &range {
            Range::Choice(values) => !values.is_empty(),
            Range::Integer(least, most) => least <= most,
            // Their difference is a number too.
            Range::Uniform(least, most) => least <= most && (most - least).is_finite(),
            Range::LogUniform(least, most) => *least > 0.0 && least <= most,
        };
        let expected = match &range {
            Range::Choice(_) => "at least one value",
            Range::LogUniform(..) => "two numbers above 0, the smaller one first",
            _ => "two numbers, the smaller one first",
        };
        is_right
            .then_some(range)
            .ok_or(format!("expected {expected}"))
    }
}

impl Range {
    fn draw(&self, stream: &Stream) -> Value {
        let mut rng = stream.rng();
        match self {
            Self::Choice(values) => values[rng.random_range(0..values.len())].clone(),
            Self::Integer(least, most) => rng.random_range(*least..=*most).into(),
            Self::Uniform(least, most) => short(least + rng.random::<f64>() * (most - least)),
            Self::LogUniform(least, most) => {
                let (low, high) = (least.ln(), most.ln());
                short((low + rng.random::<f64>() * (high - low)).exp())
            }
        }
    }

    /// The values of a grid, of which a range of numbers needs to know how many.
    fn steps(&self, steps: Option<usize>) -> Option<Vec<Value>> {
        let number = |least: f64, most: f64| {
            let steps = steps?;
            let step = (most - least) / (steps - 1) as f64;
            Some((0..steps).map(move |i| least + i as f64 * step))
        };
        match self {
            Self::Choice(values) => Some(values.clone()),
            Self::Integer(least, most) => {
                let all = most.checked_sub(*least)?.checked_add(1)?;
                let all = usize::try_from(all).ok()?;
                (all <= MAX_CELLS).then(|| (*least..=*most).map(Value::from).collect())
            }
            Self::Uniform(least, most) => Some(number(*least, *most)?.map(short).collect()),
            Self::LogUniform(least, most) => {
                let logarithms = number(least.ln(), most.ln())?;
                Some(logarithms.map(|x| short(x.exp())).collect())
            }
        }
    }
}

/// A number that people can write down again.
fn short(number: f64) -> Value {
    let text = format!("{number:.*e}", DIGITS - 1);
    text.parse::<f64>().unwrap_or(number).into()
}

impl Goal {
    /// The order of two numbers, the better one first; one that is no number is worst.
    pub fn compare(self, a: f64, b: f64) -> std::cmp::Ordering {
        let (a, b) = match self {
            Self::Minimize => (a, b),
            Self::Maximize => (-a, -b),
        };
        a.is_nan().cmp(&b.is_nan()).then(a.total_cmp(&b))
    }
}
