//! Stage `generate-artifacts`: images as they look after motion, with another contrast, or with noise.
//!
//! # Source
//! ClinicaDL 1.6.1, `generate artifacts`; TorchIO 0.18, Pérez-García et al. 2021,
//! doi:10.1016/j.cmpb.2021.106236.

pub(crate) mod intensity;
pub(crate) mod motion;

use engine::seed::Stream;
use engine::{Context, ParamIssue, Ports, Run, Stage, StageError};
use rand_distr::Normal;
use serde_json::json;

use super::random;
use super::source::{self, Source, SourceChoice};
use super::tables::{self, Row, truth};
use super::uniform;
use crate::caps;
use crate::io::nifti;
use crate::parallel::for_each;
use crate::preprocessing::{PreprocessingName, SuvrRegion};
use crate::volume::Volume;
use motion::Movement;

engine::params! {
    /// Parameters of `generate-artifacts`. Artifacts are applied in the order motion, contrast, noise.
    pub struct GenerateArtifactsParams {
        /// The preprocessing that made the images. Default: t1-linear.
        semantic preprocessing: PreprocessingName = PreprocessingName::T1Linear,
        /// Take the images that were not cropped. Default: false.
        semantic use_uncropped_image: bool = false,
        /// Tracer of PET images, such as 18FFDG; pet-linear needs one.
        semantic tracer: Option<String> = None,
        /// Reference region of PET images; pet-linear needs one.
        semantic suvr_reference_region: Option<SuvrRegion> = None,
        /// Simulate movements of the head. Default: false.
        semantic motion: bool = false,
        /// Range of the translations along each axis, in millimetres. Default: 2 to 4.
        semantic translation: [f64; 2] = [2.0, 4.0],
        /// Range of the rotations about each axis, in degrees. Default: 2 to 4.
        semantic rotation: [f64; 2] = [2.0, 4.0],
        /// Number of movements during an acquisition, 1 to 100. Default: 2.
        #[schemars(range(min = 1, max = 100))]
        semantic num_transforms: usize = 2,
        /// Change the contrast. Default: false.
        semantic contrast: bool = false,
        /// Range of the logarithm of the exponent of intensities. Default: -0.2 to -0.05.
        semantic gamma: [f64; 2] = [-0.2, -0.05],
        /// Add noise. Default: false.
        semantic noise: bool = false,
        /// Range of the noise's standard deviation, in units of the image. Default: 5 to 15.
        semantic noise_std: [f64; 2] = [5.0, 15.0],
    }
}

/// The largest parameters that make sense: gamma's exponential is finite.
const LARGEST: [(&str, f64); 4] = [
    ("translation", 1e6),
    ("rotation", 360.0),
    ("gamma", 10.0),
    ("noise_std", 1e9),
];

impl GenerateArtifactsParams {
    fn source(&self) -> SourceChoice {
        SourceChoice::new(
            self.preprocessing,
            self.use_uncropped_image,
            self.tracer.as_deref(),
            self.suvr_reference_region,
        )
    }

    /// The chosen artifacts in the order of their application, with what file names say.
    fn chosen(&self) -> Vec<(&'static str, &'static str)> {
        let all = [
            (self.motion, ("motion", "mot")),
            (self.contrast, ("contrast", "con")),
            (self.noise, ("noise", "noi")),
        ];
        all.into_iter()
            .filter(|(on, _)| *on)
            .map(|(_, names)| names)
            .collect()
    }
}

/// Simulates artifacts.
#[derive(Debug)]
pub struct GenerateArtifacts;

impl Stage for GenerateArtifacts {
    const ID: &'static str = "generate-artifacts";
    const VERSION: u32 = 2;
    const SUMMARY: &'static str = "Generates images with motion, another contrast or noise.";
    type Params = GenerateArtifactsParams;

    fn is_seeded(_: &GenerateArtifactsParams) -> bool {
        true
    }

    fn ports(_: &GenerateArtifactsParams) -> Ports {
        source::ports(None)
    }

