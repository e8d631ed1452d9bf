//! Where parts lie in their image, and images put together from their parts.

use std::ops::Range;

use ndarray::{ArrayViewD, Axis, Ix4};

use super::Parts;

/// Where a part lies in its image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// On each axis the indices of the part's voxels.
    pub kept: [Vec<usize>; 3],
    /// The axis that the part lacks: of a slice.
    pub lacks: Option<usize>,
}

impl Place {
    /// The place of what is left where only some voxels of the part are taken, given on each axis of it.
    #[must_use]
    pub fn of_these(self, taken: &[Vec<usize>; 3]) -> Self {
        let mut kept = self.kept;
        for (kept, taken) in kept.iter_mut().zip(taken) {
            *kept = taken.iter().map(|&index| kept[index]).collect();
        }
        Self { kept, ..self }
    }

    /// Number of voxels on each axis.
    pub fn shape(&self) -> [usize; 3] {
        [0, 1, 2].map(|axis| self.kept[axis].len())
    }

    /// First voxel and step on each axis; none where the part has gaps.
    pub fn grid(&self) -> Option<([usize; 3], [usize; 3])> {
        let along = |kept: &Vec<usize>| {
            let first = *kept.first()?;
            let step = kept.get(1).map_or(1, |second| second - first);
            let is_even = kept.windows(2).all(|pair| pair[1] - pair[0] == step);
            is_even.then_some((first, step))
        };
        let [x, y, z] = &self.kept;
        let (x, y, z) = (along(x)?, along(y)?, along(z)?);
        Some(([x.0, y.0, z.0], [x.1, y.1, z.1]))
    }
}

impl Parts {
    /// Where part `index` lies in an image of shape `[C, X, Y, Z]`.
    ///
    /// # Panics
    /// There is no such part.
    pub fn place(&self, image: [usize; 4], index: usize) -> Place {
        let [_, x, y, z] = image;
        let mut kept = [x, y, z].map(|size| (0..size).collect::<Vec<usize>>());
        let mut lacks = None;
        match self {
            Self::Image => {}
            Self::Patch(patches) => {
                let start = patches.start(image, index);
                kept = start.map(|start| (start..start + patches.size).collect());
            }
            Self::Slice(slices) => {
                kept[slices.direction] = vec![slices.discarded[0] + index];
                lacks = Some(slices.direction);
            }
            Self::Roi(regions) if regions.uncropped => {}
            Self::Roi(regions) => kept = regions.regions[index].kept.clone(),
        }
        Place { kept, lacks }
    }

    /// Whether a part is made from each voxel of the image within its place; none if it is from all of them.
    fn mask(&self, index: usize) -> Option<&[bool]> {
        match self {
            Self::Roi(regions) => Some(&regions.regions[index].mask),
            _ => None,
        }
    }
}

/// An image that is put together from maps of its parts: the mean where they overlap.
#[derive(Debug, Clone)]
pub struct Whole {
    /// `[C, X, Y, Z]`.
    shape: [usize; 4],
    sum: Vec<f64>,
    count: Vec<u32>,
}

impl Whole {
    /// An image of this shape, `[C, X, Y, Z]`.
    pub fn new(shape: [usize; 4]) -> Self {
        let voxels = shape[1..].iter().product::<usize>();
        Self {
            shape,
            sum: vec![0.0; shape[0] * voxels],
            count: vec![0; voxels],
        }
    }

    /// Adds the map of part `index`. The channels of a map of three times as many are added up by three:
    /// those of an RGB slice are copies of one.
    ///
    /// # Panics
    /// The map has not the shape of its place.
    pub fn add(&mut self, map: ArrayViewD<'_, f32>, parts: &Parts, index: usize, place: &Place) {
        let [channels, _, ny, nz] = self.shape;
        let voxels = self.count.len();
        let mask = parts.mask(index);
        let map = match place.lacks {
            Some(axis) => map.insert_axis(Axis(1 + axis)),
            None => map,
        };
        let map = map
            .into_dimensionality::<Ix4>()
            .expect("a map has channels and three axes");
        let copies = map.dim().0 / channels;
        let [xs, ys, zs] = &place.kept;
        for (i, &x) in xs.iter().enumerate() {
            for (j, &y) in ys.iter().enumerate() {
                for (k, &z) in zs.iter().enumerate() {
                    let at = (x * ny + y) * nz + z;
                    if mask.is_some_and(|mask| !mask[at]) {
                        continue;
                    }
                    self.count[at] += 1;
                    for copy in 0..copies {
                        for channel in 0..channels {
                            let value = f64::from(map[[copy * channels + channel, i, j, k]]);
                            self.sum[channel * voxels + at] += value;
                        }
                    }
                }
            }
        }
    }

    /// The smallest box of voxels, on each axis from the first to behind the last, that has all voxels of
    /// parts; empty where there is no part.
    pub fn covered(&self) -> [Range<usize>; 3] {
        let [_, _, ny, nz] = self.shape;
        let mut bounds = [(usize::MAX, 0); 3];
        let covered = self
            .count
            .iter()
            .enumerate()
            .filter(|(_, count)| **count > 0);
        for (at, _) in covered {
            for (bound, index) in bounds.iter_mut().zip([at / nz / ny, at / nz % ny, at % nz]) {
                *bound = (bound.0.min(index), bound.1.max(index + 1));
            }
        }
        bounds.map(|(first, end)| first.min(end)..end)
    }

    /// The image, which is `empty` where no part is.
    pub fn finish(self, empty: f32) -> Vec<f32> {
        let voxels = self.count.len();
        let value = |(at, sum): (usize, f64)| match self.count[at % voxels] {
            0 => empty,
            count => (sum / f64::from(count)) as f32,
        };
        self.sum.iter().copied().enumerate().map(value).collect()
    }
}

