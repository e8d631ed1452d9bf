//! Random changes of training images: a file each, and the table [`AUGMENTATIONS`].
//!
//! A manifest lists them in the order of their application:
//! `data_augmentation: [{ name: Flip }, { name: Noise, std: [0, 0.05] }]`. What is drawn follows from the
//! random stream that the caller gives for one image of one epoch, and from nothing else.
//!
//! Geometry is that of the image's own axes, about its centre, in millimetres. An axis with one voxel is
//! what a slice lacks: nothing moves along it, and nothing turns out of the slice.
//!
//! # Source
//! The ten of ClinicaDL 1.6.1 (`clinicadl/utils/caps_dataset/data.py`) have its names and, as defaults, its
//! ranges; the others have those of TorchIO 0.18. Deviations are told in each file; all of them take slices.

mod affine;
mod anisotropy;
mod bias_field;
mod blur;
mod crop_pad;
mod elastic;
mod erasing;
mod flip;
mod gamma;
mod ghosting;
mod motion;
mod noise;
mod resample;
mod spike;
mod swap;

#[cfg(test)]
mod draws;
#[cfg(test)]
mod tests;

use engine::ParamIssue;
use engine::seed::Stream;
use rand::Rng;
use rand_chacha::ChaCha8Rng;

use crate::generate::uniform;
use crate::learning::options::{Kind, Named, NamedOptions, Options, within};

/// An image on its way to a network.
///
/// # Shapes
/// `voxels` is `[channels, X, Y, Z]` with the last axis fastest.
#[derive(Debug, Clone, PartialEq)]
pub struct Picture {
    /// Number of channels, at least 1.
    pub channels: usize,
    /// Sizes of the axes; 1 for one that a slice lacks.
    pub shape: [usize; 3],
    /// Distances of neighbouring voxels along each axis, in millimetres, above 0.
    pub spacing_mm: [f64; 3],
    /// Intensities.
    pub voxels: Vec<f32>,
}

impl Picture {
    /// Whether nothing may move along an axis.
    fn is_flat(&self, axis: usize) -> bool {
        self.shape[axis] == 1
    }

    /// Those of the axes that are not flat.
    fn full_axes(&self, axes: &[usize]) -> Vec<usize> {
        let full = axes.iter().copied().filter(|&axis| !self.is_flat(axis));
        full.collect()
    }

    /// Each channel is replaced by what is made of it.
    fn map_channels(&mut self, mut change: impl FnMut(&[f32]) -> Vec<f32>) {
        let length = self.shape.iter().product::<usize>().max(1);
        let channels = self.voxels.chunks_exact(length);
        self.voxels = channels.flat_map(&mut change).collect();
    }

    /// A change in the image's plane: a triple with 0 along flat axes.
    fn along(&self, triple: [f64; 3]) -> [f64; 3] {
        [0, 1, 2].map(|axis| {
            if self.is_flat(axis) {
                0.0
            } else {
                triple[axis]
            }
        })
    }

    /// Turns within the image's plane: a triple with 0 about every axis but that which a slice lacks.
    fn about(&self, triple: [f64; 3]) -> [f64; 3] {
        let turns = |axis: usize| (0..3).all(|other| other == axis || !self.is_flat(other));
        [0, 1, 2].map(|axis| if turns(axis) { triple[axis] } else { 0.0 })
    }
}

/// A random change of an image.
pub trait Augmentation: std::fmt::Debug + Send + Sync {
    /// Part of the images that it is applied to, 0 to 1.
    fn probability(&self) -> f64;

    /// Changes an image; its size stays.
    fn apply(&self, picture: &mut Picture, rng: &mut ChaCha8Rng);
}

/// An augmentation that can be named.
#[derive(Debug)]
pub struct Declaration {
    /// Name in manifests and in `maps.json`.
    pub name: &'static str,
    options: Options,
    make: fn(&AugmentationParams) -> Box<dyn Augmentation>,
}

