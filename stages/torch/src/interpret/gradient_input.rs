//! `GradientInput`.

use engine::StageError;
use stages::learning::attribution::MethodParams;
use tch::Device;

use super::method::{Explained, Explanation, Method, Subject};
use crate::error::During;

/// The gradient times the image that the network sees.
///
/// # Source
/// Shrikumar et al. 2016, arXiv:1605.01713; `InputXGradient` of Captum.
struct GradientInput;

pub(super) fn make(_: &MethodParams) -> Box<dyn Method> {
    Box::new(GradientInput)
}

impl Method for GradientInput {
    fn explain(
        &self,
        subject: &Subject<'_>,
        explained: Explained<'_>,
    ) -> Result<Explanation, StageError> {
        let gradients = subject.gradient(explained.images)?;
        let product = || {
            let images = explained.images.f_detach()?.f_to_device(Device::Cpu)?;
            gradients.f_mul(&images)
        };
        product().during("explain an image").map(Explanation::of)
    }
}