#[cfg(test)]
mod tests {
    use ndarray::{Array4, ArrayD};

    use super::super::{Patches, Regions, SliceMode, Slices};
    use super::*;

    const SHAPE: [usize; 4] = [1, 5, 4, 6];

    fn image() -> Array4<f32> {
        Array4::from_shape_fn(SHAPE, |(_, x, y, z)| 1.0 + ((x * 4 + y) * 6 + z) as f32)
    }

    fn all() -> Vec<Parts> {
        let regions = |uncropped| {
            let inside = [(1, 0, 2), (1, 2, 2), (3, 2, 4)];
            let inside = inside.map(|(x, y, z)| (x * 4 + y) * 6 + z);
            Parts::Roi(Regions::of_voxels([5, 4, 6], &inside, uncropped))
        };
        let slices = |direction, mode| {
            Parts::Slice(Slices {
                direction,
                mode,
                discarded: [1, 1],
            })
        };
        vec![
            Parts::Image,
            Parts::Patch(Patches { size: 3, stride: 1 }),
            Parts::Patch(Patches { size: 2, stride: 3 }),
            slices(0, SliceMode::Single),
            slices(1, SliceMode::Single),
            slices(2, SliceMode::Single),
            regions(false),
            regions(true),
        ]
    }

    #[test]
    fn parts_put_back_are_the_image_where_there_is_one() {
        for parts in all() {
            let image = image();
            let mut whole = Whole::new(SHAPE);
            let mut seen = vec![false; 120];
            for index in 0..parts.count(SHAPE).unwrap() {
                let place = parts.place(SHAPE, index);
                let part = parts.cut(image.view(), index);
                let mut expected = part.shape().to_vec();
                if let Some(axis) = place.lacks {
                    expected.insert(1 + axis, 1);
                }
                assert_eq!(place.shape().as_slice(), &expected[1..], "{parts:?}");
                whole.add(part.view(), &parts, index, &place);
                for (x, y, z) in voxels_of(&place.kept) {
                    let at = (x * 4 + y) * 6 + z;
                    seen[at] |= parts.mask(index).is_none_or(|mask| mask[at]);
                }
            }
            assert_eq!(whole.covered(), bounds(&seen), "{parts:?}");
            let holes = whole.clone().finish(f32::NAN);
            let is_hole = holes.iter().map(|value| value.is_nan());
            assert!(is_hole.eq(seen.iter().map(|seen| !seen)), "{parts:?}");
            let back = whole.finish(0.0);
            for ((value, back), seen) in image.iter().zip(back).zip(seen) {
                let expected = if seen { *value } else { 0.0 };
                assert!(
                    (back - expected).abs() < 1e-6,
                    "{parts:?}: {back}, expected {expected}"
                );
            }
        }
    }

    /// First and behind the last voxel that is seen, on each axis.
    fn bounds(seen: &[bool]) -> [Range<usize>; 3] {
        let seen = || (0..120).filter(|&at| seen[at]);
        let on = |axis: fn(usize) -> usize| {
            seen().map(axis).min().unwrap_or(0)..seen().map(axis).max().map_or(0, |last| last + 1)
        };
        [on(|at| at / 24), on(|at| at / 6 % 4), on(|at| at % 6)]
    }

    #[test]
    fn an_image_without_parts_covers_nothing() {
        assert_eq!(Whole::new(SHAPE).covered(), [0..0, 0..0, 0..0]);
    }

    fn voxels_of(kept: &[Vec<usize>; 3]) -> Vec<(usize, usize, usize)> {
        let [xs, ys, zs] = kept;
        let mut all = Vec::new();
        for &x in xs {
            for &y in ys {
                all.extend(zs.iter().map(|&z| (x, y, z)));
            }
        }
        all
    }

    #[test]
    fn channels_of_an_rgb_slice_are_added_up() {
        let parts = Parts::Slice(Slices {
            direction: 2,
            mode: SliceMode::Rgb,
            discarded: [0, 0],
        });
        let place = parts.place(SHAPE, 4);
        let map = ArrayD::from_shape_fn(vec![3, 5, 4], |at| [0.5, 0.25, 0.125][at[0]]);
        let mut whole = Whole::new(SHAPE);
        whole.add(map.view(), &parts, 4, &place);
        let back = whole.finish(0.0);
        for (at, value) in back.into_iter().enumerate() {
            let expected = if at % 6 == 4 { 0.875 } else { 0.0 };
            assert!((value - expected).abs() < 1e-7);
        }
    }

    #[test]
    fn a_part_with_gaps_is_on_no_grid() {
        let parts = all();
        assert_eq!(
            parts[6].place(SHAPE, 0).grid(),
            Some(([1, 0, 2], [2, 2, 2]))
        );
        let patch = parts[1].place(SHAPE, 7);
        assert_eq!(patch.grid(), Some(([0, 1, 3], [1; 3])));
        let thinned = patch.of_these(&[vec![0, 2], vec![1], vec![0, 1, 2]]);
        assert_eq!(thinned.grid(), Some(([0, 2, 3], [2, 1, 1])));
        let gap = thinned.of_these(&[vec![0], vec![0], vec![0, 2]]);
        assert_eq!(gap.grid(), Some(([0, 2, 3], [1, 1, 2])));
        let uneven = Place {
            kept: [vec![0, 1, 3], vec![0], vec![0]],
            lacks: None,
        };
        assert_eq!(uneven.grid(), None);
    }
}
