//! Writing extracted images.

use std::fs::File;
use std::io::Write;
use std::path::Path;

use engine::StageError;
use engine::digest::Hasher;
use engine::items::Written;
use ndarray::{ArrayD, ArrayView4};
use safetensors::tensor::{Dtype, Metadata as Head, TensorInfo};

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
    let head = head(tensors, metadata)?;
    let failed = |e: std::io::Error| StageError::io("write", path, &e);
    let mut file = Target::create(path).map_err(failed)?;
    file.add(&head).map_err(failed)?;
    match content {
        Content::Whole(_) | Content::Parts(_) => held
            .iter()
            .try_for_each(|tensor| file.add(&little_endian(&tensor.values))),
        // One at a time: the memory of all is never taken, and each stays in the cache.
        Content::Cut(image, parts, count) => (0..*count).try_for_each(|index| {
            let part = parts.cut(*image, index);
            file.add(&little_endian(&Held::of(part.view()).values))
        }),
    }
    .map_err(failed)?;
    Ok(file.finish())
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

/// The start of a safetensors file: the length of a JSON document, and that document with spaces up to a
/// multiple of eight bytes.
fn head(tensors: Vec<(String, Vec<usize>)>, metadata: String) -> Result<Vec<u8>, StageError> {
    let mut end = 0;
    let infos = tensors.into_iter().map(|(name, shape)| {
        let start = end;
        end += size_of::<f32>() * shape.iter().product::<usize>();
        let info = TensorInfo {
            dtype: Dtype::F32,
            shape,
            data_offsets: (start, end),
        };
        (name, info)
    });
    let metadata = Some([(METADATA.to_owned(), metadata)].into());
    let head = Head::new(metadata, infos.collect()).map_err(StageError::internal)?;
    let mut text = serde_json::to_vec(&head).map_err(StageError::internal)?;
    text.resize(text.len().next_multiple_of(8), b' ');
    let length = (text.len() as u64).to_le_bytes();
    Ok([&length[..], &text].concat())
}

/// A file that is digested while it is written, as long as its bytes are in the cache.
struct Target {
    file: File,
    hasher: Hasher,
    size: u64,
}

impl Target {
    fn create(path: &Path) -> std::io::Result<Self> {
        Ok(Self {
            file: File::create(path)?,
            hasher: Hasher::default(),
            size: 0,
        })
    }

    fn add(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        /// What fits in a cache.
        const PIECE: usize = 1 << 18;
        for piece in bytes.chunks(PIECE) {
            self.hasher.update(piece);
            self.file.write_all(piece)?;
        }
        self.size += bytes.len() as u64;
        Ok(())
    }

    fn finish(self) -> Written {
        Written::Known(self.hasher.finish(), self.size)
    }
}
