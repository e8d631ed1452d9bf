//! Stage `generate-random`: participants that differ by noise alone, so that no class can be learned.
//!
//! # Source
//! ClinicaDL 1.6.1, `generate random`.

use engine::{Context, ParamIssue, Ports, Run, Stage, StageError};
use rand_distr::{Distribution, Normal};
use serde_json::json;

use super::CLASSES;
use super::source::{self, SourceChoice};
use super::tables::{self, Row};
use crate::caps;
use crate::io::nifti;
use crate::leakage::DERIVED_FROM;
use crate::parallel::for_each;
use crate::preprocessing::{PreprocessingName, SuvrRegion};
use crate::volume::Volume;

/// The session of every participant.
const SESSION: &str = "ses-M000";

engine::params! {
    /// Parameters of `generate-random`.
    pub struct GenerateRandomParams {
        /// The preprocessing that made the images. Default: t1-linear.
        semantic preprocessing: PreprocessingName = PreprocessingName::T1Linear,
        /// Take the images that were not cropped. Default: false.
        semantic use_uncropped_image: bool = false,
        /// Tracer of PET images, such as 18FFDG; pet-linear needs one.
        semantic tracer: Option<String> = None,
        /// Reference region of PET images; pet-linear needs one.
        semantic suvr_reference_region: Option<SuvrRegion> = None,
        /// Number of participants of each class, at least 1. Default: 300.
        #[schemars(range(min = 1, max = 1_000_000))]
        semantic n_subjects: usize = 300,
        /// Mean of the noise, in units of the image. Default: 0.
        #[schemars(range(min = -1e9, max = 1e9))]
        semantic mean: f64 = 0.0,
        /// Standard deviation of the noise, in units of the image, at least 0. Default: 0.5.
        #[schemars(range(min = 0.0, max = 1e9))]
        semantic sigma: f64 = 0.5,
    }
}

impl GenerateRandomParams {
    fn source(&self) -> SourceChoice {
        SourceChoice::new(
            self.preprocessing,
            self.use_uncropped_image,
            self.tracer.as_deref(),
            self.suvr_reference_region,
        )
    }
}

/// Adds noise to one image.
#[derive(Debug)]
pub struct GenerateRandom;

impl Stage for GenerateRandom {
    const ID: &'static str = "generate-random";
    const VERSION: u32 = 2;
    const SUMMARY: &'static str = "Generates participants that differ by noise alone.";
    type Params = GenerateRandomParams;

    fn is_seeded(_: &GenerateRandomParams) -> bool {
        true
    }

    fn ports(_: &GenerateRandomParams) -> Ports {
        source::ports(None)
    }

    fn check(params: &GenerateRandomParams) -> Vec<ParamIssue> {
        params.source().check()
    }

    fn selects(params: &GenerateRandomParams, port: &str, path: &str) -> bool {
        port != "caps" || caps::selects(&params.source().pattern(), path)
    }
}

impl Run for GenerateRandom {
    fn run(params: &GenerateRandomParams, context: &Context) -> Result<(), StageError> {
        let sources = source::sources(&params.source().pattern(), context)?;
        let first = sources
            .first()
            .ok_or_else(|| StageError::internal("there is no image"))?;
        let image = first.read()?;
        let noise = Normal::new(params.mean, params.sigma).map_err(StageError::internal)?;
        let numbers: Vec<usize> = (0..2 * params.n_subjects).collect();
        let items = for_each(&numbers, context, "images", |&number| {
            let stream = context.stream().child("participant").child(number);
            let identity = json!({
                "stage": Self::ID,
                "version": Self::VERSION,
                "mean": params.mean,
                "sigma": params.sigma,
                "seed": stream.seed().to_string(),
            });
            context.item(&identity, first.file.digest, |path| {
                nifti::write(path, &noisy(&image, noise, &mut stream.rng()))
            })
        })?;
        let caps = context.output("caps")?;
        let mut rows = Vec::with_capacity(numbers.len());
        for (number, item) in numbers.iter().zip(&items) {
            let participant = format!("sub-RAND{number}");
            caps.place(&first.path(&participant, SESSION, ""), item);
            let class = CLASSES[number / params.n_subjects];
            rows.push(Row {
                participant,
                session: SESSION.to_owned(),
                cells: [class, "60", "F", &first.participant]
                    .map(str::to_owned)
                    .to_vec(),
            });
        }
        tables::write(&["diagnosis", "age_bl", "sex", DERIVED_FROM], rows, context)
    }
}

/// An image with independent noise in every voxel.
pub(super) fn noisy(image: &Volume, noise: Normal<f64>, rng: &mut impl rand::Rng) -> Volume {
    let voxels = image.data.iter();
    #[expect(clippy::cast_possible_truncation, reason = "images are float32")]
    let data = voxels
        .map(|&value| (f64::from(value) + noise.sample(rng)) as f32)
        .collect();
    Volume {
        data,
        shape: image.shape,
        affine: image.affine,
    }
}
