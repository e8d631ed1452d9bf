//! Deterministic transforms between a stored image and the network.
//!
//! In order: voxels that are no numbers are replaced, intensities are rescaled, the grid is thinned.
//!
//! # Source
//! `get_transforms` of ClinicaDL 1.6.1, `clinicadl/utils/caps_dataset/data.py`. Deviations: a constant
//! image becomes zeros instead of NaN; infinite voxels become the extremes of the finite ones instead
//! of the largest float32.

use engine::StageError;
use engine::seed::Stream;
use ndarray::ArrayView4;
use stages::augmentation::{Augmenter, Picture};
use stages::extraction::{Extraction, Parts};
use stages::tensor_file;
use stages::volume::{Affine, spacing_mm, sub_grid};

use super::Shared;

/// Start, end and step on each axis, by factor; made for images of 169×208×179 voxels.
const REDUCTIONS: [(u32, [(usize, usize); 3]); 4] = [
    (2, [(4, 164), (8, 200), (8, 168)]),
    (3, [(0, 168), (8, 200), (4, 172)]),
    (4, [(4, 164), (8, 200), (8, 168)]),
    (5, [(4, 164), (0, 200), (8, 168)]),
];

/// What is done to every image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Transforms {
    /// Rescale each image to [0, 1].
    pub(crate) normalize: bool,
    /// Take every n-th voxel of a central part, n from 2 to 5.
    pub(crate) size_reduction: Option<u32>,
}

/// An image as the network sees it.
///
/// # Shapes
/// `voxels` is `[C, X, Y, Z]` in C order.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Image {
    pub(crate) shape: Vec<usize>,
    pub(crate) voxels: Vec<f32>,
    pub(crate) affine: Affine,
}

impl Transforms {
    /// Start and end on each axis of the part of an image of which every `factor`-th voxel is taken; `None` for
    /// another factor.
    pub(crate) fn grid(factor: u32) -> Option<[(usize, usize); 3]> {
        let mut all = REDUCTIONS.iter();
        let found = all.find(|(known, _)| *known == factor);
        found.map(|(_, bounds)| *bounds)
    }

    /// Reads an extracted image and transforms it.
    ///
    /// # Errors
    /// The file cannot be read, or the image is smaller than the reduced grid asks for.
    pub(crate) fn read(
        &self,
        file: &engine::InputFile,
        extraction: &Extraction,
        part: usize,
    ) -> Result<Image, StageError> {
        let image = stored(file, extraction, part)?;
        self.transform(image, file, extraction)
    }

    /// The same, of an image that other parts are cut from too.
    ///
    /// # Errors
    /// As [`Transforms::read`].
    pub(crate) fn read_of(
        &self,
        shared: &Shared,
        file: &engine::InputFile,
        extraction: &Extraction,
        part: usize,
    ) -> Result<Image, StageError> {
        if !Shared::is_for(extraction) {
            return self.read(file, extraction, part);
        }
        let image = shared.read(file, || whole(file))?;
        self.transform(cut(&image, file, extraction, part)?, file, extraction)
    }

    fn transform(
        &self,
        image: Image,
        file: &engine::InputFile,
        extraction: &Extraction,
    ) -> Result<Image, StageError> {
        self.apply(image, lacking(extraction))
            .map_err(|problem| StageError::new(format!("`{}`: {problem}", file.shown)))
    }

    /// On each axis, the voxels of an image or part of these sizes that the network sees; `cut` is the axis
    /// that a slice lacks.
    ///
    /// # Errors
    /// None is left of an axis.
    pub(crate) fn kept(
        &self,
        sizes: [usize; 3],
        cut: Option<usize>,
    ) -> Result<[Vec<usize>; 3], String> {
        match self.size_reduction {
            None => Ok(sizes.map(|size| (0..size).collect())),
            Some(factor) => Ok(thinned(sizes, factor, cut)?.0),
        }
    }

    /// `cut` is the axis that a slice lacks.
    pub(crate) fn apply(&self, mut image: Image, cut: Option<usize>) -> Result<Image, String> {
        let range = clean(&mut image.voxels);
        if let Some(factor) = self.size_reduction {
            if let Some(axis) = cut {
                image.shape.insert(1 + axis, 1);
            }
            image = thin(&image, factor, cut)?;
            if let Some(axis) = cut {
                image.shape.remove(1 + axis);
            }
        }
        if self.normalize {
            rescale(&mut image.voxels, range);
        }
        Ok(image)
    }
}

/// The axis that images of this extraction lack.
fn lacking(extraction: &Extraction) -> Option<usize> {
    match &extraction.parts {
        Parts::Slice(slices) => Some(slices.direction),
        _ => None,
    }
}

