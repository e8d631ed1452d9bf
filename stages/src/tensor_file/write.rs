//! Writing extracted images.

use std::fs::File;
use std::io::Write;
use std::path::Path;

use engine::StageError;
use engine::digest::Digesting;
use engine::items::Written;
use maps::weights::{self, Dtype};
use ndarray::{ArrayD, ArrayView4};

use super::voxels::{Held, Seen, little_endian};
use super::{METADATA, Metadata, TENSOR, part_name};
use crate::extraction::Parts;
use crate::volume::{Affine, Volume};

/// What an extracted image holds.
#[derive(Debug)]
pub enum Content<'a> {
    /// The whole image.
    Whole(ArrayView4<'a, f32>),
    /// Its first parts, so many of them, each cut when its turn to be written comes.
    Cut(ArrayView4<'a, f32>, &'a Parts, usize),
    /// Parts of an image that was never seen whole.
    Parts(Vec<ArrayD<f32>>),
}

/// Writes an image or its parts.
///
/// # Errors
/// Any I/O error, naming the file.
pub fn write(path: &Path, content: &Content<'_>, affine: Affine) -> Result<Written, StageError> {
    let held: Vec<Held<'_>> = match content {
        Content::Whole(image) | Content::Cut(image, ..) => vec![Held::of(image.into_dyn())],
        Content::Parts(parts) => parts.iter().map(|part| Held::of(part.view())).collect(),
    };
    let (seen, shape) = match content {
        Content::Whole(_) => (Seen::image(&held[0]), None),
        Content::Cut(image, ..) => (Seen::image(&held[0]), Some(image.shape().to_vec())),
        Content::Parts(_) => (Seen::parts(&held), None),
    };
    let metadata = Metadata {
        affine,
        shape,
        not_finite: seen.not_finite,
        constant: seen.constant,
        voxels: seen.digest,
        thumbnail: seen.thumbnail,
    };
    let metadata = serde_json::to_string(&metadata).map_err(StageError::internal)?;
    let tensors: Vec<(String, Vec<usize>)> = match content {
        Content::Whole(image) => vec![(TENSOR.to_owned(), image.shape().to_vec())],
        Content::Cut(image, parts, count) => {
            let (c, x, y, z) = image.dim();
            let shape = |index| parts.shape([c, x, y, z], index);
            (0..*count).map(|i| (part_name(i), shape(i))).collect()
        }
        Content::Parts(parts) => {
            let shapes = parts.iter().map(|part| part.shape().to_vec());
            (0..).map(part_name).zip(shapes).collect()
        }
    };
    let tensors = tensors.into_iter();
    let tensors = tensors.map(|(name, shape)| (name, Dtype::F32, shape));
    let metadata = Some((METADATA.to_owned(), metadata));
    let head = weights::head(tensors, metadata).map_err(StageError::internal)?;
    let failed = |e: std::io::Error| StageError::io("write", path, &e);
    let mut file = Digesting::new(File::create(path).map_err(failed)?);
    file.write_all(&head).map_err(failed)?;
    match content {
        Content::Whole(_) | Content::Parts(_) => held
            .iter()
            .try_for_each(|tensor| file.write_all(&little_endian(&tensor.values))),
        // One at a time: the memory of all is never taken, and each stays in the cache.
        Content::Cut(image, parts, count) => (0..*count).try_for_each(|index| {
            let part = parts.cut(*image, index);
            file.write_all(&little_endian(&Held::of(part.view()).values))
        }),
    }
    .map_err(failed)?;
    let (digest, size) = file.finish();
    Ok(Written::Known(digest, size))
}

/// Writes a volume as an image of one channel.
///
/// # Errors
/// Any I/O error, naming the file.
pub fn write_volume(path: &Path, volume: &Volume) -> Result<Written, StageError> {
    let [x, y, z] = volume.shape;
    let image = ArrayView4::from_shape((1, x, y, z), &volume.data).map_err(StageError::internal)?;
    write(path, &Content::Whole(image), volume.affine)
}
