//! The image itself.

use engine::StageError;
use engine::seed::Stream;
use maps::files::{MeasuredRow, MeasuredTable, RECONSTRUCTION_COLUMNS};
use stages::learning::names::Task;
use stages::metrics::{Estimate, Measures, estimates_of};
use tch::{Kind, TchError, Tensor};

use super::similarity::{local_correlation, multi_scale_similarity, structural_similarity};
use super::{Objective, Said, identity, participants};
use crate::data::Batch;
use crate::error::During;
use crate::evaluation::Prediction;
use crate::networks::Outputs;

/// Outputs have the shape of the images.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reconstruction;

impl Objective for Reconstruction {
    fn task(&self) -> Task {
        Task::Reconstruction
    }

    fn outputs(&self) -> usize {
        0
    }

    fn target(&self, batch: &Batch<'_>) -> Result<Tensor, StageError> {
        Ok(batch.images.shallow_clone())
    }

    fn said(
        &self,
        outputs: &Outputs,
        batch: &Batch<'_>,
        thorough: bool,
    ) -> Result<Vec<Said>, StageError> {
        let compute = || {
            let (made, images) = (&outputs.prediction, &batch.images);
            let each = (0..batch.samples.len()).map(|i| {
                let i = i as i64;
                let (image, made) = (images.f_narrow(0, i, 1)?, made.f_narrow(0, i, 1)?);
                measures(&image, &made, thorough)
            });
            each.collect::<Result<Vec<_>, TchError>>()
        };
        let each = compute().during("compare reconstructions with images")?;
        Ok(each.into_iter().map(Said::Measures).collect())
    }

    fn values(&self, predictions: &[Prediction]) -> Vec<f64> {
        let all: Vec<usize> = (0..predictions.len()).collect();
        means(&rows(predictions), &all)
    }

    fn estimates(
        &self,
        predictions: &[Prediction],
        resamples: u32,
        stream: &Stream,
    ) -> Vec<Estimate> {
        let rows = rows(predictions);
        let participants = participants(predictions);
        let of = |images: &[usize]| means(&rows, images);
        let resamples = resamples as usize;
        estimates_of(&self.columns(), of, &participants, resamples, stream)
    }

    fn table(
        &self,
        predictions: &[Prediction],
        level: &str,
        leakage: Option<&str>,
    ) -> Result<Vec<u8>, StageError> {
        let rows = predictions
            .iter()
            .zip(rows(predictions))
            .map(|(row, measures)| {
                Ok(MeasuredRow {
                    identity: identity(row)?,
                    values: measures.to_vec(),
                })
            });
        let table = MeasuredTable {
            columns: &RECONSTRUCTION_COLUMNS,
            level: level.to_owned(),
            leakage: leakage.map(str::to_owned),
            rows: rows.collect::<Result<_, StageError>>()?,
        };
        Ok(table.to_bytes())
    }
}

fn rows(predictions: &[Prediction]) -> Vec<Measures> {
    let rows = predictions.iter().map(|row| match row.said {
        Said::Measures(measures) => measures,
        _ => Measures::default().map(|_| f64::NAN),
    });
    rows.collect()
}

fn means(rows: &[Measures], images: &[usize]) -> Vec<f64> {
    let mean = |k: usize| {
        let sum: f64 = images.iter().map(|&i| rows[i][k]).sum();
        sum / images.len() as f64
    };
    (0..Measures::default().len()).map(mean).collect()
}

