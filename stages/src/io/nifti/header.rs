//! Headers of NIfTI-1 and NIfTI-2, of single files and of pairs, checked field by field.

use engine::StageError;
use nifti::{Endianness, NiftiHeader};

/// Bytes of a NIfTI-1 header.
const ONE: usize = 348;
/// Bytes of a NIfTI-2 header.
const TWO: usize = 540;
/// Bytes that tell which header it is.
pub(super) const SMALLEST: usize = ONE;
/// Voxels that start later than this many bytes are a mistake.
const LATEST_OFFSET: f64 = 1e9;
/// More voxels than any image has; a header that asks for more is wrong.
const MOST_VOXELS: u64 = 1 << 32;

/// What of a header matters to its image.
#[derive(Debug, Clone)]
pub(super) struct Header {
    /// Sizes of the axes, 3 to 7 of them, all positive.
    pub(super) sizes: Vec<usize>,
    /// The code of the numbers' type.
    pub(super) datatype: i32,
    /// Whether numbers have their first byte first.
    pub(super) big_endian: bool,
    /// Byte of the voxels' file at which they start.
    pub(super) start: u64,
    /// Whether the voxels are in another file.
    pub(super) is_pair: bool,
    pub(super) slope: f64,
    pub(super) inter: f64,
    /// The sign of the third axis, then the sizes of voxels.
    pub(super) pixdim: [f64; 4],
    pub(super) qform_code: i32,
    pub(super) quaternion: [f64; 3],
    pub(super) offset: [f64; 3],
    pub(super) sform_code: i32,
    pub(super) rows: [[f64; 4]; 3],
}

/// How many bytes a header has that starts with these, which are at least [`SMALLEST`].
///
/// # Errors
/// They are no header.
pub(super) fn length(bytes: &[u8], shown: &str) -> Result<usize, StageError> {
    let size = [bytes[0], bytes[1], bytes[2], bytes[3]];
    let is = |length: i32| i32::from_le_bytes(size) == length || i32::from_be_bytes(size) == length;
    if is(540) && (bytes[4..8] == *b"n+2\0" || bytes[4..8] == *b"ni2\0") {
        return Ok(TWO);
    }
    if bytes[344..348] == *b"n+1\0" || bytes[344..348] == *b"ni1\0" {
        return Ok(ONE);
    }
    if is(348) {
        let message = format!("`{shown}` is an Analyze image, expected NIfTI");
        return Err(StageError::new(message)
            .hint("convert it to .nii.gz; Analyze does not say which side is left"));
    }
    Err(StageError::new(format!("`{shown}` is not a NIfTI file")))
}

impl Header {
    /// Reads a whole header of a [`length`].
    ///
    /// # Errors
    /// A field is impossible.
    pub(super) fn parse(bytes: &[u8], shown: &str) -> Result<Self, StageError> {
        let (mut header, sizes, start) = if bytes.len() == TWO {
            two(bytes)
        } else {
            one(bytes, shown)?
        };
        header.sizes = checked_sizes(&sizes, shown)?;
        header.start = checked_start(start, bytes.len(), header.is_pair, shown)?;
        Ok(header)
    }

    /// Number of voxels.
    pub(super) fn voxels(&self) -> usize {
        self.sizes.iter().product()
    }

    /// Bytes of a voxel; none for a type that is no real number.
    pub(super) fn width(&self) -> Option<usize> {
        match self.datatype {
            2 | 256 => Some(1),
            4 | 512 => Some(2),
            8 | 16 | 768 => Some(4),
            64 | 1024 | 1280 => Some(8),
            _ => None,
        }
    }

    /// Sizes of the three spatial axes.
    pub(super) fn shape(&self) -> [usize; 3] {
        [self.sizes[0], self.sizes[1], self.sizes[2]]
    }
}

/// Rank and sizes, and the start of the voxels, as they are stored.
type Stored = (Header, Vec<i64>, f64);

