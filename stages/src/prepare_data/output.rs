//! What the stage writes: an index of tensors and how they were made; a CAPS with tensors of ClinicaDL.

use engine::items::Item;
use engine::{Context, Stage, StageError};
use maps::weights::{Array, ArrayData, write_pt};
use serde_json::{Map, Value, json};

use super::masks::Masks;
use super::sources::{Found, FoundImage};
use super::units::Unit;
use super::{PrepareData, PrepareDataParams};
use crate::extraction::{Mode, Parts};
use crate::io::nifti;
use crate::parallel::for_each;
use crate::tensor_file::{self, Summary};

/// Writes the index, the tensors, the masks and the extraction file.
pub(super) fn write(
    params: &PrepareDataParams,
    found: &Found,
    units: &[Unit<'_>],
    items: &[Item],
    known: &[Summary],
    masks: &Masks,
    context: &Context,
) -> Result<(), StageError> {
    let output = context.output("images")?;
    let several = !params.cohorts.is_empty();
    let cohort_column = if several { "\tcohort" } else { "" };
    let mut list = format!("participant_id\tsession_id{cohort_column}\tfile\tvoxels\n");
    for ((unit, item), summary) in units.iter().zip(items).zip(known) {
        let (cohort, participant, session) = unit.image().key();
        let folder = cohort
            .map(|cohort| format!("{cohort}/"))
            .unwrap_or_default();
        let file = format!("images/{folder}{participant}_{session}.safetensors");
        let cohort = cohort
            .map(|cohort| format!("\t{cohort}"))
            .unwrap_or_default();
        let voxels = summary.voxels;
        list.push_str(&format!(
            "{participant}\t{session}{cohort}\t{file}\t{voxels}\n"
        ));
        output.place(&file, item);
    }
    output.write("images.tsv", list.as_bytes())?;
    if !found.missing.is_empty() {
        let mut list = format!("participant_id\tsession_id{cohort_column}\tpattern\n");
        let pattern = params.file_type().pattern;
        for [cohort, participant, session] in &found.missing {
            let cohort = if several {
                format!("\t{cohort}")
            } else {
                String::new()
            };
            list.push_str(&format!("{participant}\t{session}{cohort}\t{pattern}\n"));
        }
        output.write("missing.tsv", list.as_bytes())?;
    }
    for (roi, volume) in params.roi_list.iter().zip(&masks.volumes) {
        let path = output.create_path(&format!("regions/{roi}.nii.gz"))?;
        nifti::write(&path, volume)?;
    }
    let parts = masks.parts(params);
    let extraction = extraction(params, &parts, &masks.location);
    output.write("extraction.json", extraction.to_string().as_bytes())
}

/// The keys of ClinicaDL's extraction file, in its order: a MAPS repeats them.
fn extraction(params: &PrepareDataParams, parts: &Parts, masks: &str) -> Value {
    let kind = params.kind();
    let uncropped = match kind.folder() {
        "custom" => Value::Null,
        _ => json!(params.use_uncropped_image),
    };
    let name = params
        .extract_json
        .strip_suffix(".json")
        .unwrap_or(&params.extract_json);
    let mut record = Map::new();
    let mut put = |key: &str, value: Value| drop(record.insert(key.to_owned(), value));
    put("preprocessing", json!(params.preprocessing));
    put("mode", json!(params.mode));
    put("use_uncropped_image", uncropped);
    put("prepare_dl", json!(params.saves_parts()));
    for (key, value) in params.choice().record(kind.fields()) {
        put(&key, value);
    }
    put("extract_json", json!(format!("{name}.json")));
    for (key, value) in parts.record() {
        put(&key, value);
    }
    if params.mode == Mode::Slice {
        // As it was given: one number or two.
        put("discarded_slices", json!(params.discarded_slices));
    }
    put("file_type", json!(params.file_type()));
    if let Parts::Roi(regions) = parts {
        // ClinicaDL has them or not, depending on its number of workers.
        put("roi_template", json!(regions.template));
        put("roi_mask_pattern", json!(regions.mask_pattern));
        put("masks_location", json!(masks));
    }
    Value::Object(record)
}

/// Writes the tensors where ClinicaDL 1.6 looks for them, and its extraction file.
pub(super) fn write_caps(
    params: &PrepareDataParams,
    found: &Found,
    items: &[Item],
    parts: &Parts,
    context: &Context,
) -> Result<(), StageError> {
    let output = context.output("caps")?;
    let saved = params.saves_parts();
    let mode = if saved { params.mode } else { Mode::Image };
    let folder = params.kind().folder();
    let all: Vec<(&FoundImage, &Item)> = found.images.iter().zip(items).collect();
    for_each(&all, context, "tensors", |(found, item)| {
        let image = &found.image;
        let path = context.item_path(item);
        let shown = &image.file.shown;
        let count = tensor_file::summary(&path, shown)?.parts;
        let name = image.below.rsplit('/').next().unwrap_or(&image.below);
        let (participant, session) = (&image.participant, &image.session);
        let place = format!(
            "subjects/{participant}/{session}/deeplearning_prepare_data/{}_based/{folder}",
            mode.name()
        );
        for index in 0..count.unwrap_or(1) {
            let file = if saved {
                parts.file_name(name, index)
            } else {
                Parts::Image.file_name(name, 0)
            };
            let identity = json!({
                "stage": PrepareData::ID,
                "version": PrepareData::VERSION,
                "format": "pt",
                "part": count.map(|_| index),
            });
            let tensor = context.item(&identity, item.digest, |target| {
                let (shape, data, _) = match count {
                    None => tensor_file::read(&path, shown)?,
                    Some(_) => tensor_file::read_part(&path, index, shown)?,
                };
                let array =
                    Array::try_new(shape, ArrayData::F32(data)).map_err(StageError::internal)?;
                std::fs::write(target, write_pt(&array))
                    .map_err(|e| StageError::io("write", target, &e))
            })?;
            output.place(&format!("{place}/{file}"), &tensor);
        }
        Ok(())
    })?;
    let record = extraction(params, parts, &format!("masks/tpl-{}", template(parts)));
    let name = params
        .extract_json
        .strip_suffix(".json")
        .unwrap_or(&params.extract_json);
    output.write(
        &format!("tensor_extraction/{name}.json"),
        record.to_string().as_bytes(),
    )
}

fn template(parts: &Parts) -> &str {
    match parts {
        Parts::Roi(regions) => &regions.template,
        _ => "",
    }
}
