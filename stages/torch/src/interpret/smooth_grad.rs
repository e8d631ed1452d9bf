//! `SmoothGrad`.

use engine::StageError;
use engine::seed::Stream;
use rand_distr::{Distribution, StandardNormal};
use stages::learning::attribution::{self, MethodParams};
use tch::{Device, Kind, TchError, Tensor};

use super::method::{Explained, Explanation, Method, Subject};
use crate::error::During;

/// The gradient, averaged over noisy copies of the image.
///
/// The standard deviation of the noise is a part of the range of each image. Noise follows from the
/// stream of the image and the number of the copy: it is the same whatever the batches are.
///
/// # Source
/// Smilkov et al. 2017, arXiv:1706.03825; `NoiseTunnel` of Captum.
pub(super) struct SmoothGrad {
    samples: u32,
    level: f64,
}

pub(super) fn make(params: &MethodParams) -> Box<dyn Method> {
    let options: attribution::SmoothGrad = params.options();
    Box::new(SmoothGrad {
        samples: options.n_samples,
        level: options.noise_level,
    })
}

impl Method for SmoothGrad {
    fn explain(
        &self,
        subject: &Subject<'_>,
        explained: Explained<'_>,
    ) -> Result<Explanation, StageError> {
        let images = explained.images.f_detach().during("explain an image")?;
        let ranges = ranges(&images).during("explain an image")?;
        let size = images.size();
        let count = size[1..].iter().product::<i64>() as usize;
        let noise = |sample: u32| -> Result<Tensor, TchError> {
            let mut noise: Vec<f32> = Vec::with_capacity(count * ranges.len());
            for (stream, range) in explained.streams.iter().zip(&ranges) {
                #[expect(clippy::cast_possible_truncation, reason = "images are float32")]
                let deviation = (self.level * range) as f32;
                noise.extend(drawn(stream, sample, count).map(|drawn| deviation * drawn));
            }
            Tensor::f_from_slice(&noise)?.f_view(size.as_slice())
        };
        averaged(subject, &images, self.samples, noise).map(Explanation::of)
    }
}

/// The mean of gradients of images with the noise of so many copies.
pub(super) fn averaged(
    subject: &Subject<'_>,
    images: &Tensor,
    samples: u32,
    noise: impl Fn(u32) -> Result<Tensor, TchError>,
) -> Result<Tensor, StageError> {
    let act = "explain an image";
    let mut sum = images
        .f_zeros_like()
        .and_then(|zeros| zeros.f_to_device(Device::Cpu)?.f_to_kind(Kind::Double))
        .during(act)?;
    for sample in 0..samples {
        (subject.proceed)()?;
        let noisy =
            noise(sample).and_then(|noise| images.f_add(&noise.f_to_device(images.device())?));
        let gradient = subject.gradient(&noisy.during(act)?)?;
        drop(sum.f_add_(&gradient).during(act)?);
    }
    sum.f_divide_scalar(f64::from(samples))
        .and_then(|mean| mean.f_to_kind(Kind::Float))
        .during(act)
}

/// Numbers of a standard normal distribution.
fn drawn(stream: &Stream, sample: u32, count: usize) -> impl Iterator<Item = f32> {
    let mut rng = stream.child(sample).rng();
    (0..count).map(move |_| StandardNormal.sample(&mut rng))
}

/// The range of intensities of each image.
fn ranges(images: &Tensor) -> Result<Vec<f64>, TchError> {
    let flat = images.f_flatten(1, -1)?;
    let range = flat
        .f_amax([1_i64], false)?
        .f_sub(&flat.f_amin([1_i64], false)?)?;
    Vec::try_from(&range.f_to_device(Device::Cpu)?.f_to_kind(Kind::Double)?)
}
