//! The two-sample Kolmogorov–Smirnov test.

use super::known;

/// Two-sided p-value of the two-sample Kolmogorov–Smirnov test, for distributions of two samples.
///
/// NaN values are left out. NaN when a sample has no value. It is exact for any number of values, and
/// errs towards 1 with ties. It takes time in proportion to the product of the sample sizes and the
/// distance.
///
/// # Source
/// Hodges 1958, "The significance probability of the Smirnov two-sample test". Equal to
/// `scipy.stats.ks_2samp` 1.11 where that is exact, which by default it is up to 10,000 values.
pub fn kolmogorov_smirnov(a: &[f64], b: &[f64]) -> f64 {
    let (mut a, mut b) = (known(a), known(b));
    if a.is_empty() || b.is_empty() {
        return f64::NAN;
    }
    a.sort_unstable_by(f64::total_cmp);
    b.sort_unstable_by(f64::total_cmp);
    if a.len() < b.len() {
        std::mem::swap(&mut a, &mut b);
    }
    let grid = Grid::new(a.len(), b.len());
    grid.proportion_reaching(grid.distance(&a, &b))
}

/// Lattice paths from (0, 0) to (m, n), one step in x or y for every value of either sample in order.
///
/// Distances |x/m − y/n| are counted in units of 1 / lcm(m, n), so that they are whole numbers.
struct Grid {
    m: u64,
    n: u64,
    /// Units of one step in x.
    step_x: u64,
    /// Units of one step in y.
    step_y: u64,
}

impl Grid {
    fn new(m: usize, n: usize) -> Self {
        let (m, n) = (m as u64, n as u64);
        let divisor = greatest_common_divisor(m, n);
        Self {
            m,
            n,
            step_x: n / divisor,
            step_y: m / divisor,
        }
    }

    /// The greatest distance of two sorted samples, seen after all values that are equal.
    fn distance(&self, a: &[f64], b: &[f64]) -> u64 {
        let (mut x, mut y) = (0, 0);
        let mut greatest = 0;
        while x < a.len() && y < b.len() {
            let value = a[x].min(b[y]);
            x += a[x..].iter().take_while(|v| **v <= value).count();
            y += b[y..].iter().take_while(|v| **v <= value).count();
            let distance = (x as u64 * self.step_x).abs_diff(y as u64 * self.step_y);
            greatest = greatest.max(distance);
        }
        greatest
    }

    /// The proportion of paths that come as far as `distance` from the diagonal somewhere.
    ///
    /// Of the paths through (x, y), a share of x / (x + y) comes from (x − 1, y). The share of them that
    /// was outside follows column by column; whatever is outside counts 1. Nothing is subtracted, so that
    /// small proportions are exact too.
    fn proportion_reaching(&self, distance: u64) -> f64 {
        if distance == 0 {
            return 1.0;
        }
        let mut shares = vec![1.0; to_index(self.n) + 1];
        let mut before = 0;
        for x in 0..=self.m {
            let along = x * self.step_x;
            // Inside are the y with |x·step_x − y·step_y| < distance.
            let first = (along + 1).saturating_sub(distance).div_ceil(self.step_y);
            let last = ((along + distance - 1) / self.step_y).min(self.n);
            if first > last {
                return 1.0;
            }
            shares[to_index(before)..to_index(first)].fill(1.0);
            let mut below = if first == 0 { 0.0 } else { 1.0 };
            for y in first..=last {
                let share = &mut shares[to_index(y)];
                *share = match (x, y) {
                    (0, _) => 0.0,
                    _ => (x as f64 * *share + y as f64 * below) / (x + y) as f64,
                };
                below = *share;
            }
            before = first;
        }
        shares[to_index(self.n)]
    }
}

/// A position that is at most the size of a sample.
fn to_index(position: u64) -> usize {
    usize::try_from(position).unwrap_or(usize::MAX)
}

fn greatest_common_divisor(a: u64, b: u64) -> u64 {
    match b {
        0 => a,
        _ => greatest_common_divisor(b, a % b),
    }
}