/// Mean absolute error, root mean squared error, peak signal-to-noise ratio, structural similarity at one
/// scale and at several, and local correlation of a reconstruction `[1, C, X, Y(, Z)]` and its image; the
/// last two are NaN unless `thorough`.
///
/// # Source
/// ClinicaDL 1.6.1 `metric_module.py`; scikit-image `peak_signal_noise_ratio`. Deviations: the number of
/// spatial axes decides between two and three dimensions, not the number of channels; intensities beyond
/// −1 and 1 are no error: their range is then that of the image.
pub(crate) fn measures(
    image: &Tensor,
    made: &Tensor,
    thorough: bool,
) -> Result<Measures, TchError> {
    let (image, made) = (image.f_to_kind(Kind::Float)?, made.f_to_kind(Kind::Float)?);
    let difference = image.f_sub(&made)?;
    let mae = difference
        .f_abs()?
        .f_mean(Kind::Float)?
        .f_double_value(&[])?;
    let mse = difference
        .f_square()?
        .f_mean(Kind::Double)?
        .f_double_value(&[])?;
    let least = image.f_min()?.f_double_value(&[])?;
    let most = image.f_max()?.f_double_value(&[])?;
    let range = match (least >= 0.0 && most <= 1.0, least >= -1.0 && most <= 1.0) {
        (true, _) => 1.0,
        (_, true) => 2.0,
        _ => most - least,
    };
    let psnr = 10.0 * (range * range / mse).log10();
    let slow = |measure: fn(&Tensor, &Tensor) -> Result<f64, TchError>| match thorough {
        true => measure(&image, &made),
        false => Ok(f64::NAN),
    };
    Ok([
        mae,
        mse.sqrt(),
        psnr,
        structural_similarity(&image, &made)?,
        slow(multi_scale_similarity)?,
        slow(local_correlation)?,
    ])
}

#[cfg(test)]
mod tests {
    use tch::Device;

    use super::*;
    use crate::testing::reference;

    fn numbers(shape: &[i64], factor: i64, prime: i64) -> Tensor {
        let count = shape.iter().product::<i64>();
        let numbers = Tensor::arange(count, (Kind::Int64, Device::Cpu)) * factor;
        let numbers = numbers.remainder(prime).to_kind(Kind::Float) / prime as f64;
        numbers.view(shape)
    }

    #[test]
    fn metrics_are_those_of_clinicadl_scikit_image_and_monai() {
        for case in reference("reconstruction.json")["cases"]
            .as_array()
            .unwrap()
        {
            let shape: Vec<i64> = serde_json::from_value(case["shape"].clone()).unwrap();
            let number = |key: &str| case[key].as_f64().unwrap();
            let image = numbers(&shape, 7919, 1009) * number("scale") + number("shift");
            let made = &image * 0.7 + numbers(&shape, 104_729, 1013) * 0.2;
            let got = measures(&image.unsqueeze(0), &made.unsqueeze(0), true).unwrap();
            for (name, got) in RECONSTRUCTION_COLUMNS.into_iter().zip(got) {
                let expected = number(name);
                let error = (got - expected).abs();
                let tolerance = match name {
                    // In 64 bits: only the order of summation differs.
                    "MS_SSIM" | "LNCC" => 1e-9,
                    // Windows are summed in 32 bits, in another order.
                    _ => 2e-6 * expected.abs(),
                };
                let told = format!("{shape:?} {name}: {got}, expected {expected}");
                assert!(error < tolerance, "{told}");
            }
        }
    }

    #[test]
    fn perfect_constant_and_undefined_reconstructions_have_their_values() {
        let image = numbers(&[1, 1, 12, 13, 14], 7919, 1009);
        let of = |made: &Tensor, thorough| measures(&image, made, thorough).unwrap();
        let perfect = of(&image, true);
        assert!(perfect[0] < f64::EPSILON && perfect[1] < f64::EPSILON);
        assert!(perfect[2].is_infinite() && perfect[2] > 0.0);
        // Rounding of variances in windows; LNCC is 1 wherever there is contrast.
        assert!(
            perfect[3..].iter().all(|value| (value - 1.0).abs() < 1e-6),
            "{perfect:?}"
        );
        let constant = of(&image.full_like(0.5), true);
        // The zeros beyond the borders are contrast, so that LNCC is not 0 in so small an image.
        assert!(constant[4] < 0.2, "{constant:?}");
        assert!((0.0..1.0).contains(&constant[5]), "{constant:?}");
        let undefined = of(&image.full_like(f64::NAN), true);
        assert!(
            undefined.iter().all(|value| value.is_nan()),
            "{undefined:?}"
        );
        // What is left out is NaN, the rest the same.
        let quick = of(&(&image * 0.9), false);
        assert!(quick[4..].iter().all(|value| value.is_nan()));
        let thorough = of(&(&image * 0.9), true);
        assert!(quick[..4] == thorough[..4], "{quick:?}, {thorough:?}");
    }
}
