//! Units of work: one per session, with what its tensor depends on.

use engine::{Digest, InputFile, StageError};
use maps::weights::{ArrayData, read_pt};
use ndarray::{Array4, ArrayD, Ix4};

use super::sources::FoundImage;
use super::{PrepareDataParams, Source, Volumes};
use crate::caps::CapsImage;
use crate::io::nifti::Series;
use crate::volume::Affine;

/// Tensors do not say where they are.
const NOWHERE: Affine = [
    [1.0, 0.0, 0.0, 0.0],
    [0.0, 1.0, 0.0, 0.0],
    [0.0, 0.0, 1.0, 0.0],
    [0.0, 0.0, 0.0, 1.0],
];

/// One image to extract.
pub(super) struct Unit<'a> {
    found: &'a FoundImage,
    source: Source,
    volumes: Volumes,
}

/// What was read: the image, or parts of one that was never seen whole.
pub(super) enum Read {
    Whole(Array4<f32>, Affine),
    Parts(Vec<ArrayD<f32>>, Affine),
}

pub(super) fn units<'a>(params: &PrepareDataParams, found: &'a [FoundImage]) -> Vec<Unit<'a>> {
    let unit = |found| Unit {
        found,
        source: params.source,
        volumes: params.volumes,
    };
    found.iter().map(unit).collect()
}

impl<'a> Unit<'a> {
    pub(super) fn image(&self) -> &'a CapsImage {
        &self.found.image
    }

    /// Participant and session.
    pub(super) fn name(&self) -> String {
        self.image().name()
    }

    /// The digest of everything that is read.
    pub(super) fn digest(&self) -> Digest {
        if self.found.parts.is_empty() {
            return self.image().digest();
        }
        let parts = self.found.parts.iter().map(|file| file.digest.to_string());
        Digest::of(parts.collect::<Vec<_>>().join(" ").as_bytes())
    }

    pub(super) fn read(&self) -> Result<Read, StageError> {
        let image = self.image();
        match self.source {
            Source::Images => {
                let series = image.read()?;
                let affine = series.affine;
                let shown = &image.file.shown;
                Ok(Read::Whole(combine(series, self.volumes, shown)?, affine))
            }
            Source::Tensors if self.found.parts.is_empty() => {
                let tensor = tensor(&image.file)?;
                let shape = tensor.shape().to_vec();
                let image = tensor.into_dimensionality::<Ix4>().map_err(|_| {
                    let shown = &image.file.shown;
                    let message = format!("`{shown}` has shape {shape:?}, expected [C, X, Y, Z]");
                    StageError::new(message)
                })?;
                Ok(Read::Whole(image, NOWHERE))
            }
            Source::Tensors => {
                let parts = self.found.parts.iter().map(tensor);
                Ok(Read::Parts(parts.collect::<Result<_, _>>()?, NOWHERE))
            }
        }
    }
}

/// One image from all volumes of a file, channels first.
fn combine(series: Series, volumes: Volumes, shown: &str) -> Result<Array4<f32>, StageError> {
    let [x, y, z] = series.shape;
    let count = series.volumes.len();
    let (channels, data) = match volumes {
        _ if count == 1 => (1, series.volumes.into_iter().next().unwrap_or_default()),
        Volumes::Refuse => {
            let message =
                format!("`{shown}` has {count} volumes, expected one three-dimensional image");
            return Err(StageError::new(message).hint("set `volumes` to first, mean or channels"));
        }
        Volumes::First => (1, series.volumes.into_iter().next().unwrap_or_default()),
        Volumes::Channels => (count, series.volumes.concat()),
        Volumes::Mean => {
            let mut sums = vec![0.0_f64; x * y * z];
            for volume in &series.volumes {
                let pairs = sums.iter_mut().zip(volume);
                pairs.for_each(|(sum, &value)| *sum += f64::from(value));
            }
            #[expect(clippy::cast_possible_truncation, reason = "tensors are float32")]
            let mean = |sum: f64| (sum / count as f64) as f32;
            (1, sums.into_iter().map(mean).collect())
        }
    };
    Array4::from_shape_vec((channels, x, y, z), data).map_err(StageError::internal)
}

/// A tensor as `torch.save` writes it, read without executing anything.
fn tensor(file: &InputFile) -> Result<ArrayD<f32>, StageError> {
    let bytes = std::fs::read(&file.path).map_err(|e| StageError::io("read", &file.path, &e))?;
    let shown = &file.shown;
    let broken = |why: String| StageError::new(format!("`{shown}` is no tensor: {why}"));
    let array = read_pt(&bytes).map_err(|e| broken(e.to_string()))?;
    let (shape, data) = array.into_parts();
    let ArrayData::F32(values) = data else {
        let found = format!("its numbers are {:?}, expected float32", data.dtype());
        return Err(broken(found));
    };
    ArrayD::from_shape_vec(shape, values).map_err(|e| broken(e.to_string()))
}
