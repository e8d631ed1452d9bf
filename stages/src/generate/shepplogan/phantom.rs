//! Phantoms of a head whose regions have random places and sizes.

use std::f64::consts::PI;

use rand::Rng;

use super::super::{blur, uniform};
use super::ellipse::Ellipse;

/// What a phantom shows: which of its regions are small.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Subtype {
    /// Both regions are large.
    Large,
    /// The lower regions are small.
    SmallBelow,
    /// The upper region is small.
    SmallAbove,
}

impl Subtype {
    /// Subtypes by their number.
    pub(super) const ALL: [Self; 3] = [Self::Large, Self::SmallBelow, Self::SmallAbove];

    /// Bounds of the scales of the upper and the lower regions.
    fn scales(self) -> [[f64; 2]; 2] {
        const LARGE: [f64; 2] = [1.0, 1.2];
        const SMALL: [f64; 2] = [0.8, 0.9];
        match self {
            Self::Large => [LARGE, LARGE],
            Self::SmallBelow => [LARGE, SMALL],
            Self::SmallAbove => [SMALL, LARGE],
        }
    }
}

/// Draws a phantom of `size`×`size` pixels, intensities 0 to 1.
///
/// # Source
/// ClinicaDL 1.6.1, `generate shepplogan`, after Shepp & Logan 1974, doi:10.1109/TNS.1974.6499235.
pub(super) fn draw(size: usize, subtype: Subtype, smoothing: bool, rng: &mut impl Rng) -> Vec<f64> {
    let mut image = vec![0.0; size * size];
    let centre = (size as f64 + 1.0) / 2.0;
    let (height, width) = (centre - 2.0, centre * 2.0 / 3.0 - 2.0);
    let offset = [1.0, size as f64 / 32.0];
    let mut fill = |centre: [f64; 2], radii: [f64; 2], rotation: f64, value: f64| {
        let ellipse = Ellipse {
            centre,
            radii,
            rotation,
        };
        ellipse.fill(&mut image, size, value);
    };
    let grey = uniform([0.4, 0.6], rng);
    // Skull and brain.
    fill([centre; 2], [height, width], 0.0, 1.0);
    let o = uniform(offset, rng);
    fill(
        [centre + o / 2.0, centre],
        [height - o, width - o],
        0.0,
        0.2,
    );
    // Grey regions: the central one, one above and three below.
    let [above, below] = subtype.scales();
    let [central, _] = Subtype::Large.scales();
    let regions = [
        (1.0, 1.0, [6.0, 6.0], central),
        (0.6, 1.0, [3.0, 4.0], above),
        (1.5, 1.0, [10.0, 10.0], below),
        (1.5, 1.1, [10.0, 10.0], below),
        (1.5, 0.9, [10.0, 10.0], below),
    ];
    for (row, column, parts, scales) in regions {
        let place = [row, column].map(|part| centre * part + uniform(offset, rng));
        let radii = parts.map(|part| width / part * uniform(scales, rng));
        fill(place, radii, uniform([-PI, PI], rng), grey);
    }
    // Ventricles.
    for (column, rotation) in [(0.75, PI / 8.0), (1.25, -PI / 8.0)] {
        let radius = height * uniform([0.8, 1.2], rng);
        let turn = uniform([-PI / 16.0, PI / 16.0], rng);
        let radii = [radius / 3.0, radius / 6.0];
        fill([centre, centre * column], radii, rotation + turn, 0.0);
    }
    if smoothing {
        let sigma = uniform([0.0, 1.0], rng) * size as f64 / 100.0;
        image = blur::gaussian(image, &[size, size], &[sigma; 2]);
    }
    image
}

#[cfg(test)]
mod tests {
    use engine::seed::Stream;

    use super::super::super::tests::oracle::{distance, of, vectors};
    use super::*;

    /// What describes a phantom: intensities, and pixels of each part of the head.
    fn measures(image: &[f64], size: usize) -> [f64; 8] {
        let count = |rows: std::ops::Range<usize>, fits: &dyn Fn(f64) -> bool| {
            let part = image[rows.start * size..rows.end * size].iter();
            part.filter(|&&value| fits(value)).count() as f64
        };
        let grey = |value: f64| value > 0.35 && value < 0.65;
        let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
        let centre = mean(image);
        let squares: Vec<f64> = image.iter().map(|v| (v - centre).powi(2)).collect();
        let greys: Vec<f64> = image.iter().copied().filter(|&value| grey(value)).collect();
        let steps = (size..image.len()).map(|at| (image[at] - image[at - size]).abs());
        [
            centre,
            mean(&squares).sqrt(),
            count(0..size, &|value| value > 0.9),
            count(0..26, &grey),
            count(40..size, &grey),
            count(0..size, &|value| value < 0.01),
            mean(&greys),
            mean(&steps.collect::<Vec<_>>()),
        ]
    }

    #[test]
    fn phantoms_are_distributed_as_those_of_clinicadl() {
        let vectors = vectors();
        let phantoms = &vectors["phantoms"];
        let size: usize = of(&phantoms["size"]);
        for case in phantoms["cases"].as_array().unwrap() {
            let (number, smoothing): (usize, bool) = (of(&case["subtype"]), of(&case["smoothing"]));
            let subtype = Subtype::ALL[number];
            let all: Vec<[f64; 8]> = (0..1500)
                .map(|i| {
                    let mut rng = Stream::root(3).child(number).child(i).rng();
                    measures(&draw(size, subtype, smoothing, &mut rng), size)
                })
                .collect();
            for (index, quantiles) in case["quantiles"].as_array().unwrap().iter().enumerate() {
                let sample: Vec<f64> = all.iter().map(|measures| measures[index]).collect();
                let distance = distance(&sample, quantiles);
                // 1500 phantoms on either side: 1.95 √(2 / 1500) at the level 0.001.
                assert!(distance < 0.0713, "{case:.60} {index}: {distance}");
            }
        }
    }

    /// ClinicaDL 1.6.1 computes a clipped image and throws it away: there was nothing to clip.
    #[test]
    fn intensities_are_between_0_and_1_also_after_smoothing() {
        for seed in 0..50 {
            let image = draw(64, Subtype::Large, true, &mut Stream::root(seed).rng());
            // Weights of the blur sum to 1 up to rounding.
            assert!(
                image
                    .iter()
                    .all(|value| (0.0..=1.0 + 1e-12).contains(value))
            );
            assert!(image.iter().any(|value| *value > 0.3));
        }
    }
}
