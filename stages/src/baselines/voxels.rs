//! Images as features: means of blocks of voxels.

use engine::{Context, InputFile, StageError};
use ndarray::{ArrayView4, Axis, Slice};
use rayon::prelude::*;

use super::matrix::Matrix;
use crate::tensor_file;

/// How images become features.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reading {
    /// Voxels along each edge of a block.
    pub(super) block: usize,
    /// Rescale each image to 0 to 1 first.
    pub(super) normalize: bool,
}

impl Reading {
    /// The features of images, which have one size: that of `before`, where there were images before.
    ///
    /// # Errors
    /// An image cannot be read, or has another size than the first.
    pub(super) fn features(
        self,
        files: &[&InputFile],
        before: &mut Option<Vec<usize>>,
        context: &Context,
    ) -> Result<Matrix, StageError> {
        let read = |file: &&InputFile| {
            context.check_cancelled()?;
            let (shape, voxels, _) = tensor_file::read(&file.path, &file.shown)?;
            let features = self.of_image(&shape, voxels)?;
            Ok((shape, features))
        };
        let images: Vec<(Vec<usize>, Vec<f64>)> = files
            .par_iter()
            .map(read)
            .collect::<Result<_, StageError>>()?;
        for (file, (shape, _)) in files.iter().zip(&images) {
            let expected = before.get_or_insert_with(|| shape.clone());
            if shape != expected {
                let shown = &file.shown;
                let message = format!("`{shown}` has size {shape:?}, the first image {expected:?}");
                return Err(StageError::new(message).hint("extract images of one size"));
            }
        }
        let count = images.first().map_or(0, |(_, features)| features.len());
        let rows = images.into_iter().map(|(_, features)| features);
        Ok(Matrix::of_rows(count, rows.collect()))
    }

    fn of_image(self, shape: &[usize], mut voxels: Vec<f32>) -> Result<Vec<f64>, StageError> {
        clean(&mut voxels, self.normalize);
        let sizes: [usize; 4] = shape
            .try_into()
            .map_err(|_| StageError::internal(format!("an image has shape {shape:?}")))?;
        let image = ArrayView4::from_shape(sizes, &voxels).map_err(StageError::internal)?;
        let [channels, x, y, z] = sizes;
        let blocks = |size: usize| (0..size).step_by(self.block);
        let mut features = Vec::new();
        for channel in 0..channels {
            let image = image.index_axis(Axis(0), channel);
            for i in blocks(x) {
                for j in blocks(y) {
                    for k in blocks(z) {
                        let block = image.slice_each_axis(|axis| {
                            let (start, size) = [(i, x), (j, y), (k, z)][axis.axis.index()];
                            Slice::from(start..(start + self.block).min(size))
                        });
                        let sum: f64 = block.iter().map(|&v| f64::from(v)).sum();
                        features.push(sum / block.len() as f64);
                    }
                }
            }
        }
        Ok(features)
    }
}

/// Replaces NaN by 0 and infinities by the finite extremes, and rescales to 0 to 1 if wanted, as training
/// does.
fn clean(voxels: &mut [f32], normalize: bool) {
    let extremes = |voxels: &[f32]| {
        let finite = voxels.iter().copied().filter(|v| v.is_finite());
        finite.fold((f32::INFINITY, f32::NEG_INFINITY), |(low, high), v| {
            (low.min(v), high.max(v))
        })
    };
    let (low, high) = extremes(voxels);
    for v in &mut *voxels {
        *v = match *v {
            finite if finite.is_finite() => finite,
            f32::INFINITY if low <= high => high,
            f32::NEG_INFINITY if low <= high => low,
            _ => 0.0,
        };
    }
    if !normalize {
        return;
    }
    let (low, high) = extremes(voxels);
    let width = high - low;
    for v in voxels {
        *v = if width > 0.0 { (*v - low) / width } else { 0.0 };
    }
}
