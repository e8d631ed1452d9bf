//! Extracted images: one safetensors file each, decoded once and read every epoch.
//!
//! The file holds one tensor `image`, float32, `[1, X, Y, Z]` in C order, and the affine of the stored
//! image in its metadata. Equal images give equal bytes.

use std::io::Read;
use std::path::Path;

use engine::StageError;
use safetensors::tensor::{Dtype, TensorView};
use safetensors::{SafeTensorError, SafeTensors};
use serde::{Deserialize, Serialize};

use crate::volume::{Affine, Volume};

/// Name of the tensor.
const TENSOR: &str = "image";
/// The one metadata key; its value is JSON. (A second key would make their order a matter of chance.)
const METADATA: &str = "clinicadl";
/// Bytes of a head that are read at most; a real one has some hundreds.
const HEAD_LIMIT: u64 = 1 << 20;

#[derive(Serialize, Deserialize)]
struct Metadata {
    affine: Affine,
    #[serde(default)]
    not_finite: u64,
    #[serde(default)]
    constant: bool,
}

/// What is known of an extracted image without reading its intensities.
#[derive(Debug, Clone, PartialEq)]
pub struct Summary {
    /// `[1, X, Y, Z]`.
    pub shape: Vec<usize>,
    /// Voxel indices to millimetres.
    pub affine: Affine,
    /// Number of voxels that are NaN or infinite.
    pub not_finite: u64,
    /// Whether all finite voxels are equal.
    pub constant: bool,
}

/// Writes a volume.
///
/// # Errors
/// Any I/O error, naming the file.
pub fn write(path: &Path, volume: &Volume) -> Result<(), StageError> {
    let bytes: Vec<u8> = volume
        .data
        .iter()
        .flat_map(|value| value.to_le_bytes())
        .collect();
    let mut shape = vec![1];
    shape.extend(volume.shape);
    let view = TensorView::new(Dtype::F32, shape, &bytes).map_err(StageError::internal)?;
    let mut finite = volume.data.iter().filter(|value| value.is_finite());
    let first = finite.next();
    let constant = finite.all(|value| Some(value) == first);
    let not_finite = volume
        .data
        .iter()
        .filter(|value| !value.is_finite())
        .count() as u64;
    let metadata = Metadata {
        affine: volume.affine,
        not_finite,
        constant,
    };
    let metadata = serde_json::to_string(&metadata).map_err(StageError::internal)?;
    let metadata = Some([(METADATA.to_owned(), metadata)].into());
    safetensors::serialize_to_file([(TENSOR, view)], metadata, path).map_err(|e| match e {
        SafeTensorError::IoError(e) => StageError::io("write", path, &e),
        other => StageError::internal(other),
    })
}

/// Reads what is known of an image from the head of its file.
///
/// # Errors
/// The file cannot be read, or is not an extracted image.
pub fn summary(path: &Path, shown: &str) -> Result<Summary, StageError> {
    let failed = |e: std::io::Error| StageError::io("read", path, &e);
    let mut file = std::fs::File::open(path).map_err(failed)?;
    let mut length = [0; 8];
    file.read_exact(&mut length).map_err(failed)?;
    let length = u64::from_le_bytes(length).min(HEAD_LIMIT);
    let mut head = Vec::new();
    file.take(length).read_to_end(&mut head).map_err(failed)?;
    let head: safetensors::tensor::Metadata =
        serde_json::from_slice(&head).map_err(|e| broken(shown, &e))?;
    let info = head
        .info(TENSOR)
        .ok_or_else(|| broken(shown, &"it has no image"))?;
    if !is_image(&info.shape) {
        let shape = &info.shape;
        return Err(broken(
            shown,
            &format!("its shape is {shape:?}, expected [1, X, Y, Z]"),
        ));
    }
    let metadata = metadata(&head, shown)?;
    Ok(Summary {
        shape: info.shape.clone(),
        affine: metadata.affine,
        not_finite: metadata.not_finite,
        constant: metadata.constant,
    })
}

fn is_image(shape: &[usize]) -> bool {
    shape.len() == 4 && shape[0] == 1 && shape.iter().all(|&size| size > 0)
}

fn metadata(head: &safetensors::tensor::Metadata, shown: &str) -> Result<Metadata, StageError> {
    let text = head.metadata().as_ref().and_then(|all| all.get(METADATA));
    let text = text.ok_or_else(|| broken(shown, &format!("metadata `{METADATA}` is missing")))?;
    serde_json::from_str(text).map_err(|e| broken(shown, &e))
}

fn broken(shown: &str, why: &dyn std::fmt::Display) -> StageError {
    StageError::new(format!("`{shown}` is not an extracted image: {why}"))
}

/// Reads a file: shape `[1, X, Y, Z]`, intensities in C order, affine.
///
/// # Errors
/// The file cannot be read, or is not an extracted image.
pub fn read(path: &Path, shown: &str) -> Result<(Vec<usize>, Vec<f32>, Affine), StageError> {
    let bytes = std::fs::read(path).map_err(|e| StageError::io("read", path, &e))?;
    let (_, head) = SafeTensors::read_metadata(&bytes).map_err(|e| broken(shown, &e))?;
    let metadata = metadata(&head, shown)?;
    let tensors = SafeTensors::deserialize(&bytes).map_err(|e| broken(shown, &e))?;
    let tensor = tensors.tensor(TENSOR).map_err(|e| broken(shown, &e))?;
    if tensor.dtype() != Dtype::F32 || !is_image(tensor.shape()) {
        let got = format!("{:?} {:?}", tensor.dtype(), tensor.shape());
        return Err(broken(
            shown,
            &format!("its tensor is {got}, expected F32 [1, X, Y, Z]"),
        ));
    }
    let (numbers, _) = tensor.data().as_chunks::<4>();
    let data = numbers
        .iter()
        .map(|bytes| f32::from_le_bytes(*bytes))
        .collect();
    Ok((tensor.shape().to_vec(), data, metadata.affine))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn volume() -> Volume {
        let affine = [
            [-1.5, 0.0, 0.25, 90.0],
            [0.0, 2.0, 0.0, -126.0],
            [0.1, 0.0, 1.0, 1.0 / 3.0],
            [0.0, 0.0, 0.0, 1.0],
        ];
        Volume {
            data: (0..24).map(|v| v as f32 / 7.0).collect(),
            shape: [2, 3, 4],
            affine,
        }
    }

    #[test]
    fn a_volume_reads_back_bit_for_bit() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x");
        write(&path, &volume()).unwrap();
        let (shape, data, affine) = read(&path, "x").unwrap();
        assert_eq!((shape.as_slice(), data), (&[1, 2, 3, 4][..], volume().data));
        assert_eq!(affine, volume().affine);
        let known = summary(&path, "x").unwrap();
        assert_eq!(
            (known.shape, known.not_finite, known.constant),
            (shape, 0, false)
        );
    }

    #[test]
    fn a_broken_file_is_an_error_that_names_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x");
        for bytes in [&b""[..], b"text", &[255; 64]] {
            std::fs::write(&path, bytes).unwrap();
            assert!(
                read(&path, "shown")
                    .unwrap_err()
                    .message
                    .contains("`shown`")
            );
            assert!(summary(&path, "shown").is_err());
        }
    }
}