const fn declare<A: Augmentation + NamedOptions + 'static>(name: &'static str) -> Declaration {
    Declaration {
        name,
        options: Options::of::<A>(),
        make: |params| Box::new(params.options::<A>()),
    }
}

/// Every augmentation, sorted by name.
pub static AUGMENTATIONS: &[Declaration] = &[
    declare::<affine::Affine>("Affine"),
    declare::<anisotropy::Anisotropy>("Anisotropy"),
    declare::<bias_field::BiasField>("BiasField"),
    declare::<crop_pad::CropPad>("CropPad"),
    declare::<elastic::Elastic>("Elastic"),
    declare::<erasing::Erasing>("Erasing"),
    declare::<flip::Flip>("Flip"),
    declare::<gamma::Gamma>("Gamma"),
    declare::<ghosting::Ghosting>("Ghosting"),
    declare::<motion::Motion>("Motion"),
    declare::<noise::Noise>("Noise"),
    declare::<blur::RandomBlur>("RandomBlur"),
    declare::<swap::RandomSwap>("RandomSwap"),
    declare::<blur::Smoothing>("Smoothing"),
    declare::<spike::Spike>("Spike"),
];

/// An augmentation by its name, and its options.
pub type AugmentationParams = Named<Augmentations>;

/// The kind of things in [`AUGMENTATIONS`].
pub struct Augmentations;

impl Kind for Augmentations {
    const WHAT: &'static str = "augmentation";
    const DEFAULT: &'static str = "";

    fn all() -> Vec<(&'static str, &'static Options)> {
        let all = AUGMENTATIONS.iter();
        all.map(|declared| (declared.name, &declared.options))
            .collect()
    }
}

/// Augmentations in the order of their application.
#[derive(Debug, Default)]
pub struct Augmenter(Vec<(&'static str, Box<dyn Augmentation>)>);

impl Augmenter {
    /// The augmentations that a manifest lists; names were checked before.
    pub fn new(listed: &[AugmentationParams]) -> Self {
        let known = |params: &AugmentationParams| {
            let mut all = AUGMENTATIONS.iter();
            let declared = all.find(|declared| declared.name == params.name)?;
            Some((declared.name, (declared.make)(params)))
        };
        Self(listed.iter().filter_map(known).collect())
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Changes an image; `stream` is that of the image in this epoch. Each augmentation draws from a
    /// stream of its own, so that another one in the list does not change what it does.
    pub fn apply(&self, picture: &mut Picture, stream: &Stream) {
        for (place, (name, augmentation)) in self.0.iter().enumerate() {
            let earlier = self.0[..place].iter();
            let number = earlier.filter(|(other, _)| other == name).count();
            let mut rng = stream.child(name).child(number).rng();
            if rng.random::<f64>() < augmentation.probability() {
                augmentation.apply(picture, &mut rng);
            }
        }
    }
}

/// What is wrong with a probability.
fn probability(name: &'static str, value: f64) -> Vec<ParamIssue> {
    within(&[(name, value, 0.0, 1.0)])
}

/// What is wrong with ranges: two numbers within bounds, the smaller one first.
fn ranges(given: &[(&'static str, [f64; 2], f64, f64)]) -> Vec<ParamIssue> {
    let wrong = given.iter().filter(|(_, [from, to], least, most)| {
        // Written so that NaN is refused.
        !(least <= from && from <= to && to <= most)
    });
    let told = wrong.map(|(name, _, least, most)| {
        let message = format!("expected two numbers from {least} to {most}, the smaller one first");
        ParamIssue::new(*name, message)
    });
    told.collect()
}

/// What is wrong with a list of axes.
fn axes(name: &'static str, given: &[usize]) -> Vec<ParamIssue> {
    let message = "expected a list of 0, 1 and 2";
    let is_wrong = given.is_empty() || given.iter().any(|&axis| axis > 2);
    let wrong = is_wrong.then(|| ParamIssue::new(name, message));
    wrong.into_iter().collect()
}
