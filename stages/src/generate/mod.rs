//! Stage `generate`: synthetic participants with a planted difference, from a real template.
//!
//! Each participant's brain is the template under a smooth random deformation of its own, so that no
//! two are alike; participants of the first class have a region darkened or brightened. Each image
//! depends on the seed and its own number only: any number of workers, and any number of other
//! participants, give the same bytes.
//!
//! The other stages of this family, one file each, are those of ClinicaDL 1.6.1's `generate`.

mod artifacts;
pub(crate) mod blur;
mod deformation;
mod hypometabolic;
mod images;
mod random;
mod sessions;
mod shepplogan;
mod source;
mod tables;
mod template;
mod trivial;

use engine::items::Item;
use engine::{Context, InputPort, OutputPort, ParamIssue, Ports, Run, Stage, StageError};
use rand::Rng;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::volume::Volume;
use sessions::Session;

pub use artifacts::{GenerateArtifacts, GenerateArtifactsParams};
pub(crate) use artifacts::{intensity, motion};
pub use hypometabolic::{GenerateHypometabolic, GenerateHypometabolicParams};
pub use random::{GenerateRandom, GenerateRandomParams};
pub use shepplogan::{GenerateSheppLogan, GenerateSheppLoganParams};
pub use trivial::{GenerateTrivial, GenerateTrivialParams};

/// A number of a range.
pub(crate) fn uniform([from, to]: [f64; 2], rng: &mut impl Rng) -> f64 {
    from + (to - from) * rng.random::<f64>()
}

/// Classes: the first has the planted effect.
const CLASSES: [&str; 2] = ["AD", "CN"];

/// What is generated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// A region differs between the classes.
    Trivial,
}

engine::params! {
    /// Parameters of `generate`.
    pub struct GenerateParams {
        /// What is generated. Default: trivial, a region that differs between the classes.
        semantic kind: Kind = Kind::Trivial,
        /// Number of participants, alternately AD and CN, at least 2. Default: 40.
        #[schemars(range(min = 2, max = 1_000_000))]
        semantic n_participants: usize = 40,
        /// Fraction of participants with a second session, twelve months later, 0 to 1. Default: 0.25.
        #[schemars(range(min = 0.0, max = 1.0))]
        semantic follow_up_fraction: f64 = 0.25,
        /// Cut the template to the 169×208×179 voxels of cropped t1-linear images. Default: true.
        semantic crop: bool = true,
        /// Centres of the region, in millimetres. Default: both hippocampi in MNI space.
        #[schemars(length(min = 1))]
        semantic centres_mm: Vec<[f64; 3]> = vec![[-26.0, -22.0, -14.0], [26.0, -22.0, -14.0]],
        /// Radius (standard deviation) of the region round each centre, in millimetres. Default: 12.
        #[schemars(range(min = 0.1, max = 1000.0))]
        semantic radius_mm: f64 = 12.0,
        /// Loss of intensity at the centres, in percent; negative brightens. Default: 40.
        #[schemars(range(min = -1000.0, max = 100.0))]
        semantic atrophy_percent: f64 = 40.0,
        /// Mask values above this part of the mask's maximum are affected, 0 to 1. Default: 0.5.
        #[schemars(range(min = 0.0, max = 1.0))]
        semantic mask_threshold: f64 = 0.5,
        /// Size of the random deformation, in millimetres. Default: 3.
        #[schemars(range(min = 0.0, max = 20.0))]
        semantic deformation_mm: f64 = 3.0,
        /// Standard deviation of the noise, in percent of the template's maximum. Default: 1.
        #[schemars(range(min = 0.0, max = 1000.0))]
        semantic noise_percent: f64 = 1.0,
        /// Standard deviation of the brightness of whole images, in percent. Default: 5.
        #[schemars(range(min = 0.0, max = 30.0))]
        semantic gain_percent: f64 = 5.0,
    }
}

/// Generates a CAPS and its labels.
#[derive(Debug)]
pub struct Generate;

impl Stage for Generate {
    const ID: &'static str = "generate";
    const VERSION: u32 = 2;
    const SUMMARY: &'static str = "Generates a CAPS of synthetic participants from a template.";
    type Params = GenerateParams;

    fn is_seeded(_: &GenerateParams) -> bool {
        true
    }

    fn ports(_: &GenerateParams) -> Ports {
        Ports {
            inputs: vec![
                InputPort::new("template", &["volume"], "A T1-weighted image in MNI space."),
                InputPort::new(
                    "mask",
                    &["volume"],
                    "Restricts the effect, such as grey matter.",
                )
                .optional(),
            ],
            outputs: vec![
                OutputPort::new("caps", "caps", "The images."),
                OutputPort::new("labels", "table", "Diagnosis, sex and age of each session."),
            ],
        }
    }

    fn check(params: &GenerateParams) -> Vec<ParamIssue> {
        let finite = params.centres_mm.iter().flatten().all(|mm| mm.is_finite());
        if finite {
            Vec::new()
        } else {
            vec![ParamIssue::new("centres_mm", "must be finite")]
        }
    }
}

impl Run for Generate {
    fn run(params: &GenerateParams, context: &Context) -> Result<(), StageError> {
        let template = template::read(context.input("template")?, params.crop)?;
        let mask = match context.optional_input("mask") {
            Some(input) => Some(template::read_mask(input, params.crop, &template)?),
            None => None,
        };
        let ill = template::ill(params, &template, mask.as_ref())?;
        let sessions = sessions::draw(params, context);
        let sources = Sources { template, ill };
        let items = images::generate(params, &sources, &sessions, context)?;
        write_outputs(&sessions, &items, context)
    }
}

/// What images are deformed from.
struct Sources {
    /// The template, as participants of the second class have it.
    template: Volume,
    /// Intensities of the template with the effect, as participants of the first class have it.
    ill: Vec<f32>,
}

fn write_outputs(
    sessions: &[Session],
    items: &[Item],
    context: &Context,
) -> Result<(), StageError> {
    let mut labels = String::from("participant_id\tsession_id\tdiagnosis\tsex\tage\n");
    for (session, item) in sessions.iter().zip(items) {
        let (sub, ses) = (&session.participant, session.session);
        let name = format!(
            "subjects/{sub}/{ses}/t1_linear/\
             {sub}_{ses}_space-MNI152NLin2009cSym_desc-Crop_res-1x1x1_T1w.nii.gz"
        );
        context.output("caps")?.place(&name, item);
        let (class, sex, age) = (CLASSES[session.class], session.sex, session.age);
        labels.push_str(&format!("{sub}\t{ses}\t{class}\t{sex}\t{age:.1}\n"));
    }
    context
        .output("labels")?
        .write("labels.tsv", labels.as_bytes())
}

#[cfg(test)]
mod tests;
