//! Stage `generate-hypometabolic`: PET images with a lower uptake where a disease lowers it.
//!
//! # Source
//! ClinicaDL 1.6.1, `generate hypometabolic`; Hassanaly et al. 2024, doi:10.59275/j.melba.2024-b87a.

use std::sync::{Arc, Mutex, PoisonError};

use engine::{Context, InputFile, InputPort, ParamIssue, Ports, Run, Stage, StageError};
use serde_json::json;

use super::blur;
use super::source::{self, Source, SourceChoice};
use super::tables::{self, Row};
use crate::caps;
use crate::grid;
use crate::io::nifti;
use crate::parallel::for_each;
use crate::preprocessing::{PreprocessingName, SuvrRegion};
use crate::volume::{Affine, Volume};

engine::params! {
    /// Parameters of `generate-hypometabolic`.
    pub struct GenerateHypometabolicParams {
        /// Take the images that were not cropped. Default: false.
        semantic use_uncropped_image: bool = false,
        /// Tracer of the images. Default: 18FFDG.
        semantic tracer: String = "18FFDG".to_owned(),
        /// Reference region of the images. Default: cerebellumPons2.
        semantic suvr_reference_region: SuvrRegion = SuvrRegion::CerebellumPons2,
        /// Number of participants, at least 1. Default: all that the CAPS has.
        #[schemars(range(min = 1, max = 1_000_000))]
        semantic n_subjects: Option<usize> = None,
        /// What the mask stands for, in file names and tables, such as ad or bvftd. Default: ad.
        #[schemars(length(min = 1, max = 50))]
        semantic pathology: String = "ad".to_owned(),
        /// Loss of uptake inside the mask, in percent, 0 to 100. Default: 30.
        #[schemars(range(min = 0.0, max = 100.0))]
        semantic anomaly_degree: f64 = 30.0,
        /// Standard deviation of the blur of the mask's borders, in voxels, 0 to 100. Default: 5.
        #[schemars(range(min = 0.0, max = 100.0))]
        semantic sigma: f64 = 5.0,
    }
}

impl GenerateHypometabolicParams {
    fn source(&self) -> SourceChoice {
        SourceChoice::new(
            PreprocessingName::PetLinear,
            self.use_uncropped_image,
            Some(&self.tracer),
            Some(self.suvr_reference_region),
        )
    }
}

/// Lowers the uptake inside a mask.
#[derive(Debug)]
pub struct GenerateHypometabolic;

impl Stage for GenerateHypometabolic {
    const ID: &'static str = "generate-hypometabolic";
    const VERSION: u32 = 2;
    const SUMMARY: &'static str = "Generates PET images with a region of lower uptake.";
    type Params = GenerateHypometabolicParams;

    fn ports(_: &GenerateHypometabolicParams) -> Ports {
        let summary = "Where the uptake is lower: 1 inside, 0 outside, on any grid.";
        source::ports(Some(InputPort::new("mask", &["volume"], summary)))
    }

    fn check(params: &GenerateHypometabolicParams) -> Vec<ParamIssue> {
        let mut issues = params.source().check();
        issues.extend(source::check_label("pathology", &params.pathology));
        issues
    }

    fn selects(params: &GenerateHypometabolicParams, port: &str, path: &str) -> bool {
        port != "caps" || caps::selects(&params.source().pattern(), path)
    }
}

