//! Gaussian blur.
//!
//! # Source
//! The definition of `scipy.ndimage.gaussian_filter` 1.11 with its defaults: separable, weights cut at
//! four standard deviations, the image mirrored at its borders with the border voxel repeated.

/// Standard deviations after which weights are taken as 0.
const TRUNCATE: f64 = 4.0;

/// Blurs an array, last axis fastest, by so many voxels along each axis.
pub(crate) fn gaussian(mut data: Vec<f64>, shape: &[usize], sigma: &[f64]) -> Vec<f64> {
    for axis in 0..shape.len() {
        let weights = weights(sigma[axis]);
        if weights.len() == 1 {
            continue;
        }
        let radius = weights.len() - 1;
        let size = shape[axis];
        let stride: usize = shape[axis + 1..].iter().product();
        let mut line = vec![0.0; size + 2 * radius];
        let starts = (0..data.len()).filter(|at| (at / stride).is_multiple_of(size));
        for start in starts.collect::<Vec<_>>() {
            for (at, value) in line.iter_mut().enumerate() {
                *value = data[start + mirrored(at, radius, size) * stride];
            }
            for at in 0..size {
                let centre = at + radius;
                let mut sum = weights[0] * line[centre];
                for (distance, weight) in weights.iter().enumerate().skip(1) {
                    sum += weight * (line[centre - distance] + line[centre + distance]);
                }
                data[start + at * stride] = sum;
            }
        }
    }
    data
}

/// Weights by distance from the centre; the sum over both sides is 1.
fn weights(sigma: f64) -> Vec<f64> {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "sigma is bounded and not negative"
    )]
    let radius = (TRUNCATE * sigma + 0.5) as usize;
    let raw = (0..=radius).map(|x| (-0.5 * (x as f64 / sigma).powi(2)).exp());
    let raw: Vec<f64> = if radius == 0 {
        vec![1.0]
    } else {
        raw.collect()
    };
    let sum = raw[0] + 2.0 * raw[1..].iter().sum::<f64>();
    raw.into_iter().map(|weight| weight / sum).collect()
}

/// The voxel at a place of a line that goes on by `radius` on both sides: `c b a | a b c | c b a`.
fn mirrored(at: usize, radius: usize, size: usize) -> usize {
    let period = 2 * size;
    // The same place some whole periods later, so that it is not negative.
    let place = (at + period * radius.div_ceil(period) - radius) % period;
    if place < size {
        place
    } else {
        period - 1 - place
    }
}
