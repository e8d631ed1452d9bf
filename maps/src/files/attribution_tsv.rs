//! Tables about attribution maps: `regions.tsv`, `mean_regions.tsv`, `completeness.tsv` and
//! `sanity_check.tsv` in a folder `interpret-<name>`. ClinicaDL 1.6.1 has none.

use super::prediction_tsv::part_column;
use super::tsv::{Row, Sheet, float_cell, write};
use crate::MapsError;
use crate::layout::{IMAGE_LEVEL, LEVELS, MapTable};

const IMAGE: [&str; 3] = ["participant_id", "session_id", "cohort"];
const REGION: [&str; 6] = [
    "roi_value",
    "roi_name",
    "n_voxels",
    "sum",
    "mean",
    "absolute_share",
];
const COMPLETENESS: [&str; 3] = ["sum", "difference", "error"];
const SANITY: [&str; 5] = ["layer", "n_images", "spearman", "spearman_absolute", "ssim"];

/// Whose map a row is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MappedImage {
    /// The participant, `sub-…`.
    pub participant: String,
    /// The session, `ses-…`.
    pub session: String,
    /// The cohort.
    pub cohort: String,
}

impl MappedImage {
    fn read(sheet: &Sheet, row: &Row) -> Result<Self, MapsError> {
        let text = |name| sheet.text(row, sheet.column(name)?);
        let [participant, session, cohort] = IMAGE;
        Ok(Self {
            participant: text(participant)?,
            session: text(session)?,
            cohort: text(cohort)?,
        })
    }

    fn cells(&self) -> Vec<String> {
        vec![
            self.participant.clone(),
            self.session.clone(),
            self.cohort.clone(),
        ]
    }
}

/// What a map has in a region of an atlas.
#[derive(Debug, Clone, PartialEq)]
pub struct RegionRow {
    /// Whose map; none in the table of the mean map.
    pub image: Option<MappedImage>,
    /// Number of the region in the atlas.
    pub value: u32,
    /// Its name.
    pub name: String,
    /// Number of voxels of the map in it.
    pub voxels: u64,
    /// Sum of the map, its mean, and the share of the sum of absolute values of the whole map.
    pub numbers: [f64; 3],
}

/// `regions.tsv` or `mean_regions.tsv`.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct RegionsTable {
    /// In the order of the file; all of them with an image, or none.
    pub rows: Vec<RegionRow>,
}

impl RegionsTable {
    /// Reads the file.
    ///
    /// # Errors
    /// It is no table with these columns, or a cell is not what its column holds.
    pub fn read(bytes: &[u8], file: &str) -> Result<Self, MapsError> {
        let sheet = Sheet::read(bytes, file)?;
        let of_images = sheet.find(IMAGE[0]).is_some();
        let [value, name, voxels, sum, mean, share] = REGION;
        let rows = sheet.rows.iter().map(|row| {
            let image = of_images.then(|| MappedImage::read(&sheet, row));
            let float = |column| sheet.float(row, sheet.column(column)?);
            Ok(RegionRow {
                image: image.transpose()?,
                value: sheet.integer(row, sheet.column(value)?)?,
                name: sheet.text(row, sheet.column(name)?)?,
                voxels: sheet.integer(row, sheet.column(voxels)?)?,
                numbers: [float(sum)?, float(mean)?, float(share)?],
            })
        });
        Ok(Self {
            rows: rows.collect::<Result<_, MapsError>>()?,
        })
    }

    /// The bytes of the file.
    pub fn to_bytes(&self) -> Vec<u8> {
        let of_images = self.rows.iter().any(|row| row.image.is_some());
        let mut header: Vec<String> = Vec::new();
        if of_images {
            header.extend(IMAGE.map(str::to_owned));
        }
        header.extend(REGION.map(str::to_owned));
        let rows = self.rows.iter().map(|row| {
            let mut cells = row.image.as_ref().map_or(Vec::new(), MappedImage::cells);
            cells.push(row.value.to_string());
            cells.push(row.name.clone());
            cells.push(row.voxels.to_string());
            cells.extend(row.numbers.map(float_cell));
            cells
        });
        write(std::iter::once(header).chain(rows))
    }
}

/// What the map of an image adds up to.
#[derive(Debug, Clone, PartialEq)]
pub struct CompletenessRow {
    /// Whose map.
    pub image: MappedImage,
    /// The number of the part; 0 for a whole image.
    pub part: u32,
    /// Sum of the map, what it should be, and the absolute difference of both.
    pub numbers: [f64; 3],
}

/// `completeness.tsv`: the sum of each map beside the difference of the outputs of image and baseline.
#[derive(Debug, Clone, PartialEq)]
pub struct CompletenessTable {
    /// What maps show, one of [`LEVELS`].
    pub level: String,
    /// In the order of the file.
    pub rows: Vec<CompletenessRow>,
}

