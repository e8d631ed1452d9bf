//! Normalised mutual information of two images.

/// Bins of each axis of the joint histogram.
const BINS: usize = 10;

/// `2·I(a, b) / (I(a, a) + I(b, b))`, 0 (independent) to 1 (one determines the other), of intensities
/// sorted into 10 bins of equal width over each image's own range; `None` if both images are constant
/// or a voxel is not finite.
///
/// # Source
/// ClinicaDL 1.6.1, `quality_check/t1_volume/utils.py`; binning of `numpy.histogram2d` 1.26.
pub(super) fn normalised_mutual_information(a: &[f64], b: &[f64]) -> Option<f64> {
    let (a, b) = (bins(a)?, bins(b)?);
    let (of_a, of_b) = (information(&a, &a), information(&b, &b));
    let both = of_a + of_b;
    (both > 0.0).then(|| 2.0 * information(&a, &b) / both)
}

/// The bin of each value; the last bin has its upper end. A constant image is in the middle of a range
/// of width 1.
fn bins(values: &[f64]) -> Option<Vec<usize>> {
    if values.iter().any(|value| !value.is_finite()) {
        return None;
    }
    let least = values.iter().copied().fold(f64::INFINITY, f64::min);
    let most = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let (least, most) = if least < most {
        (least, most)
    } else {
        (least - 0.5, most + 0.5)
    };
    let step = (most - least) / BINS as f64;
    let inner: Vec<f64> = (1..BINS).map(|i| i as f64 * step + least).collect();
    let bin = |&value: &f64| inner.partition_point(|&edge| edge <= value);
    Some(values.iter().map(bin).collect())
}

/// Mutual information of two variables, in nats.
fn information(a: &[usize], b: &[usize]) -> f64 {
    let mut counts = [[0_u64; BINS]; BINS];
    for (&i, &j) in a.iter().zip(b) {
        counts[i][j] += 1;
    }
    let total = a.len() as f64;
    let joint = counts.map(|row| row.map(|count| count as f64 / total));
    let rows = joint.map(|row| row.iter().sum::<f64>());
    let columns: [f64; BINS] = std::array::from_fn(|j| joint.iter().map(|row| row[j]).sum());
    let mut sum = 0.0;
    for (row, &of_row) in joint.iter().zip(&rows) {
        for (&p, &of_column) in row.iter().zip(&columns) {
            if p > 0.0 {
                sum += p * (p / (of_row * of_column)).ln();
            }
        }
    }
    sum
}
