//! Stage `prepare-data`: from the images of a CAPS or a BIDS to tensors, one cached item per image.
//!
//! Nothing is resampled or rescaled here: a tensor holds the stored voxels as float32, as ClinicaDL
//! 1.6.1 extracts them, so that every training can choose its own transforms. Parts of images (patches,
//! slices, regions) are cut when they are read, from one decoded image; or now, with `save_features`.

mod cohort;
mod extract;
mod masks;
mod output;
mod sources;
mod units;
mod written;

use engine::{Context, InputPort, OutputPort, ParamIssue, Ports, Run, Stage, StageError};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::caps::{Lookup, OnMissing};
use crate::extraction::{Mode, Patches, SliceMode, Slices};
use crate::preprocessing::{
    Choice, DtiMeasure, DtiSpace, FileType, Layout, Preprocessing, PreprocessingName, SuvrRegion,
    Tissue,
};

/// What tensors are made from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Source {
    /// NIfTI images.
    Images,
    /// Tensors that ClinicaDL wrote in the CAPS, `deeplearning_prepare_data/…/*.pt`.
    Tensors,
}

/// What is done with images of several volumes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Volumes {
    /// Every volume is a channel of the tensor.
    Channels,
    /// Only the first volume is taken.
    First,
    /// The mean of all volumes is taken.
    Mean,
    /// They are refused.
    Refuse,
}

engine::params! {
    /// Parameters of `prepare-data`.
    pub struct PrepareDataParams {
        /// The kind of images. Default: t1-linear.
        semantic preprocessing: PreprocessingName = PreprocessingName::T1Linear,
        /// What is extracted. Default: image.
        semantic mode: Mode = Mode::Image,
        /// Take the images that were not cropped. Default: false.
        semantic use_uncropped_image: bool = false,
        /// PET: the tracer, such as 18FFDG. Default: none.
        semantic tracer: Option<String> = None,
        /// pet-linear: the region whose mean uptake is 1. Default: none.
        semantic suvr_reference_region: Option<SuvrRegion> = None,
        /// dwi-dti: the map, FA, MD, AD or RD. Default: FA.
        semantic dti_measure: Option<DtiMeasure> = None,
        /// dwi-dti: the space of the map, native or normalized. Default: native.
        semantic dti_space: Option<DtiSpace> = None,
        /// custom: the end of the images' names, such as _T1w.nii.gz. Default: none.
        semantic custom_suffix: Option<String> = None,
        /// t1-volume: the tissue. Default: graymatter.
        semantic tissue: Option<Tissue> = None,
        /// t1-volume: maps modulated by the change of volume. Default: false.
        semantic modulated: Option<bool> = None,
        /// t1-volume: maps on this DARTEL group template. Default: none, maps in Ixi549Space.
        semantic group_label: Option<String> = None,
        /// t1-volume: full width at half maximum of the smoothing, in millimetres. Default: none.
        semantic fwhm_mm: Option<u32> = None,
        /// What is done with images of several volumes, such as dynamic PET or diffusion MRI. Default: refuse.
        semantic volumes: Volumes = Volumes::Refuse,
        /// Cut the parts now rather than when they are read. Default: false.
        semantic save_features: bool = false,
        /// patch: voxels along each edge, at least 1. Default: 50.
        #[schemars(range(min = 1))]
        semantic patch_size: usize = 50,
        /// patch: voxels between neighbours along each axis, at least 1. Default: 50.
        #[schemars(range(min = 1))]
        semantic stride_size: usize = 50,
        /// slice: the axis that is cut, 0 (sagittal), 1 (coronal) or 2 (axial). Default: 0.
        #[schemars(range(max = 2))]
        semantic slice_direction: usize = 0,
        /// slice: three equal channels (rgb) or one (single). Default: rgb.
        semantic slice_mode: SliceMode = SliceMode::Rgb,
        /// slice: slices left out at the beginning and at the end; one number for both. Default: none.
        #[schemars(length(min = 1, max = 2))]
        semantic discarded_slices: Vec<usize> = vec![0, 0],
        /// roi: names of the regions. Default: none.
        semantic roi_list: Vec<String> = Vec::new(),
        /// roi: regions keep the size of the image. Default: false.
        semantic roi_uncrop_output: bool = false,
        /// roi: the template of the masks' names, for images whose preprocessing has none. Default: none.
        semantic roi_custom_template: Option<String> = None,
        /// roi: what the names of masks contain. Default: as the preprocessing has it.
        semantic roi_custom_mask_pattern: Option<String> = None,
        /// What tensors are made from: images, or the tensors that ClinicaDL wrote in the CAPS. Default: images.
        semantic source: Source = Source::Images,
        /// Also write the tensors as ClinicaDL 1.6 does, as output `caps`. Default: false.
        semantic write_caps: bool = false,
        /// Name of the extraction file. Default: extract.json.
        semantic extract_json: String = "extract.json".to_owned(),
        /// Names of cohorts, each of which is an input of its own; empty for the one input `caps` or `bids`. Default: none.
        semantic cohorts: Vec<String> = Vec::new(),
        /// What to do about sessions of `participants` without an image: error or drop. Default: error.
        semantic on_missing: OnMissing = OnMissing::Error,
    }
}

