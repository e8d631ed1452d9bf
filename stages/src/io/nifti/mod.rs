//! NIfTI-1 images, plain or gzipped. The only module that names the `nifti` crate.
//!
//! Files come from anywhere, so that nothing in a header is believed: sizes are checked against the
//! bytes that are really there before memory is taken for them, and affines are computed here from the
//! raw fields. Values equal those of nibabel's `get_fdata(dtype="float32")` bit for bit, which is what
//! ClinicaDL 1.6.1 extracts.
//!
//! # Source
//! nibabel 5.4 (`volumeutils.apply_read_scaling`, `nifti1.Nifti1Header`); NIfTI-1 standard,
//! <https://nifti.nimh.nih.gov/nifti-1>.

mod affine;
mod values;
mod write;

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;

use engine::StageError;
use nifti::NiftiHeader;

use super::gzip;
use crate::volume::Volume;

pub use write::write;

/// Bytes of a NIfTI-1 header.
const HEADER: usize = 348;
/// Voxels that start later than this many bytes are a mistake.
const LATEST_OFFSET: f32 = 1e9;
/// More voxels than any image has; a header that asks for more is wrong.
const MOST_VOXELS: u64 = 1 << 32;

/// Reads an image. `shown` is what messages call the file.
///
/// Compression is recognised by content, never by name. A fourth and further dimension is accepted
/// only if it has size 1.
///
/// # Errors
/// The file cannot be read, is not NIfTI-1, is truncated or damaged, or holds something that is not one
/// image of real numbers at a place in space; each with its own message.
pub fn read(path: &Path, shown: &str) -> Result<Volume, StageError> {
    let failed = |e: &std::io::Error| StageError::io("read", path, e);
    let file = File::open(path).map_err(|e| failed(&e))?;
    let size = file.metadata().map_err(|e| failed(&e))?.len();
    let mut stream = BufReader::with_capacity(1 << 18, file);
    let compressed = stream
        .fill_buf()
        .map_err(|e| failed(&e))?
        .starts_with(&gzip::MAGIC);
    if !compressed {
        return parse(&mut stream, Some(size), shown);
    }
    let mut stream = gzip::Members::new(stream);
    let volume = parse(&mut stream, None, shown)?;
    // The checksum is at the end: a damaged file may decompress to something.
    std::io::copy(&mut stream, &mut std::io::sink()).map_err(|e| unreadable(shown, &e))?;
    Ok(volume)
}

/// Reads an image from a stream of decompressed bytes, of which `known` are known to come.
fn parse(stream: &mut impl Read, known: Option<u64>, shown: &str) -> Result<Volume, StageError> {
    let mut bytes = [0; HEADER];
    let filled = read_up_to(stream, &mut bytes).map_err(|e| unreadable(shown, &e))?;
    if filled < HEADER {
        let what = "not a NIfTI file: it is shorter than a NIfTI header";
        return Err(StageError::new(format!("`{shown}` is {what}")));
    }
    let header = header(&bytes, shown)?;
    let shape = shape(&header, shown)?;
    let affine = affine::of(&header, shape, shown)?;
    let skip = offset(&header, shown)?;
    let skipped = std::io::copy(&mut stream.by_ref().take(skip), &mut std::io::sink())
        .map_err(|e| unreadable(shown, &e))?;
    let voxels: usize = shape.iter().product();
    let known = known.map(|known| known.saturating_sub(HEADER as u64 + skip));
    if skipped < skip {
        return Err(truncated(shown, 0, voxels));
    }
    let fortran = values::read(stream, &header, voxels, known, shown)?;
    Ok(Volume {
        data: to_c_order(&fortran, shape),
        shape,
        affine,
    })
}

fn header(bytes: &[u8; HEADER], shown: &str) -> Result<NiftiHeader, StageError> {
    let magic = &bytes[344..348];
    if magic == b"ni1\0" {
        let message = format!("`{shown}` is the header of a two-file NIfTI image");
        return Err(StageError::new(message).hint("convert it to a single .nii or .nii.gz file"));
    }
    let size = [bytes[0], bytes[1], bytes[2], bytes[3]];
    if i32::from_le_bytes(size) == 540 || i32::from_be_bytes(size) == 540 {
        let message = format!("`{shown}` is a NIfTI-2 file, expected NIfTI-1");
        return Err(StageError::new(message).hint("convert it to NIfTI-1"));
    }
    if magic != b"n+1\0" {
        return Err(StageError::new(format!("`{shown}` is not a NIfTI file")));
    }
    NiftiHeader::from_reader(&bytes[..])
        .map_err(|e| StageError::new(format!("`{shown}` has a broken NIfTI header: {e}")))
}

/// Sizes of the three spatial axes.
fn shape(header: &NiftiHeader, shown: &str) -> Result<[usize; 3], StageError> {
    let rank = usize::from(header.dim[0]);
    if !(3..=7).contains(&rank) {
        let message =
            format!("`{shown}` has {rank} dimensions, expected a three-dimensional image");
        return Err(StageError::new(message));
    }
    let sizes = &header.dim[1..=rank];
    if let Some(axis) = sizes.iter().position(|&size| size == 0 || size > 0x7fff) {
        let message = format!("`{shown}`: dimension {} is not a positive size", axis + 1);
        return Err(StageError::new(message));
    }
    if sizes[3..].iter().any(|&size| size != 1) {
        let message =
            format!("`{shown}` has dimensions {sizes:?}, expected one three-dimensional image");
        return Err(StageError::new(message).hint("split the series into single volumes"));
    }
    if sizes.iter().map(|&size| u64::from(size)).product::<u64>() > MOST_VOXELS {
        let message = format!("`{shown}` declares {sizes:?} voxels, more than any image has");
        return Err(StageError::new(message));
    }
    Ok([
        usize::from(sizes[0]),
        usize::from(sizes[1]),
        usize::from(sizes[2]),
    ])
}

/// Bytes between the header and the voxels.
fn offset(header: &NiftiHeader, shown: &str) -> Result<u64, StageError> {
    let offset = header.vox_offset;
    // Zero is written by some programs and means "directly after the header and its extension flag".
    let start = if offset == 0.0 { 352.0 } else { offset };
    if !(352.0..=LATEST_OFFSET).contains(&start) {
        let message = format!("`{shown}`: voxels cannot start at byte {offset}");
        return Err(StageError::new(message));
    }
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "range was checked"
    )]
    Ok(start as u64 - HEADER as u64)
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
    for (y, z) in (0..ny).flat_map(|y| (0..nz).map(move |z| (y, z))) {
        let row = &fortran[(z * ny + y) * nx..][..nx];
        for (x, &value) in row.iter().enumerate() {
            data[(x * ny + y) * nz + z] = value;
        }
    }
    data
}

#[cfg(test)]
mod tests;
