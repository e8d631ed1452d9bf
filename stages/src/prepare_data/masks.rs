//! Masks of regions of interest: in the CAPS, or an input of their own.
//!
//! ```text
//! masks/tpl-<template>/tpl-<template>[_desc-Crop][_res-1x1x1]_roi-<name>_mask.nii[.gz]
//! ```
//!
//! # Source
//! ClinicaDL 1.6.1: where several masks fit, the first path is taken. It looks for masks of cropped
//! images in training whatever was extracted; here both sides use one choice.

use engine::{Context, InputFile, StageError};

use super::{MASKS, PrepareDataParams};
use crate::extraction::{Mode, Parts, Region, Regions};
use crate::io::nifti;
use crate::listed::some;
use crate::preprocessing::PreprocessingName;
use crate::volume::Volume;

/// The masks of an extraction, in the order of the list.
pub(super) struct Masks {
    regions: Vec<Region>,
    /// The same as images, to be written beside the tensors.
    pub(super) volumes: Vec<Volume>,
    /// Where they were found.
    pub(super) location: String,
}

impl PrepareDataParams {
    /// Template and what the names of masks contain.
    fn regions(&self) -> Option<(String, String)> {
        let own = self.kind().regions();
        let template = self
            .roi_custom_template
            .as_deref()
            .or(own.map(|(template, _)| template))?;
        let pattern = self
            .roi_custom_mask_pattern
            .as_deref()
            .or(own.map(|(_, pattern)| pattern));
        Some((template.to_owned(), pattern.unwrap_or_default().to_owned()))
    }
}

pub(super) fn check(params: &PrepareDataParams, refuse: &mut dyn FnMut(&str, String)) {
    if params.roi_list.is_empty() {
        refuse(
            "roi_list",
            "`mode: roi` needs the names of regions".to_owned(),
        );
    }
    for roi in &params.roi_list {
        if !super::is_name(roi) || roi.contains('_') {
            refuse(
                "roi_list",
                format!("`{roi}` cannot be the name of a region"),
            );
        }
    }
    let mut seen = std::collections::BTreeSet::new();
    for roi in params.roi_list.iter().filter(|roi| !seen.insert(*roi)) {
        refuse("roi_list", format!("`{roi}` is there twice"));
    }
    if params.regions().is_none() {
        let message = "images of this preprocessing need the template of the masks' names";
        refuse("roi_custom_template", message.to_owned());
    }
    if params.kind().regions().is_some() {
        for (field, value) in [
            ("roi_custom_template", &params.roi_custom_template),
            ("roi_custom_mask_pattern", &params.roi_custom_mask_pattern),
        ] {
            if value.is_some() {
                refuse(field, "this preprocessing has its own masks".to_owned());
            }
        }
    }
}

/// Whether a file may be a mask of one of the regions.
pub(super) fn selects(params: &PrepareDataParams, port: &str, path: &str) -> bool {
    let Some((template, pattern)) = params.regions() else {
        return false;
    };
    let folder = format!("masks/tpl-{template}/");
    let path = match (port, path.strip_prefix(&folder)) {
        (_, Some(name)) => name,
        // The masks may be anywhere in a folder of their own.
        (MASKS, None) => path.rsplit('/').next().unwrap_or(path),
        (_, None) => return false,
    };
    !path.contains('/')
        && params
            .roi_list
            .iter()
            .any(|roi| fits(params, &pattern, roi, path))
}

fn fits(params: &PrepareDataParams, pattern: &str, roi: &str, name: &str) -> bool {
    let end = format!("_roi-{roi}_mask.nii");
    let Some((start, rest)) = name.rsplit_once(&end) else {
        return false;
    };
    let is_cropped = name.contains("_desc-Crop_");
    let crop_fits = params.preprocessing == PreprocessingName::Custom
        || params.kind().regions().is_none()
        || is_cropped != params.use_uncropped_image;
    matches!(rest, "" | ".gz") && start.contains(pattern) && crop_fits
}

/// Reads the masks.
///
/// # Errors
/// Regions have none, or they are no masks; all are named.
pub(super) fn read(params: &PrepareDataParams, context: &Context) -> Result<Masks, StageError> {
    let mut masks = Masks {
        regions: Vec::new(),
        volumes: Vec::new(),
        location: String::new(),
    };
    let Some((template, pattern)) = params.regions().filter(|_| params.mode == Mode::Roi) else {
        return Ok(masks);
    };
    let input = match context.optional_input(MASKS) {
        Some(input) => input,
        None => context.input(params.folders()[0].0)?,
    };
    masks.location = format!("masks/tpl-{template}");
    let named = |path: &str| path.rsplit('/').next().unwrap_or(path).to_owned();
    let candidates: Vec<(String, &InputFile)> = input
        .files
        .iter()
        .filter(|(path, _)| input.kind == "masks" || path.starts_with("masks/"))
        .map(|(path, file)| (named(path), file))
        .collect();
    let mut missing = Vec::new();
    let mut problems = Vec::new();
    for roi in &params.roi_list {
        let found = candidates
            .iter()
            .find(|(name, _)| fits(params, &pattern, roi, name));
        let Some((name, file)) = found else {
            missing.push(format!("`{roi}`"));
            continue;
        };
        let volume = nifti::read(&file.path, &file.shown)?;
        match Region::new(roi, name, volume.shape, &volume.data) {
            Ok(region) => {
                masks.regions.push(region);
                masks.volumes.push(volume);
            }
            Err(why) => problems.push(format!("`{}` {why}", file.shown)),
        }
    }
    if !missing.is_empty() {
        let crop = if params.use_uncropped_image {
            ""
        } else {
            "_desc-Crop"
        };
        let message = format!(
            "`{}` has no mask of {}: expected `masks/tpl-{template}/tpl-{template}{crop}_{pattern}_roi-<name>_mask.nii.gz`",
            input.shown,
            missing.join(", ")
        );
        return Err(StageError::new(message)
            .hint("put them there, or connect a folder with them as input `masks`"));
    }
    if !problems.is_empty() {
        return Err(StageError::new(format!(
            "masks are not usable: {}",
            some(&problems)
        )));
    }
    Ok(masks)
}

impl Masks {
    /// How images are cut.
    pub(super) fn parts(&self, params: &PrepareDataParams) -> Parts {
        match params.mode {
            Mode::Image => Parts::Image,
            Mode::Patch => Parts::Patch(params.patches()),
            Mode::Slice => Parts::Slice(params.slices()),
            Mode::Roi => {
                let (template, mask_pattern) = params.regions().unwrap_or_default();
                Parts::Roi(Regions {
                    regions: self.regions.clone(),
                    uncropped: params.roi_uncrop_output,
                    custom_template: params.roi_custom_template.clone().unwrap_or_default(),
                    custom_mask_pattern: params.roi_custom_mask_pattern.clone().unwrap_or_default(),
                    template,
                    mask_pattern,
                })
            }
        }
    }
}
