//! The three views of a head that the networks of `quality-check-t1-linear` judge.
//!
//! # Source
//! ClinicaDL 1.6.1, `quality_check/t1_linear/utils.py` (`nii_transform`), with scikit-image 0.21
//! `transform.rescale` and scipy 1.11 `ndimage.zoom` and `gaussian_filter`.

use super::pet_linear::range;
use crate::volume::Volume;

/// Rows and columns of a view.
pub const SIZE: usize = 224;
/// Number of views.
pub const VIEWS: usize = 3;
/// Rows and columns that a slice is scaled to, of which the border is cut off.
const WHOLE: usize = 256;
/// Gaussians are cut at this many standard deviations.
const TRUNCATE: f64 = 4.0;

/// The central slices along the third, first and second axis, as `[3, 224, 224]` with values −0.5 to
/// 0.5; `None` if the image is constant or has a voxel that is not finite.
///
/// The margin round a slice is 0, which is mid-grey: the published weights were fitted to that.
pub fn views(volume: &Volume) -> Option<Vec<f32>> {
    let (least, most) = range(volume)?;
    let per_unit = 1.0 / (most - least);
    let [nx, ny, nz] = volume.shape;
    let value = |x: usize, y: usize, z: usize| {
        let value = f64::from(volume.data[(x * ny + y) * nz + z]);
        (value - least) * per_unit - 0.5
    };
    let slices = [
        Slice::of(nx, ny, |i, j| value(i, j, nz / 2)),
        Slice::of(ny, nz, |i, j| value(nx / 2, i, j)),
        Slice::of(nx, nz, |i, j| value(i, ny / 2, j)),
    ];
    Some(slices.iter().flat_map(view).collect())
}

/// A two-dimensional image, rows one after the other.
struct Slice {
    rows: usize,
    columns: usize,
    data: Vec<f64>,
}

impl Slice {
    fn of(rows: usize, columns: usize, value: impl Fn(usize, usize) -> f64) -> Self {
        let places = (0..rows).flat_map(|i| (0..columns).map(move |j| (i, j)));
        Self {
            rows,
            columns,
            data: places.map(|(i, j)| value(i, j)).collect(),
        }
    }

    fn at(&self, row: usize, column: usize) -> f64 {
        self.data[row * self.columns + column]
    }
}

/// Reverses the rows, scales the slice to fit 256×256, cuts the border off, and transposes along the
/// other diagonal.
fn view(slice: &Slice) -> Vec<f32> {
    let reversed = Slice::of(slice.rows, slice.columns, |i, j| {
        slice.at(slice.rows - 1 - i, j)
    });
    let scale = (WHOLE as f64 / slice.rows as f64).min(WHOLE as f64 / slice.columns as f64);
    let scaled = resize(
        &reversed,
        scaled(scale, slice.rows),
        scaled(scale, slice.columns),
    );
    let (top, left) = ((WHOLE - scaled.rows) / 2, (WHOLE - scaled.columns) / 2);
    let margin = (WHOLE - SIZE) / 2;
    let pasted = |i: usize, j: usize| {
        let (row, column) = (
            (i + margin).checked_sub(top),
            (j + margin).checked_sub(left),
        );
        match (row, column) {
            (Some(row), Some(column)) if row < scaled.rows && column < scaled.columns => {
                scaled.at(row, column)
            }
            _ => 0.0,
        }
    };
    #[expect(clippy::cast_possible_truncation, reason = "networks take float32")]
    let narrow = |value: f64| value as f32;
    Slice::of(SIZE, SIZE, |i, j| pasted(SIZE - 1 - j, SIZE - 1 - i))
        .data
        .into_iter()
        .map(narrow)
        .collect()
}

/// A scaled size: the nearest whole number, of two the even one, at least 1 and at most 256.
fn scaled(scale: f64, size: usize) -> usize {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "1 to 256"
    )]
    let scaled = (scale * size as f64)
        .round_ties_even()
        .clamp(1.0, WHOLE as f64) as usize;
    scaled
}

/// Bilinear interpolation between the centres of pixels, those outside being 0. A slice that shrinks is
/// smoothed first.
fn resize(slice: &Slice, rows: usize, columns: usize) -> Slice {
    let smoothed = smooth(slice, rows, columns);
    let across: Vec<Place> = (0..rows).map(|i| Place::of(i, slice.rows, rows)).collect();
    let along: Vec<Place> = (0..columns)
        .map(|j| Place::of(j, slice.columns, columns))
        .collect();
    Slice::of(rows, columns, |i, j| {
        across[i].between(|row| along[j].between(|column| smoothed.at(row, column)))
    })
}

/// A place between two neighbouring pixels of a row or column, which may lie outside of it.
struct Place {
    before: Option<usize>,
    after: Option<usize>,
    behind: f64,
}

impl Place {
    /// Where pixel `index` of `to` lies among `from` pixels.
    fn of(index: usize, from: usize, to: usize) -> Self {
        let at = (index as f64 + 0.5) * (from as f64 / to as f64) - 0.5;
        #[expect(clippy::cast_possible_truncation, reason = "-1 to 32767")]
        let before = at.floor() as i64;
        let inside = |at: i64| usize::try_from(at).ok().filter(|&at| at < from);
        Self {
            before: inside(before),
            after: inside(before + 1),
            behind: at - at.floor(),
        }
    }

    fn between(&self, value: impl Fn(usize) -> f64) -> f64 {
        let value = |at: Option<usize>| at.map_or(0.0, &value);
        value(self.before) * (1.0 - self.behind) + value(self.after) * self.behind
    }
}

/// A Gaussian along each axis that shrinks, of standard deviation `(factor − 1) / 2`.
fn smooth(slice: &Slice, rows: usize, columns: usize) -> Slice {
    let along_rows = kernel(slice.rows, rows);
    let along_columns = kernel(slice.columns, columns);
    let down = Slice::of(slice.rows, slice.columns, |i, j| {
        convolve(&along_rows, i, slice.rows, |row| slice.at(row, j))
    });
    Slice::of(slice.rows, slice.columns, |i, j| {
        convolve(&along_columns, j, slice.columns, |column| {
            down.at(i, column)
        })
    })
}

/// Weights of a sampled Gaussian, its centre in the middle; 1 alone where nothing shrinks.
fn kernel(from: usize, to: usize) -> Vec<f64> {
    let sigma = (from as f64 / to as f64 - 1.0) / 2.0;
    if sigma <= 0.0 {
        return vec![1.0];
    }
    #[expect(
        clippy::cast_possible_truncation,
        reason = "an axis has at most 32767 voxels"
    )]
    let radius = (TRUNCATE * sigma + 0.5) as i64;
    let weights: Vec<f64> = (-radius..=radius)
        .map(|x| (-0.5 / (sigma * sigma) * (x * x) as f64).exp())
        .collect();
    let sum: f64 = weights.iter().sum();
    weights.into_iter().map(|weight| weight / sum).collect()
}

/// The weighted sum round `index`; what lies outside is 0.
fn convolve(weights: &[f64], index: usize, size: usize, value: impl Fn(usize) -> f64) -> f64 {
    let radius = weights.len() / 2;
    let mut sum = 0.0;
    for (i, weight) in weights.iter().enumerate() {
        if let Some(at) = (index + i).checked_sub(radius).filter(|&at| at < size) {
            sum += weight * value(at);
        }
    }
    sum
}