fn one(bytes: &[u8], shown: &str) -> Result<Stored, StageError> {
    let h = NiftiHeader::from_reader(bytes)
        .map_err(|e| StageError::new(format!("`{shown}` has a broken NIfTI header: {e}")))?;
    let row = |r: [f32; 4]| r.map(f64::from);
    let p = row([h.pixdim[0], h.pixdim[1], h.pixdim[2], h.pixdim[3]]);
    let header = Header {
        sizes: Vec::new(),
        datatype: i32::from(h.datatype),
        big_endian: h.endianness == Endianness::Big,
        start: 0,
        is_pair: bytes[344..348] == *b"ni1\0",
        slope: f64::from(h.scl_slope),
        inter: f64::from(h.scl_inter),
        pixdim: p,
        qform_code: i32::from(h.qform_code),
        quaternion: [h.quatern_b, h.quatern_c, h.quatern_d].map(f64::from),
        offset: [h.quatern_x, h.quatern_y, h.quatern_z].map(f64::from),
        sform_code: i32::from(h.sform_code),
        rows: [h.srow_x, h.srow_y, h.srow_z].map(row),
    };
    // The crate has unsigned sizes; the format has signed ones.
    let sizes = h.dim.iter().map(|&size| i64::from(size.cast_signed()));
    Ok((header, sizes.collect(), f64::from(h.vox_offset)))
}

/// Fields of NIfTI-2, whose header the crate does not read.
///
/// # Source
/// <https://nifti.nimh.nih.gov/pub/dist/doc/nifti2.h>
fn two(bytes: &[u8]) -> Stored {
    let big_endian = bytes[..4] == 540_i32.to_be_bytes();
    let take = |at: usize| -> [u8; 8] {
        let mut field = [0; 8];
        field.copy_from_slice(&bytes[at..at + 8]);
        field
    };
    let long = |at: usize| {
        let field = take(at);
        if big_endian {
            i64::from_be_bytes(field)
        } else {
            i64::from_le_bytes(field)
        }
    };
    let double = |at: usize| f64::from_bits(long(at).cast_unsigned());
    let int = |at: usize| {
        let field = [bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]];
        if big_endian {
            i32::from_be_bytes(field)
        } else {
            i32::from_le_bytes(field)
        }
    };
    let datatype = if big_endian {
        i16::from_be_bytes([bytes[12], bytes[13]])
    } else {
        i16::from_le_bytes([bytes[12], bytes[13]])
    };
    let header = Header {
        sizes: Vec::new(),
        datatype: i32::from(datatype),
        big_endian,
        start: 0,
        is_pair: bytes[4..8] == *b"ni2\0",
        slope: double(176),
        inter: double(184),
        pixdim: [104, 112, 120, 128].map(double),
        qform_code: int(344),
        quaternion: [352, 360, 368].map(double),
        offset: [376, 384, 392].map(double),
        sform_code: int(348),
        rows: [400, 432, 464].map(|at| [at, at + 8, at + 16, at + 24].map(double)),
    };
    let sizes = (0..8).map(|axis| long(16 + 8 * axis)).collect();
    #[expect(
        clippy::cast_precision_loss,
        reason = "compared with a bound far below 2^53"
    )]
    let start = long(168) as f64;
    (header, sizes, start)
}

fn checked_sizes(stored: &[i64], shown: &str) -> Result<Vec<usize>, StageError> {
    let rank = stored[0];
    let Some(rank) = usize::try_from(rank).ok().filter(|r| (3..=7).contains(r)) else {
        let message =
            format!("`{shown}` has {rank} dimensions, expected a three-dimensional image");
        return Err(StageError::new(message));
    };
    let mut sizes = Vec::with_capacity(rank);
    let mut voxels: u64 = 1;
    for (axis, &size) in stored[1..=rank].iter().enumerate() {
        let positive = usize::try_from(size).ok().filter(|&size| size > 0);
        let Some(size) = positive else {
            let message = format!("`{shown}`: dimension {} is not a positive size", axis + 1);
            return Err(StageError::new(message));
        };
        voxels = voxels.saturating_mul(size as u64);
        sizes.push(size);
    }
    if voxels > MOST_VOXELS {
        let message = format!("`{shown}` declares {sizes:?} voxels, more than any image has");
        return Err(StageError::new(message));
    }
    Ok(sizes)
}

/// The byte at which voxels start.
fn checked_start(
    stored: f64,
    header: usize,
    is_pair: bool,
    shown: &str,
) -> Result<u64, StageError> {
    // Zero is written by some programs and means "directly after the header and its extension flag".
    let first = if is_pair { 0.0 } else { header as f64 + 4.0 };
    let start = if stored == 0.0 { first } else { stored };
    if !(first..=LATEST_OFFSET).contains(&start) {
        let message = format!("`{shown}`: voxels cannot start at byte {stored}");
        return Err(StageError::new(message));
    }
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "range was checked"
    )]
    Ok(start as u64)
}
