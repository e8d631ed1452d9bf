//! Which folds there are: by chance or by a column, repeated, nested.

use std::collections::BTreeMap;

use engine::StageError;

use super::KFoldParams;
use crate::split::Partition;
use crate::split::folds::{grouped, plain, stratified};
use crate::split::groups::Groups;
use crate::split::mersenne::RandomState;
use crate::table::{People, Table};

/// What folds are made of. A member is the position of a participant in the baseline.
pub(in crate::split) struct Design<'a> {
    params: &'a KFoldParams,
    table: &'a Table,
    baseline: &'a [usize],
    /// The label of each member, where folds are stratified.
    labels: Option<Vec<&'a str>>,
    groups: Option<Groups<'a>>,
    left_out: Option<Groups<'a>>,
}

impl<'a> Design<'a> {
    /// Reads the columns that matter.
    ///
    /// # Errors
    /// A column is missing, or a value of it, or a participant has several groups.
    pub(in crate::split) fn read(
        params: &'a KFoldParams,
        table: &'a Table,
        people: &'a People,
    ) -> Result<Self, StageError> {
        let baseline = people.baseline();
        let read = |column: &'a String| Groups::read(table, people, baseline, column);
        // Leaving values out needs no label, unless there are folds inside.
        let is_drawn = params.leave_one_out.is_none() || params.nested.is_some();
        let label = params.label.as_deref().filter(|_| is_drawn);
        Ok(Self {
            params,
            table,
            baseline,
            labels: label
                .map(|label| table.complete_texts_of(label, baseline))
                .transpose()?,
            groups: params.group.as_ref().map(read).transpose()?,
            left_out: params.leave_one_out.as_ref().map(read).transpose()?,
        })
    }

    /// The partitions by split, and warnings about them.
    ///
    /// # Errors
    /// There are too few participants, labels or groups, or not one fold per value.
    pub(in crate::split) fn partitions(&self) -> Result<(Vec<Partition>, Vec<String>), StageError> {
        let all: Vec<usize> = (0..self.baseline.len()).collect();
        let outer = Draw {
            parameter: "n_splits",
            n_splits: self.params.n_splits,
            of: format!("`{}`", self.table.shown()),
        };
        let mut warnings = match &self.left_out {
            Some(_) => Vec::new(),
            None => self.check_counts(&outer, &all)?,
        };
        let mut state = RandomState::new(self.params.seed);
        let mut partitions = Vec::with_capacity(self.params.count());
        for _ in 0..self.params.repeats {
            let folds = match &self.left_out {
                Some(groups) => self.one_fold_per_value(groups)?,
                None => self.draw(&outer, &all, &mut state)?,
            };
            for fold in 0..self.params.n_splits {
                let held: Vec<bool> = folds.iter().map(|of| *of == fold).collect();
                let Some(n_inner) = self.params.nested else {
                    partitions.push(Partition::new(self.baseline, &held));
                    continue;
                };
                let inner = Draw {
                    parameter: "nested",
                    n_splits: n_inner,
                    of: format!("`{}` without fold {fold}", self.table.shown()),
                };
                warnings.extend(self.nest(&inner, &held, &mut partitions)?);
            }
        }
        Ok((partitions, warnings))
    }

    /// Splits those who are not held out, as if there were nobody else.
    fn nest(
        &self,
        inner: &Draw,
        held: &[bool],
        partitions: &mut Vec<Partition>,
    ) -> Result<Vec<String>, StageError> {
        let outer = Partition::new(self.baseline, held);
        let members: Vec<usize> = (0..held.len()).filter(|&member| !held[member]).collect();
        let warnings = self.check_counts(inner, &members)?;
        let mut state = RandomState::new(self.params.seed);
        let folds = self.draw(inner, &members, &mut state)?;
        for fold in 0..inner.n_splits {
            let held: Vec<bool> = folds.iter().map(|of| *of == fold).collect();
            partitions.push(Partition {
                test: outer.validation.clone(),
                ..Partition::new(&outer.train, &held)
            });
        }
        Ok(warnings)
    }

