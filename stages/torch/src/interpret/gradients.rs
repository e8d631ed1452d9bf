//! `gradients`.

use engine::StageError;
use stages::learning::attribution::MethodParams;

use super::method::{Explained, Explanation, Method, Subject};

/// The signed gradient of the output with respect to the image that the network sees.
///
/// # Source
/// Simonyan et al. 2014, arXiv:1312.6034; `VanillaBackProp` of ClinicaDL 1.6.1.
struct Gradients;

pub(super) fn make(_: &MethodParams) -> Box<dyn Method> {
    Box::new(Gradients)
}

impl Method for Gradients {
    fn explain(
        &self,
        subject: &Subject<'_>,
        explained: Explained<'_>,
    ) -> Result<Explanation, StageError> {
        subject.gradient(explained.images).map(Explanation::of)
    }
}
