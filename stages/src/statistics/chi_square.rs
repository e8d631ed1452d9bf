//! Pearson's chi-square tests.

use statrs::distribution::{ChiSquared, ContinuousCDF};

/// p-value of Pearson's chi-square test of independence between two groups and `k` categories.
///
/// Works on counts, so that large groups show small differences. Categories that neither group has are
/// left out; 1 when fewer than two are left, or a group is empty.
///
/// # Shapes
/// `a` and `b` hold the number of members of each of the `k` categories.
///
/// # Source
/// `scipy.stats.chi2_contingency` 1.11 with `correction=False`.
pub fn chi_square(a: &[usize], b: &[usize]) -> f64 {
    let (total_a, total_b): (usize, usize) = (a.iter().sum(), b.iter().sum());
    let total = (total_a + total_b) as f64;
    let statistic = present(a, b).map(|(in_a, in_b)| {
        let in_both = (in_a + in_b) as f64;
        let term = |observed: usize, group: usize| {
            let expected = in_both * group as f64 / total;
            (observed as f64 - expected).powi(2) / expected
        };
        term(in_a, total_a) + term(in_b, total_b)
    });
    p_value(a, b, statistic.sum())
}

/// p-value of how far the proportions of `observed` are from those of `expected`, as if each group had
/// one member: the number of members does not matter, so that large groups may differ much.
///
/// 0 when a category of `observed` is not in `expected`; 1 when there are fewer than two categories, or
/// a group is empty.
///
/// # Shapes
/// Both hold the number of members of each of the `k` categories.
///
/// # Source
/// ClinicaDL 1.6.1, `tsvtools split`: `scipy.stats.chisquare` of proportions.
pub fn chi_square_on_proportions(observed: &[usize], expected: &[usize]) -> f64 {
    let totals: [usize; 2] = [observed.iter().sum(), expected.iter().sum()];
    let statistic = present(observed, expected).map(|(o, e)| {
        let [o, e] = [o as f64 / totals[0] as f64, e as f64 / totals[1] as f64];
        (o - e).powi(2) / e
    });
    p_value(observed, expected, statistic.sum())
}

/// The categories that a group has.
fn present<'a>(a: &'a [usize], b: &'a [usize]) -> impl Iterator<Item = (usize, usize)> + 'a {
    let pairs = a.iter().zip(b).map(|(&a, &b)| (a, b));
    pairs.filter(|(a, b)| a + b > 0)
}

fn p_value(a: &[usize], b: &[usize], statistic: f64) -> f64 {
    let is_empty = |group: &[usize]| group.iter().all(|count| *count == 0);
    let categories = present(a, b).count();
    if categories < 2 || is_empty(a) || is_empty(b) {
        return 1.0;
    }
    ChiSquared::new((categories - 1) as f64).map_or(f64::NAN, |law| law.sf(statistic))
}
