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
