//! Stage `generate-shepplogan`: two-dimensional phantoms in classes of several subtypes.
//!
//! Each phantom is written as an image of one slice, and as the tensor that ClinicaDL 1.6.1 expects.
//!
//! # Source
//! ClinicaDL 1.6.1, `generate shepplogan`.

mod ellipse;
mod phantom;

use engine::items::Item;
use engine::{Context, Digest, ParamIssue, Ports, Run, Stage, StageError};
use maps::weights::{Array, ArrayData, write_pt};
use rand::Rng;
use serde_json::json;

use super::tables::{self, Row};
use super::{CLASSES, source};
use crate::io::nifti;
use crate::parallel::for_each;
use crate::volume::Volume;
use phantom::Subtype;

/// The session of every participant.
const SESSION: &str = "ses-M000";
/// How the names of images end.
const SUFFIX: &str = "_space-SheppLogan_phantom.nii.gz";
/// How far from 1 rounding may bring a sum of probabilities.
const ROUNDING: f64 = 1e-8;

engine::params! {
    /// Parameters of `generate-shepplogan`.
    pub struct GenerateSheppLoganParams {
        /// Number of participants of each class, at least 1. Default: 300.
        #[schemars(range(min = 1, max = 1_000_000))]
        semantic n_subjects: usize = 300,
        /// Rows and columns of a phantom, in pixels, 32 to 4096. Default: 128.
        #[schemars(range(min = 32, max = 4096))]
        semantic image_size: usize = 128,
        /// Probabilities of the three subtypes among CN: all regions large, those below small, the one above small. Default: 1, 0, 0.
        semantic cn_subtypes_distribution: [f64; 3] = [1.0, 0.0, 0.0],
        /// Probabilities of the three subtypes among AD. Default: 0.05, 0.85, 0.1.
        semantic ad_subtypes_distribution: [f64; 3] = [0.05, 0.85, 0.1],
        /// Blur each phantom by a random width of up to 1 % of its size. Default: false.
        semantic smoothing: bool = false,
        /// Name of the file in `tensor_extraction` that describes the tensors. Default: extract.
        #[schemars(length(min = 1, max = 100))]
        semantic extract_json: String = "extract".to_owned(),
    }
}

impl GenerateSheppLoganParams {
    /// The distribution of subtypes in a class.
    fn distribution(&self, class: usize) -> [f64; 3] {
        match class {
            0 => self.ad_subtypes_distribution,
            _ => self.cn_subtypes_distribution,
        }
    }
}

/// Draws phantoms.
#[derive(Debug)]
pub struct GenerateSheppLogan;

impl Stage for GenerateSheppLogan {
    const ID: &'static str = "generate-shepplogan";
    const VERSION: u32 = 2;
    const SUMMARY: &'static str = "Generates two-dimensional phantoms of a head.";
    type Params = GenerateSheppLoganParams;

    fn is_seeded(_: &GenerateSheppLoganParams) -> bool {
        true
    }

    fn ports(_: &GenerateSheppLoganParams) -> Ports {
        Ports {
            inputs: Vec::new(),
            outputs: source::outputs(),
        }
    }

    fn check(params: &GenerateSheppLoganParams) -> Vec<ParamIssue> {
        let mut issues = Vec::new();
        for (field, probabilities) in [
            ("cn_subtypes_distribution", params.cn_subtypes_distribution),
            ("ad_subtypes_distribution", params.ad_subtypes_distribution),
        ] {
            let sum: f64 = probabilities.iter().sum();
            // Written so that NaN is refused.
            let fine = probabilities.iter().all(|&p| p >= 0.0) && (sum - 1.0).abs() <= ROUNDING;
            if !fine {
                let message = format!(
                    "expected three probabilities of at least 0 that sum to 1, got {probabilities:?}"
                );
                issues.push(ParamIssue::new(field, message));
            }
        }
        let name = |c: char| c.is_ascii_alphanumeric() || "_-.".contains(c);
        if !params.extract_json.chars().all(name) || params.extract_json.starts_with('.') {
            let message = "expected letters, digits, `_`, `-` and `.`, not starting with `.`";
            issues.push(ParamIssue::new("extract_json", message));
        }
        issues
    }
}

/// One participant.
struct Participant {
    name: String,
    class: usize,
    subtype: usize,
}

