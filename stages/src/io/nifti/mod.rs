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
mod values;
mod write;

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;

use engine::{Input, InputFile, StageError};
use header::Header;

use super::gzip;
use crate::volume::{Affine, Volume};

pub use write::write;

/// How many bytes one byte of deflate can become at most.
const DEFLATE_MOST: u64 = 1032;

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
    let mut stream = Stream::open(path, shown)?;
    let (header, used) = parse_header(&mut stream, shown)?;
    match (header.is_pair, image) {
        (false, _) => {
            let skip = header.start - used;
            let series = voxels(&mut stream, &header, skip, shown)?;
            stream.finish(shown)?;
            Ok(series)
        }
        (true, Some(image)) => {
            stream.finish(shown)?;
            let mut stream = Stream::open(&image.path, &image.shown)?;
            let series = voxels(&mut stream, &header, header.start, &image.shown)?;
            stream.finish(&image.shown)?;
            Ok(series)
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

/// The decompressed bytes of a file.
enum Stream {
    Plain {
        file: BufReader<File>,
        left: u64,
    },
    Gzip {
        members: Box<gzip::Members<BufReader<File>>>,
        size: u64,
    },
    #[cfg(test)]
    Memory(std::io::Cursor<Vec<u8>>, Option<u64>),
}

impl Stream {
    fn open(path: &Path, shown: &str) -> Result<Self, StageError> {
        let failed = |e: &std::io::Error| StageError::io("read", path, e);
        let file = File::open(path).map_err(|e| failed(&e))?;
        let metadata = file.metadata().map_err(|e| failed(&e))?;
        if !metadata.is_file() {
            return Err(StageError::new(format!("`{shown}` is not a file")));
        }
        let mut file = BufReader::with_capacity(1 << 18, file);
        let start = file.fill_buf().map_err(|e| failed(&e))?;
        Ok(if start.starts_with(&gzip::MAGIC) {
            let members = Box::new(gzip::Members::new(file));
            let size = metadata.len();
            Self::Gzip { members, size }
        } else {
            let left = metadata.len();
            Self::Plain { file, left }
        })
    }

    /// How many bytes are still to come, where that is known.
    fn left(&self) -> Option<u64> {
        match self {
            Self::Plain { left, .. } => Some(*left),
            Self::Gzip { .. } => None,
            #[cfg(test)]
            Self::Memory(_, left) => *left,
        }
    }

    /// The most bytes that a compressed file can become, where it is one.
    fn most(&self) -> Option<u64> {
        match self {
            Self::Gzip { size, .. } => Some(size.saturating_mul(DEFLATE_MOST)),
            _ => None,
        }
    }

    /// Reads to the end: the checksum is there, and a damaged file may decompress to something.
    fn finish(mut self, shown: &str) -> Result<(), StageError> {
        if let Self::Gzip { members, .. } = &mut self {
            std::io::copy(members, &mut std::io::sink()).map_err(|e| unreadable(shown, &e))?;
        }
        Ok(())
    }
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        match self {
            Self::Plain { file, left } => {
                let read = file.read(buffer)?;
                *left = left.saturating_sub(read as u64);
                Ok(read)
            }
            Self::Gzip { members, .. } => members.read(buffer),
            #[cfg(test)]
            Self::Memory(bytes, left) => {
                let read = bytes.read(buffer)?;
                *left = left.map(|left| left.saturating_sub(read as u64));
                Ok(read)
            }
        }
    }
}

/// Reads a header, and tells how many bytes were used.
fn parse_header(stream: &mut Stream, shown: &str) -> Result<(Header, u64), StageError> {
    let mut bytes = vec![0; header::SMALLEST];
    let filled = read_up_to(stream, &mut bytes).map_err(|e| unreadable(shown, &e))?;
    let short = || {
        let what = "not a NIfTI file: it is shorter than a NIfTI header";
        StageError::new(format!("`{shown}` is {what}"))
    };
    if filled < bytes.len() {
        return Err(short());
    }
    let length = header::length(&bytes, shown)?;
    bytes.resize(length, 0);
    let filled = read_up_to(stream, &mut bytes[filled..]).map_err(|e| unreadable(shown, &e))?;
    if filled < length - header::SMALLEST {
        return Err(short());
    }
    Ok((Header::parse(&bytes, shown)?, length as u64))
}

/// Reads the voxels, which start after `skip` more bytes.
fn voxels(
    stream: &mut Stream,
    header: &Header,
    skip: u64,
    shown: &str,
) -> Result<Series, StageError> {
    let shape = header.shape();
    let affine = affine::of(header, shown)?;
    let skipped = std::io::copy(&mut stream.by_ref().take(skip), &mut std::io::sink())
        .map_err(|e| unreadable(shown, &e))?;
    if skipped < skip {
        return Err(truncated(shown, 0, header.voxels()));
    }
    let known = stream.left();
    if let Some(most) = stream.most()
        && most < header.bytes()
    {
        let sizes = &header.sizes;
        let message =
            format!("`{shown}` declares {sizes:?} voxels, more than a file of its size can hold");
        return Err(StageError::new(message).hint("copy or make the file again"));
    }
    let fortran = values::read(stream, header, known, shown)?;
    let volumes = fortran.chunks(shape.iter().product());
    Ok(Series {
        volumes: volumes.map(|volume| to_c_order(volume, shape)).collect(),
        shape,
        affine,
    })
}

fn truncated(shown: &str, found: usize, expected: usize) -> StageError {
    StageError::new(format!(
        "`{shown}` is truncated: {found} of {expected} voxels are there"
    ))
    .hint("copy or make the file again")
}

fn unreadable(shown: &str, error: &std::io::Error) -> StageError {
    use std::io::ErrorKind::{InvalidData, InvalidInput, UnexpectedEof};
    if matches!(error.kind(), InvalidInput | InvalidData | UnexpectedEof) {
        let message = format!("`{shown}` is a truncated or damaged gzip file: {error}");
        StageError::new(message).hint("copy or make the file again")
    } else {
        StageError::new(format!("failed to read `{shown}`: {error}"))
    }
}

/// Fills as much of `buffer` as the stream has.
fn read_up_to(stream: &mut impl Read, buffer: &mut [u8]) -> std::io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match stream.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(filled)
}

/// From the order on disk, first axis fastest, to `[X, Y, Z]` with the last axis fastest.
fn to_c_order(fortran: &[f32], [nx, ny, nz]: [usize; 3]) -> Vec<f32> {
    let mut data = vec![0.0; fortran.len()];
    // Square tiles of x and z: both sides stay in the cache.
    const TILE: usize = 16;
    for x0 in (0..nx).step_by(TILE) {
        let x1 = (x0 + TILE).min(nx);
        for y in 0..ny {
            for z0 in (0..nz).step_by(TILE) {
                let z1 = (z0 + TILE).min(nz);
                for z in z0..z1 {
                    let row = &fortran[(z * ny + y) * nx..][x0..x1];
                    for (x, &value) in (x0..).zip(row) {
                        data[(x * ny + y) * nz + z] = value;
                    }
                }
            }
        }
    }
    data
}

#[cfg(test)]
mod tests;