/// Extracts tensors from images.
#[derive(Debug)]
pub struct PrepareData;

/// The port of a table of sessions.
const PARTICIPANTS: &str = "participants";
/// The port of masks.
const MASKS: &str = "masks";

impl PrepareDataParams {
    fn kind(&self) -> &'static dyn Preprocessing {
        self.preprocessing.get()
    }

    fn choice(&self) -> Choice {
        Choice {
            use_uncropped_image: self.use_uncropped_image,
            tracer: self.tracer.clone(),
            suvr_reference_region: self.suvr_reference_region,
            dti_measure: self.dti_measure,
            dti_space: self.dti_space,
            custom_suffix: self.custom_suffix.clone(),
            tissue: self.tissue,
            modulated: self.modulated,
            group_label: self.group_label.clone(),
            fwhm_mm: self.fwhm_mm,
        }
    }

    fn file_type(&self) -> FileType {
        self.kind().file_type(&self.choice())
    }

    fn lookup(&self) -> Lookup {
        Lookup::new(&self.file_type().pattern, self.kind().layout())
    }

    /// The ports of folders with images, and the cohort of each.
    fn folders(&self) -> Vec<(&str, Option<&str>)> {
        if self.cohorts.is_empty() {
            let is_raw = self.kind().layout() == Layout::Bids;
            return vec![(if is_raw { "bids" } else { "caps" }, None)];
        }
        let each = self.cohorts.iter().map(String::as_str);
        each.map(|cohort| (cohort, Some(cohort))).collect()
    }

    /// Whether tensors hold parts.
    fn saves_parts(&self) -> bool {
        self.save_features && self.mode != Mode::Image
    }

    fn patches(&self) -> Patches {
        Patches {
            size: self.patch_size,
            stride: self.stride_size,
        }
    }

    fn slices(&self) -> Slices {
        let first = self.discarded_slices.first().copied().unwrap_or(0);
        Slices {
            direction: self.slice_direction,
            mode: self.slice_mode,
            discarded: [
                first,
                self.discarded_slices.get(1).copied().unwrap_or(first),
            ],
        }
    }
}

impl Stage for PrepareData {
    const ID: &'static str = "prepare-data";
    const VERSION: u32 = 3;
    const SUMMARY: &'static str = "Extracts tensors from the images of a CAPS or a BIDS.";
    type Params = PrepareDataParams;

