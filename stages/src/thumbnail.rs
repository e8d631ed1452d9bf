//! Small pictures of images, to find those that are nearly equal.
//!
//! Images of one cohort are on one grid and resemble each other, so that a digest of a single image
//! tells nothing. Pictures are compared after what the cohort has in common was taken away: two of
//! different people then hardly correlate, while a copy does, be it rescaled, smoothed, noisy or saved
//! with fewer digits.

use rayon::prelude::*;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Blocks along each axis.
const SIDE: usize = 8;
const BLOCKS: usize = SIDE * SIDE * SIDE;
/// Correlation from which two images are told to be nearly equal.
const NEARLY_EQUAL: f32 = 0.97;
/// Fewer images have too little in common to take it away.
const FEWEST: usize = 5;

/// Mean intensities of 8×8×8 blocks, from 0 (the least of them) to 65535 (the greatest); empty for none.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Thumbnail(Vec<u16>);

/// Sums over rows, voxel by voxel: several additions at a time, none waiting for another.
struct Columns {
    sums: Vec<f64>,
    counts: Vec<u32>,
}

impl Columns {
    fn new(length: usize) -> Self {
        Self {
            sums: vec![0.0; length],
            counts: vec![0; length],
        }
    }

    fn add(&mut self, row: &[f32]) {
        let columns = self.sums.iter_mut().zip(&mut self.counts);
        for ((sum, count), &value) in columns.zip(row) {
            // Without a branch: a sum that starts at 0 does not change when 0 is added.
            let is_finite = value.is_finite();
            *sum += f64::from(if is_finite { value } else { 0.0 });
            *count += u32::from(is_finite);
        }
    }

    /// Adds what is there to the sums of blocks that end at `ends`, and starts again.
    fn drain_into(&mut self, ends: [usize; SIDE], sums: &mut [f64], counts: &mut [u64]) {
        let mut start = 0;
        for (block, end) in ends.into_iter().enumerate() {
            sums[block] += self.sums[start..end].iter().sum::<f64>();
            counts[block] += self.counts[start..end]
                .iter()
                .map(|&n| u64::from(n))
                .sum::<u64>();
            start = end;
        }
        self.sums.fill(0.0);
        self.counts.fill(0);
    }
}

/// A picture that is made plane by plane.
pub struct Sketch {
    /// Where blocks end along each axis.
    ends: [[usize; SIDE]; 3],
    columns: Columns,
    sums: Vec<f64>,
    counts: Vec<u64>,
}

impl Sketch {
    /// Of an image of some sizes `[X, Y, Z]`.
    pub fn new(shape: [usize; 3]) -> Self {
        let ends = |size: usize| [1, 2, 3, 4, 5, 6, 7, 8].map(|i: usize| (i * size).div_ceil(SIDE));
        Self {
            ends: shape.map(ends),
            columns: Columns::new(shape[2]),
            sums: vec![0.0; BLOCKS],
            counts: vec![0; BLOCKS],
        }
    }

    /// Adds plane `x`: its `[Y, Z]` voxels in C order.
    pub fn add(&mut self, x: usize, plane: &[f32]) {
        let [ends_x, ends_y, ends_z] = self.ends;
        let block_x = ends_x.iter().filter(|&&end| end <= x).count();
        let mut rows = plane.chunks_exact(ends_z[SIDE - 1].max(1));
        let mut start = 0;
        for (block_y, end) in ends_y.into_iter().enumerate() {
            rows.by_ref()
                .take(end - start)
                .for_each(|row| self.columns.add(row));
            let at = (block_x * SIDE + block_y) * SIDE;
            let (sums, counts) = (&mut self.sums[at..], &mut self.counts[at..]);
            self.columns.drain_into(ends_z, sums, counts);
            start = end;
        }
    }

    /// The picture, when all planes are added.
    pub fn finish(self) -> Thumbnail {
        let Self { sums, counts, .. } = self;
        // Small images have blocks without voxels: those are as bright as the image.
        let whole = sums.iter().sum::<f64>() / counts.iter().sum::<u64>().max(1) as f64;
        let mean = |(sum, &count): (&f64, &u64)| match count {
            0 => whole,
            count => sum / count as f64,
        };
        let means: Vec<f64> = sums.iter().zip(&counts).map(mean).collect();
        let least = means.iter().copied().fold(f64::INFINITY, f64::min);
        let most = means.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let range = most - least;
        let level = |mean: &f64| {
            let part = if range > 0.0 {
                (mean - least) / range
            } else {
                0.0
            };
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "a part of 65535"
            )]
            let level = (part * 65535.0).round() as u16;
            level
        };
        Thumbnail(means.iter().map(level).collect())
    }
}

impl Thumbnail {
    /// Zero mean and unit length; none for a picture without contrast.
    fn normalized(&self) -> Option<Vec<f32>> {
        if self.0.len() != BLOCKS {
            return None;
        }
        let values = self.0.iter().map(|&value| f32::from(value)).collect();
        unit(values)
    }
}

fn unit(mut values: Vec<f32>) -> Option<Vec<f32>> {
    let mean = values.iter().sum::<f32>() / values.len() as f32;
    values.iter_mut().for_each(|value| *value -= mean);
    let length = values.iter().map(|value| value * value).sum::<f32>().sqrt();
    (length > 1e-6).then(|| values.iter().map(|value| value / length).collect())
}

