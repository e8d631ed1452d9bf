//! Artifacts of single intensities.

/// Raises intensities to a power, negative ones by their absolute value.
///
/// # Source
/// `torchio.Gamma` 0.18.
pub(crate) fn contrast(data: &mut [f32], gamma: f64) {
    for value in data {
        let wide = f64::from(*value);
        let raised = wide.abs().powf(gamma);
        #[expect(clippy::cast_possible_truncation, reason = "images are float32")]
        let narrow = (if wide < 0.0 { -raised } else { raised }) as f32;
        *value = narrow;
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::tests::oracle::{of, vectors};
    use super::*;

    #[test]
    fn contrast_is_that_of_torchio_with_and_without_negative_intensities() {
        let vectors = vectors();
        let case = &vectors["contrast"];
        for name in ["signed", "positive"] {
            let [mut data, want]: [Vec<f32>; 2] = of(&case[name]);
            contrast(&mut data, of(&case["gamma"]));
            for (got, want) in data.iter().zip(&want) {
                assert!((got - want).abs() <= 1e-6 * want.abs(), "{got} {want}");
            }
        }
    }
}
