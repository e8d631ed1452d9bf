//! Stage `generate-trivial`: each participant twice, with a region of either class darkened.
//!
//! # Source
//! ClinicaDL 1.6.1, `generate trivial`.

use std::sync::Once;

use engine::{
    Context, Digest, Input, InputFile, InputPort, ParamIssue, Ports, Run, Stage, StageError,
};
use rand::Rng;
use rand_distr::{Distribution, Normal};
use serde_json::json;

use super::CLASSES;
use super::source::{self, Source, SourceChoice};
use super::tables::{self, Row};
use crate::caps;
use crate::io::nifti;
use crate::leakage::DERIVED_FROM;
use crate::parallel::for_each;
use crate::preprocessing::{PreprocessingName, SuvrRegion};
use crate::volume::Volume;

/// Standard deviation of the raw noise, and what it is multiplied by to become percent.
const NOISE: (f64, f64) = (0.1, 10.0);
/// Differences of affines that only rounding makes, in millimetres.
const ROUNDING_MM: f64 = 1e-3;

engine::params! {
    /// Parameters of `generate-trivial`.
    pub struct GenerateTrivialParams {
        /// The preprocessing that made the images. Default: t1-linear.
        semantic preprocessing: PreprocessingName = PreprocessingName::T1Linear,
        /// Take the images that were not cropped. Default: false.
        semantic use_uncropped_image: bool = false,
        /// Tracer of PET images, such as 18FFDG; pet-linear needs one.
        semantic tracer: Option<String> = None,
        /// Reference region of PET images; pet-linear needs one.
        semantic suvr_reference_region: Option<SuvrRegion> = None,
        /// Number of participants of each class, at least 1. Default: all that the CAPS has.
        #[schemars(range(min = 1, max = 1_000_000))]
        semantic n_subjects: Option<usize> = None,
        /// Least loss of intensity inside the mask, in percent, 0 to 100. Default: 60.
        #[schemars(range(min = 0.0, max = 100.0))]
        semantic atrophy_percent: f64 = 60.0,
    }
}

impl GenerateTrivialParams {
    fn source(&self) -> SourceChoice {
        SourceChoice::new(
            self.preprocessing,
            self.use_uncropped_image,
            self.tracer.as_deref(),
            self.suvr_reference_region,
        )
    }
}

/// Darkens a region of each image, which one depends on the class.
#[derive(Debug)]
pub struct GenerateTrivial;

impl Stage for GenerateTrivial {
    const ID: &'static str = "generate-trivial";
    const VERSION: u32 = 2;
    const SUMMARY: &'static str = "Generates classes that differ by the region that is darkened.";
    type Params = GenerateTrivialParams;

    fn is_seeded(_: &GenerateTrivialParams) -> bool {
        true
    }

    fn ports(_: &GenerateTrivialParams) -> Ports {
        let summary = "A folder with mask-1.nii of the first class and mask-2.nii of the second.";
        source::ports(Some(InputPort::new("masks", &["masks"], summary)))
    }

    fn check(params: &GenerateTrivialParams) -> Vec<ParamIssue> {
        params.source().check()
    }

    fn selects(params: &GenerateTrivialParams, port: &str, path: &str) -> bool {
        match port {
            "caps" => caps::selects(&params.source().pattern(), path),
            "masks" => (0..CLASSES.len()).any(|class| mask_names(class).iter().any(|n| n == path)),
            _ => true,
        }
    }
}

impl Run for GenerateTrivial {
    fn run(params: &GenerateTrivialParams, context: &Context) -> Result<(), StageError> {
        let masks = [0, 1].map(|class| Mask::read(context.input("masks")?, class));
        let [first, second] = masks;
        let masks = [first?, second?];
        let sources = source::sources(&params.source().pattern(), context)?;
        let sources = source::some_baseline(sources, params.n_subjects)?;
        let images: Vec<(&Source, usize)> = sources
            .iter()
            .flat_map(|source| [(source, 0), (source, 1)])
            .collect();
        let items = for_each(&images, context, "images", |&(source, class)| {
            let mask = &masks[class];
            let stream = context.stream().child("image").child(&source.participant);
            let stream = stream.child(&source.session).child(CLASSES[class]);
            let identity = json!({
                "stage": Self::ID,
                "version": Self::VERSION,
                "atrophy_percent": params.atrophy_percent,
                "mask": mask.digest,
                "seed": stream.seed().to_string(),
            });
            context.item(&identity, source.file.digest, |path| {
                let mut image = source.read()?;
                mask.check(&image, &source.file, context)?;
                let region = mask.region(&image, &source.file)?;
                darken(
                    &mut image.data,
                    &region,
                    params.atrophy_percent,
                    &mut stream.rng(),
                )?;
                nifti::write(path, &image)
            })
        })?;
        let caps = context.output("caps")?;
        let mut rows = Vec::with_capacity(images.len());
        for (number, ((source, class), item)) in images.iter().zip(&items).enumerate() {
            let participant = format!("sub-TRIV{number}");
            caps.place(&source.path(&participant, &source.session, ""), item);
            rows.push(Row {
                participant,
                session: source.session.clone(),
                cells: [CLASSES[*class], "60", "F", &source.participant]
                    .map(str::to_owned)
                    .to_vec(),
            });
        }
        tables::write(&["diagnosis", "age_bl", "sex", DERIVED_FROM], rows, context)
    }
}