impl Image {
    /// A copy with random changes, which follow from `stream`.
    pub(crate) fn augmented(
        &self,
        augmenter: &Augmenter,
        extraction: &Extraction,
        stream: &Stream,
    ) -> Result<Vec<f32>, StageError> {
        let mut shape = self.shape.clone();
        if let Some(axis) = lacking(extraction) {
            shape.insert(1 + axis, 1);
        }
        let &[channels, x, y, z] = shape.as_slice() else {
            return Err(StageError::internal(format!(
                "an image has shape {shape:?}"
            )));
        };
        let mut picture = Picture {
            channels,
            shape: [x, y, z],
            // Of an image without a place in space, voxels have any size.
            spacing_mm: spacing_mm(&self.affine).map(|spacing| match spacing {
                1e-6..1e6 => spacing,
                _ => 1.0,
            }),
            voxels: self.voxels.clone(),
        };
        augmenter.apply(&mut picture, stream);
        Ok(picture.voxels)
    }
}

/// The stored image, or a part of it: one that was cut when it was extracted, or is cut now.
fn stored(
    file: &engine::InputFile,
    extraction: &Extraction,
    part: usize,
) -> Result<Image, StageError> {
    let (path, shown) = (&file.path, &file.shown);
    let (shape, voxels, affine) = match &extraction.parts {
        _ if extraction.saved => tensor_file::read_part(path, part, shown)?,
        Parts::Image => return whole(file),
        parts => tensor_file::cut_part(path, parts, part, shown)?,
    };
    Ok(Image {
        shape,
        voxels,
        affine,
    })
}

/// A stored image that is whole.
fn whole(file: &engine::InputFile) -> Result<Image, StageError> {
    #[cfg(test)]
    super::shared::reads::note(&file.path);
    let (shape, voxels, affine) = tensor_file::read(&file.path, &file.shown)?;
    Ok(Image {
        shape,
        voxels,
        affine,
    })
}

/// A part of an image.
fn cut(
    image: &Image,
    file: &engine::InputFile,
    extraction: &Extraction,
    part: usize,
) -> Result<Image, StageError> {
    let sizes = <[usize; 4]>::try_from(image.shape.as_slice()).map_err(|_| {
        StageError::internal(format!("`{}` has shape {:?}", file.shown, image.shape))
    })?;
    let whole = ArrayView4::from_shape(sizes, &image.voxels).map_err(StageError::internal)?;
    let cut = extraction.parts.cut(whole, part);
    Ok(Image {
        shape: cut.shape().to_vec(),
        voxels: cut.iter().copied().collect(),
        affine: image.affine,
    })
}

/// Replaces NaN by 0 and infinities by the finite extremes; returns the smallest and largest value.
fn clean(voxels: &mut [f32]) -> (f32, f32) {
    let (low, high, is_finite) = voxels.iter().fold(
        (f32::INFINITY, f32::NEG_INFINITY, true),
        |(low, high, is_finite), &v| (low.min(v), high.max(v), is_finite & v.is_finite()),
    );
    if is_finite {
        return (low, high);
    }
    let finite = voxels.iter().copied().filter(|v| v.is_finite());
    let (low, high) = finite.fold((f32::INFINITY, f32::NEG_INFINITY), |(low, high), v| {
        (low.min(v), high.max(v))
    });
    if low > high {
        voxels.fill(0.0);
        return (0.0, 0.0);
    }
    for v in &mut *voxels {
        *v = if v.is_nan() { 0.0 } else { v.clamp(low, high) };
    }
    voxels
        .iter()
        .fold((low, high), |(low, high), &v| (low.min(v), high.max(v)))
}

/// Maps a range to [0, 1]; a range of one value to 0.
fn rescale(voxels: &mut [f32], (low, high): (f32, f32)) {
    let width = high - low;
    for v in voxels {
        *v = if width > 0.0 { (*v - low) / width } else { 0.0 };
    }
}

/// Takes every `factor`-th voxel of the part of the image that the factor prescribes.
///
/// Of the axis that a slice lacks, which has one voxel, that one is taken.
fn thin(image: &Image, factor: u32, cut: Option<usize>) -> Result<Image, String> {
    let &[channels, x, y, z] = image.shape.as_slice() else {
        return Err(format!(
            "`size_reduction` takes images [C, X, Y, Z], got {:?}",
            image.shape
        ));
    };
    let (kept, starts) = thinned([x, y, z], factor, cut)?;
    let mut voxels = Vec::with_capacity(channels * kept.iter().map(Vec::len).product::<usize>());
    for c in 0..channels {
        for &i in &kept[0] {
            for &j in &kept[1] {
                let row = ((c * x + i) * y + j) * z;
                voxels.extend(kept[2].iter().map(|&k| image.voxels[row + k]));
            }
        }
    }
    Ok(Image {
        shape: vec![channels, kept[0].len(), kept[1].len(), kept[2].len()],
        voxels,
        affine: sub_grid(&image.affine, starts, [factor as usize; 3]),
    })
}

