//! Maps of images put together from those of their parts.

use std::collections::BTreeMap;

use engine::StageError;
use maps::weights::{Array, ArrayData};
use ndarray::ArrayViewD;
use stages::extraction::{Parts, Place, Whole};
use stages::tensor_file;
use stages::volume::{Affine, sub_grid};

use super::turns::{Key, key};
use super::writer::Space;
use crate::data::{Dataset, Sample, Transforms};

/// Where what the network sees of a part of an image is.
pub(super) fn located(
    parts: &Parts,
    transforms: Transforms,
    frame: Frame,
    part: usize,
) -> Result<Placed, String> {
    let Some(shape) = frame.shape else {
        let space = Space {
            affine: None,
            lacks: None,
        };
        return Ok(Placed { space, place: None });
    };
    let place = parts.place(shape, part);
    let seen = transforms.kept(place.shape(), place.lacks)?;
    let place = place.of_these(&seen);
    let grid = place.grid();
    let space = Space {
        affine: grid.map(|(start, step)| sub_grid(&frame.affine, start, step)),
        lacks: place.lacks,
    };
    Ok(Placed {
        space,
        place: Some((shape, place)),
    })
}

/// The images of a group while maps of their parts come in.
pub(super) struct Wholes<'a> {
    dataset: &'a Dataset<'a>,
    /// Parts that are still to come.
    missing: BTreeMap<Key<'a>, usize>,
    open: BTreeMap<Key<'a>, Whole>,
    /// The image seen last: its parts follow one another.
    last: Option<(Key<'a>, Frame)>,
}

/// Sizes and place of an image that was cut into parts.
#[derive(Debug, Clone, Copy)]
pub(super) struct Frame {
    /// `[C, X, Y, Z]`; none where only the parts are known.
    pub(super) shape: Option<[usize; 4]>,
    pub(super) affine: Affine,
}

/// Where a part is.
pub(super) struct Placed {
    /// Its own space.
    pub(super) space: Space,
    /// Its voxels in the image; none where the image is not known.
    pub(super) place: Option<([usize; 4], Place)>,
}

/// A map of an image, with its shape `[C, X, Y, Z]` and place.
pub(super) struct WholeMap {
    pub(super) array: Array,
    pub(super) affine: Affine,
}

impl<'a> Wholes<'a> {
    pub(super) fn new(dataset: &'a Dataset<'a>) -> Self {
        let mut missing = BTreeMap::new();
        for sample in &dataset.cohort.samples {
            *missing.entry(key(sample)).or_default() += 1;
        }
        Self {
            dataset,
            missing,
            open: BTreeMap::new(),
            last: None,
        }
    }

    /// Where the part of a sample is.
    ///
    /// # Errors
    /// Its file cannot be read.
    pub(super) fn place(&mut self, sample: &'a Sample) -> Result<Placed, StageError> {
        let frame = self.frame(sample)?;
        let parts = &self.dataset.cohort.extraction.parts;
        located(parts, self.dataset.transforms, frame, sample.part)
            .map_err(|why| StageError::new(format!("`{}`: {why}", sample.file.shown)))
    }

    fn frame(&mut self, sample: &'a Sample) -> Result<Frame, StageError> {
        if let Some((of, frame)) = self.last
            && of == key(sample)
        {
            return Ok(frame);
        }
        let known = tensor_file::summary(&sample.file.path, &sample.file.shown)?;
        let parts = &self.dataset.cohort.extraction.parts;
        // A file with parts alone tells the sizes of the first, which cannot be cut into as many.
        let shape = <[usize; 4]>::try_from(known.shape).ok();
        let is_whole = |shape: &[usize; 4]| {
            let count = parts.count(*shape).ok();
            count.is_some() && known.parts.is_none_or(|parts| count == Some(parts))
        };
        let frame = Frame {
            shape: shape.filter(is_whole),
            affine: known.affine,
        };
        self.last = Some((key(sample), frame));
        Ok(frame)
    }

    /// Adds the map of a part; gives the map of the image when it was the last one.
    ///
    /// # Errors
    /// The map has no numbers.
    pub(super) fn add(
        &mut self,
        sample: &'a Sample,
        placed: &Placed,
        map: &Array,
    ) -> Result<Option<WholeMap>, StageError> {
        let Some((shape, place)) = &placed.place else {
            return Ok(None);
        };
        let values = map.as_f32().unwrap_or_default();
        let view = ArrayViewD::from_shape(map.shape(), values).map_err(StageError::internal)?;
        let [channels, x, y, z] = *shape;
        let channels = channels.min(map.shape()[0]);
        let parts = &self.dataset.cohort.extraction.parts;
        let of = key(sample);
        let whole = self.open.entry(of);
        let whole = whole.or_insert_with(|| Whole::new([channels, x, y, z]));
        whole.add(view, parts, sample.part, place);
        let missing = self.missing.entry(of).or_insert(1);
        *missing -= 1;
        if *missing > 0 {
            return Ok(None);
        }
        let affine = self.frame(sample)?.affine;
        let Some(whole) = self.open.remove(&of) else {
            return Ok(None);
        };
        let data = ArrayData::F32(whole.finish());
        let array = Array::try_new(vec![channels, x, y, z], data).map_err(StageError::internal)?;
        Ok(Some(WholeMap { array, affine }))
    }
}
