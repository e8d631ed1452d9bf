//! Stage `generate`: synthetic participants with a planted difference, from a real template.
//!
//! Each participant's brain is the template under a smooth random deformation of its own, so that no
//! two are alike; participants of the first class have a region darkened or brightened. Each image
//! depends on the seed and its own number only: any number of workers, and any number of other
//! participants, give the same bytes.

mod deformation;

use std::sync::atomic::{AtomicUsize, Ordering};

use engine::items::Item;
use engine::seed::Stream;
use engine::{Context, InputPort, OutputPort, ParamIssue, Ports, Run, Stage, StageError};
use rand::Rng;
use rand_distr::{Distribution, Normal};
use rayon::prelude::*;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::io::nifti;
use crate::volume::{Affine, Volume, sub_grid, to_world};
use deformation::Deformation;

/// The grid of cropped t1-linear images.
const T1_LINEAR: [usize; 3] = [169, 208, 179];
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
        #[schemars(range(min = 0.1))]
        semantic radius_mm: f64 = 12.0,
        /// Loss of intensity at the centres, in percent; negative brightens. Default: 40.
        #[schemars(range(min = -1000.0, max = 100.0))]
        semantic atrophy_percent: f64 = 40.0,
        /// With a mask: its values above this, relative to its maximum, are affected, 0 to 1. Default: 0.5.
        #[schemars(range(min = 0.0, max = 1.0))]
        semantic mask_threshold: f64 = 0.5,
        /// Size of the random deformation, in millimetres. Default: 3.
        #[schemars(range(min = 0.0, max = 20.0))]
        semantic deformation_mm: f64 = 3.0,
        /// Standard deviation of the noise, in percent of the template's maximum. Default: 1.
        #[schemars(range(min = 0.0))]
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
    const VERSION: u32 = 1;
    const SUMMARY: &'static str = "Generates a CAPS of synthetic participants from a template.";
    const SEEDED: bool = true;
    type Params = GenerateParams;

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
        let source = context.input("template")?;
        let file = source.only_file()?;
        let template = cut(
            nifti::read(&file.path, &file.shown)?,
            params.crop,
            &file.shown,
        )?;
        let mask = match context.optional_input("mask") {
            Some(mask) => {
                let file = mask.only_file()?;
                let mask = cut(
                    nifti::read(&file.path, &file.shown)?,
                    params.crop,
                    &file.shown,
                )?;
                if mask.shape != template.shape {
                    return Err(StageError::new(format!(
                        "`{}` has shape {:?}, expected {:?} as the template",
                        file.shown, mask.shape, template.shape
                    )));
                }
                Some(mask)
            }
            None => None,
        };
        let affected = affected(params, &template, mask.as_ref())?;
        let sessions = participants(params, context);
        let inputs = json!({
            "template": source.digest,
            "mask": context.optional_input("mask").map(|mask| mask.digest),
        });
        let items = images(params, &template, &affected, &sessions, &inputs, context)?;
        write_outputs(&sessions, &items, context)
    }
}

/// Cuts a template to the t1-linear grid, centred, where it is larger.
fn cut(volume: Volume, crop: bool, shown: &str) -> Result<Volume, StageError> {
    if !crop {
        return Ok(volume);
    }
    if volume
        .shape
        .iter()
        .zip(T1_LINEAR)
        .any(|(&size, wanted)| size < wanted)
    {
        let shape = volume.shape;
        let message = format!("`{shown}` has shape {shape:?}, smaller than {T1_LINEAR:?}");
        return Err(StageError::new(message).hint("set `crop: false`"));
    }
    let start = [0, 1, 2].map(|axis| (volume.shape[axis] - T1_LINEAR[axis]) / 2);
    let [nx, ny, nz] = T1_LINEAR;
    let mut data = Vec::with_capacity(nx * ny * nz);
    for x in 0..nx {
        for y in 0..ny {
            let at = ((x + start[0]) * volume.shape[1] + y + start[1]) * volume.shape[2] + start[2];
            data.extend_from_slice(&volume.data[at..at + nz]);
        }
    }
    let affine = sub_grid(&volume.affine, start, [1; 3]);
    Ok(Volume {
        data,
        shape: T1_LINEAR,
        affine,
    })
}

/// The template as the first class has it.
fn affected(
    params: &GenerateParams,
    template: &Volume,
    mask: Option<&Volume>,
) -> Result<Vec<f32>, StageError> {
    let threshold = mask.map(|mask| {
        let most = mask
            .data
            .iter()
            .copied()
            .filter(|v| v.is_finite())
            .fold(0.0, f32::max);
        f64::from(most) * params.mask_threshold
    });
    let [_, ny, nz] = template.shape;
    let mut changed = false;
    let data = (template.data.iter().enumerate())
        .map(|(at, &value)| {
            let inside = match (mask, threshold) {
                (Some(mask), Some(threshold)) => f64::from(mask.data[at]) > threshold,
                _ => true,
            };
            if !inside || value == 0.0 {
                return value;
            }
            let index = [at / (ny * nz), at / nz % ny, at % nz].map(|i| i as f64);
            let effect = effect(params, &template.affine, index);
            changed |= effect > 0.01;
            #[expect(clippy::cast_possible_truncation, reason = "images are float32")]
            let factor = (1.0 - params.atrophy_percent / 100.0 * effect) as f32;
            value * factor
        })
        .collect();
    if !changed {
        return Err(StageError::new(
            "the region of the effect is empty: no voxel is near a centre",
        )
        .hint("`centres_mm` are millimetres in the space of the template's affine"));
    }
    Ok(data)
}

