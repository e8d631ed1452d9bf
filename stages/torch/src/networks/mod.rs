//! Networks: one file each, and the table [`NETWORKS`].
//!
//! A network's tensors have the names, the order and, from the same seed, the initial values of the
//! Python class it follows (ClinicaDL 1.6.1 or MONAI), so that weights can be exchanged and trainings
//! compared. What a manifest can say of a network is declared in [`stages::learning::networks`].

mod attention_unet;
mod autoencoder;
mod cnn;
mod configurable;
mod conv5_fc3;
mod conv5_fc3_ssda;
mod cvae;
mod densenet;
pub(crate) mod domains;
mod generator_unet;
mod layered;
pub(crate) mod layers;
mod plain;
mod random_architecture;
mod residual_3d;
mod residual_stages;
mod resnet;
mod resnet18;
mod se_resnet;
mod stride_conv5_fc3;
mod torchscript;
mod unet;
mod unit;
mod vae;
mod vae_layers;
mod variational;
mod vit;

use engine::StageError;
use serde_json::{Map, Value};
use stages::learning::networks::{Declaration, NetworkOptions, declared};
use tch::{Kind, TchError, Tensor};

pub(crate) use domains::TwoDomains;
pub(crate) use layers::{Layer, Mode, forward_all};
pub(crate) use torchscript::ModuleFile;

use crate::session::Session;
use crate::state::State;

/// What a network is built for.
#[derive(Debug, Clone)]
pub(crate) struct NetworkSpec {
    pub(crate) declaration: &'static Declaration,
    /// `[C, X, Y]` or `[C, X, Y, Z]`.
    pub(crate) input_size: Vec<i64>,
    /// Number of outputs of a classification or regression.
    pub(crate) output_size: i64,
    /// The network's own options by name; those that are not given have their default.
    pub(crate) options: Map<String, Value>,
    /// The file of a network that is one.
    pub(crate) module: Option<ModuleFile>,
}

/// What a network makes of a batch.
#[derive(Debug)]
pub(crate) struct Outputs {
    /// `[B, output_size]`, or a reconstruction with the shape of the images.
    pub(crate) prediction: Tensor,
    /// Of a variational autoencoder.
    pub(crate) latent: Option<Latent>,
}

/// The distribution that a variational autoencoder draws from, `[B, L]` each.
#[derive(Debug)]
pub(crate) struct Latent {
    pub(crate) mean: Tensor,
    pub(crate) log_variance: Tensor,
}

impl Latent {
    /// Numbers drawn from it, from libtorch's generator, in training; else its mean.
    fn code(&self, mode: Mode) -> Result<Tensor, TchError> {
        match mode {
            Mode::Evaluate | Mode::EvaluatePlain => Ok(self.mean.shallow_clone()),
            _ => {
                let deviation = self.log_variance.f_mul_scalar(0.5)?.f_exp()?;
                // Tests compute in 64 bits, with the numbers that 32 bits draw.
                let noise = match deviation.kind() {
                    Kind::Double => deviation.f_to_kind(Kind::Float)?.f_randn_like()?,
                    _ => deviation.f_randn_like()?,
                };
                noise.f_mul(&deviation)?.f_add(&self.mean)
            }
        }
    }
}

impl Outputs {
    /// Those of a network without a latent distribution.
    pub(crate) fn of(prediction: Tensor) -> Self {
        Self {
            prediction,
            latent: None,
        }
    }

    /// The same in 32 bits, if it has 16.
    pub(crate) fn in_float(self) -> Result<Self, TchError> {
        let float = |x: Tensor| layers::widen(&x);
        let latent = self.latent.map(|latent| -> Result<Latent, TchError> {
            Ok(Latent {
                mean: float(latent.mean)?,
                log_variance: float(latent.log_variance)?,
            })
        });
        Ok(Self {
            prediction: float(self.prediction)?,
            latent: latent.transpose()?,
        })
    }
}

/// A network.
pub(crate) trait Network {
    /// Outputs of a batch `[B, C, X, Y(, Z)]` of the size it was built for, as its layers give them.
    fn compute(&self, images: &Tensor, mode: Mode) -> Result<Outputs, TchError>;

    /// Outputs of such a batch, in 32 bits.
    fn outputs(&self, images: &Tensor, mode: Mode) -> Result<Outputs, TchError> {
        self.compute(images, mode)?.in_float()
    }

    /// Its layers with their names, if each takes what the one before gives and nothing else.
    fn chain(&self) -> Option<Vec<(String, &dyn Layer)>> {
        None
    }

    /// The prediction alone.
    fn forward(&self, images: &Tensor, mode: Mode) -> Result<Tensor, TchError> {
        Ok(self.outputs(images, mode)?.prediction)
    }

    /// The code of each image of a batch, where it is an autoencoder: what its encoder gives, or the mean of
    /// the latent distribution of a variational one. `outputs` are those of the batch.
    fn code(&self, _: &Tensor, outputs: &Outputs) -> Result<Option<Tensor>, TchError> {
        let latent = outputs.latent.as_ref();
        Ok(latent.map(|latent| latent.mean.shallow_clone()))
    }

    /// Its other heads, where it is a network for two domains.
    fn two_domains(&self) -> Option<&dyn TwoDomains> {
        None
    }

    /// Its tensors.
    fn state(&self) -> &State;

    /// Its tensors, to move them to another device.
    fn state_mut(&mut self) -> &mut State;

