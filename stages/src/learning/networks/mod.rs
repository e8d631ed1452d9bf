//! What a manifest can say of networks: a file per family, and the table [`NETWORKS`].
//!
//! A manifest gives a network by name, with its options beside it:
//! `network: { name: Conv5_FC3, dropout: 0.5 }`. A `maps.json` has the same options by the same names
//! among its own keys, as in ClinicaDL 1.6.1.

pub mod autoencoder;
pub mod cnn;
pub mod configurable;
pub mod densenet;
pub mod layered;
mod per_layer;
pub mod resnet;
pub mod torchscript;
pub mod unet;
pub mod vae;
pub mod vit;

use super::names::Task;
use super::options::{Kind, Named};

pub use super::options::{NamedOptions as NetworkOptions, Options};

/// A network that can be named.
#[derive(Debug)]
pub struct Declaration {
    /// Name in manifests and in `maps.json`.
    pub name: &'static str,
    /// One line.
    pub summary: &'static str,
    /// What it can learn.
    pub tasks: &'static [Task],
    /// Numbers of spatial axes that its images can have.
    pub axes: &'static [usize],
    /// What images need to have room for it, with its default options.
    pub room: &'static str,
    /// Channels and sizes of images, and the number of parameters for them, with default options and two
    /// outputs.
    pub example: (&'static [i64], u64),
    /// Its own options.
    pub options: Options,
}

/// Networks in which something reaches a late layer by another way than through those before it, or that
/// say more than one thing.
const BRANCHED: &[&str] = &[
    "AttentionUNet",
    "CVAE_3D",
    "CVAE_3D_final_conv",
    "CVAE_3D_half",
    "Conv5_FC3_SSDA",
    "GeneratorUNet",
    "TorchScript",
    "UNet",
    "VAE",
    "Vanilla3DdenseVAE",
    "Vanilla3DspacialVAE",
    "VanillaDenseVAE",
    "VanillaSpatialVAE",
];

impl Declaration {
    /// Whether each layer takes what the one before gives and nothing else.
    pub fn is_chain(&self) -> bool {
        !BRANCHED.contains(&self.name)
    }
}

/// Every network, sorted by name.
pub static NETWORKS: &[&Declaration] = &[
    &autoencoder::AE_CONV4_FC3,
    &autoencoder::AE_CONV5_FC3,
    &unet::ATTENTION_UNET,
    &configurable::AUTO_ENCODER,
    &autoencoder::CAE_HALF,
    &configurable::CNN,
    &vae::CVAE_3D,
    &vae::CVAE_3D_FINAL_CONV,
    &vae::CVAE_3D_HALF,
    &cnn::CONV4_FC3,
    &cnn::CONV5_FC3,
    &cnn::CONV5_FC3_SSDA,
    &densenet::DENSENET121,
    &densenet::DENSENET169,
    &densenet::DENSENET201,
    &autoencoder::GENERATOR_UNET,
    &layered::LAYERS,
    &configurable::MLP,
    &cnn::RANDOM_ARCHITECTURE,
    &resnet::RESNET101,
    &resnet::RESNET152,
    &resnet::RESNET18_MONAI,
    &resnet::RESNET34,
    &cnn::RESNET3D,
    &resnet::RESNET50,
    &resnet::SE_RESNET101,
    &resnet::SE_RESNET152,
    &resnet::SE_RESNET50,
    &cnn::SQUEEZE_EXCITATION_CNN,
    &cnn::STRIDE_CONV5_FC3,
    &torchscript::TORCH_SCRIPT,
    &unet::UNET,
    &configurable::VAE,
    &vae::VANILLA_3D_DENSE_VAE,
    &vae::VANILLA_3D_SPACIAL_VAE,
    &vae::VANILLA_DENSE_VAE,
    &vae::VANILLA_SPATIAL_VAE,
    &vit::VIT,
    &cnn::RESNET18,
];

/// The network of this name.
pub fn declared(name: &str) -> Option<&'static Declaration> {
    NETWORKS
        .iter()
        .copied()
        .find(|network| network.name == name)
}

/// The network to train: its name, and its options.
pub type NetworkParams = Named<Networks>;

/// The kind of things in [`NETWORKS`].
pub struct Networks;

impl Kind for Networks {
    const WHAT: &'static str = "network";
    const DEFAULT: &'static str = cnn::CONV5_FC3.name;

    fn all() -> Vec<(&'static str, &'static Options)> {
        let all = NETWORKS.iter();
        all.map(|network| (network.name, &network.options))
            .collect()
    }
}
