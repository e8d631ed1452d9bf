//! Variational autoencoders: networks that give back the image from a draw of a distribution.

use engine::ParamIssue;

use super::super::options::within;
use super::autoencoder::TASKS;
use super::{Declaration, NetworkOptions, Options};

/// Convolutions that can halve an image: more than any image has room for.
const MOST_CONVOLUTIONS: f64 = 12.0;

/// What all variational autoencoders of `vae!` have in their options.
pub trait VaeOptions: NetworkOptions {
    /// Features before the latent space; 0: none.
    fn features(&self) -> u32;
    /// Number of convolutions.
    fn convolutions(&self) -> u32;
    /// Channels of the first and the last convolution.
    fn channels(&self) -> u32;
}

/// Declares a variational autoencoder and its options: those of its own, then those of all.
macro_rules! vae {
    (
        $(#[$doc:meta])* $options:ident { $($own:tt)* } at least one of $($positive:ident),+;
        $(#[$constant_doc:meta])* $constant:ident = $name:literal, $axes:expr, $room:literal, $example:expr, $summary:literal
    ) => {
        engine::params! {
            $(#[$doc])*
            pub struct $options {
                $($own)*
                /// Number of convolutions that halve the image, 1 to 12. Default 4.
                #[schemars(range(min = 1, max = 12))]
                semantic n_conv: u32 = 4,
                /// Weight of the reconstruction in the loss, at least 0. Default 1.
                #[schemars(range(min = 0.0))]
                semantic recons_weight: f64 = 1.0,
                /// Weight of the divergence in the loss, at least 0. Default 1.
                #[schemars(range(min = 0.0))]
                semantic kl_weight: f64 = 1.0,
            }
        }

        impl NetworkOptions for $options {
            fn problems(&self) -> Vec<ParamIssue> {
                within(&[
                    $((stringify!($positive), self.$positive.into(), 1.0, f64::MAX),)+
                    ("n_conv", self.n_conv.into(), 1.0, MOST_CONVOLUTIONS),
                    ("recons_weight", self.recons_weight, 0.0, f64::MAX),
                    ("kl_weight", self.kl_weight, 0.0, f64::MAX),
                ])
            }
        }

        impl VaeOptions for $options {
            fn features(&self) -> u32 {
                self.feature_size
            }

            fn convolutions(&self) -> u32 {
                self.n_conv
            }

            fn channels(&self) -> u32 {
                self.io_layer_channels
            }
        }

        $(#[$constant_doc])*
        pub static $constant: Declaration = Declaration {
            name: $name,
            summary: $summary,
            tasks: TASKS,
            axes: $axes,
            room: $room,
            example: $example,
            options: Options::of::<$options>(),
        };
    };
}

vae! {
    /// Options of `Vanilla3DdenseVAE`.
    DenseVae3dOptions {
        /// Numbers that an image is squeezed into, at least 1. Default 128.
        #[schemars(range(min = 1))]
        semantic latent_space_size: u32 = 128,
        /// Features before the latent space; 0: none, as many as the last convolution gives. Default 1024.
        semantic feature_size: u32 = 1024,
        /// Channels of the first and the last convolution, at least 1. Default 8.
        #[schemars(range(min = 1))]
        semantic io_layer_channels: u32 = 8,
    } at least one of latent_space_size, io_layer_channels;
    /// A variational autoencoder of volumes.
    VANILLA_3D_DENSE_VAE = "Vanilla3DdenseVAE", &[3], "axes of 16 voxels or more", (&[1, 80, 96, 80], 20_411_360),
    "a variational autoencoder of volumes with a dense latent space"
}

vae! {
    /// Options of `VanillaDenseVAE`.
    DenseVaeOptions {
        /// Numbers that an image is squeezed into, at least 1. Default 128.
        #[schemars(range(min = 1))]
        semantic latent_space_size: u32 = 128,
        /// Features before the latent space; 0: none, as many as the last convolution gives. Default 1024.
        semantic feature_size: u32 = 1024,
        /// Channels of the first and the last convolution, at least 1. Default 32.
        #[schemars(range(min = 1))]
        semantic io_layer_channels: u32 = 32,
    } at least one of latent_space_size, io_layer_channels;
    /// A variational autoencoder of slices.
    VANILLA_DENSE_VAE = "VanillaDenseVAE", &[2], "axes of 16 voxels or more", (&[1, 128, 128], 35_345_024),
    "a variational autoencoder of slices with a dense latent space"
}

vae! {
    /// Options of `Vanilla3DspacialVAE`.
    SpatialVae3dOptions {
        /// Channels before the latent map, at least 1. Default 512.
        #[schemars(range(min = 1))]
        semantic feature_size: u32 = 512,
        /// Channels of the first and the last convolution, at least 1. Default 32.
        #[schemars(range(min = 1))]
        semantic io_layer_channels: u32 = 32,
    } at least one of feature_size, io_layer_channels;
    /// A variational autoencoder of volumes whose latent space is a map.
    VANILLA_3D_SPACIAL_VAE = "Vanilla3DspacialVAE", &[3], "axes of 32 voxels or more", (&[1, 169, 208, 179], 22_329_216),
    "a variational autoencoder of volumes with a spatial latent space"
}

vae! {
    /// Options of `VanillaSpatialVAE`.
    SpatialVaeOptions {
        /// Channels before the latent map, at least 1. Default 64.
        #[schemars(range(min = 1))]
        semantic feature_size: u32 = 64,
        /// Channels of the first and the last convolution, at least 1. Default 32.
        #[schemars(range(min = 1))]
        semantic io_layer_channels: u32 = 32,
    } at least one of feature_size, io_layer_channels;
    /// A variational autoencoder of slices whose latent space is a map.
    VANILLA_SPATIAL_VAE = "VanillaSpatialVAE", &[2], "axes of 16 voxels or more", (&[1, 128, 128], 1_675_328),
    "a variational autoencoder of slices with a spatial latent space"
}

/// Declares the options of convolutional variational autoencoders.
macro_rules! cvae_options {
    ($(#[$doc:meta])* $options:ident, $(#[$weight_doc:meta])* $weight:literal) => {
        engine::params! {
            $(#[$doc])*
            pub struct $options {
                /// Numbers that an image is squeezed into, at least 1. Default 128.
                #[schemars(range(min = 1))]
                semantic latent_space_size: u32 = 128,
                /// Weight of the reconstruction in the loss, at least 0. Default 1.
                #[schemars(range(min = 0.0))]
                semantic recons_weight: f64 = 1.0,
                $(#[$weight_doc])*
                #[schemars(range(min = 0.0))]
                semantic kl_weight: f64 = $weight,
            }
        }

        impl NetworkOptions for $options {
            fn problems(&self) -> Vec<ParamIssue> {
                within(&[
                    ("latent_space_size", self.latent_space_size.into(), 1.0, f64::MAX),
                    ("recons_weight", self.recons_weight, 0.0, f64::MAX),
                    ("kl_weight", self.kl_weight, 0.0, f64::MAX),
                ])
            }
        }
    };
}

cvae_options! {
    /// Options of `CVAE_3D`.
    WholeCvaeOptions,
    /// Weight of the divergence in the loss, at least 0; 0 makes a plain autoencoder. Default 5.
    5.0
}

cvae_options! {
    /// Options of `CVAE_3D_half` and `CVAE_3D_final_conv`.
    CvaeOptions,
    /// Weight of the divergence in the loss, at least 0; 0 makes a plain autoencoder. Default 1.
    1.0
}

/// Three convolutions with batch norm and ReLU.
pub static CVAE_3D: Declaration = Declaration {
    name: "CVAE_3D",
    summary: "three convolutions and a dense latent space",
    tasks: TASKS,
    axes: &[3],
    room: "any size",
    example: (&[1, 169, 208, 179], 866_946_369),
    options: Options::of::<WholeCvaeOptions>(),
};

/// Three convolutions with batch norm, the last activation a sigmoid.
pub static CVAE_3D_HALF: Declaration = Declaration {
    name: "CVAE_3D_half",
    summary: "as CVAE_3D, with outputs from 0 to 1",
    tasks: TASKS,
    axes: &[3],
    room: "any size",
    example: (&[1, 80, 96, 80], 80_337_217),
    options: Options::of::<CvaeOptions>(),
};

/// Three convolutions with instance norm and one more at the end.
pub static CVAE_3D_FINAL_CONV: Declaration = Declaration {
    name: "CVAE_3D_final_conv",
    summary: "as CVAE_3D_half, with instance norm and a last convolution",
    tasks: TASKS,
    axes: &[3],
    room: "any size",
    example: (&[1, 80, 96, 80], 80_336_093),
    options: Options::of::<CvaeOptions>(),
};
