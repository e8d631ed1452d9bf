//! Filled ellipses.

/// An ellipse in pixels; the first coordinate is the row.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ellipse {
    pub(super) centre: [f64; 2],
    pub(super) radii: [f64; 2],
    /// In radians, from the row axis.
    pub(super) rotation: f64,
}

impl Ellipse {
    /// Sets the pixels of a square image that are inside.
    ///
    /// # Source
    /// The arithmetic of `skimage.draw.ellipse` 0.21, so that pixels on the border are the same.
    pub(super) fn fill(&self, image: &mut [f64], size: usize, value: f64) {
        let rotation = self.rotation.rem_euclid(std::f64::consts::PI);
        let (sin, cos) = rotation.sin_cos();
        let [rows, columns] = self.radii;
        let extent = [
            (rows * cos).abs() + columns * sin,
            rows * sin + (columns * cos).abs(),
        ];
        let first = [0, 1].map(|axis| (self.centre[axis] - extent[axis]).ceil().max(0.0));
        let last = [0, 1].map(|axis| {
            let end = (self.centre[axis] + extent[axis]).floor();
            end.min(size as f64 - 1.0)
        });
        for row in steps(first[0], last[0]) {
            for column in steps(first[1], last[1]) {
                // Relative to the corner of the box, as there: the rounding is the same.
                let r = (row as f64 - first[0]) - (self.centre[0] - first[0]);
                let c = (column as f64 - first[1]) - (self.centre[1] - first[1]);
                let along = (r * cos + c * sin) / rows;
                let across = (r * sin - c * cos) / columns;
                if along * along + across * across < 1.0 {
                    image[row * size + column] = value;
                }
            }
        }
    }
}

/// Pixels from one to another, both of them in the image.
fn steps(first: f64, last: f64) -> std::ops::Range<usize> {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "between 0 and the size of the image"
    )]
    let bounds = (first as usize, (last + 1.0).max(0.0) as usize);
    bounds.0..bounds.1
}

#[cfg(test)]
mod tests {
    use std::f64::consts::PI;

    use super::super::super::tests::oracle::{of, vectors};
    use super::*;

    /// Number of pixels inside, and the sums of their rows, columns and products of both.
    fn sums(ellipse: &Ellipse, size: usize) -> [usize; 4] {
        let mut image = vec![0.0; size * size];
        ellipse.fill(&mut image, size, 1.0);
        let inside = (0..size * size).filter(|&at| image[at] > 0.5);
        let sum = inside.map(|at| [1, at / size, at % size, at / size * (at % size)]);
        sum.fold([0; 4], |a, b| [0, 1, 2, 3].map(|i| a[i] + b[i]))
    }

    #[test]
    fn pixels_are_those_of_scikit_image_also_at_the_borders_of_the_image() {
        let vectors = vectors();
        let size = of(&vectors["ellipses"]["size"]);
        for case in vectors["ellipses"]["cases"].as_array().unwrap() {
            let (row, column, a, b, rotation): (f64, f64, f64, f64, f64) =
                of(&serde_json::json!(case.as_array().unwrap()[..5]));
            let ellipse = Ellipse {
                centre: [row, column],
                radii: [a, b],
                rotation,
            };
            let want: [usize; 4] = of(&serde_json::json!(case.as_array().unwrap()[5..]));
            assert_eq!(sums(&ellipse, size), want, "{ellipse:?}");
        }
    }

    #[test]
    fn ellipses_of_the_phantom_of_128_pixels_are_those_of_clinicadl() {
        let radii = [125.0 / 6.0, 125.0 / 12.0];
        for (centre, radii, rotation, want) in [
            ([64.5, 64.5], [62.5, 41.0], 0.0, [8040, 518_580, 518_580]),
            (
                [40.7, 65.5],
                [15.033_333, 10.7625],
                0.7,
                [510, 20795, 33408],
            ),
            ([64.5, 48.375], radii, PI / 8.0, [681, 43912, 32906]),
            ([64.5, 80.625], radii, -PI / 8.0, [681, 43912, 54943]),
        ] {
            let ellipse = Ellipse {
                centre,
                radii,
                rotation,
            };
            assert_eq!(sums(&ellipse, 128)[..3], want);
        }
    }

    #[test]
    fn an_ellipse_outside_of_the_image_has_no_pixel() {
        let ellipse = Ellipse {
            centre: [-20.0, 90.0],
            radii: [5.0, 3.0],
            rotation: 1.0,
        };
        assert_eq!(sums(&ellipse, 32), [0; 4]);
    }
}