impl CompletenessTable {
    /// Reads the file.
    ///
    /// # Errors
    /// It is no table with these columns, or a cell is not what its column holds.
    pub fn read(bytes: &[u8], file: &str) -> Result<Self, MapsError> {
        let sheet = Sheet::read(bytes, file)?;
        let has = |level: &&&str| sheet.find(part_column(level)).is_some();
        let level = LEVELS.iter().find(has).copied().unwrap_or(IMAGE_LEVEL);
        let part = sheet.column(part_column(level))?;
        let rows = sheet.rows.iter().map(|row| {
            let float = |column| sheet.float(row, sheet.column(column)?);
            let [sum, difference, error] = COMPLETENESS;
            Ok(CompletenessRow {
                image: MappedImage::read(&sheet, row)?,
                part: sheet.integer(row, part)?,
                numbers: [float(sum)?, float(difference)?, float(error)?],
            })
        });
        Ok(Self {
            rows: rows.collect::<Result<_, MapsError>>()?,
            level: level.to_owned(),
        })
    }

    /// The bytes of the file.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut header = IMAGE.map(str::to_owned).to_vec();
        header.push(part_column(&self.level).to_owned());
        header.extend(COMPLETENESS.map(str::to_owned));
        let rows = self.rows.iter().map(|row| {
            let mut cells = row.image.cells();
            cells.push(row.part.to_string());
            cells.extend(row.numbers.map(float_cell));
            cells
        });
        write(std::iter::once(header).chain(rows))
    }
}

/// Maps of a network whose layers from the last down to one have random weights, beside the real ones.
#[derive(Debug, Clone, PartialEq)]
pub struct SanityRow {
    /// The first layer, in the order of the state dict, that has random weights.
    pub layer: String,
    /// Number of images.
    pub images: u64,
    /// Means over images: rank correlation, that of absolute values, structural similarity of those.
    pub numbers: [f64; 3],
}

/// `sanity_check.tsv`.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct SanityTable {
    /// From the last layers to all of them.
    pub rows: Vec<SanityRow>,
}

impl SanityTable {
    /// Reads the file.
    ///
    /// # Errors
    /// It is no table with these columns, or a cell is not what its column holds.
    pub fn read(bytes: &[u8], file: &str) -> Result<Self, MapsError> {
        let sheet = Sheet::read(bytes, file)?;
        let [layer, images, spearman, absolute, ssim] = SANITY;
        let rows = sheet.rows.iter().map(|row| {
            let float = |column| sheet.float(row, sheet.column(column)?);
            Ok(SanityRow {
                layer: sheet.text(row, sheet.column(layer)?)?,
                images: sheet.integer(row, sheet.column(images)?)?,
                numbers: [float(spearman)?, float(absolute)?, float(ssim)?],
            })
        });
        Ok(Self {
            rows: rows.collect::<Result<_, MapsError>>()?,
        })
    }

    /// The bytes of the file.
    pub fn to_bytes(&self) -> Vec<u8> {
        let rows = self.rows.iter().map(|row| {
            let mut cells = vec![row.layer.clone(), row.images.to_string()];
            cells.extend(row.numbers.map(float_cell));
            cells
        });
        let header = SANITY.map(str::to_owned).to_vec();
        write(std::iter::once(header).chain(rows))
    }
}

/// Whether a file is a table about attribution maps of this kind.
///
/// # Errors
/// What is wrong with it.
pub(crate) fn check(table: MapTable, bytes: &[u8], file: &str) -> Result<(), MapsError> {
    match table {
        MapTable::Regions | MapTable::MeanRegions => RegionsTable::read(bytes, file).map(drop),
        MapTable::Completeness => CompletenessTable::read(bytes, file).map(drop),
        MapTable::SanityCheck => SanityTable::read(bytes, file).map(drop),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image() -> MappedImage {
        MappedImage {
            participant: "sub-1".to_owned(),
            session: "ses-M000".to_owned(),
            cohort: "single".to_owned(),
        }
    }

    #[test]
    fn tables_read_back() {
        let row = |image| RegionRow {
            image,
            value: 41,
            name: "Hippocampus".to_owned(),
            voxels: 3,
            numbers: [0.5, 0.25, 0.125],
        };
        let regions = |rows| RegionsTable { rows };
        for table in [regions(vec![row(Some(image()))]), regions(vec![row(None)])] {
            assert_eq!(RegionsTable::read(&table.to_bytes(), "x").unwrap(), table);
        }
        let completeness = CompletenessTable {
            level: "patch".to_owned(),
            rows: vec![CompletenessRow {
                image: image(),
                part: 7,
                numbers: [1.0, 1.5, 0.5],
            }],
        };
        let bytes = completeness.to_bytes();
        let text = String::from_utf8(bytes.clone()).unwrap();
        assert!(
            text.starts_with(
                "participant_id\tsession_id\tcohort\tpatch_id\tsum\tdifference\terror\n"
            )
        );
        assert_eq!(CompletenessTable::read(&bytes, "x").unwrap(), completeness);
        let sanity = SanityTable {
            rows: vec![SanityRow {
                layer: "fc.6".to_owned(),
                images: 2,
                numbers: [0.5, 0.25, -0.125],
            }],
        };
        assert_eq!(SanityTable::read(&sanity.to_bytes(), "x").unwrap(), sanity);
        let error = check(MapTable::SanityCheck, &bytes, "x").unwrap_err();
        assert!(error.to_string().contains("layer"), "{error}");
    }
}
