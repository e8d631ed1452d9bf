//! Stage `prepare-data`: from the images of a CAPS to tensors, one cached item per image.
//!
//! Nothing is resampled or rescaled here: a tensor holds the stored voxels as float32, as ClinicaDL
//! 1.6.1 extracts them, so that every training can choose its own transforms.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicUsize, Ordering};

use engine::items::Item;
use engine::{Context, InputPort, OutputPort, Ports, Run, Stage, StageError};
use rayon::prelude::*;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::caps::{CapsImage, images, is_image, some};
use crate::io::nifti;
use crate::preprocessing::PreprocessingName;
use crate::table::Table;
use crate::tensor_file::{self, Summary};

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
    fn pattern(&self) -> String {
        self.preprocessing.get().pattern(!self.use_uncropped_image)
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
            outputs: vec![OutputPort::new("images", "tensors", "One tensor per image.")],
        }
    }

    fn selects(params: &PrepareDataParams, port: &str, path: &str) -> bool {
        port != "caps" || is_image(&params.pattern(), path)
    }
}

impl Run for PrepareData {
    fn run(params: &PrepareDataParams, context: &Context) -> Result<(), StageError> {
        let pattern = params.pattern();
        let mut found = images(context.input("caps")?, &pattern, context)?;
        if let Some(participants) = context.optional_input("participants") {
            let table = Table::read(participants.only_file()?)?;
            found = restrict(found, &table, &pattern, params.on_missing, context)?;
        }
        let items = extract(&found, context)?;
        check_cohort(&found, &items, context)?;
        write_output(params, &found, &items, context)
    }
}

/// Keeps the sessions of a table.
fn restrict(
    images: Vec<CapsImage>,
    table: &Table,
    pattern: &str,
    on_missing: OnMissing,
    context: &Context,
) -> Result<Vec<CapsImage>, StageError> {
    let wanted: BTreeSet<(String, String)> = table
        .sessions()?
        .into_iter()
        .map(|session| (session.participant.to_string(), session.session.to_string()))
        .collect();
    let key = |image: &CapsImage| (image.participant.clone(), image.session.clone());
    let present: BTreeSet<_> = images.iter().map(key).collect();
    let missing: Vec<String> =
        wanted.difference(&present).map(|(p, s)| format!("{p}, {s}")).collect();
    if !missing.is_empty() {
        let message = format!(
            "no image `{pattern}` for {} of {} sessions: {}",
            missing.len(),
            wanted.len(),
            some(&missing)
        );
        match on_missing {
            OnMissing::Error => {
                return Err(StageError::new(message)
                    .hint("leave them out of the table, or set `on_missing: drop`"));
            }
            OnMissing::Drop => context.warn(message),
        }
    }
    Ok(images.into_iter().filter(|image| wanted.contains(&key(image))).collect())
}

/// Decodes every image that is not in the store, as many at once as there are processors.
fn extract(images: &[CapsImage], context: &Context) -> Result<Vec<Item>, StageError> {
    let identity = json!({ "stage": PrepareData::ID, "version": PrepareData::VERSION, "mode": "image" });
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(context.slots().cpus)
        .build()
        .map_err(StageError::environment)?;
    let done = AtomicUsize::new(0);
    let one = |image: &CapsImage| {
        context.check_cancelled()?;
        let item = context.item(&identity, image.file.digest, |path| {
            let volume = nifti::read(&image.file.path, &image.file.shown)?;
            if volume.data.iter().all(|value| !value.is_finite()) {
                let message = format!("`{}` has no finite voxel", image.file.shown);
                return Err(StageError::new(message));
            }
            tensor_file::write(path, &volume)
        })?;
        let done = done.fetch_add(1, Ordering::Relaxed) + 1;
        context.progress(done, images.len(), "images");
        Ok(item)
    };
    // Every image is tried, so that all broken ones are named at once.
    let results: Vec<Result<Item, StageError>> =
        pool.install(|| images.par_iter().map(one).collect());
    let mut items = Vec::new();
    let mut errors = Vec::new();
    for result in results {
        match result {
            Ok(item) => items.push(item),
            Err(error) => errors.push(error),
        }
    }
    let Some(first) = errors.first().cloned() else { return Ok(items) };
    if errors.len() == 1 || first.kind != engine::FailureKind::Failed {
        return Err(first);
    }
    let messages: Vec<String> = errors.iter().map(|error| error.message.clone()).collect();
    let mut all = StageError::new(format!("{} images: {}", errors.len(), some(&messages)));
    all.hints = first.hints;
    Err(all)
}

/// Images of one experiment must have one shape; what else is odd is told.
fn check_cohort(
    images: &[CapsImage],
    items: &[Item],
    context: &Context,
) -> Result<(), StageError> {
    let mut shapes: BTreeMap<Vec<usize>, Vec<String>> = BTreeMap::new();
    let mut summaries: Vec<(&CapsImage, Summary)> = Vec::new();
    for (image, item) in images.iter().zip(items) {
        let summary = tensor_file::summary(&context.item_path(item), &image.file.shown)?;
        let name = format!("{}, {}", image.participant, image.session);
        shapes.entry(summary.shape.clone()).or_default().push(name.clone());
        if summary.not_finite > 0 {
            let count = summary.not_finite;
            context.warn(format!("{name}: {count} voxels are NaN or infinite"));
        }
        if summary.constant {
            context.warn(format!("{name}: all voxels are equal"));
        }
        summaries.push((image, summary));
    }
    let most = shapes.iter().max_by_key(|(_, names)| names.len()).map(|(shape, _)| shape.clone());
    let Some(most) = most else { return Ok(()) };
    if shapes.len() > 1 {
        let others: Vec<String> = shapes
            .iter()
            .filter(|(shape, _)| **shape != most)
            .flat_map(|(shape, names)| {
                names.iter().map(move |name| format!("{name} has {:?}", &shape[1..]))
            })
            .collect();
        return Err(StageError::new(format!(
            "images have different shapes: most have {:?}, but {}",
            &most[1..],
            some(&others)
        ))
        .hint("all images of an experiment must be on the same grid"));
    }
    if let Some((_, first)) = summaries.first() {
        let moved = |summary: &Summary| {
            let pairs = summary.affine.iter().flatten().zip(first.affine.iter().flatten());
            pairs.into_iter().any(|(a, b)| (a - b).abs() > 1e-3)
        };
        let moved: Vec<String> = summaries
            .iter()
            .filter(|(_, summary)| moved(summary))
            .map(|(image, _)| format!("{}, {}", image.participant, image.session))
            .collect();
        if !moved.is_empty() {
            context.warn(format!(
                "{} images have another orientation or position than the first: {}",
                moved.len(),
                some(&moved)
            ));
        }
    }
    Ok(())
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
    let preprocessing = params.preprocessing.get();
    let cropped = !params.use_uncropped_image;
    let extraction = json!({
        "preprocessing": params.preprocessing,
        "mode": params.mode,
        "use_uncropped_image": params.use_uncropped_image,
        "prepare_dl": false,
        "extract_json": "extract.json",
        "file_type": {
            "pattern": preprocessing.pattern(cropped),
            "description": preprocessing.description(cropped),
            "needed_pipeline": preprocessing.pipeline(),
        },
    });
    output.write("extraction.json", extraction.to_string().as_bytes())
}