    /// The fold of each of some members.
    fn draw(
        &self,
        draw: &Draw,
        members: &[usize],
        state: &mut RandomState,
    ) -> Result<Vec<usize>, StageError> {
        let pick = |texts: &[&'a str]| -> Vec<&'a str> {
            members.iter().map(|&member| texts[member]).collect()
        };
        let k = draw.n_splits;
        let Some(groups) = &self.groups else {
            return Ok(match &self.labels {
                Some(labels) => stratified(&pick(labels), k, state),
                None => plain(members.len(), k, state),
            });
        };
        let labels = self.labels.as_ref();
        let labels = labels.map_or_else(|| vec![""; members.len()], |labels| pick(labels));
        let folds = grouped(&labels, &pick(&groups.of_member), k, state);
        if let Some(empty) = (0..k).find(|fold| !folds.contains(fold)) {
            return Err(StageError::new(format!(
                "{}: no whole `{}` is left for fold {empty} of {k}",
                draw.of, groups.column
            ))
            .hint(format!("choose a smaller `{}`", draw.parameter)));
        }
        Ok(folds)
    }

    fn one_fold_per_value(&self, groups: &Groups<'_>) -> Result<Vec<usize>, StageError> {
        let names = groups.names();
        let (shown, column) = (self.table.shown(), groups.column);
        let told: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
        if names.len() < 2 {
            return Err(StageError::new(format!(
                "`{shown}` has {} value of `{column}`, expected at least two to leave one out",
                names.len()
            )));
        }
        if names.len() != self.params.n_splits {
            return Err(StageError::new(format!(
                "`{shown}` has {} values of `{column}` ({}), but `n_splits` is {}",
                names.len(),
                told.join(", "),
                self.params.n_splits
            ))
            .hint(format!("set `n_splits: {}`", names.len())));
        }
        let fold = |value: &&str| names.binary_search(value).unwrap_or_default();
        Ok(groups.of_member.iter().map(fold).collect())
    }

    /// Refuses members that are too few; warns about labels that are.
    fn check_counts(&self, draw: &Draw, members: &[usize]) -> Result<Vec<String>, StageError> {
        let (k, n) = (draw.n_splits, members.len());
        if let Some(groups) = &self.groups {
            let mut names: Vec<&str> = members.iter().map(|&m| groups.of_member[m]).collect();
            names.sort_unstable();
            names.dedup();
            if names.len() < k {
                let what = format!("{} different `{}`", names.len(), groups.column);
                return Err(draw.refuse(&what, names.len()));
            }
        }
        let Some((labels, label)) = self.labels.as_ref().zip(self.params.label.as_deref()) else {
            return match n < k || k < 2 {
                true => Err(draw.refuse(&format!("{n} participants"), n)),
                false => Ok(Vec::new()),
            };
        };
        let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
        for &member in members {
            *counts.entry(labels[member]).or_default() += 1;
        }
        let most = counts.values().max().copied().unwrap_or(0);
        if k < 2 || most < k {
            let what = format!("{n} participants, at most {most} of one `{label}`");
            return Err(draw.refuse(&what, most));
        }
        let rare = counts.into_iter().filter(|(_, count)| *count < k);
        Ok(rare
            .map(|(class, count)| {
                let who = if count == 1 { "participant has" } else { "participants have" };
                let of = match draw.parameter {
                    "nested" => format!("{}: ", draw.of),
                    _ => String::new(),
                };
                format!("{of}only {count} {who} `{label}` `{class}`: not every one of {k} splits validates on it")
            })
            .collect())
    }
}

/// One draw of folds.
struct Draw {
    /// The parameter that says how many.
    parameter: &'static str,
    n_splits: usize,
    /// What messages call those who are split.
    of: String,
}

impl Draw {
    fn refuse(&self, what: &str, most: usize) -> StageError {
        let Self {
            parameter,
            n_splits,
            of,
        } = self;
        let error = StageError::new(format!("{of} cannot be split {n_splits} times: {what}"));
        match most {
            0 | 1 => error,
            _ => error.hint(format!("choose `{parameter}` from 2 to {most}")),
        }
    }
}
