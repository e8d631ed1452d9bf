//! How the tensors of an artifact were extracted, read from its `extraction.json` and its masks.

use engine::{Input, InputFile, StageError};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::{Mode, Parts, Patches, Region, Regions, Slices};
use crate::io::nifti;

/// How tensors were extracted.
#[derive(Debug, Clone)]
pub struct Extraction {
    /// The JSON object as it is.
    pub record: Map<String, Value>,
    /// How images are cut into parts.
    pub parts: Parts,
    /// Whether the tensors hold the parts rather than whole images.
    pub saved: bool,
}

impl Extraction {
    /// Reads the extraction file and the masks of an artifact of kind `tensors`.
    ///
    /// # Errors
    /// A file is missing, or an entry has another type than ClinicaDL's.
    pub fn open(input: &Input) -> Result<Self, StageError> {
        let file = input.require("extraction.json")?;
        let text = std::fs::read(&file.path).map_err(|e| StageError::io("read", &file.path, &e))?;
        let record: Map<String, Value> = serde_json::from_slice(&text)
            .map_err(|e| StageError::new(format!("`{}` is no JSON object: {e}", file.shown)))?;
        let entries = Entries {
            record: &record,
            file,
        };
        let parts = match entries.get::<Mode>("mode")? {
            Mode::Image => Parts::Image,
            Mode::Patch => Parts::Patch(Patches {
                size: entries.positive("patch_size")?,
                stride: entries.positive("stride_size")?,
            }),
            Mode::Slice => Parts::Slice(entries.slices()?),
            Mode::Roi => Parts::Roi(entries.regions(input)?),
        };
        let saved = record
            .get("prepare_dl")
            .and_then(Value::as_bool)
            .unwrap_or(false);
        Ok(Self {
            saved: saved && parts != Parts::Image,
            record,
            parts,
        })
    }
}

struct Entries<'a> {
    record: &'a Map<String, Value>,
    file: &'a InputFile,
}

impl Entries<'_> {
    fn get<T: DeserializeOwned>(&self, key: &str) -> Result<T, StageError> {
        let value = self.record.get(key).cloned().unwrap_or(Value::Null);
        serde_json::from_value(value)
            .map_err(|e| StageError::new(format!("`{}`, entry `{key}`: {e}", self.file.shown)))
    }

    fn positive(&self, key: &str) -> Result<usize, StageError> {
        match self.get(key)? {
            0 => {
                let message = format!("`{}`, entry `{key}`: expected at least 1", self.file.shown);
                Err(StageError::new(message))
            }
            value => Ok(value),
        }
    }

    fn slices(&self) -> Result<Slices, StageError> {
        let discarded: Vec<usize> = self.get("discarded_slices")?;
        let direction: usize = self.get("slice_direction")?;
        if direction > 2 {
            let message = format!(
                "`{}`, entry `slice_direction`: expected 0 to 2",
                self.file.shown
            );
            return Err(StageError::new(message));
        }
        let first = discarded.first().copied().unwrap_or(0);
        Ok(Slices {
            direction,
            mode: self.get("slice_mode")?,
            discarded: [first, discarded.get(1).copied().unwrap_or(first)],
        })
    }

    fn regions(&self, input: &Input) -> Result<Regions, StageError> {
        let names: Vec<String> = self.get("roi_list")?;
        let regions = names.iter().map(|name| {
            let file = input.require(&format!("regions/{name}.nii.gz"))?;
            let volume = nifti::read(&file.path, &file.shown)?;
            Region::new(name, "", volume.shape, &volume.data)
                .map_err(|why| StageError::new(format!("`{}` {why}", file.shown)))
        });
        Ok(Regions {
            regions: regions.collect::<Result<_, _>>()?,
            uncropped: self.get("uncropped_roi")?,
            custom_template: self.get("roi_custom_template")?,
            custom_mask_pattern: self.get("roi_custom_mask_pattern")?,
            template: self.get("roi_template")?,
            mask_pattern: self.get("roi_mask_pattern")?,
        })
    }
}
