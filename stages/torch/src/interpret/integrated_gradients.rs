//! `IntegratedGradients`.

use engine::StageError;
use stages::learning::attribution::{self, MethodParams};
use tch::{Device, Kind, Tensor};

use super::method::{Explained, Explanation, Method, Subject};
use crate::error::During;

/// The gradient, averaged on the straight way from a baseline to the image, times the difference of both.
///
/// The average is a Gauss–Legendre quadrature. Of an exact one, the map adds up to the difference of the
/// outputs of image and baseline; how far it does is told.
///
/// # Source
/// Sundararajan et al. 2017, arXiv:1703.01365; `IntegratedGradients` of Captum, method `gausslegendre`.
struct IntegratedGradients {
    baseline: f64,
    /// Places on the way from 0 to 1, with their weights.
    points: Vec<(f64, f64)>,
}

pub(super) fn make(params: &MethodParams) -> Box<dyn Method> {
    let options: attribution::IntegratedGradients = params.options();
    Box::new(IntegratedGradients {
        baseline: options.baseline,
        points: gauss_legendre(options.n_steps),
    })
}

impl Method for IntegratedGradients {
    fn explain(
        &self,
        subject: &Subject<'_>,
        explained: Explained<'_>,
    ) -> Result<Explanation, StageError> {
        let act = "explain an image";
        let images = explained.images.f_detach().during(act)?;
        let baseline = images.f_full_like(self.baseline).during(act)?;
        let way = images.f_sub(&baseline).during(act)?;
        let mut sum = images
            .f_zeros_like()
            .and_then(|zeros| zeros.f_to_device(Device::Cpu)?.f_to_kind(Kind::Double))
            .during(act)?;
        for &(place, weight) in &self.points {
            (subject.proceed)()?;
            let there = || baseline.f_add(&way.f_mul_scalar(place)?);
            let gradient = subject.gradient(&there().during(act)?)?;
            let mut add = || -> Result<(), tch::TchError> {
                let weighed = gradient.f_to_kind(Kind::Double)?.f_mul_scalar(weight)?;
                drop(sum.f_add_(&weighed)?);
                Ok(())
            };
            add().during(act)?;
        }
        let maps = || -> Result<Tensor, tch::TchError> {
            let way = way.f_to_device(Device::Cpu)?.f_to_kind(Kind::Double)?;
            sum.f_mul(&way)?.f_to_kind(Kind::Float)?.f_contiguous()
        };
        let maps = maps().during(act)?;
        let outputs = subject.outputs(&images).during(act)?;
        let of_baseline = subject.outputs(&baseline).during(act)?;
        let promised = outputs.iter().zip(of_baseline).map(|(a, b)| a - b);
        Ok(Explanation {
            maps,
            promised: promised.collect(),
        })
    }
}

/// Places and weights of the quadrature with so many points on [0, 1], from the first to the last.
///
/// Places are the roots of the Legendre polynomial, found by Newton's method.
fn gauss_legendre(count: u32) -> Vec<(f64, f64)> {
    let n = f64::from(count);
    let point = |i: u32| {
        let mut x = -((f64::from(i) + 0.75) / (n + 0.5) * std::f64::consts::PI).cos();
        for _ in 0..100 {
            let (value, slope) = legendre(count, x);
            let step = value / slope;
            x -= step;
            if step.abs() < 1e-15 {
                break;
            }
        }
        let (_, slope) = legendre(count, x);
        let weight = 2.0 / ((1.0 - x * x) * slope * slope);
        (0.5 * (1.0 + x), 0.5 * weight)
    };
    (0..count).map(point).collect()
}

/// The Legendre polynomial of this degree, at least 1, and its derivative.
fn legendre(degree: u32, x: f64) -> (f64, f64) {
    let (mut before, mut value) = (1.0, x);
    for k in 2..=degree {
        let k = f64::from(k);
        (before, value) = (
            value,
            ((2.0 * k - 1.0) * x * value - (k - 1.0) * before) / k,
        );
    }
    let slope = f64::from(degree) * (x * value - before) / (x * x - 1.0);
    (value, slope)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_quadrature_is_exact_for_polynomials_of_twice_the_degree() {
        for count in [1, 2, 3, 8, 50, 1000] {
            let points = gauss_legendre(count);
            assert!(points.is_sorted_by(|a, b| a.0 < b.0));
            for power in [0, 1, 2 * count.min(20) - 1] {
                let power = i32::try_from(power).unwrap();
                let sum: f64 = points.iter().map(|(x, w)| w * x.powi(power)).sum();
                let expected = 1.0 / f64::from(power + 1);
                assert!(
                    (sum - expected).abs() < 1e-12,
                    "{count} points, x^{power}: {sum}"
                );
            }
        }
    }
}
