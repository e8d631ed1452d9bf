//! Artifacts of single intensities.

/// Raises intensities to a power, negative ones by their absolute value.
///
/// # Source
/// `torchio.Gamma` 0.18.
pub(super) fn contrast(data: &mut [f32], gamma: f64) {
    for value in data {
        let wide = f64::from(*value);
        let raised = wide.abs().powf(gamma);
        #[expect(clippy::cast_possible_truncation, reason = "images are float32")]
        let narrow = (if wide < 0.0 { -raised } else { raised }) as f32;
        *value = narrow;
    }
}
