//! Networks that give back the image.

use engine::ParamIssue;

use super::super::names::Task;
use super::{Declaration, NetworkOptions, Options};

const TASKS: &[Task] = &[Task::Reconstruction];

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
    options: Options::of::<NoOptions>(),
};

/// The mirror of `Conv4_FC3`, which has the same convolutions.
pub static AE_CONV4_FC3: Declaration = Declaration {
    name: "AE_Conv4_FC3",
    summary: "the convolutions of Conv4_FC3 and their mirror",
    tasks: TASKS,
    axes: &[2, 3],
    options: Options::of::<NoOptions>(),
};

/// A U-Net.
pub static GENERATOR_UNET: Declaration = Declaration {
    name: "GeneratorUNet",
    summary: "a U-Net of five levels, for axes that are multiples of 32",
    tasks: TASKS,
    axes: &[3],
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
        at_least_one(&[("latent_space_size", self.latent_space_size)])
    }
}

fn at_least_one(values: &[(&str, u32)]) -> Vec<ParamIssue> {
    let zeros = values.iter().filter(|(_, value)| *value == 0);
    zeros
        .map(|(name, _)| ParamIssue::new(*name, "expected at least 1, got 0"))
        .collect()
}

/// An autoencoder with a dense latent space.
pub static CAE_HALF: Declaration = Declaration {
    name: "CAE_half",
    summary: "three convolutions, a dense latent space, three transposed convolutions",
    tasks: TASKS,
    axes: &[3],
    options: Options::of::<CaeOptions>(),
};

engine::params! {
    /// Options of variational autoencoders.
    pub struct VaeOptions {
        /// Numbers that an image is squeezed into, at least 1. Default 128.
        #[schemars(range(min = 1))]
        semantic latent_space_size: u32 = 128,
        /// Features before the latent space, of convolutions where that is spatial; 0: none, as many as
        /// the last convolution gives. Default 1024.
        semantic feature_size: u32 = 1024,
        /// Number of convolutions that halve the image, at least 1. Default 4.
        #[schemars(range(min = 1))]
        semantic n_conv: u32 = 4,
        /// Channels of the first and the last convolution, at least 1. Default 8.
        #[schemars(range(min = 1))]
        semantic io_layer_channels: u32 = 8,
        /// Weight of the reconstruction in the loss, at least 0. Default 1.
        #[schemars(range(min = 0.0))]
        semantic recons_weight: f64 = 1.0,
        /// Weight of the divergence in the loss, at least 0. Default 1.
        #[schemars(range(min = 0.0))]
        semantic kl_weight: f64 = 1.0,
    }
}

impl NetworkOptions for VaeOptions {
    fn problems(&self) -> Vec<ParamIssue> {
        let mut problems = at_least_one(&[
            ("latent_space_size", self.latent_space_size),
            ("n_conv", self.n_conv),
            ("io_layer_channels", self.io_layer_channels),
        ]);
        problems.extend(weights(self.recons_weight, self.kl_weight));
        problems
    }
}

fn weights(reconstruction: f64, divergence: f64) -> Vec<ParamIssue> {
    let values = [("recons_weight", reconstruction), ("kl_weight", divergence)];
    let wrong = values
        .into_iter()
        .filter(|(_, v)| !(*v >= 0.0 && v.is_finite()));
    wrong
        .map(|(name, v)| ParamIssue::new(name, format!("expected at least 0, got {v}")))
        .collect()
}

macro_rules! vae {
    ($(#[$doc:meta])* $constant:ident, $name:literal, $summary:literal, $axes:expr) => {
        $(#[$doc])*
        pub static $constant: Declaration = Declaration {
            name: $name,
            summary: $summary,
            tasks: TASKS,
            axes: $axes,
            options: Options::of::<VaeOptions>(),
        };
    };
}

vae! {
    /// A variational autoencoder of volumes.
    VANILLA_3D_DENSE_VAE, "Vanilla3DdenseVAE",
    "a variational autoencoder of volumes with a dense latent space", &[3]
}
vae! {
    /// A variational autoencoder of volumes whose latent space is a map.
    VANILLA_3D_SPACIAL_VAE, "Vanilla3DspacialVAE",
    "a variational autoencoder of volumes with a spatial latent space", &[3]
}
vae! {
    /// A variational autoencoder of slices.
    VANILLA_DENSE_VAE, "VanillaDenseVAE",
    "a variational autoencoder of slices with a dense latent space", &[2]
}
vae! {
    /// A variational autoencoder of slices whose latent space is a map.
    VANILLA_SPATIAL_VAE, "VanillaSpatialVAE",
    "a variational autoencoder of slices with a spatial latent space", &[2]
}

engine::params! {
    /// Options of convolutional variational autoencoders.
    pub struct CvaeOptions {
        /// Numbers that an image is squeezed into, at least 1. Default 128.
        #[schemars(range(min = 1))]
        semantic latent_space_size: u32 = 128,
        /// Weight of the reconstruction in the loss, at least 0. Default 1.
        #[schemars(range(min = 0.0))]
        semantic recons_weight: f64 = 1.0,
        /// Weight of the divergence in the loss, at least 0; 0 makes a plain autoencoder. Default 1.
        #[schemars(range(min = 0.0))]
        semantic kl_weight: f64 = 1.0,
    }
}

impl NetworkOptions for CvaeOptions {
    fn problems(&self) -> Vec<ParamIssue> {
        let mut problems = at_least_one(&[("latent_space_size", self.latent_space_size)]);
        problems.extend(weights(self.recons_weight, self.kl_weight));
        problems
    }
}

macro_rules! cvae {
    ($(#[$doc:meta])* $constant:ident, $name:literal, $summary:literal) => {
        $(#[$doc])*
        pub static $constant: Declaration = Declaration {
            name: $name,
            summary: $summary,
            tasks: TASKS,
            axes: &[3],
            options: Options::of::<CvaeOptions>(),
        };
    };
}

cvae! {
    /// Three convolutions with batch norm and ReLU.
    CVAE_3D, "CVAE_3D", "three convolutions and a dense latent space, for any size"
}
cvae! {
    /// Three convolutions with batch norm, the last activation a sigmoid.
    CVAE_3D_HALF, "CVAE_3D_half", "as CVAE_3D, with outputs from 0 to 1"
}
cvae! {
    /// Three convolutions with instance norm and one more at the end.
    CVAE_3D_FINAL_CONV, "CVAE_3D_final_conv", "as CVAE_3D_half, with instance norm and a last convolution"
}
