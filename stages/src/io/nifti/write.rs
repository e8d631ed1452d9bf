//! Writing float32 images.

use std::path::Path;

use engine::StageError;

use crate::io::gzip::one_member;
use crate::volume::Volume;

/// Writes a float32 NIfTI-1 image, gzipped; equal volumes give equal bytes.
///
/// The affine is stored as `sform` (code 2, aligned), voxel sizes in millimetres. The level of
/// compression is low: noise does not shrink, and every reader decompresses anyway.
///
/// # Errors
/// Any I/O error, naming the file; an axis longer than the format can say.
pub fn write(path: &Path, volume: &Volume) -> Result<(), StageError> {
    std::fs::write(path, to_bytes(volume)?).map_err(|e| StageError::io("write", path, &e))
}

/// The bytes of such an image.
///
/// # Errors
/// An axis longer than the format can say.
pub fn to_bytes(volume: &Volume) -> Result<Vec<u8>, StageError> {
    let mut bytes = header(volume)
        .ok_or_else(|| StageError::new(format!("{:?} voxels do not fit NIfTI-1", volume.shape)))?;
    let [nx, ny, nz] = volume.shape;
    bytes.reserve_exact(4 * nx * ny * nz);
    for z in 0..nz {
        for y in 0..ny {
            let row = (0..nx).map(|x| volume.data[(x * ny + y) * nz + z]);
            bytes.extend(row.flat_map(f32::to_le_bytes));
        }
    }
    one_member(&bytes).map_err(StageError::internal)
}

fn header(volume: &Volume) -> Option<Vec<u8>> {
    let mut bytes = vec![0; 352];
    let mut put = |at: usize, field: &[u8]| bytes[at..at + field.len()].copy_from_slice(field);
    put(0, &348_i32.to_le_bytes());
    put(38, b"r");
    put(40, &3_i16.to_le_bytes());
    let spacing = volume.spacing_mm();
    put(76, &1_f32.to_le_bytes());
    for axis in 0..7 {
        let size = volume.shape.get(axis).copied().unwrap_or(1);
        put(42 + 2 * axis, &i16::try_from(size).ok()?.to_le_bytes());
        #[expect(clippy::cast_possible_truncation, reason = "the format stores float32")]
        let size_mm = spacing.get(axis).map_or(1.0, |&size| size as f32);
        put(80 + 4 * axis, &size_mm.to_le_bytes());
    }
    put(70, &16_i16.to_le_bytes());
    put(72, &32_i16.to_le_bytes());
    put(108, &352_f32.to_le_bytes());
    put(112, &1_f32.to_le_bytes());
    put(123, &[2]);
    put(254, &2_i16.to_le_bytes());
    for (row, values) in volume.affine[..3].iter().enumerate() {
        for (column, &value) in values.iter().enumerate() {
            #[expect(clippy::cast_possible_truncation, reason = "the format stores float32")]
            put(280 + 16 * row + 4 * column, &(value as f32).to_le_bytes());
        }
    }
    put(344, b"n+1\0");
    Some(bytes)
}
