//! Atlases: images of numbered regions, and what a map has in each of them.

use std::collections::BTreeMap;

use engine::{Input, StageError};

use crate::grid;
use crate::io::nifti;
use crate::table::Table;
use crate::volume::{Affine, Volume};

/// Names of the two columns of a table of regions: those of Clinica's atlases, and of BIDS.
const COLUMNS: [[&str; 2]; 2] = [["roi_value", "roi_name"], ["index", "name"]];
/// What is outside of all regions, unless the table names it.
const BACKGROUND: &str = "background";
/// Numbers up to here are whole and exact in 32 bits.
const LARGEST: f32 = 16_777_216.0;

/// Numbered regions of a space.
#[derive(Debug)]
pub struct Atlas {
    shown: String,
    labels: Volume,
    /// The regions by number: those of the table and those of the image.
    names: BTreeMap<u32, String>,
    /// Regions that a table lacks, where there is one.
    unnamed: Vec<u32>,
}

/// What a map has in a region.
#[derive(Debug, Clone, PartialEq)]
pub struct Measured {
    /// Its number in the atlas.
    pub value: u32,
    /// Its name, or the number where the table has none.
    pub name: String,
    /// Number of voxels of the map.
    pub voxels: u64,
    /// Sum of the map.
    pub sum: f64,
    /// Mean of the map; NaN without voxels.
    pub mean: f64,
    /// Share of the sum of absolute values of the whole map; NaN of a map of zeros.
    pub absolute_share: f64,
}

impl Atlas {
    /// Reads an image of numbered regions, and the table of their names where there is one.
    ///
    /// # Errors
    /// The image holds other things than whole numbers from 0 on, or the table is none of regions.
    pub fn open(image: &Input, table: Option<&Input>) -> Result<Self, StageError> {
        let labels = nifti::read_input(image)?;
        let mut names = BTreeMap::new();
        for &value in &labels.data {
            let label = label(value).ok_or_else(|| {
                let message = format!(
                    "`{}` has the value {value}, expected whole numbers from 0 on",
                    image.shown
                );
                StageError::new(message)
                    .hint("an atlas is an image of labels, one number per region")
            })?;
            names.entry(label).or_insert_with(|| match label {
                0 => BACKGROUND.to_owned(),
                other => other.to_string(),
            });
        }
        names.entry(0).or_insert_with(|| BACKGROUND.to_owned());
        let mut unnamed = Vec::new();
        if let Some(table) = table {
            let known = named(&Table::read(table.only_file()?)?)?;
            let lacks = |label: &&u32| **label != 0 && !known.contains_key(label);
            unnamed.extend(names.keys().filter(lacks));
            names.extend(known);
        }
        Ok(Self {
            shown: image.shown.clone(),
            labels,
            names,
            unnamed,
        })
    }

    /// Regions of the image that its table does not name, which are called by their numbers.
    pub fn unnamed(&self) -> &[u32] {
        &self.unnamed
    }

    /// The region of each voxel of a grid, by the nearest voxel of the atlas; 0 outside of it.
    ///
    /// # Errors
    /// No voxel of the grid is in a region, or voxels have no volume.
    pub fn on(&self, shape: [usize; 3], affine: &Affine) -> Result<Vec<u32>, StageError> {
        let labels = grid::nearest(&self.labels, &self.shown, shape, affine)?;
        let labels: Vec<u32> = labels.into_iter().filter_map(label).collect();
        if labels.iter().all(|&label| label == 0) {
            let message = format!("`{}` has no region where the images are", self.shown);
            return Err(StageError::new(message)
                .hint("atlas and images must be in one space, such as that of the MNI"));
        }
        Ok(labels)
    }

    /// What a map has in each region, sorted by number; `labels` are those of [`Atlas::on`] for its grid.
    pub fn measure(&self, labels: &[u32], map: &[f32]) -> Vec<Measured> {
        let mut found: BTreeMap<u32, (u64, f64, f64)> = BTreeMap::new();
        for (&label, &value) in labels.iter().zip(map) {
            let (voxels, sum, absolute) = found.entry(label).or_default();
            *voxels += 1;
            *sum += f64::from(value);
            *absolute += f64::from(value.abs());
        }
        let total: f64 = found.values().map(|(_, _, absolute)| absolute).sum();
        let regions = self.names.iter().map(|(value, name)| {
            let (voxels, sum, absolute) = found.get(value).copied().unwrap_or_default();
            Measured {
                value: *value,
                name: name.clone(),
                voxels,
                sum,
                mean: sum / voxels as f64,
                absolute_share: absolute / total,
            }
        });
        regions.collect()
    }
}

/// The number of a region.
fn label(value: f32) -> Option<u32> {
    let is_one = (0.0..=LARGEST).contains(&value) && value.fract() == 0.0;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "whole and within range"
    )]
    let number = value as u32;
    is_one.then_some(number)
}

