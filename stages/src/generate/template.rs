//! The template and its mask: reading them, and planting the effect.

use engine::{Input, StageError};

use super::GenerateParams;
use crate::io::nifti;
use crate::volume::{Affine, Volume, sub_grid, to_world};

/// The grid of cropped t1-linear images.
const T1_LINEAR: [usize; 3] = [169, 208, 179];
/// Differences of affines that only rounding makes, in millimetres.
const ROUNDING_MM: f64 = 1e-3;
/// The least effect that counts as one.
const NOTICEABLE: f64 = 0.01;

/// Reads a template, and cuts it to the t1-linear grid if asked to.
///
/// # Errors
/// It is no image, is smaller than that grid, or its voxels have no size.
pub(super) fn read(input: &Input, crop: bool) -> Result<Volume, StageError> {
    let file = input.only_file()?;
    let volume = nifti::read(&file.path, &file.shown)?;
    let spacing = volume.spacing_mm();
    if spacing.iter().any(|&mm| mm <= 0.0 || !mm.is_finite()) {
        let message = format!("`{}` has voxels of {spacing:?} mm", file.shown);
        return Err(StageError::new(message));
    }
    if crop {
        cut(&volume, &file.shown)
    } else {
        Ok(volume)
    }
}

/// Reads a mask, which must be on the template's grid.
///
/// # Errors
/// As for a template, or it is on another grid.
pub(super) fn read_mask(
    input: &Input,
    crop: bool,
    template: &Volume,
) -> Result<Volume, StageError> {
    let mask = read(input, crop)?;
    let shown = &input.only_file()?.shown;
    if mask.shape != template.shape {
        let (shape, expected) = (mask.shape, template.shape);
        let message =
            format!("`{shown}` has shape {shape:?}, expected {expected:?} as the template");
        return Err(StageError::new(message));
    }
    let mut pairs = mask
        .affine
        .iter()
        .flatten()
        .zip(template.affine.iter().flatten());
    if pairs.any(|(a, b)| (a - b).abs() > ROUNDING_MM) {
        let message = format!("`{shown}` has another orientation or position than the template");
        return Err(StageError::new(message));
    }
    Ok(mask)
}

/// Cuts a template to the t1-linear grid, centred.
pub(super) fn cut(volume: &Volume, shown: &str) -> Result<Volume, StageError> {
    let mut sizes = volume.shape.iter().zip(T1_LINEAR);
    if sizes.any(|(&size, wanted)| size < wanted) {
        let shape = volume.shape;
        let message = format!("`{shown}` has shape {shape:?}, smaller than {T1_LINEAR:?}");
        return Err(StageError::new(message).hint("set `crop: false`"));
    }
    let start = [0, 1, 2].map(|axis| (volume.shape[axis] - T1_LINEAR[axis]) / 2);
    let [nx, ny, nz] = T1_LINEAR;
    let mut data = Vec::with_capacity(nx * ny * nz);
    for x in 0..nx {
        for y in 0..ny {
            let at = ((x + start[0]) * volume.shape[1] + y + start[1]) * volume.shape[2] + start[2];
            data.extend_from_slice(&volume.data[at..at + nz]);
        }
    }
    let affine = sub_grid(&volume.affine, start, [1; 3]);
    Ok(Volume {
        data,
        shape: T1_LINEAR,
        affine,
    })
}

/// The template as the first class has it: intensities lose a part near the centres, inside the mask.
///
/// # Errors
/// No voxel is affected.
pub(super) fn ill(
    params: &GenerateParams,
    template: &Volume,
    mask: Option<&Volume>,
) -> Result<Vec<f32>, StageError> {
    let threshold = mask.map_or(0.0, |mask| {
        f64::from(greatest(mask)) * params.mask_threshold
    });
    let [_, ny, nz] = template.shape;
    let mut changed = false;
    let mut data = template.data.clone();
    for (at, value) in data.iter_mut().enumerate() {
        let inside = mask.is_none_or(|mask| f64::from(mask.data[at]) > threshold);
        if inside && *value != 0.0 {
            let index = [at / (ny * nz), at / nz % ny, at % nz].map(|i| i as f64);
            let effect = effect(params, &template.affine, index);
            changed |= effect > NOTICEABLE;
            *value *= (1.0 - params.atrophy_percent / 100.0 * effect) as f32;
        }
    }
    if changed {
        Ok(data)
    } else {
        let message = "the region of the effect is empty: no voxel is near a centre";
        let hint = "`centres_mm` are millimetres in the space of the template's affine";
        Err(StageError::new(message).hint(hint))
    }
}

