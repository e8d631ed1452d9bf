//! Extracted images: one safetensors file each, decoded once and read every epoch.
//!
//! The file holds one tensor `image`, float32, `[C, X, Y, Z]` in C order, or the parts that were cut
//! from it as `part-00000`, …; and in its metadata the affine of the stored image and what is known of
//! its voxels. Equal images give equal bytes.

mod voxels;
mod write;

use std::io::{ErrorKind, Read, Seek, SeekFrom};
use std::ops::Range;
use std::path::Path;

use engine::{Digest, StageError};
use ndarray::ArrayView4;
use safetensors::tensor::{Dtype, TensorInfo};
use serde::{Deserialize, Serialize};

pub use self::write::{Content, write, write_volume};
use crate::extraction::{Parts, Window};
use crate::thumbnail::Thumbnail;
use crate::volume::Affine;

/// Name of the tensor.
const TENSOR: &str = "image";
/// The one metadata key; its value is JSON. (A second key would make their order a matter of chance.)
const METADATA: &str = "clinicadl";
/// Bytes of a head that are read at most; a real one has some hundreds.
const HEAD_LIMIT: u64 = 1 << 20;

#[derive(Serialize, Deserialize)]
struct Metadata {
    affine: Affine,
    /// Sizes of the whole image, where only its parts are in the file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    shape: Option<Vec<usize>>,
    #[serde(default)]
    not_finite: u64,
    #[serde(default)]
    constant: bool,
    voxels: Digest,
    #[serde(default)]
    thumbnail: Thumbnail,
}

/// What is known of an extracted image without reading its intensities.
#[derive(Debug, Clone, PartialEq)]
pub struct Summary {
    /// `[C, X, Y, Z]` of the whole image; of its first part where the whole was never seen.
    pub shape: Vec<usize>,
    /// Voxel indices to millimetres.
    pub affine: Affine,
    /// Number of voxels that are NaN or infinite.
    pub not_finite: u64,
    /// Whether all finite voxels are equal.
    pub constant: bool,
    /// Digest of sizes and voxels, whatever the header, the type of numbers and the compression were.
    pub voxels: Digest,
    /// A small picture, to find images that are nearly equal.
    pub thumbnail: Thumbnail,
    /// Number of parts in the file; none where it holds the whole image.
    pub parts: Option<usize>,
}

fn part_name(index: usize) -> String {
    format!("part-{index:05}")
}

/// Reads what is known of an image from the head of its file.
///
/// # Errors
/// The file cannot be read, or is not an extracted image.
pub fn summary(path: &Path, shown: &str) -> Result<Summary, StageError> {
    let (head, _, _) = open(path, shown)?;
    let metadata = metadata(&head, shown)?;
    let parts = match head.info(TENSOR) {
        Some(_) => None,
        None => Some(head.tensors().len()),
    };
    let first = head.info(TENSOR).or_else(|| head.info(&part_name(0)));
    let info = first.ok_or_else(|| broken(shown, &"it has no image"))?;
    let shape = metadata.shape.as_ref().unwrap_or(&info.shape);
    if parts.is_none() && !is_image(shape) {
        return Err(broken(
            shown,
            &format!("its shape is {shape:?}, expected [C, X, Y, Z]"),
        ));
    }
    Ok(Summary {
        shape: shape.clone(),
        affine: metadata.affine,
        not_finite: metadata.not_finite,
        constant: metadata.constant,
        voxels: metadata.voxels,
        thumbnail: metadata.thumbnail,
        parts,
    })
}

fn is_image(shape: &[usize]) -> bool {
    shape.len() == 4 && shape.iter().all(|&size| size > 0)
}

fn metadata(head: &safetensors::tensor::Metadata, shown: &str) -> Result<Metadata, StageError> {
    let text = head.metadata().as_ref().and_then(|all| all.get(METADATA));
    let text = text.ok_or_else(|| broken(shown, &format!("metadata `{METADATA}` is missing")))?;
    serde_json::from_str(text).map_err(|e| broken(shown, &e))
}

fn broken(shown: &str, why: &dyn std::fmt::Display) -> StageError {
    StageError::new(format!("`{shown}` is not an extracted image: {why}"))
}