/// Pairs of pictures, by position, that are nearly equal and fulfil a condition.
pub fn nearly_equal(
    pictures: &[&Thumbnail],
    may: &(dyn Fn(usize, usize) -> bool + Sync),
) -> Vec<(usize, usize)> {
    let mut known: Vec<(usize, Vec<f32>)> = pictures
        .iter()
        .enumerate()
        .filter_map(|(i, picture)| Some((i, picture.normalized()?)))
        .collect();
    let mut threshold = 1.0 - 1e-5;
    if known.len() >= FEWEST {
        let mut mean = vec![0.0; BLOCKS];
        for (_, values) in &known {
            mean.iter_mut()
                .zip(values)
                .for_each(|(sum, value)| *sum += value);
        }
        let count = known.len() as f32;
        for (_, values) in &mut known {
            values
                .iter_mut()
                .zip(&mean)
                .for_each(|(value, sum)| *value -= sum / count);
        }
        known = known
            .into_iter()
            .filter_map(|(i, values)| Some((i, unit(values)?)))
            .collect();
        threshold = NEARLY_EQUAL;
    }
    (0..known.len())
        .into_par_iter()
        .flat_map_iter(|first| {
            let (i, a) = &known[first];
            known[first + 1..].iter().filter_map(move |(j, b)| {
                (dot(a, b) > threshold && may(*i, *j)).then_some((*i, *j))
            })
        })
        .collect()
}

/// The scalar product, in lanes that are summed last: several numbers at a time, and always in one
/// order. Ten thousand images have fifty million pairs.
fn dot(a: &[f32], b: &[f32]) -> f32 {
    const LANES: usize = 16;
    let mut sums = [0.0; LANES];
    let (a, _) = a.as_chunks::<LANES>();
    let (b, _) = b.as_chunks::<LANES>();
    for (a, b) in a.iter().zip(b) {
        for lane in 0..LANES {
            sums[lane] += a[lane] * b[lane];
        }
    }
    sums.iter().sum()
}

impl Serialize for Thumbnail {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let text: String = self.0.iter().map(|value| format!("{value:04x}")).collect();
        serializer.serialize_str(&text)
    }
}

impl<'de> Deserialize<'de> for Thumbnail {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let digits = text.as_bytes().chunks(4).map(|digits| {
            let digits = std::str::from_utf8(digits).map_err(serde::de::Error::custom)?;
            u16::from_str_radix(digits, 16).map_err(serde::de::Error::custom)
        });
        digits.collect::<Result<_, _>>().map(Self)
    }
}

#[cfg(test)]
mod tests {
    use ndarray::Array4;
    use rand::{Rng, SeedableRng};

    use super::*;

    /// What all images have in common, and blobs of its own.
    fn image(seed: u64) -> Array4<f32> {
        let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(seed);
        let blobs: Vec<[f32; 4]> = (0..20)
            .map(|_| [0, 1, 2, 3].map(|i| rng.random_range(0.0..[30.0, 32.0, 28.0, 0.3][i])))
            .collect();
        Array4::from_shape_fn((1, 30, 32, 28), |(_, x, y, z)| {
            let at = [x, y, z].map(|i| i as f32);
            let near = |c: &[f32]| -> f32 {
                (-(0..3).map(|i| (at[i] - c[i]).powi(2)).sum::<f32>() / 20.0).exp()
            };
            let brain = 10.0 * (-((at[0] - 15.0).powi(2) + (at[1] - 16.0).powi(2)) / 60.0).exp();
            brain + blobs.iter().map(|blob| blob[3] * near(blob)).sum::<f32>()
        })
    }

    fn picture(image: &Array4<f32>) -> Thumbnail {
        let (_, x, y, z) = image.dim();
        let mut sketch = Sketch::new([x, y, z]);
        for (x, plane) in image.as_slice().unwrap().chunks(y * z).enumerate() {
            sketch.add(x, plane);
        }
        sketch.finish()
    }

    #[test]
    fn a_changed_copy_is_found_and_other_people_are_not() {
        let mut images: Vec<Array4<f32>> = (0..8).map(image).collect();
        let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(9);
        images.push(images[3].mapv(|value| (value * 37.0 + 5.0).round()));
        images.push(images[5].mapv(|value| value + rng.random_range(-0.05..0.05)));
        let pictures: Vec<Thumbnail> = images.iter().map(picture).collect();
        let pictures: Vec<&Thumbnail> = pictures.iter().collect();
        assert_eq!(nearly_equal(&pictures, &|_, _| true), [(3, 8), (5, 9)]);
        assert_eq!(nearly_equal(&pictures, &|i, _| i != 3), [(5, 9)]);
        // Of few images only copies are told.
        assert_eq!(
            nearly_equal(&[pictures[3], pictures[8]], &|_, _| true),
            [(0, 1)]
        );
        assert_eq!(nearly_equal(&[pictures[3], pictures[4]], &|_, _| true), []);
    }

    #[test]
    fn images_without_contrast_are_like_no_other() {
        let flat = picture(&Array4::from_elem((1, 2, 3, 4), 7.0));
        let odd = picture(&Array4::from_elem((1, 9, 9, 9), f32::NAN));
        assert_eq!(
            nearly_equal(&[&flat, &flat, &odd, &odd, &flat, &flat], &|_, _| true),
            []
        );
        assert_eq!(nearly_equal(&[], &|_, _| true), []);
    }

    #[test]
    fn a_picture_reads_back_from_its_text() {
        let picture = picture(&image(1));
        let text = serde_json::to_string(&picture).unwrap();
        assert_eq!(text.len(), 4 * BLOCKS + 2);
        assert_eq!(serde_json::from_str::<Thumbnail>(&text).unwrap(), picture);
        assert!(serde_json::from_str::<Thumbnail>("\"zz\"").is_err());
    }
}