    fn check(params: &GenerateArtifactsParams) -> Vec<ParamIssue> {
        let mut issues = params.source().check();
        if params.chosen().is_empty() {
            let message = "nothing to do: set at least one of `motion`, `contrast`, `noise`";
            issues.push(ParamIssue::new("motion", message));
        }
        let ranges = [
            params.translation,
            params.rotation,
            params.gamma,
            params.noise_std,
        ];
        for ((field, largest), [from, to]) in LARGEST.into_iter().zip(ranges) {
            let least = if field == "noise_std" { 0.0 } else { -largest };
            // Written so that NaN is refused.
            if !(least <= from && from <= to && to <= largest) {
                let message = format!(
                    "expected two numbers from {least} to {largest}, the smaller one first"
                );
                issues.push(ParamIssue::new(field, message));
            }
        }
        issues
    }

    fn selects(params: &GenerateArtifactsParams, port: &str, path: &str) -> bool {
        port != "caps" || caps::selects(&params.source().pattern(), path)
    }
}

impl Run for GenerateArtifacts {
    fn run(params: &GenerateArtifactsParams, context: &Context) -> Result<(), StageError> {
        let sources = source::sources(&params.source().pattern(), context)?;
        let items = for_each(&sources, context, "images", |source| {
            let drawn = Drawn::of(params, context, source);
            let identity = json!({
                "stage": Self::ID,
                "version": Self::VERSION,
                // All that was drawn follows from these.
                "motion": params.motion.then(|| {
                    json!([params.translation, params.rotation, params.num_transforms])
                }),
                "contrast": params.contrast.then_some(params.gamma),
                "noise": params.noise.then_some(params.noise_std),
                "seed": drawn.stream.seed().to_string(),
            });
            context.item(&identity, source.file.digest, |path| {
                nifti::write(path, &drawn.apply(source.read()?, &source.file.shown)?)
            })
        })?;
        let chosen = params.chosen();
        let join = |names: Vec<&str>| names.join("-");
        let entities = format!(
            "art-{}_",
            join(chosen.iter().map(|names| names.1).collect())
        );
        let diagnosis = join(chosen.iter().map(|names| names.0).collect());
        let caps = context.output("caps")?;
        let mut rows = Vec::with_capacity(sources.len());
        for (source, item) in sources.into_iter().zip(&items) {
            caps.place(
                &source.path(&source.participant, &source.session, &entities),
                item,
            );
            let drawn = Drawn::of(params, context, &source);
            let number = |value: Option<f64>| value.map_or(String::new(), |v| v.to_string());
            rows.push(Row {
                participant: source.participant,
                session: source.session,
                cells: vec![
                    diagnosis.clone(),
                    truth(params.motion),
                    truth(params.contrast),
                    truth(params.noise),
                    number(drawn.gamma),
                    number(drawn.noise_std),
                ],
            });
        }
        let columns = [
            "diagnosis",
            "motion",
            "contrast",
            "noise",
            "gamma",
            "noise_std",
        ];
        tables::write(&columns, rows, context)
    }
}

/// What was drawn for one image.
struct Drawn {
    stream: Stream,
    movements: Vec<Movement>,
    gamma: Option<f64>,
    noise_std: Option<f64>,
}

impl Drawn {
    /// Each artifact has a stream of its own: choosing another one does not change it.
    fn of(params: &GenerateArtifactsParams, context: &Context, source: &Source) -> Self {
        let stream = context.stream().child("image").child(&source.participant);
        let stream = stream.child(&source.session);
        let rng = |purpose: &str| stream.child(purpose).rng();
        let movements = if params.motion {
            let (rotation, translation) = (params.rotation, params.translation);
            motion::draw(
                rotation,
                translation,
                params.num_transforms,
                &mut rng("motion"),
            )
        } else {
            Vec::new()
        };
        let gamma = || uniform(params.gamma, &mut rng("contrast")).exp();
        let noise_std = || uniform(params.noise_std, &mut rng("noise level"));
        Self {
            movements,
            gamma: params.contrast.then(gamma),
            noise_std: params.noise.then(noise_std),
            stream,
        }
    }

    fn apply(&self, mut volume: Volume, shown: &str) -> Result<Volume, StageError> {
        if !self.movements.is_empty() {
            volume.data = motion::apply(&volume, &self.movements, shown)?;
        }
        if let Some(gamma) = self.gamma {
            intensity::contrast(&mut volume.data, gamma);
        }
        if let Some(sd) = self.noise_std {
            let noise = Normal::new(0.0, sd).map_err(StageError::internal)?;
            volume = random::noisy(&volume, noise, &mut self.stream.child("noise").rng());
        }
        Ok(volume)
    }
}
