//! Participants by label, and how many with each label are held out.

use std::collections::BTreeMap;

use engine::StageError;
use rand::Rng;
use rand::seq::SliceRandom;

use crate::table::Table;

/// The participants with one label.
pub(super) struct Class {
    pub(super) label: String,
    /// Positions among the participants.
    pub(super) members: Vec<usize>,
    /// How many of them are held out.
    pub(super) held_out: usize,
}

/// The participants by label, held out in proportion, largest remainders first.
pub(super) fn classes(
    table: &Table,
    label: Option<&str>,
    baseline: &[usize],
    n_test: usize,
) -> Result<Vec<Class>, StageError> {
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
    if let Some((class, _)) = members.iter().find(|(_, members)| members.len() < 2) {
        let label = label.unwrap_or_default();
        return Err(StageError::new(format!(
            "`{}`: only one participant has `{label}` `{class}`, which cannot be in both parts",
            table.shown()
        ))
        .hint("leave that label out with `keep`, or stratify by another column with `label`"));
    }
    if n_test < members.len() || baseline.len() - n_test < members.len() {
        let message = format!(
            "`{}`: holding out {n_test} of {} makes a part smaller than the number of labels, {}",
            table.shown(),
            baseline.len(),
            members.len()
        );
        return Err(StageError::new(message).hint("change `n_test`"));
    }
    let shares = shares(&members.values().map(Vec::len).collect::<Vec<_>>(), n_test);
    let classes = members.into_iter().zip(shares);
    Ok(classes
        .map(|((label, members), held_out)| Class {
            label: label.to_owned(),
            members,
            held_out,
        })
        .collect())
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

/// Draws the held-out members of each class.
pub(super) fn draw(classes: &[Class], participants: usize, rng: &mut impl Rng) -> Vec<bool> {
    let mut held = vec![false; participants];
    for class in classes {
        let mut order = class.members.clone();
        order.shuffle(rng);
        for &member in &order[..class.held_out] {
            held[member] = true;
        }
    }
    held
}