/// The names that a class's mask can have.
fn mask_names(class: usize) -> [String; 2] {
    let number = class + 1;
    [
        format!("mask-{number}.nii"),
        format!("mask-{number}.nii.gz"),
    ]
}

/// The mask of a class.
struct Mask {
    volume: Volume,
    shown: String,
    digest: Digest,
    /// What is told once, however many images there are.
    told: Once,
}

impl Mask {
    fn read(input: &Input, class: usize) -> Result<Self, StageError> {
        let names = mask_names(class);
        let mut found = names.iter().filter_map(|name| input.file(name));
        let (Some(file), None) = (found.next(), found.next()) else {
            let (shown, [plain, zipped]) = (&input.shown, &names);
            let message = format!("`{shown}` must have one of `{plain}` and `{zipped}`");
            let hint = "mask-1 is darkened in the first class (AD), mask-2 in the second (CN)";
            return Err(StageError::new(message).hint(hint));
        };
        let volume = nifti::read(&file.path, &file.shown)?;
        if !volume.data.iter().any(|&value| value > 0.0) {
            let message = format!("mask `{}` is empty: no voxel is above 0", file.shown);
            return Err(StageError::new(message));
        }
        Ok(Self {
            volume,
            shown: file.shown.clone(),
            digest: file.digest,
            told: Once::new(),
        })
    }

    /// Whether an image is on the mask's grid; another position is only told.
    fn check(&self, image: &Volume, file: &InputFile, context: &Context) -> Result<(), StageError> {
        let (mask, shown) = (&self.shown, &file.shown);
        if self.volume.shape != image.shape {
            let (got, expected) = (self.volume.shape, image.shape);
            let message =
                format!("mask `{mask}` has shape {got:?}, expected {expected:?} as `{shown}`");
            return Err(StageError::new(message).hint("resample the masks to the images"));
        }
        let ours = self.volume.affine.iter().flatten();
        if ours
            .zip(image.affine.iter().flatten())
            .any(|(a, b)| (a - b).abs() > ROUNDING_MM)
        {
            let message = format!(
                "mask `{mask}` has another orientation or position than images such as `{shown}`; \
                 voxels are compared by their index"
            );
            self.told.call_once(|| context.warn(message));
        }
        Ok(())
    }

    /// The voxels that change: those of the mask with an intensity.
    fn region(&self, image: &Volume, file: &InputFile) -> Result<Vec<usize>, StageError> {
        let pairs = self.volume.data.iter().zip(&image.data).enumerate();
        let region: Vec<usize> = pairs
            .filter(|(_, (mask, value))| **mask > 0.0 && **value != 0.0)
            .map(|(at, _)| at)
            .collect();
        if region.is_empty() {
            let (mask, shown) = (&self.shown, &file.shown);
            let message = format!("no voxel of mask `{mask}` has an intensity in `{shown}`");
            return Err(StageError::new(message));
        }
        Ok(region)
    }
}

/// Darkens voxels by at least `percent`, by more where the noise is.
///
/// The noise of a voxel is above the least of all voxels: on average some 4 points are added for a
/// region of 10⁵ voxels, more for larger ones, and intensities can change their sign near 100.
pub(super) fn darken(
    data: &mut [f32],
    region: &[usize],
    percent: f64,
    rng: &mut impl Rng,
) -> Result<(), StageError> {
    let (sd, scale) = NOISE;
    let normal = Normal::new(0.0, sd).map_err(StageError::internal)?;
    let noise: Vec<f64> = region.iter().map(|_| normal.sample(rng)).collect();
    let least = noise.iter().copied().fold(f64::INFINITY, f64::min);
    for (&at, noise) in region.iter().zip(noise) {
        let value = f64::from(data[at]);
        // The absolute value as there: with a single positive draw the loss is not `percent`.
        let loss = scale * (noise + least.abs()) + percent;
        #[expect(clippy::cast_possible_truncation, reason = "images are float32")]
        let darker = (value * (1.0 - loss / 100.0)) as f32;
        data[at] = darker;
    }
    Ok(())
}
