//! Stage `quality-check-t1-volume`: three measures of grey-matter maps, and the sessions that pass them.
//!
//! # Source
//! ClinicaDL 1.6.1, `quality-check t1-volume`, with these deviations: sessions without a map are named
//! (1.6.1 leaves them out silently); rows of equal maximum are in the order of participant and session
//! (1.6.1 follows the file system); a map with a voxel that is not a number does not end the run. The
//! least similarity is 0.10 as in the code of 1.6.1, whose documentation says 0.40.

use std::collections::BTreeSet;

use engine::{Context, Input, InputPort, OutputPort, ParamIssue, Ports, Run, Stage, StageError};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::measure::measure;
use super::quality::{Order, cell, compare};
use super::similarity::normalised_mutual_information;
use super::{Checked, images, only_volume, pattern, require_shape, warn_unscored};
use crate::caps::OnMissing;
use crate::caps::{self, CapsImage};
use crate::io::nifti;
use crate::listed::some;
use crate::table::{PARTICIPANT, SESSION, Table};
use crate::volume::Volume;

engine::params! {
    /// Parameters of `quality-check-t1-volume`.
    pub struct QualityCheckT1VolumeParams {
        /// Maps whose largest probability is above this pass the first step, 0 to 1. Default: 0.95.
        #[schemars(range(min = 0.0, max = 1.0))]
        semantic max_intensity_threshold: f64 = 0.95,
        /// Maps with a larger part of voxels that are not 0 than this pass the second step, 0 to 1. Default: 0.15.
        #[schemars(range(min = 0.0, max = 1.0))]
        semantic non_zero_minimum: f64 = 0.15,
        /// Maps with a smaller part of voxels that are not 0 than this pass the second step, 0 to 1. Default: 0.5.
        #[schemars(range(min = 0.0, max = 1.0))]
        semantic non_zero_maximum: f64 = 0.5,
        /// Maps more similar to the template round the eyes than this pass the third step, 0 to 1. Default: 0.10.
        #[schemars(range(min = 0.0, max = 1.0))]
        semantic frontal_similarity_threshold: f64 = 0.10,
        /// What to do about sessions of `participants` without a map: error or drop. Default: drop.
        semantic on_missing: OnMissing = OnMissing::Drop,
    }
}

/// Checks grey-matter maps of t1-volume.
#[derive(Debug)]
pub struct QualityCheckT1Volume;

/// Output ports with their files: all maps, and those left after each step.
const OUTPUTS: [(&str, &str, &str); 4] = [
    ("metrics", "QC_metrics.tsv", "Every map with its measures."),
    (
        "pass_step_1",
        "pass_step-1.tsv",
        "Maps with a high enough maximum.",
    ),
    (
        "pass_step_2",
        "pass_step-2.tsv",
        "Of these, maps with a plausible part of grey matter.",
    ),
    (
        "passed",
        "pass_step-3.tsv",
        "Of these, maps similar to the template round the eyes: the sessions that pass.",
    ),
];

impl Stage for QualityCheckT1Volume {
    const ID: &'static str = "quality-check-t1-volume";
    const VERSION: u32 = 1;
    const SUMMARY: &'static str = "Checks the grey-matter maps of t1-volume.";
    type Params = QualityCheckT1VolumeParams;

    fn ports(_: &QualityCheckT1VolumeParams) -> Ports {
        Ports {
            inputs: vec![
                InputPort::new("caps", &["caps"], "The CAPS."),
                InputPort::new(
                    "template",
                    &["volume"],
                    "The group's DARTEL template; tissues along a fourth axis are summed.",
                ),
                InputPort::new("mask", &["volume"], "1 round the eyes, on the maps' grid."),
                InputPort::new("participants", &["table"], "Check these sessions only.").optional(),
            ],
            outputs: OUTPUTS
                .map(|(port, _, summary)| OutputPort::new(port, "table", summary))
                .into(),
        }
    }

    fn check(params: &QualityCheckT1VolumeParams) -> Vec<ParamIssue> {
        let (min, max) = (params.non_zero_minimum, params.non_zero_maximum);
        if min < max {
            return Vec::new();
        }
        let message = format!("expected less than `non_zero_maximum`, which is {max}, got {min}");
        vec![ParamIssue::new("non_zero_minimum", message)]
    }

    fn selects(_: &QualityCheckT1VolumeParams, port: &str, path: &str) -> bool {
        port != "caps" || is_trace(path) || caps::selects(&pattern(&Checked::T1Volume), path)
    }
}

impl Run for QualityCheckT1Volume {
    fn run(params: &QualityCheckT1VolumeParams, context: &Context) -> Result<(), StageError> {
        let images = images(&pattern(&Checked::T1Volume), params.on_missing, context)?;
        if context.optional_input("participants").is_none() {
            warn_without_map(context.input("caps")?, &images, context);
        }
        let mask = only_volume("mask", context)?;
        let template = template(context)?;
        let of = format!("the mask `{}`", context.input("mask")?.shown);
        let shown = &context.input("template")?.shown;
        require_shape(&template, shown, mask.shape, &of)?;
        let masked = masked(&template, &mask);
        if !masked.iter().all(|value| value.is_finite()) {
            let message = format!("`{shown}` times {of} has voxels that are not finite");
            return Err(StageError::new(message));
        }
        #[expect(clippy::float_cmp, reason = "exactly constant")]
        let differs = |&value: &f64| value != masked[0];
        if !masked.iter().any(differs) {
            let message = format!("`{shown}` is constant within {of}: nothing is similar to it");
            return Err(StageError::new(message));
        }
        let identity = json!({
            "stage": Self::ID,
            "version": Self::VERSION,
            "mask": context.input("mask")?.digest,
            "template": context.input("template")?.digest,
        });
        let measures = measure(&images, &identity, context, |image| {
            let volume = nifti::read(&image.file.path, &image.file.shown)?;
            require_shape(&volume, &image.file.shown, mask.shape, &of)?;
            Ok(Measures::of(&volume, &masked, &mask))
        })?;
        write(params, &images, &measures, context)
    }
}

