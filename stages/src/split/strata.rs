//! Participants by label, how many with each label are held out, and the draw of them.

use std::collections::BTreeMap;

use engine::StageError;
use rand::Rng;
use rand::seq::SliceRandom;

use super::groups::Groups;
use crate::table::Table;

/// The participants with one label.
struct Class {
    label: String,
    /// Positions among the participants.
    members: Vec<usize>,
    /// How many of them shall be held out.
    held_out: usize,
}

/// The participants of one group.
struct Group {
    /// Positions among the participants.
    members: Vec<usize>,
    /// Number of members of each class that it has, by the position of the class.
    classes: BTreeMap<usize, usize>,
}

/// Participants by label, and by group if groups stay together.
pub(super) struct Strata<'a> {
    classes: Vec<Class>,
    participants: usize,
    /// The column of groups, and the groups sorted by their value.
    groups: Option<(&'a str, Vec<Group>)>,
}

impl<'a> Strata<'a> {
    /// The participants by label, held out in proportion, largest remainders first.
    ///
    /// # Errors
    /// A label is missing, only one participant has it, or a part would not hold every label.
    pub(super) fn read(
        table: &Table,
        label: Option<&str>,
        baseline: &[usize],
        n_test: usize,
    ) -> Result<Self, StageError> {
        let mut members: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
        match label {
            Some(label) => {
                let labels = table.complete_texts_of(label, baseline)?;
                for (member, label) in labels.into_iter().enumerate() {
                    members.entry(label).or_default().push(member);
                }
            }
            None => drop(members.insert("", (0..baseline.len()).collect())),
        }
        check(table, label, &members, n_test)?;
        let shares = shares(&members.values().map(Vec::len).collect::<Vec<_>>(), n_test);
        let classes = members.into_iter().zip(shares);
        let classes = classes.map(|((label, members), held_out)| Class {
            label: label.to_owned(),
            members,
            held_out,
        });
        Ok(Self {
            classes: classes.collect(),
            participants: baseline.len(),
            groups: None,
        })
    }

    /// Holds out whole groups only.
    pub(super) fn keep_together(&mut self, groups: Groups<'a>) {
        let mut class_of = vec![0; self.participants];
        for (position, class) in self.classes.iter().enumerate() {
            for &member in &class.members {
                class_of[member] = position;
            }
        }
        let mut found: BTreeMap<&str, Group> = BTreeMap::new();
        for (member, name) in groups.of_member.into_iter().enumerate() {
            let group = found.entry(name).or_insert_with(|| Group {
                members: Vec::new(),
                classes: BTreeMap::new(),
            });
            group.members.push(member);
            *group.classes.entry(class_of[member]).or_default() += 1;
        }
        self.groups = Some((groups.column, found.into_values().collect()));
    }

    /// Draws who is held out.
    pub(super) fn draw(&self, rng: &mut impl Rng) -> Vec<bool> {
        let mut held = vec![false; self.participants];
        let mut hold = |members: &[usize]| members.iter().for_each(|&m| held[m] = true);
        let Some((_, groups)) = &self.groups else {
            for class in &self.classes {
                let mut order = class.members.clone();
                order.shuffle(rng);
                hold(&order[..class.held_out]);
            }
            return held;
        };
        // Each group in turn, if the numbers per label come closer to those asked for by it.
        let asked: Vec<usize> = self.classes.iter().map(|class| class.held_out).collect();
        let mut got = vec![0; asked.len()];
        let mut order: Vec<&Group> = groups.iter().collect();
        order.shuffle(rng);
        for group in order {
            let (mut before, mut after) = (0, 0);
            for (&class, &count) in &group.classes {
                before += usize::abs_diff(asked[class], got[class]);
                after += usize::abs_diff(asked[class], got[class] + count);
            }
            if after < before {
                hold(&group.members);
                for (&class, &count) in &group.classes {
                    got[class] += count;
                }
            }
        }
        held
    }

    /// How many are held out: `20 of 100 participants`.
    pub(super) fn tell(&self, held: &[bool]) -> String {
        let count = held.iter().filter(|held| **held).count();
        let told = format!("{count} of {} participants", self.participants);
        let Some((column, groups)) = &self.groups else {
            return told;
        };
        let whole = groups.iter().filter(|group| held[group.members[0]]).count();
        let asked: usize = self.classes.iter().map(|class| class.held_out).sum();
        format!(
            "{told} ({whole} of {} `{column}`, asked for {asked} participants)",
            groups.len()
        )
    }

    /// Labels that one of the parts lacks.
    pub(super) fn warnings(&self, held: &[bool]) -> Vec<String> {
        let told = self.classes.iter().filter_map(|class| {
            let (label, count) = (&class.label, class.members.len());
            match class.members.iter().filter(|&&member| held[member]).count() {
                0 => Some(format!(
                    "none of the {count} participants labelled `{label}` is held out"
                )),
                all if all == count => Some(format!(
                    "all of the {count} participants labelled `{label}` are held out"
                )),
                _ => None,
            }
        });
        told.collect()
    }

    /// Why there is no partition at all.
    pub(super) fn nothing_fits(&self, table: &Table) -> StageError {
        let (column, groups) = match &self.groups {
            Some((column, groups)) => (*column, groups.as_slice()),
            None => ("", [].as_slice()),
        };
        let smallest = groups.iter().map(|group| group.members.len()).min();
        let asked: usize = self.classes.iter().map(|class| class.held_out).sum();
        StageError::new(format!(
            "`{}`: no whole `{column}` can be held out for {asked} of {} participants; there are {}, \
             the smallest with {} participants",
            table.shown(),
            self.participants,
            groups.len(),
            smallest.unwrap_or(0)
        ))
        .hint("change `n_test`, or leave one group out at a time with `kfold` and `leave_one_out`")
    }
}

/// Refuses labels that cannot be in both parts.
fn check(
    table: &Table,
    label: Option<&str>,
    members: &BTreeMap<&str, Vec<usize>>,
    n_test: usize,
) -> Result<(), StageError> {
    let shown = table.shown();
    if let Some((class, _)) = members.iter().find(|(_, members)| members.len() < 2) {
        let label = label.unwrap_or_default();
        return Err(StageError::new(format!(
            "`{shown}`: only one participant has `{label}` `{class}`, which cannot be in both parts"
        ))
        .hint("leave that label out with `keep`, or stratify by another column with `label`"));
    }
    let participants: usize = members.values().map(Vec::len).sum();
    if n_test < members.len() || participants - n_test < members.len() {
        return Err(StageError::new(format!(
            "`{shown}`: holding out {n_test} of {participants} makes a part smaller than the number \
             of labels, {}",
            members.len()
        ))
        .hint("change `n_test`"));
    }
    Ok(())
}

/// `total` shared out in proportion to `counts`: rounded down, the rest by largest remainders, the
/// first of equal ones first. No share is greater than its count, as `total` is not than their sum.
pub(super) fn shares(counts: &[usize], total: usize) -> Vec<usize> {
    let sum: usize = counts.iter().sum();
    let mut shares: Vec<usize> = counts.iter().map(|count| count * total / sum).collect();
    let mut by_remainder: Vec<usize> = (0..counts.len()).collect();
    by_remainder.sort_by_key(|&class| std::cmp::Reverse(counts[class] * total % sum));
    let rest = total - shares.iter().sum::<usize>();
    for &class in by_remainder.iter().take(rest) {
        shares[class] += 1;
    }
    shares
}