/// The strength of the effect at a voxel, 1 at a centre.
fn effect(params: &GenerateParams, affine: &Affine, index: [f64; 3]) -> f64 {
    let here = to_world(affine, index);
    let nearest = params.centres_mm.iter().map(|centre| {
        here.iter()
            .zip(centre)
            .map(|(a, b)| (a - b) * (a - b))
            .sum::<f64>()
    });
    let squared = nearest.fold(f64::INFINITY, f64::min);
    (-squared / (2.0 * params.radius_mm * params.radius_mm)).exp()
}

/// One session to generate.
struct Session {
    number: usize,
    participant: String,
    session: &'static str,
    class: usize,
    sex: char,
    age: f64,
}

fn participants(params: &GenerateParams, context: &Context) -> Vec<Session> {
    let mut sessions = Vec::new();
    for number in 0..params.n_participants {
        let mut rng = stream(context, number).child("demographics").rng();
        let age = f64::from(rng.random_range(600..850_u32)) / 10.0;
        let follow_up = rng.random_bool(params.follow_up_fraction);
        let session = |session, age| Session {
            number,
            participant: format!("sub-TRIV{number:03}"),
            session,
            class: number % CLASSES.len(),
            // Alternates in pairs: each class has as many of either sex.
            sex: if number / 2 % 2 == 0 { 'F' } else { 'M' },
            age,
        };
        sessions.push(session("ses-M000", age));
        if follow_up {
            sessions.push(session("ses-M012", age + 1.0));
        }
    }
    sessions
}

fn stream(context: &Context, number: usize) -> Stream {
    context.stream().child("participant").child(number)
}

fn images(
    params: &GenerateParams,
    template: &Volume,
    affected: &[f32],
    sessions: &[Session],
    inputs: &serde_json::Value,
    context: &Context,
) -> Result<Vec<Item>, StageError> {
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(context.slots().cpus)
        .build()
        .map_err(StageError::environment)?;
    let mut semantic = serde_json::to_value(params).map_err(StageError::internal)?;
    // How many others there are does not matter to an image.
    for field in ["n_participants", "follow_up_fraction"] {
        semantic
            .as_object_mut()
            .map(|fields| fields.shift_remove(field));
    }
    let done = AtomicUsize::new(0);
    let one = |session: &Session| {
        context.check_cancelled()?;
        let seed = stream(context, session.number).seed();
        let identity = json!({
            "stage": Generate::ID, "version": Generate::VERSION, "params": semantic,
            "inputs": inputs, "seed": seed.to_string(), "session": session.session,
            "class": CLASSES[session.class],
        });
        let digest = context.input("template")?.digest;
        let item = context.item(&identity, digest, |path| {
            let source = if session.class == 0 {
                affected
            } else {
                &template.data
            };
            let stream = stream(context, session.number);
            nifti::write(path, &image(params, template, source, session, &stream)?)
        })?;
        let done = done.fetch_add(1, Ordering::Relaxed) + 1;
        context.progress(done, sessions.len(), "images");
        Ok(item)
    };
    pool.install(|| sessions.par_iter().map(one).collect())
}

/// One image: the deformation is the participant's, gain and noise are the session's.
fn image(
    params: &GenerateParams,
    template: &Volume,
    source: &[f32],
    session: &Session,
    stream: &Stream,
) -> Result<Volume, StageError> {
    let deformation = Deformation::draw(
        template.shape,
        template.spacing_mm(),
        params.deformation_mm,
        &mut stream.child("deformation").rng(),
    );
    let mut data = deformation.apply(source, template.shape);
    let most = template
        .data
        .iter()
        .copied()
        .filter(|v| v.is_finite())
        .fold(0.0, f32::max);
    let mut rng = stream.child(session.session).rng();
    let normal = |sd: f64| Normal::new(0.0, sd).map_err(StageError::internal);
    let gain = 1.0 + normal(params.gain_percent / 100.0)?.sample(&mut rng);
    let noise = normal(f64::from(most) * params.noise_percent / 100.0)?;
    for value in &mut data {
        let noisy = f64::from(*value) * gain + noise.sample(&mut rng);
        #[expect(clippy::cast_possible_truncation, reason = "images are float32")]
        let clipped = noisy.max(0.0) as f32;
        *value = clipped;
    }
    Ok(Volume {
        data,
        shape: template.shape,
        affine: template.affine,
    })
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
