//! Networks that give back the image.

use engine::ParamIssue;

use super::super::names::Task;
use super::super::options::within;
use super::{Declaration, NetworkOptions, Options};

pub(super) const TASKS: &[Task] = &[Task::Reconstruction];

engine::params! {
    /// No options.
    pub struct NoOptions {}
}

impl NetworkOptions for NoOptions {
    fn problems(&self) -> Vec<ParamIssue> {
        Vec::new()
    }
}

/// The mirror of `Conv5_FC3`.
pub static AE_CONV5_FC3: Declaration = Declaration {
    name: "AE_Conv5_FC3",
    summary: "the convolutions of Conv5_FC3 and their mirror",
    tasks: TASKS,
    axes: &[2, 3],
    room: "an axis of 17 voxels or more",
    example: (&[1, 169, 208, 179], 589_059),
    options: Options::of::<NoOptions>(),
};

/// The mirror of `Conv4_FC3`, which has the same convolutions.
pub static AE_CONV4_FC3: Declaration = Declaration {
    name: "AE_Conv4_FC3",
    summary: "the convolutions of Conv4_FC3 and their mirror",
    tasks: TASKS,
    axes: &[2, 3],
    room: "an axis of 17 voxels or more",
    example: (&[1, 169, 208, 179], 589_059),
    options: Options::of::<NoOptions>(),
};

/// A U-Net.
pub static GENERATOR_UNET: Declaration = Declaration {
    name: "GeneratorUNet",
    summary: "a U-Net of five levels, for axes that are multiples of 32",
    tasks: TASKS,
    axes: &[3],
    room: "axes that are multiples of 32, one of 64 voxels or more",
    example: (&[1, 128, 128, 128], 50_527_681),
    options: Options::of::<NoOptions>(),
};

engine::params! {
    /// Options of `CAE_half`.
    pub struct CaeOptions {
        /// Numbers that an image is squeezed into, at least 1. Default 128.
        #[schemars(range(min = 1))]
        semantic latent_space_size: u32 = 128,
    }
}

impl NetworkOptions for CaeOptions {
    fn problems(&self) -> Vec<ParamIssue> {
        within(&[(
            "latent_space_size",
            self.latent_space_size.into(),
            1.0,
            f64::MAX,
        )])
    }
}

/// An autoencoder with a dense latent space.
pub static CAE_HALF: Declaration = Declaration {
    name: "CAE_half",
    summary: "three convolutions, a dense latent space, three transposed convolutions",
    tasks: TASKS,
    axes: &[3],
    room: "any size",
    example: (&[1, 80, 96, 80], 60_675_554),
    options: Options::of::<CaeOptions>(),
};
