//! NIfTI images: NIfTI-1 and NIfTI-2, single files and pairs, plain or gzipped. The only module that
//! names the `nifti` crate.
//!
//! Files come from anywhere, so that nothing in a header is believed: sizes are checked against the
//! bytes that are really there before memory is taken for them, and affines are computed here from the
//! raw fields. Values equal those of nibabel's `get_fdata(dtype="float32")` bit for bit, which is what
//! ClinicaDL 1.6.1 extracts.
//!
//! # Source
//! nibabel 5.4 with numpy 1.26 (`volumeutils.apply_read_scaling`, `nifti1.Nifti1Header`); NIfTI-1 and
//! NIfTI-2 standards, <https://nifti.nimh.nih.gov>.

mod affine;
mod header;
mod stream;
mod values;
mod write;

use std::path::Path;

use engine::{Input, InputFile, StageError};
use header::Header;
use stream::{Origin, Stream, unreadable};

use crate::io::spare;
use crate::volume::{Affine, Volume};

pub use write::{to_bytes, write};

/// An image with any number of volumes on one grid.
#[derive(Debug, Clone, PartialEq)]
pub struct Series {
    /// Intensities of each volume, as in [`Volume::data`].
    pub volumes: Vec<Vec<f32>>,
    /// Sizes of the spatial axes.
    pub shape: [usize; 3],
    /// Voxel indices to millimetres.
    pub affine: Affine,
}

impl Series {
    /// Its only volume.
    ///
    /// # Errors
    /// It has several.
    pub fn into_volume(mut self, shown: &str) -> Result<Volume, StageError> {
        match (self.volumes.pop(), self.volumes.len()) {
            (Some(data), 0) => Ok(Volume {
                data,
                shape: self.shape,
                affine: self.affine,
            }),
            (_, others) => {
                let count = others + 1;
                let message =
                    format!("`{shown}` has {count} volumes, expected one three-dimensional image");
                Err(StageError::new(message).hint("split the series into single volumes"))
            }
        }
    }
}

/// Reads an image of one volume. `shown` is what messages call the file.
///
/// Compression is recognised by content, never by name. A fourth and further dimension is accepted
/// only if it has size 1.
///
/// # Errors
/// The file cannot be read, is not NIfTI, is truncated or damaged, or holds something that is not one
/// image of real numbers at a place in space; each with its own message.
pub fn read(path: &Path, shown: &str) -> Result<Volume, StageError> {
    read_series(path, shown, None)?.into_volume(shown)
}

/// Reads the image of an input that is one file, or the two files of a pair.
///
/// # Errors
/// It holds other files, or as for [`read`].
pub fn read_input(input: &Input) -> Result<Volume, StageError> {
    series_of_input(input)?.into_volume(&input.shown)
}

/// Reads all volumes of an input that is one file, or the two files of a pair.
///
/// # Errors
/// It holds other files, or as for [`read_series`].
pub fn series_of_input(input: &Input) -> Result<Series, StageError> {
    let files: Vec<(&String, &InputFile)> = input.files.iter().collect();
    if let [(first, header), (second, image)] = files.as_slice()
        && companion(first).iter().any(|name| name == *second)
    {
        return read_series(&header.path, &header.shown, Some(image));
    }
    let file = input.only_file()?;
    read_series(&file.path, &file.shown, None)
}

/// The names that the voxels of a pair may have, given the name of its header; none for others.
pub fn companion(header: &str) -> Vec<String> {
    let name = header
        .strip_suffix(".hdr")
        .or_else(|| header.strip_suffix(".hdr.gz"));
    name.map(|name| vec![format!("{name}.img"), format!("{name}.img.gz")])
        .unwrap_or_default()
}

/// Reads an image with all its volumes; dimensions beyond the third follow one another.
///
/// `image` holds the voxels where the file is the header of a pair.
///
/// # Errors
/// As for [`read`], but for the number of volumes.
pub fn read_series(
    path: &Path,
    shown: &str,
    image: Option<&InputFile>,
) -> Result<Series, StageError> {
    let image = image.map(|image| (Origin::File(&image.path), image.shown.as_str()));
    series(Origin::File(path), shown, image)
}

/// Reads an image that is in memory; `image` holds the voxels where `bytes` are the header of a pair.
///
/// # Errors
/// As for [`read_series`].
pub fn series_of_bytes(
    bytes: &[u8],
    shown: &str,
    image: Option<&[u8]>,
) -> Result<Series, StageError> {
    let image = image.map(|image| (Origin::Memory(image), shown));
    series(Origin::Memory(bytes), shown, image)
}

/// Reads an image, whose voxels are in the file of the header or in one that can be opened.
fn series(
    origin: Origin<'_>,
    shown: &str,
    image: Option<(Origin<'_>, &str)>,
) -> Result<Series, StageError> {
    let mut stream = Stream::open(origin, shown)?;
    let (header, used) = parse_header(&mut stream, shown)?;
    match (header.is_pair, image) {
        (false, _) => voxels(stream, &header, used, shown),
        (true, Some((image, shown_image))) => {
            stream.finish(shown)?;
            voxels(Stream::open(image, shown_image)?, &header, 0, shown_image)
        }
        (true, None) => {
            let message = format!(
                "`{shown}` is the header of a two-file NIfTI image, whose `.img` is missing"
            );
            Err(StageError::new(message).hint(
                "put the .img file beside it, or convert both to a single .nii or .nii.gz file",
            ))
        }
    }
}

/// Reads a header, and tells how many bytes were used.
fn parse_header(stream: &mut Stream<'_>, shown: &str) -> Result<(Header, u64), StageError> {
    let mut bytes = vec![0; header::SMALLEST];
    let filled = stream.fill(&mut bytes).map_err(|e| unreadable(shown, &e))?;
    let short = || {
        let what = "not a NIfTI file: it is shorter than a NIfTI header";
        StageError::new(format!("`{shown}` is {what}"))
    };
    if filled < bytes.len() {
        return Err(short());
    }
    let length = header::length(&bytes, shown)?;
    bytes.resize(length, 0);
    let filled = stream
        .fill(&mut bytes[filled..])
        .map_err(|e| unreadable(shown, &e))?;
    if filled < length - header::SMALLEST {
        return Err(short());
    }
    Ok((Header::parse(&bytes, shown)?, length as u64))
}

/// Reads the voxels of a file of which `used` bytes were read before.
fn voxels(
    stream: Stream<'_>,
    header: &Header,
    used: u64,
    shown: &str,
) -> Result<Series, StageError> {
    let affine = affine::of(header, shown)?;
    let decoder = values::Decoder::of(header, shown)?;
    let (bytes, start) = stream.voxels(header, used, decoder.width(), shown)?;
    let volumes = decoder.decode(&bytes[start..]);
    spare::give(bytes);
    Ok(Series {
        volumes,
        shape: header.shape(),
        affine,
    })
}

fn truncated(shown: &str, found: usize, expected: usize) -> StageError {
    StageError::new(format!(
        "`{shown}` is truncated: {found} of {expected} voxels are there"
    ))
    .hint("copy or make the file again")
}

#[cfg(test)]
mod tests;
