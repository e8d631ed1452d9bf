//! Places of voxels: inverse affines, and nearest neighbours on another grid.

use engine::StageError;

use crate::volume::{Affine, Volume, to_world};

/// From millimetres back to voxel indices.
///
/// # Errors
/// The voxels have no volume.
pub(crate) fn inverse(affine: &Affine, shown: &str) -> Result<Affine, StageError> {
    let at = |row: usize, column: usize| affine[row % 3][column % 3];
    let cofactor = |row: usize, column: usize| {
        at(row + 1, column + 1) * at(row + 2, column + 2)
            - at(row + 1, column + 2) * at(row + 2, column + 1)
    };
    let determinant: f64 = (0..3)
        .map(|column| at(0, column) * cofactor(0, column))
        .sum();
    let mut result = [[0.0; 4]; 4];
    for (row, values) in result.iter_mut().take(3).enumerate() {
        for (column, value) in values.iter_mut().take(3).enumerate() {
            *value = cofactor(column, row) / determinant;
        }
    }
    let back = to_world(&result, [0, 1, 2].map(|row| affine[row][3]));
    for row in 0..3 {
        result[row][3] = -back[row];
    }
    result[3][3] = 1.0;
    if result.iter().flatten().all(|value| value.is_finite()) {
        Ok(result)
    } else {
        let message = format!("`{shown}` has voxels without a volume");
        Err(StageError::new(message))
    }
}

/// One map after another.
pub(crate) fn after(second: &Affine, first: &Affine) -> Affine {
    let mut result = [[0.0; 4]; 4];
    for (row, values) in result.iter_mut().enumerate() {
        for (column, value) in values.iter_mut().enumerate() {
            *value = (0..4).map(|k| second[row][k] * first[k][column]).sum();
        }
    }
    result
}

/// A volume on another grid: the nearest voxel, 0 outside of it.
///
/// # Errors
/// The volume's voxels have no volume.
pub(crate) fn nearest(
    volume: &Volume,
    shown: &str,
    shape: [usize; 3],
    affine: &Affine,
) -> Result<Vec<f32>, StageError> {
    // The same grid is told apart so that no rounding of an inverse matters.
    if volume.shape == shape && volume.affine == *affine {
        return Ok(volume.data.clone());
    }
    let map = after(&inverse(&volume.affine, shown)?, affine);
    let mut data = Vec::with_capacity(shape.iter().product());
    for x in 0..shape[0] {
        for y in 0..shape[1] {
            for z in 0..shape[2] {
                let place = to_world(&map, [x, y, z].map(|i| i as f64));
                data.push(at(volume, place).unwrap_or(0.0));
            }
        }
    }
    Ok(data)
}

/// The value of the voxel that a place is in.
fn at(volume: &Volume, place: [f64; 3]) -> Option<f32> {
    let mut index = 0;
    for (position, size) in place.into_iter().zip(volume.shape) {
        let nearest = (position + 0.5).floor();
        if !(0.0..size as f64).contains(&nearest) {
            return None;
        }
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "range was checked"
        )]
        let nearest = nearest as usize;
        index = index * size + nearest;
    }
    Some(volume.data[index])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_inverse_undoes_an_oblique_affine_and_flat_voxels_have_none() {
        let oblique = [
            [0.9, -0.2, 0.1, 12.0],
            [0.3, 1.1, -0.4, -7.0],
            [-0.1, 0.5, 1.3, 30.0],
            [0.0, 0.0, 0.0, 1.0],
        ];
        let identity = after(&inverse(&oblique, "x").unwrap(), &oblique);
        for (row, values) in identity.iter().enumerate() {
            for (column, &value) in values.iter().enumerate() {
                let expected = if row == column { 1.0 } else { 0.0 };
                assert!((value - expected).abs() < 1e-12, "{identity:?}");
            }
        }
        let mut flat = oblique;
        flat[2] = [0.0, 0.0, 0.0, 30.0];
        let message = inverse(&flat, "x").unwrap_err().message;
        assert_eq!(message, "`x` has voxels without a volume");
    }
}
