//! Regions of interest, each given by a mask on the grid of the images.
//!
//! The image is multiplied by the mask; then every plane that the mask has nothing in is cut away, also
//! in between, unless regions keep the size of the image.
//!
//! # Source
//! ClinicaDL 1.6.1, `prepare_data_utils.extract_roi`.

use ndarray::{Array4, ArrayD};
use serde_json::{Value, json};

use super::Window;

/// One region.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Region {
    /// Its name, as manifests list it.
    pub name: String,
    /// The file name of its mask.
    pub mask_file: String,
    /// Sizes of the mask's axes.
    pub shape: [usize; 3],
    /// Whether a voxel belongs to it, in C order.
    pub mask: Vec<bool>,
    /// On each axis the indices where it has a voxel.
    pub(super) kept: [Vec<usize>; 3],
}

impl Region {
    /// A region.
    ///
    /// # Errors
    /// The mask has other values than 0 and 1, or only one of them; a clause.
    pub fn new(
        name: &str,
        mask_file: &str,
        shape: [usize; 3],
        values: &[f32],
    ) -> Result<Self, String> {
        let is_either = |value: f32| value.to_bits() == 1_f32.to_bits() || value == 0.0;
        if let Some(other) = values.iter().find(|&&value| !is_either(value)) {
            return Err(format!("has the value {other}, expected 0 and 1 only"));
        }
        let mask: Vec<bool> = values.iter().map(|&value| value > 0.5).collect();
        if !mask.contains(&true) || !mask.contains(&false) {
            let all = u8::from(mask.contains(&true));
            return Err(format!("is {all} everywhere, expected 0 and 1"));
        }
        let [_, ny, nz] = shape;
        let mut present = shape.map(|size| vec![false; size]);
        for (at, _) in mask.iter().enumerate().filter(|(_, inside)| **inside) {
            present[0][at / (ny * nz)] = true;
            present[1][at / nz % ny] = true;
            present[2][at % nz] = true;
        }
        let kept = present.map(|axis| (0..axis.len()).filter(|&i| axis[i]).collect());
        Ok(Self {
            name: name.to_owned(),
            mask_file: mask_file.to_owned(),
            shape,
            mask,
            kept,
        })
    }
}

/// Regions of interest of an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Regions {
    /// The regions, at least one.
    pub regions: Vec<Region>,
    /// Whether parts keep the size of the image.
    pub uncropped: bool,
    /// The template named by the manifest; empty for that of the preprocessing.
    pub custom_template: String,
    /// The pattern of masks named by the manifest; empty for that of the preprocessing.
    pub custom_mask_pattern: String,
    /// Template and pattern of masks that were used.
    pub template: String,
    /// What names of masks contain.
    pub mask_pattern: String,
}

impl Regions {
    pub(super) fn count(&self, shape: [usize; 4]) -> Result<usize, String> {
        for region in &self.regions {
            if region.shape != shape[1..] {
                let Region {
                    name, shape: mask, ..
                } = region;
                let image = &shape[1..];
                return Err(format!(
                    "has {image:?} voxels, but the mask of `{name}` {mask:?}"
                ));
            }
        }
        Ok(self.regions.len())
    }

    pub(super) fn cut(&self, window: Window<'_>, index: usize) -> ArrayD<f32> {
        let region = &self.regions[index];
        let [channels, nx, ny, nz] = window.image;
        let all = [nx, ny, nz].map(|size| (0..size).collect());
        let [xs, ys, zs] = if self.uncropped { &all } else { &region.kept };
        let [x0, y0] = window.start;
        let sizes = (channels, xs.len(), ys.len(), zs.len());
        let part = Array4::from_shape_fn(sizes, |(channel, i, j, k)| {
            let (x, y, z) = (xs[i], ys[j], zs[k]);
            let inside = region.mask[(x * ny + y) * nz + z];
            // A voxel that is no number stays none outside, as in the peer.
            window.voxels[[channel, x - x0, y - y0, z]] * if inside { 1.0 } else { 0.0 }
        });
        part.into_dyn()
    }

    pub(super) fn shape(&self, image: [usize; 4], index: usize) -> Vec<usize> {
        let mut shape = image.to_vec();
        if !self.uncropped {
            let kept = self.regions[index].kept.iter().map(Vec::len);
            shape.splice(1.., kept);
        }
        shape
    }

    pub(super) fn record(&self) -> Value {
        let names: Vec<&str> = self.regions.iter().map(|r| r.name.as_str()).collect();
        json!({
            "roi_list": names,
            "uncropped_roi": self.uncropped,
            "roi_custom_template": self.custom_template,
            "roi_custom_mask_pattern": self.custom_mask_pattern,
        })
    }

    /// Entities of the image that say whose it is, then those of the mask with its crop.
    pub(super) fn file_name(&self, stem: &str, suffix: &str, index: usize) -> String {
        let tokens: Vec<&str> = stem.split('_').collect();
        // Older Clinica wrote `_T1w` before the space.
        let whose = if tokens.get(2) == Some(&"T1w") { 3 } else { 2 };
        let prefix = tokens[..whose.min(tokens.len())].join("_");
        let mask = self.regions[index].mask_file.split('.').next();
        let mask: Vec<&str> = mask.unwrap_or_default().split('_').collect();
        let space = mask.first().and_then(|token| token.strip_prefix("tpl-"));
        let space = space.unwrap_or(&self.template);
        let middle = mask
            .get(1..mask.len().saturating_sub(2))
            .unwrap_or_default();
        let mut entities: Vec<&str> = middle.to_vec();
        let had_crop = entities.contains(&"desc-Crop");
        entities.retain(|entity| *entity != "desc-Crop");
        match (had_crop, self.uncropped) {
            (_, false) => entities.insert(0, "desc-CropRoi"),
            (true, true) => entities.insert(0, "desc-CropImage"),
            (false, true) => {}
        }
        let entities: String = entities.iter().map(|entity| format!("_{entity}")).collect();
        let roi = &self.regions[index].name;
        format!("{prefix}_space-{space}{entities}_roi-{roi}_{suffix}.pt")
    }
}

#[cfg(test)]
impl Regions {
    /// One region of these voxels of an image, by their places in its order.
    pub(crate) fn of_voxels(shape: [usize; 3], inside: &[usize], uncropped: bool) -> Self {
        let mut mask = vec![0.0_f32; shape.iter().product()];
        for &voxel in inside {
            mask[voxel] = 1.0;
        }
        let region = Region::new("r", "", shape, &mask);
        Self {
            regions: region.into_iter().collect(),
            uncropped,
            custom_template: String::new(),
            custom_mask_pattern: String::new(),
            template: String::new(),
            mask_pattern: String::new(),
        }
    }
}
