//! How similar a reconstruction is to its image, window by window.

use tch::{Kind, TchError, Tensor};

/// Voxels of the window of the structural similarity, and its standard deviation.
const WINDOW: (i64, f64) = (11, 1.5);
/// Its two constants, for intensities from 0 to 1.
const CONSTANTS: (f64, f64) = (0.01 * 0.01, 0.03 * 0.03);
/// How much each scale weighs, from the finest.
const SCALES: [f64; 5] = [0.0448, 0.2856, 0.3001, 0.2363, 0.1333];
/// Voxels of the window of the local correlation.
const NEIGHBOURS: i64 = 9;
/// Least variance of a window, so that nothing is divided by zero.
const LEAST_VARIANCE: f64 = 1e-5;

/// The mean structural similarity: Gaussian windows, zeros beyond the borders.
///
/// # Source
/// Wang et al. 2004, doi:10.1109/TIP.2003.819861, as ClinicaDL 1.6.1.
pub(crate) fn structural_similarity(a: &Tensor, b: &Tensor) -> Result<f64, TchError> {
    let window = gaussian(WINDOW.0);
    let (map, _) = similarity(a, b, &|x| slid_over(x, &window))?;
    map.f_mean(Kind::Double)?.f_double_value(&[])
}

/// The structural similarity over several scales, 0 to 1: `Π csₛ^wₛ · ssim^w` of means over windows that lie
/// within the image, negative ones counting 0, and images halved from scale to scale.
///
/// There are five scales, or as many as leave the shortest axis as long as the window; their weights are
/// scaled to a sum of 1. The window is 11 voxels wide, or as wide as an odd number on the shortest axis.
///
/// # Source
/// Wang et al. 2003, doi:10.1109/ACSSC.2003.1292216; MONAI 1.5.2 `MultiScaleSSIMMetric`, which refuses images
/// that are too small for five scales.
pub(super) fn multi_scale_similarity(a: &Tensor, b: &Tensor) -> Result<f64, TchError> {
    let (mut a, mut b) = (a.f_to_kind(Kind::Double)?, b.f_to_kind(Kind::Double)?);
    let shortest = a.size()[2..].iter().copied().min().unwrap_or(1);
    let width = WINDOW.0.min(shortest - 1 + shortest % 2).max(1);
    let window = gaussian(width);
    let fits = |scale: &usize| shortest >> scale >= width;
    let scales = (0..SCALES.len()).take_while(fits).count();
    let sum: f64 = SCALES[..scales].iter().sum();
    let mut product = 1.0;
    for (scale, weight) in SCALES[..scales].iter().enumerate() {
        let (both, contrast) = similarity(&a, &b, &|x| slid(x, &window))?;
        let last = scale + 1 == scales;
        let map = if last { both } else { contrast };
        let mean = map.f_mean(Kind::Double)?.f_double_value(&[])?;
        // `max` would hide what is not a number.
        let mean = if mean < 0.0 { 0.0 } else { mean };
        product *= mean.powf(weight / sum);
        if !last {
            (a, b) = (halved(&a)?, halved(&b)?);
        }
    }
    Ok(product)
}

/// The mean over windows of 9 voxels of the squared correlation within them, 0 to 1; zeros lie beyond the
/// borders, and a window without contrast counts 0.
///
/// # Source
/// Avants et al. 2008, doi:10.1016/j.media.2007.06.004; the negative of MONAI 1.5.2
/// `LocalNormalizedCrossCorrelationLoss` with `kernel_size=9`.
pub(super) fn local_correlation(a: &Tensor, b: &Tensor) -> Result<f64, TchError> {
    let (a, b) = (a.f_to_kind(Kind::Double)?, b.f_to_kind(Kind::Double)?);
    let window = vec![1.0; NEIGHBOURS as usize];
    let sum = |x: &Tensor| slid_over(x, &window);
    let voxels = NEIGHBOURS.pow(a.dim() as u32 - 2) as f64;
    let (sum_a, sum_b) = (sum(&a)?, sum(&b)?);
    let spread = |product: &Tensor, x: &Tensor, y: &Tensor| {
        let expected = x.f_mul(y)?.f_div_scalar(voxels)?;
        sum(product)?.f_sub(&expected)
    };
    let variance =
        |x: &Tensor, sum: &Tensor| spread(&x.f_square()?, sum, sum)?.f_clamp_min(LEAST_VARIANCE);
    let below = variance(&a, &sum_a)?.f_mul(&variance(&b, &sum_b)?)?;
    let above = spread(&a.f_mul(&b)?, &sum_a, &sum_b)?.f_square()?;
    above
        .f_div(&below)?
        .f_mean(Kind::Double)?
        .f_double_value(&[])
}

