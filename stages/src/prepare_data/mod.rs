//! Stage `prepare-data`: from the images of a CAPS to tensors, one cached item per image.
//!
//! Nothing is resampled or rescaled here: a tensor holds the stored voxels as float32, as ClinicaDL
//! 1.6.1 extracts them, so that every training can choose its own transforms.

mod cohort;
mod extract;

use std::collections::BTreeSet;

use engine::items::Item;
use engine::{Context, InputPort, OutputPort, Ports, Run, Stage, StageError};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::caps::{self, CapsImage, some};
use crate::preprocessing::{Choice, FileType, PreprocessingName};
use crate::table::Table;

pub(crate) use extract::together;

/// What is extracted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// The whole image.
    Image,
}

/// What to do about sessions that a participants table names and the CAPS has not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum OnMissing {
    /// Stop, naming all of them.
    Error,
    /// Leave them out, with a warning.
    Drop,
}

engine::params! {
    /// Parameters of `prepare-data`.
    pub struct PrepareDataParams {
        /// The preprocessing that made the images. Default: t1-linear.
        semantic preprocessing: PreprocessingName = PreprocessingName::T1Linear,
        /// What is extracted. Default: image.
        semantic mode: Mode = Mode::Image,
        /// Take the images that were not cropped. Default: false.
        semantic use_uncropped_image: bool = false,
        /// What to do about sessions of `participants` without an image: error or drop. Default: error.
        semantic on_missing: OnMissing = OnMissing::Error,
    }
}

/// Extracts tensors from a CAPS.
#[derive(Debug)]
pub struct PrepareData;

impl PrepareDataParams {
    fn file_type(&self) -> FileType {
        self.preprocessing.get().file_type(&Choice {
            cropped: !self.use_uncropped_image,
        })
    }
}

impl Stage for PrepareData {
    const ID: &'static str = "prepare-data";
    const VERSION: u32 = 1;
    const SUMMARY: &'static str = "Extracts tensors from the images of a CAPS.";
    type Params = PrepareDataParams;

    fn ports(_: &PrepareDataParams) -> Ports {
        Ports {
            inputs: vec![
                InputPort::new("caps", &["caps"], "The CAPS."),
                InputPort::new("participants", &["table"], "Take these sessions only.").optional(),
            ],
            outputs: vec![OutputPort::new(
                "images",
                "tensors",
                "One tensor per image.",
            )],
        }
    }

    fn selects(params: &PrepareDataParams, port: &str, path: &str) -> bool {
        port != "caps" || caps::selects(&params.file_type().pattern, path)
    }
}

impl Run for PrepareData {
    fn run(params: &PrepareDataParams, context: &Context) -> Result<(), StageError> {
        let pattern = params.file_type().pattern;
        let mut images = caps::images(context.input("caps")?, &pattern, context)?;
        if let Some(participants) = context.optional_input("participants") {
            let table = Table::read(participants.only_file()?)?;
            images = restrict(images, &table, &pattern, params.on_missing, context)?;
        }
        let items = extract::extract(&images, params.mode, context)?;
        cohort::check(&images, &items, context)?;
        write_output(params, &images, &items, context)
    }
}

/// Keeps the sessions of a table.
pub(crate) fn restrict(
    images: Vec<CapsImage>,
    table: &Table,
    pattern: &str,
    on_missing: OnMissing,
    context: &Context,
) -> Result<Vec<CapsImage>, StageError> {
    let wanted: BTreeSet<(String, String)> = table
        .sessions()?
        .into_iter()
        .map(|session| (session.participant.to_owned(), session.session.to_owned()))
        .collect();
    let key = |image: &CapsImage| (image.participant.clone(), image.session.clone());
    let present: BTreeSet<_> = images.iter().map(key).collect();
    let missing = wanted.difference(&present);
    let missing: Vec<String> = missing.map(|(p, s)| format!("{p}, {s}")).collect();
    if !missing.is_empty() {
        let message = format!(
            "no image `{pattern}` for {} of {} sessions of `{}`: {}",
            missing.len(),
            wanted.len(),
            table.shown(),
            some(&missing)
        );
        match on_missing {
            OnMissing::Drop => context.warn(message),
            OnMissing::Error => {
                let hint = "leave them out of the table, or set `on_missing: drop`";
                return Err(StageError::new(message).hint(hint));
            }
        }
    }
    let images: Vec<CapsImage> = images
        .into_iter()
        .filter(|image| wanted.contains(&key(image)))
        .collect();
    if images.is_empty() {
        let message = format!("no session of `{}` has an image", table.shown());
        return Err(StageError::new(message));
    }
    Ok(images)
}

fn write_output(
    params: &PrepareDataParams,
    images: &[CapsImage],
    items: &[Item],
    context: &Context,
) -> Result<(), StageError> {
    let output = context.output("images")?;
    let mut list = String::from("participant_id\tsession_id\tfile\n");
    for (image, item) in images.iter().zip(items) {
        let (participant, session) = (&image.participant, &image.session);
        let file = format!("images/{participant}_{session}.safetensors");
        list.push_str(&format!("{participant}\t{session}\t{file}\n"));
        output.place(&file, item);
    }
    output.write("images.tsv", list.as_bytes())?;
    // The keys of ClinicaDL's extraction file, in its order: a MAPS repeats them.
    let extraction = json!({
        "preprocessing": params.preprocessing,
        "mode": params.mode,
        "use_uncropped_image": params.use_uncropped_image,
        "prepare_dl": false,
        "extract_json": "extract.json",
        "file_type": params.file_type(),
    });
    output.write("extraction.json", extraction.to_string().as_bytes())
}

#[cfg(test)]
mod tests;