impl Run for GenerateSheppLogan {
    fn run(params: &GenerateSheppLoganParams, context: &Context) -> Result<(), StageError> {
        let everybody = CLASSES
            .iter()
            .enumerate()
            .flat_map(|(class, _)| (0..params.n_subjects).map(move |number| (class, number)));
        let participants: Vec<Participant> = everybody
            .map(|(class, number)| {
                let name = format!("sub-CLNC{class}{number:04}");
                let mut rng = context.stream().child(&name).child("subtype").rng();
                let subtype = choose(params.distribution(class), rng.random());
                Participant {
                    name,
                    class,
                    subtype,
                }
            })
            .collect();
        let images = for_each(&participants, context, "images", |participant| {
            item(params, participant, "image", context, |path, data| {
                let size = params.image_size;
                nifti::write(path, &slice(data, size))
            })
        })?;
        let tensors = for_each(&participants, context, "images", |participant| {
            item(params, participant, "tensor", context, |path, data| {
                let size = params.image_size;
                let array = Array::try_new(vec![1, size, size], ArrayData::F32(data));
                let bytes = write_pt(&array.map_err(StageError::internal)?);
                std::fs::write(path, bytes).map_err(|e| StageError::io("write", path, &e))
            })
        })?;
        let caps = context.output("caps")?;
        let mut rows = Vec::with_capacity(participants.len());
        for ((participant, image), tensor) in participants.into_iter().zip(&images).zip(&tensors) {
            let name = participant.name;
            let (folder, stem) = (
                format!("subjects/{name}/{SESSION}"),
                format!("{name}_{SESSION}_space-SheppLogan"),
            );
            caps.place(
                &format!("{folder}/shepplogan/{name}_{SESSION}{SUFFIX}"),
                image,
            );
            caps.place(
                &format!(
                    "{folder}/deeplearning_prepare_data/slice_based/custom/\
                     {stem}_axis-axi_channel-single_slice-0_phantom.pt"
                ),
                tensor,
            );
            rows.push(Row {
                participant: name,
                session: SESSION.to_owned(),
                cells: vec![
                    CLASSES[participant.class].to_owned(),
                    participant.subtype.to_string(),
                ],
            });
        }
        write_extraction(params, context)?;
        tables::write(&["diagnosis", "subtype"], rows, context)
    }
}

/// One file of a participant. The phantom is drawn for each of its two files: that takes less time than
/// compressing it.
fn item(
    params: &GenerateSheppLoganParams,
    participant: &Participant,
    form: &str,
    context: &Context,
    write: impl Fn(&std::path::Path, Vec<f32>) -> Result<(), StageError>,
) -> Result<Item, StageError> {
    let stream = context.stream().child(&participant.name).child("phantom");
    let identity = json!({
        "stage": GenerateSheppLogan::ID,
        "version": GenerateSheppLogan::VERSION,
        "form": form,
        "image_size": params.image_size,
        "smoothing": params.smoothing,
        "subtype": participant.subtype,
        "seed": stream.seed().to_string(),
    });
    // There is no input: all is in the identity.
    context.item(&identity, Digest::of(b""), |path| {
        let subtype = Subtype::ALL[participant.subtype];
        let data = phantom::draw(
            params.image_size,
            subtype,
            params.smoothing,
            &mut stream.rng(),
        );
        #[expect(clippy::cast_possible_truncation, reason = "images are float32")]
        let data = data.into_iter().map(|value| value as f32).collect();
        write(path, data)
    })
}

/// A phantom as an image of one axial slice, 1 mm pixels, the origin in its centre.
fn slice(data: Vec<f32>, size: usize) -> Volume {
    let middle = -(size as f64 - 1.0) / 2.0;
    Volume {
        data,
        shape: [size, size, 1],
        affine: [
            [1.0, 0.0, 0.0, middle],
            [0.0, 1.0, 0.0, middle],
            [0.0, 0.0, 1.0, 0.0],
            [0.0, 0.0, 0.0, 1.0],
        ],
    }
}

/// The subtype at a place between 0 and 1 of the cumulative distribution.
fn choose(probabilities: [f64; 3], place: f64) -> usize {
    let mut end = 0.0;
    let ends = probabilities.map(|p| {
        end += p;
        end
    });
    // Rounding may leave the sum below 1: the last subtype that exists has the rest.
    let last = probabilities.iter().rposition(|&p| p > 0.0).unwrap_or(0);
    ends.iter().position(|&end| place < end).unwrap_or(last)
}

/// What ClinicaDL 1.6.1 needs to find the tensors, `custom_suffix` included, which it asks for and does
/// not write itself.
fn write_extraction(
    params: &GenerateSheppLoganParams,
    context: &Context,
) -> Result<(), StageError> {
    let stem = params.extract_json.trim_end_matches(".json");
    let name = format!("{stem}.json");
    let extraction = json!({
        "preprocessing": "custom",
        "mode": "slice",
        "use_uncropped_image": false,
        "custom_suffix": SUFFIX,
        "prepare_dl": true,
        "extract_json": name,
        "slice_direction": 2,
        "slice_mode": "single",
        "discarded_slices": 0,
        "num_slices": 1,
        "file_type": {
            "pattern": format!("*{SUFFIX}"),
            "description": "Custom suffix",
            "needed_pipeline": "shepplogan",
        },
    });
    let text = serde_json::to_string_pretty(&extraction).map_err(StageError::internal)?;
    let path = format!("tensor_extraction/{name}");
    context.output("caps")?.write(&path, text.as_bytes())
}