    fn ports(params: &PrepareDataParams) -> Ports {
        let folders = params.folders().into_iter().map(|(port, _)| {
            InputPort::new(
                port.to_owned(),
                &["bids", "caps"],
                "Images, or the images of a cohort.",
            )
        });
        let mut inputs: Vec<InputPort> = folders.collect();
        inputs
            .push(InputPort::new(PARTICIPANTS, &["table"], "Take these sessions only.").optional());
        if params.mode == Mode::Roi {
            let summary = "Masks of the regions, if they are not in the CAPS.";
            inputs.push(InputPort::new(MASKS, &["masks"], summary).optional());
        }
        let mut outputs = vec![OutputPort::new(
            "images",
            "tensors",
            "One tensor per image, or its parts.",
        )];
        if params.write_caps {
            let summary = "The tensors as ClinicaDL 1.6 has them in a CAPS.";
            outputs.push(OutputPort::new("caps", "caps", summary));
        }
        Ports { inputs, outputs }
    }

    fn check(params: &PrepareDataParams) -> Vec<ParamIssue> {
        let mut issues: Vec<ParamIssue> = params
            .preprocessing
            .check(&params.choice())
            .into_iter()
            .map(|(field, message)| ParamIssue::new(field, message))
            .collect();
        let mut refuse =
            |field: &str, message: String| issues.push(ParamIssue::new(field, message));
        if params.mode == Mode::Roi {
            masks::check(params, &mut refuse);
        } else if !params.roi_list.is_empty() {
            refuse("roi_list", "only `mode: roi` uses it".to_owned());
        }
        if params.mode == Mode::Image && params.save_features {
            let message = "`mode: image` has no parts that could be saved";
            refuse("save_features", message.to_owned());
        }
        if params.patch_size == 0 || params.stride_size == 0 {
            refuse(
                "patch_size",
                "patches and strides have at least one voxel".to_owned(),
            );
        }
        if !(1..=2).contains(&params.discarded_slices.len()) {
            let message = "expected one number, or those of the beginning and the end";
            refuse("discarded_slices", message.to_owned());
        }
        if params.slice_direction > 2 {
            refuse("slice_direction", "expected 0, 1 or 2".to_owned());
        }
        let name = params
            .extract_json
            .strip_suffix(".json")
            .unwrap_or(&params.extract_json);
        if !is_name(name) {
            refuse("extract_json", format!("`{name}` is no name of a file"));
        }
        let mut seen = std::collections::BTreeSet::new();
        for cohort in &params.cohorts {
            if !is_name(cohort) || [PARTICIPANTS, MASKS].contains(&cohort.as_str()) {
                refuse(
                    "cohorts",
                    format!("`{cohort}` cannot be the name of a cohort"),
                );
            }
            if !seen.insert(cohort) {
                refuse("cohorts", format!("`{cohort}` is there twice"));
            }
        }
        if params.write_caps && !params.cohorts.is_empty() {
            let message = "a CAPS has one cohort: extract each by a stage of its own";
            refuse("write_caps", message.to_owned());
        }
        issues
    }

    fn selects(params: &PrepareDataParams, port: &str, path: &str) -> bool {
        if port == PARTICIPANTS {
            return true;
        }
        if params.mode == Mode::Roi && masks::selects(params, port, path) {
            return true;
        }
        if port == MASKS {
            return false;
        }
        match params.source {
            Source::Images => params.lookup().selects(path),
            Source::Tensors => written::selects(params, path),
        }
    }
}

/// Letters, digits, `-`, `_` and `.`, not starting with the latter.
fn is_name(text: &str) -> bool {
    let is_fine = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    !text.is_empty() && !text.starts_with('.') && text.chars().all(is_fine)
}

impl Run for PrepareData {
    fn run(params: &PrepareDataParams, context: &Context) -> Result<(), StageError> {
        let found = sources::find(params, context)?;
        let masks = masks::read(params, context)?;
        let parts = masks.parts(params);
        let units = units::units(params, &found.images);
        let items = extract::extract(params, &units, &parts, context)?;
        let known = cohort::check(params, &units, &items, &parts, context)?;
        output::write(params, &found, &units, &items, &known, &masks, context)?;
        if params.write_caps {
            output::write_caps(params, &found, &items, &parts, context)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