/// Maps of the structural similarity and of its part that is contrast, by means over windows.
fn similarity(
    a: &Tensor,
    b: &Tensor,
    blur: &dyn Fn(&Tensor) -> Result<Tensor, TchError>,
) -> Result<(Tensor, Tensor), TchError> {
    let (mean_a, mean_b) = (blur(a)?, blur(b)?);
    let (square_a, square_b) = (mean_a.f_square()?, mean_b.f_square()?);
    let product = mean_a.f_mul(&mean_b)?;
    let variance_a = blur(&a.f_square()?)?.f_sub(&square_a)?;
    let variance_b = blur(&b.f_square()?)?.f_sub(&square_b)?;
    let covariance = blur(&a.f_mul(b)?)?.f_sub(&product)?;
    let (c1, c2) = CONSTANTS;
    let twice = |x: &Tensor, c: f64| x.f_mul_scalar(2.0)?.f_add_scalar(c);
    let luminance = (
        twice(&product, c1)?,
        square_a.f_add(&square_b)?.f_add_scalar(c1)?,
    );
    let contrast = (
        twice(&covariance, c2)?,
        variance_a.f_add(&variance_b)?.f_add_scalar(c2)?,
    );
    let both = luminance
        .0
        .f_mul(&contrast.0)?
        .f_div(&luminance.1.f_mul(&contrast.1)?)?;
    Ok((both, contrast.0.f_div(&contrast.1)?))
}

/// The weights of a Gaussian window along one axis.
fn gaussian(width: i64) -> Vec<f64> {
    let middle = (width / 2) as f64;
    let weights: Vec<f64> = (0..width)
        .map(|i| (-(i as f64 - middle).powi(2) / (2.0 * WINDOW.1 * WINDOW.1)).exp())
        .collect();
    let sum: f64 = weights.iter().sum();
    weights.into_iter().map(|w| w / sum).collect()
}

/// Weighted sums over the windows that lie within a map, along each spatial axis in turn, which is what one
/// window over all does.
///
/// Shifted copies are as fast as memory; convolutions of one channel are several times slower.
fn slid(x: &Tensor, weights: &[f64]) -> Result<Tensor, TchError> {
    let weights = Tensor::f_from_slice(weights)?
        .f_to_kind(x.f_kind()?)?
        .f_to_device(x.device())?;
    let shifts = weights.size()[0];
    let mut x = x.shallow_clone();
    for axis in 2..x.dim() as i64 {
        let length = x.size()[axis as usize] - shifts + 1;
        let mut sum = x.f_narrow(axis, 0, length)?.f_mul(&weights.f_get(0)?)?;
        for shift in 1..shifts {
            let part = x.f_narrow(axis, shift, length)?;
            sum = sum.f_addcmul_(&part, &weights.f_get(shift)?)?;
        }
        x = sum;
    }
    Ok(x)
}

/// The same for every voxel of a map, with zeros beyond its borders.
fn slid_over(x: &Tensor, weights: &[f64]) -> Result<Tensor, TchError> {
    let border = vec![weights.len() as i64 / 2; 2 * (x.dim() - 2)];
    slid(&x.f_constant_pad_nd(border.as_slice())?, weights)
}

/// A map of half the size: means of two voxels along each axis.
fn halved(x: &Tensor) -> Result<Tensor, TchError> {
    let two = vec![2; x.dim() - 2];
    let none = vec![0; x.dim() - 2];
    match two.len() {
        2 => x.f_avg_pool2d(&two, &two, &none, false, true, None),
        _ => x.f_avg_pool3d(&two, &two, &none, false, true, None),
    }
}