/// The head of a file, the byte at which tensors start, and the file.
fn open(
    path: &Path,
    shown: &str,
) -> Result<(safetensors::tensor::Metadata, u64, std::fs::File), StageError> {
    let failed = |e: std::io::Error| match e.kind() {
        ErrorKind::UnexpectedEof => broken(shown, &"it is truncated"),
        _ => StageError::io("read", path, &e),
    };
    let mut file = std::fs::File::open(path).map_err(failed)?;
    let mut length = [0; 8];
    file.read_exact(&mut length).map_err(failed)?;
    let length = u64::from_le_bytes(length).min(HEAD_LIMIT);
    let mut head = Vec::new();
    file.by_ref()
        .take(length)
        .read_to_end(&mut head)
        .map_err(failed)?;
    let head = serde_json::from_slice(&head).map_err(|e| broken(shown, &e))?;
    Ok((head, 8 + length, file))
}

/// Reads an image: shape `[C, X, Y, Z]`, intensities in C order, affine.
///
/// # Errors
/// The file cannot be read, or is not an extracted image.
pub fn read(path: &Path, shown: &str) -> Result<(Vec<usize>, Vec<f32>, Affine), StageError> {
    let mut image = Image::open(path, shown)?;
    let [_, x, y, _] = image.shape;
    let voxels = image.window([0..x, 0..y])?;
    Ok((image.shape.to_vec(), voxels, image.affine))
}

/// Cuts part `index` from an image that is stored whole: shape, intensities in C order, and affine of the
/// image. No more of the file is read than the planes and rows that the part is in.
///
/// # Errors
/// The file cannot be read, is not an extracted image, or is of one that has no such part.
pub fn cut_part(
    path: &Path,
    parts: &Parts,
    index: usize,
    shown: &str,
) -> Result<(Vec<usize>, Vec<f32>, Affine), StageError> {
    let mut image = Image::open(path, shown)?;
    let refuse = |why: &dyn std::fmt::Display| StageError::new(format!("`{shown}` {why}"));
    let count = parts.count(image.shape).map_err(|why| refuse(&why))?;
    if index >= count {
        return Err(refuse(&format!("has {count} parts, not part {index}")));
    }
    let within = parts.range(image.shape, index);
    let [channels, _, _, z] = image.shape;
    let sizes = (channels, within[0].len(), within[1].len(), z);
    let voxels = image.window(within.clone())?;
    let voxels = ArrayView4::from_shape(sizes, &voxels).map_err(StageError::internal)?;
    let window = Window {
        voxels,
        start: [within[0].start, within[1].start],
        image: image.shape,
    };
    let part = parts.cut_from(window, index);
    let shape = part.shape().to_vec();
    let voxels = match part.is_standard_layout() {
        true => part.into_raw_vec_and_offset().0,
        false => part.iter().copied().collect(),
    };
    Ok((shape, voxels, image.affine))
}

/// Reads part `index` of an image whose parts were cut when it was extracted: shape, intensities in C
/// order, and affine of the image.
///
/// # Errors
/// The file cannot be read, or has no such part.
pub fn read_part(
    path: &Path,
    index: usize,
    shown: &str,
) -> Result<(Vec<usize>, Vec<f32>, Affine), StageError> {
    let (head, start, file) = open(path, shown)?;
    let name = part_name(index);
    let info = head
        .info(&name)
        .ok_or_else(|| broken(shown, &format!("it has no `{name}`")))?;
    let mut file = Numbers::of(file, (start, info), (path, shown))?;
    let mut voxels = vec![0.0; file.count];
    file.read(0, &mut voxels)?;
    let metadata = metadata(&head, shown)?;
    Ok((info.shape.clone(), voxels, metadata.affine))
}

/// An image in a file.
struct Image<'a> {
    /// `[C, X, Y, Z]`.
    shape: [usize; 4],
    affine: Affine,
    numbers: Numbers<'a>,
}

impl<'a> Image<'a> {
    fn open(path: &'a Path, shown: &'a str) -> Result<Self, StageError> {
        let (head, start, file) = open(path, shown)?;
        let metadata = metadata(&head, shown)?;
        let info = head.info(TENSOR);
        let info = info.ok_or_else(|| broken(shown, &format!("it has no tensor `{TENSOR}`")))?;
        let shape = <[usize; 4]>::try_from(info.shape.as_slice());
        let shape = shape.ok().filter(|shape| is_image(shape)).ok_or_else(|| {
            let got = &info.shape;
            broken(
                shown,
                &format!("its tensor is {got:?}, expected [C, X, Y, Z]"),
            )
        })?;
        Ok(Self {
            shape,
            affine: metadata.affine,
            numbers: Numbers::of(file, (start, info), (path, shown))?,
        })
    }