/// The names in a table of regions.
fn named(table: &Table) -> Result<BTreeMap<u32, String>, StageError> {
    let has = |[value, name]: &&[&str; 2]| {
        [value, name]
            .iter()
            .all(|column| table.columns().iter().any(|known| known == **column))
    };
    let Some([value, name]) = COLUMNS.iter().find(has) else {
        let message = format!("`{}` is no table of regions", table.shown());
        return Err(StageError::new(message)
            .hint("expected the columns `roi_value` and `roi_name`, or `index` and `name`"));
    };
    let column = table.column(value)?;
    let texts = table.complete_texts(value)?.into_iter();
    let mut names = BTreeMap::new();
    for (row, (text, name)) in texts.zip(table.complete_texts(name)?).enumerate() {
        let place = || table.place(row, column);
        let number = text.parse::<f32>().ok().and_then(label).ok_or_else(|| {
            let message = format!("{}: `{text}` is no whole number from 0 on", place());
            StageError::new(message)
        })?;
        if names.insert(number, name.to_owned()).is_some() {
            let message = format!("{}: region `{number}` is listed twice", place());
            return Err(StageError::new(message));
        }
    }
    Ok(names)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use engine::inputs::read_external;
    use engine::store::Store;

    use super::*;

    const AFFINE: Affine = [
        [-2.0, 0.0, 0.0, 10.0],
        [0.0, 2.0, 0.0, -5.0],
        [0.0, 0.0, 2.0, 3.0],
        [0.0, 0.0, 0.0, 1.0],
    ];

    fn input(folder: &Path, name: &str, kind: &str) -> Input {
        let store = Store::open(&folder.join("store")).unwrap();
        read_external(&folder.join(name), kind, name, &|_| true, store.stats()).unwrap()
    }

    fn open(values: &[f32], table: Option<&str>) -> Result<Atlas, StageError> {
        let folder = tempfile::tempdir().unwrap();
        let volume = Volume {
            data: values.to_vec(),
            shape: [values.len(), 1, 1],
            affine: AFFINE,
        };
        nifti::write(&folder.path().join("atlas.nii.gz"), &volume).unwrap();
        let table = table.map(|text| {
            std::fs::write(folder.path().join("regions.tsv"), text).unwrap();
            input(folder.path(), "regions.tsv", "table")
        });
        Atlas::open(
            &input(folder.path(), "atlas.nii.gz", "volume"),
            table.as_ref(),
        )
    }

    #[test]
    fn a_map_is_measured_in_every_region_that_table_or_image_has() {
        let table = "roi_value\troi_name\n1\tleft\n7\tnowhere\n";
        let atlas = open(&[0.0, 1.0, 1.0, 5.0], Some(table)).unwrap();
        let labels = atlas.on([4, 1, 1], &AFFINE).unwrap();
        let rows = atlas.measure(&labels, &[4.0, 1.0, -2.0, -1.0]);
        let told: Vec<(u32, &str, u64, f64, f64)> = rows
            .iter()
            .map(|r| (r.value, r.name.as_str(), r.voxels, r.sum, r.absolute_share))
            .collect();
        assert_eq!(
            told,
            [
                (0, "background", 1, 4.0, 0.5),
                (1, "left", 2, -1.0, 0.375),
                (5, "5", 1, -1.0, 0.125),
                (7, "nowhere", 0, 0.0, 0.0),
            ]
        );
        assert!((rows[1].mean + 0.5).abs() < 1e-12 && rows[3].mean.is_nan());
    }

    #[test]
    fn regions_are_found_on_another_grid_and_must_be_somewhere() {
        let atlas = open(&[0.0, 1.0, 2.0, 0.0], None).unwrap();
        // Flipped, half the edge, shifted: x = 9 − i/… in millimetres.
        let mut fine = AFFINE;
        fine[0] = [1.0, 0.0, 0.0, 4.5];
        assert_eq!(atlas.on([4, 1, 1], &fine).unwrap(), [0, 2, 2, 1]);
        fine[1][3] = 400.0;
        let error = atlas.on([4, 1, 1], &fine).unwrap_err();
        assert!(error.message.contains("has no region where"), "{error}");
    }

    #[test]
    fn what_is_no_atlas_and_no_table_of_regions_is_refused() {
        let message = |values: &[f32], table| open(values, table).unwrap_err().message;
        assert!(message(&[0.0, 0.5], None).contains("has the value 0.5"));
        assert!(message(&[0.0, -1.0], None).contains("has the value -1"));
        let of_table = |text| message(&[0.0, 1.0], Some(text));
        assert!(of_table("a\tb\n").contains("is no table of regions"));
        assert!(
            of_table("index\tname\nx\ty\n").contains("line 2, column `index`: `x` is no whole")
        );
        assert!(of_table("index\tname\n1\ta\n1\tb\n").contains("`1` is listed twice"));
    }
}
