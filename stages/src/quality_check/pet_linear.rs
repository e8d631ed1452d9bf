//! Stage `quality-check-pet-linear`: how much signal an image has where a well registered one has little.
//!
//! # Source
//! ClinicaDL 1.6.1, `quality-check pet-linear`, with these deviations: images of equal score are in the
//! order of their participant and session (1.6.1 sorts with an unstable algorithm); a mask of another
//! shape names every image; the threshold is 0.9 everywhere (1.6.1: 0.8 when called as a function).

use engine::{Context, InputPort, OutputPort, ParamIssue, Ports, Run, Stage, StageError};
use serde_json::json;

use super::measure::measure;
use super::quality::{self, Order, QUALITY};
use super::{Checked, images, only_volume, pattern, require_shape};
use crate::caps;
use crate::caps::OnMissing;
use crate::io::nifti;
use crate::volume::Volume;

/// Intensities below this part of the range count as nothing.
const LEAST: f64 = 0.35;

engine::params! {
    /// Parameters of `quality-check-pet-linear`.
    pub struct QualityCheckPetLinearParams {
        /// Tracer, the text after `trc-` in names of images, such as 18FFDG. Must be given.
        semantic tracer: String = String::new(),
        /// Reference region, the text after `suvr-` in names of images, such as cerebellumPons2. Must be given.
        semantic suvr_reference_region: String = String::new(),
        /// Check the images that were not cropped. Default: false.
        semantic use_uncropped_image: bool = false,
        /// Images with a score above this pass, 0 to 1. Default: 0.9.
        #[schemars(range(min = 0.0, max = 1.0))]
        semantic threshold: f64 = 0.9,
        /// What to do about sessions of `participants` without an image: error or drop. Default: error.
        semantic on_missing: OnMissing = OnMissing::Error,
    }
}

/// Scores images of pet-linear.
#[derive(Debug)]
pub struct QualityCheckPetLinear;

impl QualityCheckPetLinearParams {
    fn pattern(&self) -> String {
        pattern(&Checked::PetLinear {
            tracer: &self.tracer,
            suvr_reference_region: &self.suvr_reference_region,
            cropped: !self.use_uncropped_image,
        })
    }
}

impl Stage for QualityCheckPetLinear {
    const ID: &'static str = "quality-check-pet-linear";
    const VERSION: u32 = 1;
    const SUMMARY: &'static str =
        "Checks the registration of PET images by the signal within a mask.";
    type Params = QualityCheckPetLinearParams;

    fn ports(_: &QualityCheckPetLinearParams) -> Ports {
        Ports {
            inputs: vec![
                InputPort::new("caps", &["caps"], "The CAPS."),
                InputPort::new(
                    "mask",
                    &["volume"],
                    "1 where there should be little signal.",
                ),
                InputPort::new("participants", &["table"], "Check these sessions only.").optional(),
            ],
            outputs: vec![OutputPort::new(
                QUALITY,
                "table",
                "Sessions with score and verdict, lowest score first.",
            )],
        }
    }

    fn check(params: &QualityCheckPetLinearParams) -> Vec<ParamIssue> {
        let fields = [
            ("tracer", &params.tracer),
            ("suvr_reference_region", &params.suvr_reference_region),
        ];
        let is_entity = |text: &str| {
            !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
        };
        fields
            .into_iter()
            .filter(|(_, value)| !is_entity(value))
            .map(|(field, value)| {
                let message =
                    format!("expected letters and digits as in file names, got `{value}`");
                ParamIssue::new(field, message)
            })
            .collect()
    }

    fn selects(params: &QualityCheckPetLinearParams, port: &str, path: &str) -> bool {
        port != "caps" || caps::selects(&params.pattern(), path)
    }
}

impl Run for QualityCheckPetLinear {
    fn run(params: &QualityCheckPetLinearParams, context: &Context) -> Result<(), StageError> {
        let images = images(&params.pattern(), params.on_missing, context)?;
        let mask = only_volume("mask", context)?;
        let shown = &context.input("mask")?.shown;
        // Such a mask would let every image pass.
        if !mask.data.iter().copied().any(is_inside) {
            let message = format!("no voxel of the mask `{shown}` is 1");
            return Err(
                StageError::new(message).hint("a mask of 0 and 255 has to be divided by 255")
            );
        }
        let mask_sum: f64 = mask.data.iter().map(|&value| f64::from(value)).sum();
        if !(mask_sum.is_finite() && mask_sum > 0.0) {
            let message =
                format!("the sum of the mask `{shown}` is {mask_sum}, expected more than 0");
            return Err(StageError::new(message));
        }
        let of = format!("the mask `{shown}`");
        let identity = json!({
            "stage": Self::ID,
            "version": Self::VERSION,
            "mask": context.input("mask")?.digest,
        });
        let scores = measure(&images, &identity, context, |image| {
            let volume = nifti::read(&image.file.path, &image.file.shown)?;
            require_shape(&volume, &image.file.shown, mask.shape, &of)?;
            Ok(score(&volume, &mask))
        })?;
        quality::write(
            &images,
            &scores,
            params.threshold,
            Order::Ascending,
            context,
        )
    }
}

/// One minus the mean intensity in the mask, of intensities scaled to 0 to 1; `None` if the image is
/// constant or has a voxel that is not a number.
///
/// The mean is taken as in ClinicaDL: the sum is over voxels whose mask is 1 when truncated to a whole
/// number, the divisor is the sum of the mask.
pub(super) fn score(image: &Volume, mask: &Volume) -> Option<f64> {
    let (least, most) = range(image)?;
    let mut inside = 0.0;
    let mut mask_sum = 0.0;
    for (&value, &mask) in image.data.iter().zip(&mask.data) {
        mask_sum += f64::from(mask);
        let scaled = (f64::from(value) - least) / (most - least);
        if is_inside(mask) && scaled >= LEAST {
            inside += scaled;
        }
    }
    Some(1.0 - inside / mask_sum)
}

/// Whether a value of the mask is 1 when truncated to a whole number.
fn is_inside(mask: f32) -> bool {
    (1.0..2.0).contains(&mask)
}

/// Least and largest intensity; `None` if they are equal or a voxel is not finite.
pub(super) fn range(image: &Volume) -> Option<(f64, f64)> {
    let mut range = (f64::INFINITY, f64::NEG_INFINITY);
    for &value in &image.data {
        if !value.is_finite() {
            return None;
        }
        let value = f64::from(value);
        range = (range.0.min(value), range.1.max(value));
    }
    (range.0 < range.1).then_some(range)
}