    /// The voxels within ranges of the first two axes, `[C, x, y, Z]` in C order.
    fn window(&mut self, within: [Range<usize>; 2]) -> Result<Vec<f32>, StageError> {
        let [channels, x, y, z] = self.shape;
        let [planes, rows] = within;
        let mut voxels = vec![0.0; channels * planes.len() * rows.len() * z];
        // Whole planes follow one another in the file.
        let (at_once, pieces) = match rows.len() == y {
            true => (planes.len(), 1),
            false => (1, planes.len()),
        };
        let starts = (0..channels).flat_map(|channel| {
            let plane = move |piece| channel * x + planes.start + piece;
            (0..pieces).map(move |piece| (plane(piece) * y + rows.start) * z)
        });
        let into = voxels.chunks_exact_mut((at_once * rows.len() * z).max(1));
        for (start, piece) in starts.zip(into) {
            self.numbers.read(start, piece)?;
        }
        Ok(voxels)
    }
}

/// The numbers of a tensor in a file.
struct Numbers<'a> {
    file: std::fs::File,
    path: &'a Path,
    shown: &'a str,
    /// Byte of the first one.
    start: u64,
    count: usize,
}

impl<'a> Numbers<'a> {
    fn of(
        file: std::fs::File,
        (start, info): (u64, &TensorInfo),
        (path, shown): (&'a Path, &'a str),
    ) -> Result<Self, StageError> {
        let TensorInfo { dtype, shape, .. } = info;
        if *dtype != Dtype::F32 {
            return Err(broken(shown, &format!("it holds {dtype:?}, expected F32")));
        }
        let (first, last) = info.data_offsets;
        let bytes = shape
            .iter()
            .try_fold(4_usize, |n, &size| n.checked_mul(size));
        let known = file
            .metadata()
            .map_err(|e| StageError::io("read", path, &e))?;
        // Before memory is taken for them.
        let are_there = start.saturating_add(last as u64) <= known.len();
        if bytes.is_none() || bytes != last.checked_sub(first) || !are_there {
            return Err(broken(shown, &"it is truncated"));
        }
        Ok(Self {
            file,
            path,
            shown,
            start: start + first as u64,
            count: (last - first) / 4,
        })
    }

