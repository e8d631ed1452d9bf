//! The image itself.

use engine::StageError;
use engine::seed::Stream;
use maps::files::{MeasuredRow, MeasuredTable, RECONSTRUCTION_COLUMNS};
use stages::learning::names::Task;
use stages::metrics::{Estimate, estimates_of};
use tch::{Kind, TchError, Tensor};

use super::{Objective, Said, identity, participants};
use crate::data::Batch;
use crate::error::During;
use crate::evaluation::Prediction;
use crate::networks::Outputs;

/// Outputs have the shape of the images.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reconstruction;

/// Voxels of the window of the structural similarity, and its standard deviation.
const WINDOW: (i64, f64) = (11, 1.5);
/// Its two constants, for intensities from 0 to 1.
const CONSTANTS: (f64, f64) = (0.01 * 0.01, 0.03 * 0.03);

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

    fn said(&self, outputs: &Outputs, batch: &Batch<'_>) -> Result<Vec<Said>, StageError> {
        let compute = || {
            let (made, images) = (&outputs.prediction, &batch.images);
            let each = (0..batch.samples.len()).map(|i| {
                let i = i as i64;
                measures(&images.f_narrow(0, i, 1)?, &made.f_narrow(0, i, 1)?)
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

fn rows(predictions: &[Prediction]) -> Vec<[f64; 4]> {
    let rows = predictions.iter().map(|row| match row.said {
        Said::Measures(measures) => measures,
        _ => [f64::NAN; 4],
    });
    rows.collect()
}

fn means(rows: &[[f64; 4]], images: &[usize]) -> Vec<f64> {
    let mean = |k: usize| {
        let sum: f64 = images.iter().map(|&i| rows[i][k]).sum();
        sum / images.len() as f64
    };
    (0..4).map(mean).collect()
}

/// Mean absolute error, root mean squared error, peak signal-to-noise ratio and structural similarity of
/// a reconstruction `[1, C, X, Y(, Z)]` and its image.
///
/// # Source
/// ClinicaDL 1.6.1 `metric_module.py`; scikit-image `peak_signal_noise_ratio`; Wang et al. 2004,
/// doi:10.1109/TIP.2003.819861. Deviations: the number of spatial axes decides between two and three
/// dimensions, not the number of channels; intensities beyond −1 and 1 are no error: their range is then
/// that of the image.
fn measures(image: &Tensor, made: &Tensor) -> Result<[f64; 4], TchError> {
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
    Ok([mae, mse.sqrt(), psnr, structural_similarity(&image, &made)?])
}

/// The mean structural similarity: Gaussian windows, zeros beyond the borders.
pub(crate) fn structural_similarity(a: &Tensor, b: &Tensor) -> Result<f64, TchError> {
    let blur = |x: &Tensor| blurred(x);
    let (mean_a, mean_b) = (blur(a)?, blur(b)?);
    let (square_a, square_b) = (mean_a.f_square()?, mean_b.f_square()?);
    let product = mean_a.f_mul(&mean_b)?;
    let variance_a = blur(&a.f_square()?)?.f_sub(&square_a)?;
    let variance_b = blur(&b.f_square()?)?.f_sub(&square_b)?;
    let covariance = blur(&a.f_mul(b)?)?.f_sub(&product)?;
    let (c1, c2) = CONSTANTS;
    let twice = |x: &Tensor, c: f64| x.f_mul_scalar(2.0)?.f_add_scalar(c);
    let above = twice(&product, c1)?.f_mul(&twice(&covariance, c2)?)?;
    let below = square_a
        .f_add(&square_b)?
        .f_add_scalar(c1)?
        .f_mul(&variance_a.f_add(&variance_b)?.f_add_scalar(c2)?)?;
    above
        .f_div(&below)?
        .f_mean(Kind::Double)?
        .f_double_value(&[])
}

/// A map smoothed along each spatial axis in turn, which is what one window over all does.
fn blurred(x: &Tensor) -> Result<Tensor, TchError> {
    let (size, deviation) = WINDOW;
    let middle = (size / 2) as f64;
    let weights: Vec<f64> = (0..size)
        .map(|i| (-(i as f64 - middle).powi(2) / (2.0 * deviation * deviation)).exp())
        .collect();
    let sum: f64 = weights.iter().sum();
    let weights: Vec<f32> = weights.iter().map(|w| (w / sum) as f32).collect();
    let window = Tensor::f_from_slice(&weights)?.f_to_device(x.device())?;
    let axes = x.dim() - 2;
    // Channels as images: each is smoothed by itself.
    let shape = x.size();
    let mut flat = shape.clone();
    flat.splice(..2, [shape[0] * shape[1], 1]);
    let mut x = x.f_reshape(&flat)?;
    for axis in 0..axes {
        let (mut kernel, mut padding) = (vec![1; axes + 2], vec![0; axes]);
        kernel[axis + 2] = size;
        padding[axis] = size / 2;
        let kernel = window.f_view(kernel.as_slice())?;
        let (one, none) = (vec![1; axes], vec![0; axes]);
        x = x.f_convolution(
            &kernel,
            None::<&Tensor>,
            &one,
            &padding,
            &one,
            false,
            &none,
            1,
        )?;
    }
    x.f_reshape(&shape)
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
    fn metrics_are_those_of_clinicadl_and_scikit_image() {
        for case in reference("reconstruction.json")["cases"]
            .as_array()
            .unwrap()
        {
            let shape: Vec<i64> = serde_json::from_value(case["shape"].clone()).unwrap();
            let number = |key: &str| case[key].as_f64().unwrap();
            let image = numbers(&shape, 7919, 1009) * number("scale") + number("shift");
            let made = &image * 0.7 + numbers(&shape, 104_729, 1013) * 0.2;
            let got = measures(&image.unsqueeze(0), &made.unsqueeze(0)).unwrap();
            for (name, got) in ["MAE", "RMSE", "PSNR", "SSIM"].into_iter().zip(got) {
                let expected = number(name);
                // Windows are summed in 32 bits, in another order.
                let error = (got - expected).abs() / expected.abs();
                assert!(error < 2e-6, "{shape:?} {name}: {got}, expected {expected}");
            }
        }
    }
}