    /// PyTorch's textual representation of its layers.
    fn describe(&self) -> String;
}

type Build = fn(&NetworkSpec, &Session) -> Result<Box<dyn Network>, StageError>;

/// A line of [`NETWORKS`].
pub(crate) struct NetworkKind {
    /// Its name and options, as manifests and `maps.json` know them.
    pub(crate) declaration: &'static Declaration,
    /// Builds the network with freshly drawn weights, on the CPU.
    pub(crate) build: Build,
}

/// Every network, in the order of their declarations.
pub(crate) static NETWORKS: &[&NetworkKind] = &[
    &autoencoder::KIND4,
    &autoencoder::KIND5,
    &attention_unet::KIND,
    &configurable::AUTO_ENCODER_KIND,
    &autoencoder::CAE,
    &configurable::CNN_KIND,
    &cvae::PLAIN,
    &cvae::FINAL_CONV,
    &cvae::HALF,
    &conv5_fc3::KIND4,
    &conv5_fc3::KIND5,
    &conv5_fc3_ssda::KIND,
    &densenet::KIND121,
    &densenet::KIND169,
    &densenet::KIND201,
    &generator_unet::KIND,
    &layered::KIND,
    &configurable::MLP_KIND,
    &random_architecture::KIND,
    &resnet::KIND101,
    &resnet::KIND152,
    &resnet::KIND18,
    &resnet::KIND34,
    &residual_3d::RESNET,
    &resnet::KIND50,
    &se_resnet::KIND101,
    &se_resnet::KIND152,
    &se_resnet::KIND50,
    &residual_3d::SQUEEZE_EXCITATION,
    &stride_conv5_fc3::KIND,
    &torchscript::KIND,
    &unet::KIND,
    &configurable::VAE_KIND,
    &vae::DENSE_3D,
    &vae::SPATIAL_3D,
    &vae::DENSE_2D,
    &vae::SPATIAL_2D,
    &vit::KIND,
    &resnet18::KIND,
];

/// Builds a network with weights drawn from the session's generator, on its device.
///
/// # Errors
/// The images are too small for the network, or it cannot be built so.
pub(crate) fn build(spec: &NetworkSpec, session: &Session) -> Result<Box<dyn Network>, StageError> {
    let name = spec.declaration.name;
    let kind = NETWORKS
        .iter()
        .find(|kind| kind.declaration.name == name)
        .ok_or_else(|| StageError::internal(format!("network `{name}` is not built in")))?;
    let axes = spec.input_size.len().saturating_sub(1);
    if !spec.declaration.axes.contains(&axes) || spec.input_size.iter().any(|&axis| axis < 1) {
        let known: Vec<String> = spec
            .declaration
            .axes
            .iter()
            .map(|n| format!("{n}-D"))
            .collect();
        return Err(StageError::new(format!(
            "`{name}` takes {} images, got [C, …] = {:?}",
            known.join(" or "),
            spec.input_size
        )));
    }
    let mut network = (kind.build)(spec, session)?;
    network.state_mut().move_to(session.device())?;
    Ok(network)
}

/// The network of a `maps.json`.
///
/// # Errors
/// It is none of ours; the message lists them.
pub(crate) fn find(name: &str) -> Result<&'static Declaration, StageError> {
    declared(name).ok_or_else(|| {
        let known: Vec<String> = NETWORKS
            .iter()
            .map(|kind| format!("`{}`", kind.declaration.name))
            .collect();
        StageError::new(format!(
            "unknown network `{name}`, expected one of {}",
            known.join(", ")
        ))
    })
}

impl NetworkSpec {
    /// The network's own options.
    ///
    /// # Errors
    /// One of them is unknown, has a wrong type or is out of range.
    pub(crate) fn options<O: NetworkOptions>(&self) -> Result<O, StageError> {
        let name = self.declaration.name;
        let refuse = |what: String| StageError::new(format!("options of network `{name}`: {what}"));
        let options: O = serde_json::from_value(Value::Object(self.options.clone()))
            .map_err(|e| refuse(e.to_string()))?;
        // A manifest was checked before; a `maps.json` was not.
        match options.problems().first() {
            Some(issue) => Err(refuse(format!("`{}`: {}", issue.field, issue.message))),
            None => Ok(options),
        }
    }

    /// Makes sure that not all axes are shorter than this.
    ///
    /// # Errors
    /// They are.
    pub(crate) fn needs_an_axis_of(&self, least: i64) -> Result<(), StageError> {
        let is_long = self.input_size[1..].iter().any(|&axis| axis >= least);
        self.is_large(is_long, &format!("an axis of at least {least}"))
    }

    /// Makes sure that no axis is shorter than this.
    ///
    /// # Errors
    /// One is.
    pub(crate) fn needs_axes_of(&self, least: i64) -> Result<(), StageError> {
        let are_long = self.input_size[1..].iter().all(|&axis| axis >= least);
        self.is_large(are_long, &format!("axes of at least {least}"))
    }

    fn is_large(&self, is_large: bool, needed: &str) -> Result<(), StageError> {
        if is_large {
            return Ok(());
        }
        let (axes, name) = (&self.input_size[1..], self.declaration.name);
        Err(StageError::new(format!(
            "images of {axes:?} voxels are too small for `{name}`, which needs {needed}"
        ))
        .hint("turn `size_reduction` off or lower its factor"))
    }
}

#[cfg(test)]
pub(crate) mod tests;
