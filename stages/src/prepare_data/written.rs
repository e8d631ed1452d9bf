//! Tensors that ClinicaDL 1.6 wrote in a CAPS.
//!
//! ```text
//! subjects/<participant>/<session>/deeplearning_prepare_data/<mode>_based/<preprocessing>/*.pt
//! ```

use std::collections::BTreeMap;

use engine::{Input, InputFile, StageError};

use super::PrepareDataParams;
use super::sources::FoundImage;
use crate::caps::CapsImage;
use crate::extraction::Mode;
use crate::listed::some;

/// Where a tensor belongs: participant, session, name.
fn place<'a>(params: &PrepareDataParams, path: &'a str) -> Option<(&'a str, &'a str, &'a str)> {
    let mut parts = path.strip_prefix("subjects/")?.splitn(3, '/');
    let (participant, session, below) = (parts.next()?, parts.next()?, parts.next()?);
    let mode = if params.saves_parts() {
        params.mode
    } else {
        Mode::Image
    };
    let folder = format!(
        "deeplearning_prepare_data/{}_based/{}/",
        mode.name(),
        params.kind().folder()
    );
    let name = below.strip_prefix(&folder)?;
    // Tensors of uncompressed images were given the name of the image.
    let is_tensor = name.ends_with(".pt") || name.ends_with(".nii");
    (is_tensor && !name.contains('/') && is_chosen(params, name)).then_some((
        participant,
        session,
        name,
    ))
}

/// Whether a tensor comes from the images that are chosen: tensors of cropped and of whole images, of
/// all tracers and of all sizes of patches are in one folder.
fn is_chosen(params: &PrepareDataParams, name: &str) -> bool {
    if !params.saves_parts() || params.mode != Mode::Roi {
        let pattern = params.file_type().pattern;
        let pattern = pattern
            .rsplit('/')
            .next()
            .unwrap_or_default()
            .to_lowercase();
        let stem = pattern
            .trim_end_matches('*')
            .trim_end_matches(".gz")
            .trim_end_matches(".nii");
        let start = match stem.rsplit_once('_') {
            Some((start, suffix)) if params.saves_parts() => format!("{start}_*_{suffix}"),
            _ => stem.to_owned(),
        };
        let fits = |end: &str| crate::preprocessing::fits(&format!("{start}{end}"), name);
        if !(fits(".pt") || fits(".nii") || stem.ends_with('*')) {
            return false;
        }
    }
    params.mode == Mode::Image || !params.saves_parts() || number(params, name).is_some()
}

/// The number of a part, by its name.
fn number(params: &PrepareDataParams, name: &str) -> Option<usize> {
    let after = |key: &str| {
        let rest = name.split_once(key)?.1;
        let digits = rest.split(['_', '.']).next()?;
        digits.parse::<usize>().ok()
    };
    match params.mode {
        Mode::Image => Some(0),
        Mode::Patch => {
            let key = format!(
                "_patchsize-{}_stride-{}_patch-",
                params.patch_size, params.stride_size
            );
            after(&key)
        }
        Mode::Slice => {
            let slices = params.slices();
            let entities = slices.key();
            after(&format!("_{entities}"))?.checked_sub(slices.discarded[0])
        }
        Mode::Roi => params
            .roi_list
            .iter()
            .position(|roi| name.contains(&format!("_roi-{roi}_"))),
    }
}

/// Number, name and file of a tensor.
type Tensor<'a> = (usize, &'a str, &'a InputFile);

/// Whether a file is one of the tensors.
pub(super) fn selects(params: &PrepareDataParams, path: &str) -> bool {
    place(params, path).is_some()
}

/// The tensors of every session, sorted.
///
/// # Errors
/// There is none, a session has several whole images, or parts are missing; all such sessions are named.
pub(super) fn find(
    params: &PrepareDataParams,
    input: &Input,
) -> Result<Vec<FoundImage>, StageError> {
    let mut found: BTreeMap<(&str, &str), Vec<Tensor<'_>>> = BTreeMap::new();
    for (path, file) in &input.files {
        if let Some((participant, session, name)) = place(params, path) {
            let number = number(params, name).unwrap_or(0);
            found
                .entry((participant, session))
                .or_default()
                .push((number, name, file));
        }
    }
    if found.is_empty() {
        let mode = if params.saves_parts() {
            params.mode
        } else {
            Mode::Image
        };
        let message = format!(
            "`{}` has no tensor `subjects/sub-*/ses-*/deeplearning_prepare_data/{}_based/{}/*.pt` of these parameters",
            input.shown,
            mode.name(),
            params.kind().folder()
        );
        return Err(StageError::new(message)
            .hint("ClinicaDL's `prepare-data` writes them; `source: images` needs none"));
    }
    let most = found.values().map(Vec::len).max().unwrap_or(0);
    let mut problems = Vec::new();
    let mut images = Vec::new();
    for ((participant, session), mut files) in found {
        files.sort_unstable_by_key(|(number, name, _)| (*number, *name));
        let expected = if params.saves_parts() { most } else { 1 };
        let complete = files.iter().map(|(number, _, _)| *number).eq(0..expected);
        if !complete {
            let names: Vec<&str> = files.iter().map(|(_, name, _)| *name).take(3).collect();
            let count = files.len();
            problems.push(format!(
                "{participant}, {session} has {count}: {}{}",
                names.join(", "),
                if count > 3 { ", …" } else { "" }
            ));
            continue;
        }
        let (_, name, first) = files[0];
        let parts = files.iter().map(|(_, _, file)| (*file).clone());
        images.push(FoundImage {
            image: CapsImage {
                cohort: None,
                participant: participant.to_owned(),
                session: session.to_owned(),
                file: first.clone(),
                voxels: None,
                below: name.to_owned(),
            },
            parts: if params.saves_parts() {
                parts.collect()
            } else {
                Vec::new()
            },
        });
    }
    if problems.is_empty() {
        return Ok(images);
    }
    let expected = match params.saves_parts() {
        true => format!("the {most} tensors of all parts"),
        false => "one tensor".to_owned(),
    };
    Err(StageError::new(format!(
        "expected {expected} per session, but {}",
        some(&problems)
    )))
}