impl Run for GenerateHypometabolic {
    fn run(params: &GenerateHypometabolicParams, context: &Context) -> Result<(), StageError> {
        let file = context.input("mask")?.only_file()?;
        let effect = Effect::read(file, params)?;
        let sources = source::sources(&params.source().pattern(), context)?;
        let sources = source::some_baseline(sources, params.n_subjects)?;
        let identity = json!({
            "stage": Self::ID,
            "version": Self::VERSION,
            "anomaly_degree": params.anomaly_degree,
            "sigma": params.sigma,
            "mask": file.digest,
        });
        let items = for_each(&sources, context, "images", |source| {
            context.item(&identity, source.file.digest, |path| {
                nifti::write(path, &effect.apply(source)?)
            })
        })?;
        let pathology = &params.pathology;
        // Whole percent, as there.
        let entities = format!("pat-{pathology}_deg-{}_", params.anomaly_degree.trunc());
        let caps = context.output("caps")?;
        let mut rows = Vec::with_capacity(sources.len());
        for (source, item) in sources.into_iter().zip(&items) {
            caps.place(
                &source.path(&source.participant, &source.session, &entities),
                item,
            );
            let percentage = format!("{:?}", params.anomaly_degree);
            rows.push(Row {
                participant: source.participant,
                session: source.session,
                cells: vec![pathology.clone(), pathology.clone(), percentage],
            });
        }
        tables::write(&["diagnosis", "pathology", "percentage"], rows, context)
    }
}

/// What images are multiplied with.
struct Effect {
    mask: Volume,
    shown: String,
    degree: f64,
    sigma: f64,
    /// The factors of the grid seen last: images of one CAPS share theirs.
    last: Mutex<Option<Arc<Factors>>>,
}

/// Factors on the grid of an image.
struct Factors {
    shape: [usize; 3],
    affine: Affine,
    values: Vec<f64>,
    /// Whether the mask has a part of each voxel.
    inside: Vec<bool>,
}

impl Effect {
    fn read(file: &InputFile, params: &GenerateHypometabolicParams) -> Result<Self, StageError> {
        let mask = nifti::read(&file.path, &file.shown)?;
        let shown = file.shown.clone();
        if mask.data.iter().any(|value| !(0.0..=1.0).contains(value)) {
            let message = format!("mask `{shown}` has values outside of 0 to 1");
            return Err(StageError::new(message));
        }
        Ok(Self {
            mask,
            shown,
            degree: params.anomaly_degree,
            sigma: params.sigma,
            last: Mutex::new(None),
        })
    }

    fn apply(&self, source: &Source) -> Result<Volume, StageError> {
        let mut image = source.read()?;
        let shown = &source.file.shown;
        let factors = self.factors(&image)?;
        let pairs = factors.inside.iter().zip(&image.data);
        if !pairs
            .clone()
            .any(|(&inside, &value)| inside && value != 0.0)
        {
            let message = format!(
                "no voxel of mask `{}` has an intensity in `{shown}`",
                self.shown
            );
            let hint = "both are placed by their affines: compare them in a viewer";
            return Err(StageError::new(message).hint(hint));
        }
        for (value, factor) in image.data.iter_mut().zip(&factors.values) {
            #[expect(clippy::cast_possible_truncation, reason = "images are float32")]
            let lower = (f64::from(*value) * factor) as f32;
            *value = lower;
        }
        Ok(image)
    }

    /// The factors of an image's grid, computed once for neighbours that share it.
    fn factors(&self, image: &Volume) -> Result<Arc<Factors>, StageError> {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(factors) = last.as_ref()
            && (factors.shape, factors.affine) == (image.shape, image.affine)
        {
            return Ok(Arc::clone(factors));
        }
        let mask = grid::nearest(&self.mask, &self.shown, image.shape, &image.affine)?;
        let factors = Arc::new(Factors {
            shape: image.shape,
            affine: image.affine,
            inside: mask.iter().map(|&value| value > 0.0).collect(),
            values: factors(&mask, image.shape, self.degree, self.sigma),
        });
        *last = Some(Arc::clone(&factors));
        Ok(factors)
    }
}

/// `1 − degree` inside the mask and 1 outside, blurred; a voxel that is partly inside loses that part.
///
/// In ClinicaDL 1.6.1 a value of the mask that is neither 0 nor 1 is the loss itself, whatever the degree.
pub(super) fn factors(mask: &[f32], shape: [usize; 3], degree: f64, sigma: f64) -> Vec<f64> {
    let raw = mask
        .iter()
        .map(|&value| 1.0 - degree / 100.0 * f64::from(value));
    blur::gaussian(raw.collect(), &shape, &[sigma; 3])
}