/// The template, with the tissues along its fourth axis summed.
fn template(context: &Context) -> Result<Volume, StageError> {
    let series = nifti::series_of_input(context.input("template")?)?;
    let mut sums = vec![0.0_f64; series.shape.iter().product()];
    for volume in &series.volumes {
        sums.iter_mut()
            .zip(volume)
            .for_each(|(sum, &value)| *sum += f64::from(value));
    }
    #[expect(clippy::cast_possible_truncation, reason = "images are float32")]
    let data = sums.into_iter().map(|sum| sum as f32).collect();
    Ok(Volume {
        data,
        shape: series.shape,
        affine: series.affine,
    })
}

/// Small files by which a session is known although it has no map: the transforms that registrations
/// leave.
fn is_trace(path: &str) -> bool {
    session_of(path).is_some() && path.ends_with(".mat")
}

fn session_of(path: &str) -> Option<(&str, &str)> {
    let mut parts = path.strip_prefix("subjects/")?.split('/');
    let (participant, session) = (parts.next()?, parts.next()?);
    let named = participant.starts_with("sub-") && session.starts_with("ses-");
    (named && parts.next().is_some()).then_some((participant, session))
}

/// Names the sessions of the CAPS that have no map.
fn warn_without_map(caps: &Input, images: &[CapsImage], context: &Context) {
    let has_map: BTreeSet<(&str, &str)> = images
        .iter()
        .map(|image| (image.participant.as_str(), image.session.as_str()))
        .collect();
    let known: BTreeSet<_> = caps
        .files
        .keys()
        .filter_map(|path| session_of(path))
        .collect();
    let missing: Vec<String> = known
        .difference(&has_map)
        .map(|(participant, session)| format!("{participant}, {session}"))
        .collect();
    if !missing.is_empty() {
        context.warn(format!(
            "{} sessions of `{}` have no grey-matter map and are not checked: {}",
            missing.len(),
            caps.shown,
            some(&missing)
        ));
    }
}

/// Each voxel times the mask's.
fn masked(volume: &Volume, mask: &Volume) -> Vec<f64> {
    let pairs = volume.data.iter().zip(&mask.data);
    pairs
        .map(|(&value, &mask)| f64::from(value) * f64::from(mask))
        .collect()
}

/// What is measured of a map; `None` where it is not a number.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(super) struct Measures {
    max_intensity: Option<f64>,
    non_zero_percentage: Option<f64>,
    frontal_similarity: Option<f64>,
}

impl Measures {
    /// Of a map, a template times the mask, and the mask.
    fn of(map: &Volume, template: &[f64], mask: &Volume) -> Self {
        if map.data.iter().any(|value| !value.is_finite()) {
            return Self {
                max_intensity: None,
                non_zero_percentage: None,
                frontal_similarity: None,
            };
        }
        let most = map.data.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let non_zero = map.data.iter().filter(|value| **value != 0.0).count();
        Self {
            max_intensity: Some(f64::from(most)),
            non_zero_percentage: Some(non_zero as f64 / map.data.len() as f64),
            frontal_similarity: normalised_mutual_information(template, &masked(map, mask)),
        }
    }

    /// Whether each step is passed, those before it apart.
    fn passes(&self, params: &QualityCheckT1VolumeParams) -> [bool; 3] {
        let part = self.non_zero_percentage;
        [
            self.max_intensity > Some(params.max_intensity_threshold),
            part > Some(params.non_zero_minimum)
                && part.is_some_and(|p| p < params.non_zero_maximum),
            self.frontal_similarity > Some(params.frontal_similarity_threshold),
        ]
    }
}

fn write(
    params: &QualityCheckT1VolumeParams,
    images: &[CapsImage],
    measures: &[Measures],
    context: &Context,
) -> Result<(), StageError> {
    let mut rows: Vec<(&CapsImage, &Measures)> = images.iter().zip(measures).collect();
    let unscored = rows.iter().filter(|row| row.1.frontal_similarity.is_none());
    warn_unscored(unscored.map(|row| row.0), context);
    rows.sort_by(|a, b| {
        let (first, second) = ((a.1.max_intensity, a.0), (b.1.max_intensity, b.0));
        compare(first, second, Order::Ascending)
    });
    let all = rows.len();
    for (step, (port, file, _)) in OUTPUTS.into_iter().enumerate() {
        if let Some(step) = step.checked_sub(1) {
            rows.retain(|(_, measures)| measures.passes(params)[step]);
        }
        context.output(port)?.write(file, &table(&rows)?)?;
    }
    context.info(format!("{} of {all} sessions pass", rows.len()));
    Ok(())
}

fn table(rows: &[(&CapsImage, &Measures)]) -> Result<Vec<u8>, StageError> {
    let columns = [
        PARTICIPANT,
        SESSION,
        "max_intensity",
        "non_zero_percentage",
        "frontal_similarity",
    ];
    let cells = rows.iter().map(|(image, measures)| {
        vec![
            image.participant.clone(),
            image.session.clone(),
            cell(measures.max_intensity),
            cell(measures.non_zero_percentage),
            cell(measures.frontal_similarity),
        ]
    });
    let columns = columns.map(str::to_owned).to_vec();
    Table::of_rows("QC_metrics.tsv", columns, cells.collect()).to_tsv()
}