/// The voxels that are taken on each axis, and where the grid of them starts.
fn thinned(
    sizes: [usize; 3],
    factor: u32,
    cut: Option<usize>,
) -> Result<([Vec<usize>; 3], [usize; 3]), String> {
    let bounds = Transforms::grid(factor)
        .ok_or_else(|| format!("`size_reduction_factor` is {factor}, expected 2, 3, 4 or 5"))?;
    let mut kept: [Vec<usize>; 3] = [vec![], vec![], vec![]];
    for (axis, ((kept, size), (start, end))) in kept.iter_mut().zip(sizes).zip(bounds).enumerate() {
        if cut == Some(axis) {
            kept.push(0);
            continue;
        }
        *kept = (start..end.min(size)).step_by(factor as usize).collect();
        if kept.is_empty() {
            return Err(format!(
                "`size_reduction` leaves nothing of an axis of {size} voxels: images are {sizes:?}"
            ));
        }
    }
    Ok((kept, bounds.map(|(start, _)| start)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const IDENTITY: Affine = [
        [1.0, 0.0, 0.0, 0.0],
        [0.0, 1.0, 0.0, 0.0],
        [0.0, 0.0, 1.0, 0.0],
        [0.0, 0.0, 0.0, 1.0],
    ];

    fn image(voxels: Vec<f32>) -> Image {
        Image {
            shape: vec![1, voxels.len(), 1, 1],
            voxels,
            affine: IDENTITY,
        }
    }

    fn normalized(voxels: Vec<f32>) -> Vec<f32> {
        let transforms = Transforms {
            normalize: true,
            size_reduction: None,
        };
        transforms.apply(image(voxels), None).unwrap().voxels
    }

    #[test]
    fn intensities_are_rescaled_to_the_unit_range() {
        assert_eq!(normalized(vec![-2.0, 0.0, 6.0]), [0.0, 0.25, 1.0]);
    }

    #[test]
    fn a_constant_image_becomes_zeros() {
        assert_eq!(normalized(vec![7.0; 4]), [0.0; 4]);
        assert_eq!(normalized(vec![f32::NAN; 2]), [0.0; 2]);
    }

    #[test]
    fn voxels_that_are_no_numbers_are_replaced_before_rescaling() {
        assert_eq!(
            normalized(vec![f32::NAN, 2.0, 4.0, f32::INFINITY, f32::NEG_INFINITY]),
            [0.0, 0.5, 1.0, 1.0, 0.5]
        );
    }

    #[test]
    fn thinned_grids_have_the_sizes_of_clinicadl_and_keep_their_place() {
        let shape = [169, 208, 179];
        let count = shape.iter().product::<usize>();
        let whole = Image {
            shape: vec![1, shape[0], shape[1], shape[2]],
            voxels: (0..count).map(|i| i as f32).collect(),
            affine: IDENTITY,
        };
        for (factor, expected, first) in [
            (2, [80, 96, 80], [4, 8, 8]),
            (3, [56, 64, 56], [0, 8, 4]),
            (4, [40, 48, 40], [4, 8, 8]),
            (5, [32, 40, 32], [4, 0, 8]),
        ] {
            let thinned = thin(&whole, factor, None).unwrap();
            assert_eq!(thinned.shape[1..], expected);
            let step = f64::from(factor);
            let expected = sub_grid(&IDENTITY, first, [factor as usize; 3]);
            let place = |affine: &Affine| affine.map(|row| row.map(f64::to_bits));
            assert_eq!(place(&thinned.affine), place(&expected));
            let index = (first[0] * 208 + first[1]) * 179 + first[2];
            let voxels = [0, 1].map(|i| f64::from(thinned.voxels[i]) - index as f64);
            assert!(
                (voxels[0]).abs() < 0.5 && (voxels[1] - step).abs() < 0.5,
                "{voxels:?}"
            );
        }
    }

    #[test]
    fn an_image_smaller_than_the_thinned_grid_is_refused() {
        assert!(
            thin(&image(vec![1.0; 30]), 2, None)
                .unwrap_err()
                .contains("leaves nothing")
        );
    }
}
