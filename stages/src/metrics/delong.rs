//! Areas under ROC curves with their covariance, without resampling.
//!
//! Images of one participant are one cluster; with one image each this is the estimate of DeLong et al.
//!
//! # Source
//! DeLong et al. 1988, doi:10.2307/2531595, by mid-ranks as Sun and Xu 2014, doi:10.1109/LSP.2014.2337313;
//! clusters as Obuchowski 1997, doi:10.2307/2533958.

use std::collections::BTreeMap;

use super::{ClassEstimate, Column, Estimate, Interval, Metric, Outcomes, roc_auc::RocAuc};

/// The area with the interval of this page.
pub const COLUMN: Column = Column {
    id: "roc_auc_delong",
    column: "AUC_DeLong",
    higher_is_better: true,
};

/// Half the width of a 95 % interval of a normal distribution, in standard deviations.
pub(crate) const Z: f64 = 1.959_963_984_540_054;

/// Areas of several scores of the same images, with their covariance.
#[derive(Debug, Clone, PartialEq)]
pub struct Areas {
    /// One for each score.
    pub areas: Vec<f64>,
    /// `covariance[r][s]` of areas `r` and `s`.
    pub covariance: Vec<Vec<f64>>,
}

/// What each participant adds to an area.
struct Parts {
    area: f64,
    /// Sum over the members of the class, less what is expected.
    members: Vec<f64>,
    /// The same over the others.
    others: Vec<f64>,
}

/// How well each of `scores` tells members from others.
///
/// `None` where a score is NaN, or fewer than two participants have members, or others.
///
/// # Shapes
/// `is_member`, `participants` and each of `scores` have one value per image.
pub fn areas(is_member: &[bool], scores: &[&[f64]], participants: &[&str]) -> Option<Areas> {
    if scores.iter().any(|score| score.iter().any(|s| s.is_nan())) {
        return None;
    }
    let mut clusters: BTreeMap<&str, usize> = BTreeMap::new();
    for participant in participants {
        let next = clusters.len();
        clusters.entry(participant).or_insert(next);
    }
    let of: Vec<usize> = participants.iter().map(|name| clusters[name]).collect();
    let count = clusters.len();
    // Participants with members, and with others.
    let having = |wanted: bool| {
        let mut has = vec![false; count];
        for (&cluster, _) in of.iter().zip(is_member).filter(|(_, m)| **m == wanted) {
            has[cluster] = true;
        }
        has.into_iter().filter(|&has| has).count() as f64
    };
    let (with_members, with_others) = (having(true), having(false));
    if with_members < 2.0 || with_others < 2.0 {
        return None;
    }
    let m = is_member.iter().filter(|&&member| member).count() as f64;
    let n = is_member.len() as f64 - m;
    let parts: Vec<Parts> = scores
        .iter()
        .map(|score| parts(is_member, score, &of, count))
        .collect();
    let sum = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    let unbiased = |clusters: f64| clusters / (clusters - 1.0);
    let covariance = parts.iter().map(|r| {
        let with = parts.iter().map(|s| {
            let crossed = sum(&r.members, &s.others) + sum(&s.members, &r.others);
            unbiased(with_members) * sum(&r.members, &s.members) / (m * m)
                + unbiased(with_others) * sum(&r.others, &s.others) / (n * n)
                + unbiased(count as f64) * crossed / (m * n)
        });
        with.collect()
    });
    Some(Areas {
        covariance: covariance.collect(),
        areas: parts.iter().map(|part| part.area).collect(),
    })
}

/// The area of a score, and what each of `count` clusters adds to it; `of` is the cluster of each image.
fn parts(is_member: &[bool], score: &[f64], of: &[usize], count: usize) -> Parts {
    let side = |wanted: bool| -> Vec<usize> {
        (0..score.len())
            .filter(|&i| is_member[i] == wanted)
            .collect()
    };
    let (inside, outside) = (side(true), side(false));
    let pick = |images: &[usize]| images.iter().map(|&i| score[i]).collect::<Vec<_>>();
    let all = mid_ranks(score);
    let (m, n) = (inside.len() as f64, outside.len() as f64);
    let within = mid_ranks(&pick(&inside));
    // The share of others below a member, and of members above another.
    let of_members: Vec<f64> = inside
        .iter()
        .zip(within)
        .map(|(&i, rank)| (all[i] - rank) / n)
        .collect();
    let within = mid_ranks(&pick(&outside));
    let of_others = outside.iter().zip(within);
    let of_others: Vec<f64> = of_others
        .map(|(&i, rank)| 1.0 - (all[i] - rank) / m)
        .collect();
    let area = of_members.iter().sum::<f64>() / m;
    let centred = |images: &[usize], values: &[f64]| {
        let mut sums = vec![0.0; count];
        for (&image, value) in images.iter().zip(values) {
            sums[of[image]] += value - area;
        }
        sums
    };
    Parts {
        members: centred(&inside, &of_members),
        others: centred(&outside, &of_others),
        area,
    }
}

/// Ranks from 1, those of equal values being their mean.
pub(super) fn mid_ranks(values: &[f64]) -> Vec<f64> {
    // 0 and -0 are one value.
    let values: Vec<f64> = values.iter().map(|value| value + 0.0).collect();
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|&a, &b| values[a].total_cmp(&values[b]));
    let mut ranks = vec![0.0; values.len()];
    let mut before = 0.0;
    for ties in order.chunk_by(|&a, &b| values[a].total_cmp(&values[b]).is_eq()) {
        for &i in ties {
            ranks[i] = before + (ties.len() as f64 + 1.0) / 2.0;
        }
        before += ties.len() as f64;
    }
    ranks
}

/// The area under the ROC curve with its interval, of each class with more than two.
pub(super) fn estimate(outcomes: &Outcomes<'_>, participants: &[&str]) -> Estimate {
    let of_class = |class: usize| {
        let is_member: Vec<bool> = outcomes.truth.iter().map(|&truth| truth == class).collect();
        let images = 0..is_member.len();
        let score: Vec<f64> = images.map(|i| outcomes.probability(i, class)).collect();
        areas(&is_member, &[&score], participants).map(|found| interval(&found))
    };
    let by_class = RocAuc.by_class(outcomes);
    let classes = by_class.iter().enumerate();
    let classes: Vec<ClassEstimate> = classes
        .map(|(class, &value)| ClassEstimate {
            value,
            interval: of_class(class),
        })
        .collect();
    Estimate {
        metric: COLUMN,
        value: RocAuc.value(outcomes),
        // The mean over classes has none.
        interval: classes.is_empty().then(|| of_class(0)).flatten(),
        classes,
    }
}

/// The interval of the first area, within 0 and 1.
fn interval(found: &Areas) -> Interval {
    let (area, error) = (found.areas[0], found.covariance[0][0].max(0.0).sqrt());
    Interval {
        lower: (area - Z * error).max(0.0),
        upper: (area + Z * error).min(1.0),
        standard_error: error,
    }
}
