//! Maps of images put together from those of their parts.

use std::collections::BTreeMap;

use engine::StageError;
use maps::weights::{Array, ArrayData};
use ndarray::ArrayViewD;
use stages::extraction::{Parts, Place, Whole};
use stages::tensor_file;
use stages::volume::{Affine, Volume, sub_grid};

use crate::data::{Cohort, Dataset, Key, Sample, Transforms};

/// Where the voxels of a map are.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Space {
    /// Voxel indices to millimetres; none where the map is on no grid, or nobody knows where.
    pub(crate) affine: Option<Affine>,
    /// The axis that the map of a slice lacks.
    pub(crate) lacks: Option<usize>,
}

impl Space {
    /// A map `[1, X, Y, Z]`, or `[1, X, Y]` of a slice, as an image; none if it has more channels or no
    /// place in space.
    pub(crate) fn volume(&self, map: &Array) -> Option<Volume> {
        let mut shape = map.shape().to_vec();
        if let Some(axis) = self.lacks {
            shape.insert(1 + axis, 1);
        }
        let &[1, x, y, z] = shape.as_slice() else {
            return None;
        };
        Some(Volume {
            data: map.as_f32()?.to_vec(),
            shape: [x, y, z],
            affine: self.affine?,
        })
    }
}

/// Where what the network sees of a part of an image is.
pub(crate) fn located(
    parts: &Parts,
    transforms: Transforms,
    frame: Frame,
    part: usize,
) -> Result<Placed, String> {
    let affine = frame.affine;
    let Some(shape) = frame.shape else {
        let space = Space {
            affine: None,
            lacks: None,
        };
        return Ok(Placed {
            space,
            affine,
            place: None,
        });
    };
    let place = parts.place(shape, part);
    let seen = transforms.kept(place.shape(), place.lacks)?;
    let place = place.of_these(&seen);
    let grid = place.grid();
    let space = Space {
        affine: grid.map(|(start, step)| sub_grid(&affine, start, step)),
        lacks: place.lacks,
    };
    Ok(Placed {
        space,
        affine,
        place: Some((shape, place)),
    })
}

/// Sizes and place of an image that was cut into parts.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Frame {
    /// `[C, X, Y, Z]`; none where only the parts are known.
    pub(crate) shape: Option<[usize; 4]>,
    pub(crate) affine: Affine,
}

/// Where a part is.
pub(crate) struct Placed {
    /// Its own space.
    pub(crate) space: Space,
    /// Of its image, voxel indices to millimetres.
    pub(crate) affine: Affine,
    /// The shape of its image `[C, X, Y, Z]`, and its voxels in it; none where the image is not known.
    pub(crate) place: Option<([usize; 4], Place)>,
}

/// Where the parts of a group are in their images.
pub(crate) struct Frames<'a> {
    parts: &'a Parts,
    transforms: Transforms,
    /// The image seen last: its parts follow one another.
    last: Option<(Key<'a>, Frame)>,
}

impl<'a> Frames<'a> {
    pub(crate) fn new(dataset: &Dataset<'a>) -> Self {
        Self {
            parts: &dataset.cohort.extraction.parts,
            transforms: dataset.transforms,
            last: None,
        }
    }

    /// Where the part of a sample is.
    ///
    /// # Errors
    /// Its file cannot be read.
    pub(crate) fn place(&mut self, sample: &'a Sample) -> Result<Placed, StageError> {
        let frame = self.frame(sample)?;
        located(self.parts, self.transforms, frame, sample.part)
            .map_err(|why| StageError::new(format!("`{}`: {why}", sample.file.shown)))
    }

    fn frame(&mut self, sample: &'a Sample) -> Result<Frame, StageError> {
        if let Some((of, frame)) = self.last
            && of == sample.key()
        {
            return Ok(frame);
        }
        let known = tensor_file::summary(&sample.file.path, &sample.file.shown)?;
        // A file with parts alone tells the sizes of the first, which cannot be cut into as many.
        let shape = <[usize; 4]>::try_from(known.shape).ok();
        let is_whole = |shape: &[usize; 4]| {
            let count = self.parts.count(*shape).ok();
            count.is_some() && known.parts.is_none_or(|parts| count == Some(parts))
        };
        let frame = Frame {
            shape: shape.filter(is_whole),
            affine: known.affine,
        };
        self.last = Some((sample.key(), frame));
        Ok(frame)
    }
}

/// The images of a group while maps of their parts come in.
pub(crate) struct Wholes<'a> {
    parts: &'a Parts,
    /// Parts that are still to come.
    missing: BTreeMap<Key<'a>, usize>,
    open: BTreeMap<Key<'a>, Whole>,
}

impl<'a> Wholes<'a> {
    pub(crate) fn new(cohort: &'a Cohort) -> Self {
        let mut missing = BTreeMap::new();
        for sample in &cohort.samples {
            *missing.entry(sample.key()).or_default() += 1;
        }
        Self {
            parts: &cohort.extraction.parts,
            missing,
            open: BTreeMap::new(),
        }
    }

    /// Adds the map of a part, which is at `place` in an image `[C, X, Y, Z]` of as many channels as the map
    /// of the image shall have; gives that map when the part was the last one.
    pub(crate) fn add(
        &mut self,
        sample: &'a Sample,
        shape: [usize; 4],
        place: &Place,
        map: ArrayViewD<'_, f32>,
    ) -> Option<Whole> {
        let of = sample.key();
        let whole = self.open.entry(of);
        let whole = whole.or_insert_with(|| Whole::new(shape));
        whole.add(map, self.parts, sample.part, place);
        let missing = self.missing.entry(of).or_insert(1);
        *missing -= 1;
        match *missing {
            0 => self.open.remove(&of),
            _ => None,
        }
    }
}

/// Numbers as an array of this shape.
///
/// # Errors
/// There are more or fewer.
pub(crate) fn to_array(shape: [usize; 4], voxels: Vec<f32>) -> Result<Array, StageError> {
    Array::try_new(shape.to_vec(), ArrayData::F32(voxels)).map_err(StageError::internal)
}

/// The numbers of an array.
///
/// # Errors
/// It has none of 32 bits.
pub(crate) fn view(map: &Array) -> Result<ArrayViewD<'_, f32>, StageError> {
    let values = map.as_f32().unwrap_or_default();
    ArrayViewD::from_shape(map.shape(), values).map_err(StageError::internal)
}