    /// Reads the numbers from one on.
    fn read(&mut self, first: usize, into: &mut [f32]) -> Result<(), StageError> {
        let start = self.start + 4 * first as u64;
        let bytes: &mut [u8] = bytemuck::cast_slice_mut(into);
        let done = self.file.seek(SeekFrom::Start(start));
        done.and_then(|_| self.file.read_exact(bytes))
            .map_err(|e| match e.kind() {
                ErrorKind::UnexpectedEof => broken(self.shown, &"it is truncated"),
                _ => StageError::io("read", self.path, &e),
            })?;
        if cfg!(target_endian = "big") {
            let turned = |number: &mut f32| *number = f32::from_bits(number.to_bits().swap_bytes());
            into.iter_mut().for_each(turned);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use ndarray::Array4;

    use super::*;
    use crate::extraction::{Patches, Regions, SliceMode, Slices};

    const AFFINE: Affine = [
        [-1.5, 0.0, 0.25, 90.0],
        [0.0, 2.0, 0.0, -126.0],
        [0.1, 0.0, 1.0, 1.0 / 3.0],
        [0.0, 0.0, 0.0, 1.0],
    ];

    fn image() -> Array4<f32> {
        Array4::from_shape_fn((1, 2, 3, 4), |(_, i, j, k)| {
            ((i * 3 + j) * 4 + k) as f32 / 7.0
        })
    }

    #[test]
    fn an_image_reads_back_bit_for_bit() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x");
        write(&path, &Content::Whole(image().view()), AFFINE).unwrap();
        let (shape, data, affine) = read(&path, "x").unwrap();
        assert_eq!(shape, [1, 2, 3, 4]);
        assert_eq!(data, image().into_iter().collect::<Vec<f32>>());
        assert_eq!(affine, AFFINE);
        let known = summary(&path, "x").unwrap();
        assert_eq!(
            (known.shape, known.not_finite, known.constant, known.parts),
            (shape, 0, false, None)
        );
    }

    #[test]
    fn parts_read_back_one_by_one_and_know_their_image() {
        let folder = tempfile::tempdir().unwrap();
        let [whole, parts, alone] =
            ["whole", "parts", "alone"].map(|name| folder.path().join(name));
        let image = image();
        let slices = Parts::Slice(Slices {
            direction: 0,
            mode: SliceMode::Single,
            discarded: [0, 0],
        });
        let cut: Vec<ndarray::ArrayD<f32>> = (0..2).map(|i| slices.cut(image.view(), i)).collect();
        write(&whole, &Content::Whole(image.view()), AFFINE).unwrap();
        write(&parts, &Content::Cut(image.view(), &slices, 2), AFFINE).unwrap();
        write(&alone, &Content::Parts(cut.clone()), AFFINE).unwrap();
        for (index, expected) in cut.iter().enumerate() {
            let (shape, data, affine) = read_part(&parts, index, "x").unwrap();
            assert_eq!((shape.as_slice(), affine), (&[1, 3, 4][..], AFFINE));
            assert_eq!(data, expected.iter().copied().collect::<Vec<f32>>());
        }
        let missing = read_part(&parts, 2, "x").unwrap_err().message;
        assert!(missing.contains("no `part-00002`"), "{missing}");
        let missing = cut_part(&whole, &slices, 2, "x").unwrap_err().message;
        assert_eq!(missing, "`x` has 2 parts, not part 2");
        let [whole, parts, alone] = [whole, parts, alone].map(|path| summary(&path, "x").unwrap());
        assert_eq!((whole.voxels, &whole.shape), (parts.voxels, &parts.shape));
        assert_eq!((parts.parts, alone.parts), (Some(2), Some(2)));
        assert_eq!(alone.shape, [1, 3, 4]);
        assert_ne!(alone.voxels, parts.voxels);
    }

    #[test]
    fn a_part_that_is_cut_from_its_file_is_that_of_the_image() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x");
        let image = Array4::from_shape_fn((2, 6, 5, 4), |(c, x, y, z)| {
            (((c * 6 + x) * 5 + y) * 4 + z) as f32 / 3.0
        });
        write(&path, &Content::Whole(image.view()), AFFINE).unwrap();
        let regions =
            |uncropped| Parts::Roi(Regions::of_voxels([6, 5, 4], &[47, 67, 93], uncropped));
        let slices = |direction, mode| {
            let discarded = [1, 0];
            Parts::Slice(Slices {
                direction,
                mode,
                discarded,
            })
        };
        let all = [
            Parts::Image,
            Parts::Patch(Patches { size: 2, stride: 1 }),
            Parts::Patch(Patches { size: 3, stride: 2 }),
            slices(0, SliceMode::Single),
            slices(1, SliceMode::Rgb),
            slices(2, SliceMode::Single),
            regions(false),
            regions(true),
        ];
        for parts in all {
            for index in 0..parts.count([2, 6, 5, 4]).unwrap() {
                let expected = parts.cut(image.view(), index);
                let (shape, voxels, affine) = cut_part(&path, &parts, index, "x").unwrap();
                assert_eq!((shape.as_slice(), affine), (expected.shape(), AFFINE));
                let expected: Vec<f32> = expected.iter().copied().collect();
                assert_eq!(voxels, expected, "{parts:?} {index}");
            }
        }
    }

    #[test]
    fn a_broken_file_is_an_error_that_names_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x");
        write(&path, &Content::Whole(image().view()), AFFINE).unwrap();
        let mut cut = std::fs::read(&path).unwrap();
        cut.pop();
        for bytes in [&b""[..], b"text", &[255; 64], &cut] {
            std::fs::write(&path, bytes).unwrap();
            let error = read(&path, "shown").unwrap_err();
            assert!(error.message.contains("`shown`"));
            assert!(cut_part(&path, &Parts::Image, 0, "shown").is_err());
            assert!(read_part(&path, 0, "shown").is_err());
        }
    }
}