/// The greatest finite intensity, at least 0.
pub(super) fn greatest(volume: &Volume) -> f32 {
    let finite = volume
        .data
        .iter()
        .copied()
        .filter(|value| value.is_finite());
    finite.fold(0.0, f32::max)
}

/// The strength of the effect at a voxel: a Gaussian round the nearest centre, 1 at the centre.
fn effect(params: &GenerateParams, affine: &Affine, index: [f64; 3]) -> f64 {
    let here = to_world(affine, index);
    let squared = params.centres_mm.iter().map(|centre| {
        let pairs = here.iter().zip(centre);
        pairs.map(|(a, b)| (a - b) * (a - b)).sum::<f64>()
    });
    let nearest = squared.fold(f64::INFINITY, f64::min);
    (-nearest / (2.0 * params.radius_mm * params.radius_mm)).exp()
}

#[cfg(test)]
mod tests {
    use super::super::tests::{params, template};
    use super::*;

    #[test]
    fn the_effect_is_greatest_at_the_centre_in_millimetres() {
        let template = template();
        let ill = ill(&params(), &template, None).unwrap();
        let ratio = |x: usize, y: usize, z: usize| {
            let at = (x * 22 + y) * 24 + z;
            ill[at] / template.data[at]
        };
        // Voxel (10, 11, 12) is at 0 mm, where 40 % are lost; one standard deviation is three voxels.
        assert!((ratio(10, 11, 12) - 0.6).abs() < 1e-6);
        assert!((ratio(13, 11, 12) - (1.0 - 0.4 * (-0.5_f32).exp())).abs() < 1e-5);
        assert!(ratio(0, 0, 0) > 0.999);
    }

    #[test]
    fn a_mask_restricts_the_effect() {
        let template = template();
        let mut mask = Volume {
            data: vec![0.0; template.data.len()],
            ..template.clone()
        };
        mask.data[(10 * 22 + 11) * 24 + 12] = 8.0;
        mask.data[(10 * 22 + 11) * 24 + 13] = 3.0;
        let ill = ill(&params(), &template, Some(&mask)).unwrap();
        let pairs = ill.iter().zip(&template.data);
        let count = pairs.filter(|(a, b)| a.to_bits() != b.to_bits()).count();
        assert_eq!(
            count, 1,
            "only values above half the mask's maximum are affected"
        );
    }

    #[test]
    fn an_effect_outside_the_image_is_an_error() {
        let far = GenerateParams {
            centres_mm: vec![[500.0, 0.0, 0.0]],
            ..params()
        };
        let error = ill(&far, &template(), None).unwrap_err();
        assert!(error.message.contains("is empty"));
    }

    #[test]
    fn cutting_keeps_every_voxel_in_its_place() {
        let shape = [171, 210, 182];
        let count = shape.iter().product::<usize>();
        let data = (0..count).map(|i| (i % 1009) as f32).collect();
        let volume = Volume {
            data,
            shape,
            affine: template().affine,
        };
        let small = cut(&volume, "t").unwrap();
        assert_eq!(small.shape, T1_LINEAR);
        let first = to_world(&small.affine, [0.0; 3]);
        for (mm, was) in first.iter().zip(to_world(&volume.affine, [1.0; 3])) {
            assert!((mm - was).abs() < 1e-12);
        }
        let got = small.data[(100 * 208 + 50) * 179 + 70];
        let was = volume.data[(101 * 210 + 51) * 182 + 71];
        assert_eq!(got.to_bits(), was.to_bits());
        assert!(
            cut(&template(), "t")
                .unwrap_err()
                .message
                .contains("smaller than")
        );
    }
}
