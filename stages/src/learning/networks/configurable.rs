//! Networks of ClinicaDL 2.0, put together from convolutions and fully connected layers.

use engine::ParamIssue;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::super::names::Task;
use super::super::options::within;
use super::{Declaration, NetworkOptions, Options};

pub use super::per_layer::{OnAxes, PerLayer};

/// What follows a layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum AnyAct {
    /// x above 0, a fitted slope times x below.
    Prelu,
    /// max(0, x).
    Relu,
    /// x between 0 and 6, else the nearer of them.
    Relu6,
    /// x above 0, x / 100 below.
    LeakyRelu,
    /// x above 0, eˣ − 1 below.
    Elu,
    /// The same.
    Celu,
    /// An `elu` scaled so that means and variances stay.
    Selu,
    /// x Φ(x).
    Gelu,
    /// x tanh(ln(1 + eˣ)).
    Mish,
    /// Hyperbolic tangent.
    Tanh,
    /// 1 / (1 + e⁻ˣ).
    Sigmoid,
    /// Parts of the whole over channels.
    Softmax,
    /// Their logarithms.
    LogSoftmax,
    /// Nothing.
    None,
}

/// What maps are pooled by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Pooling {
    /// The greatest of a window.
    Max,
    /// The mean of a window.
    Avg,
}

/// How convolutions are normalised.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ConvNorm {
    /// Over each image.
    Instance,
    /// Over the batch.
    Batch,
    /// Over each image, so many groups of channels for themselves.
    Group(u32),
    /// Not at all.
    None,
}

/// How fully connected layers are normalised.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum DenseNorm {
    /// Over the batch, of two images or more.
    Batch,
    /// Over the features of each image.
    Layer,
    /// The same for so many groups of features for themselves.
    Group(u32),
    /// Not at all.
    None,
}

/// Convolutions: each followed by norm, dropout and activation but the last one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ConvArgs {
    /// Channels after each convolution, 1 to 16 of them, 1 to 4096 each. Default [16, 32, 64].
    pub channels: Vec<u32>,
    /// Edge of convolutions, 1 to 15 voxels: one number, one for each convolution (each may be a list by
    /// axis), or `{ axes: […] }`; so for the next three. Default 3.
    pub kernel_size: PerLayer,
    /// Their stride, 1 to 8. Default 1.
    pub stride: PerLayer,
    /// Voxels added at both ends of each axis, 0 to 15. Default 0.
    pub padding: PerLayer,
    /// Distance of the voxels that a convolution looks at, 1 to 8. Default 1.
    #[serde(skip_serializing_if = "is_one")]
    pub dilation: PerLayer,
    /// What windows of two voxels an axis become. Default `max`.
    pub pooling: Pooling,
    /// The convolutions after which maps are pooled, the first one is 0; −1: before it. Default none.
    pub pooling_indices: Vec<i32>,
    /// What follows a convolution. Default `prelu`.
    pub act: AnyAct,
    /// How maps are normalised. Default `instance`.
    pub norm: ConvNorm,
    /// Probability of dropping a number, 0 to 1. Default 0.
    pub dropout: f64,
    /// Convolutions have a bias. Default true.
    pub bias: bool,
}

/// Keys of trainings from before there was this option stay.
fn is_one(numbers: &PerLayer) -> bool {
    numbers.is_all(1)
}

/// What is wrong with groups that channels are normalised by.
fn groups_problem(field: &str, groups: u32, channels: &[u32]) -> Option<ParamIssue> {
    let wrong = channels.iter().find(|&&c| groups == 0 || c % groups != 0)?;
    let message = format!("expected a number of groups that divides {wrong}, got {groups}");
    Some(ParamIssue::new(field, message))
}

impl Default for ConvArgs {
    fn default() -> Self {
        Self {
            channels: vec![16, 32, 64],
            kernel_size: PerLayer::All(3),
            stride: PerLayer::All(1),
            padding: PerLayer::All(0),
            dilation: PerLayer::All(1),
            pooling: Pooling::Max,
            pooling_indices: Vec::new(),
            act: AnyAct::Prelu,
            norm: ConvNorm::Instance,
            dropout: 0.0,
            bias: true,
        }
    }
}

impl ConvArgs {
    fn problems(&self) -> Vec<ParamIssue> {
        let mut problems = within(&[("conv_args.dropout", self.dropout, 0.0, 1.0)]);
        let layers = self.channels.len();
        let is_right = |c: &u32| (1..=4096).contains(c);
        if !(1..=16).contains(&layers) || !self.channels.iter().all(is_right) {
            let got = &self.channels;
            let message = format!("expected 1 to 16 numbers from 1 to 4096, got {got:?}");
            problems.push(ParamIssue::new("conv_args.channels", message));
        }
        for (name, numbers, least, most) in [
            ("kernel_size", &self.kernel_size, 1, 15),
            ("stride", &self.stride, 1, 8),
            ("padding", &self.padding, 0, 15),
            ("dilation", &self.dilation, 1, 8),
        ] {
            let problem = numbers.problem(layers, least, most);
            problems.extend(problem.map(|p| ParamIssue::new(format!("conv_args.{name}"), p)));
        }
        if let (ConvNorm::Group(groups), Some((_, inner))) = (self.norm, self.channels.split_last())
        {
            problems.extend(groups_problem("conv_args.norm", groups, inner));
        }
        let last = i32::try_from(layers).unwrap_or(0) - 1;
        let indices = &self.pooling_indices;
        let is_twice = |(i, index): (usize, &i32)| indices[..i].contains(index);
        let is_wrong = indices.iter().any(|index| !(-1..=last).contains(index));
        if is_wrong || indices.iter().enumerate().any(is_twice) {
            let message = format!("expected different numbers from -1 to {last}, got {indices:?}");
            problems.push(ParamIssue::new("conv_args.pooling_indices", message));
        }
        problems
    }
}

/// Fully connected layers: each followed by norm, dropout and activation; a last one gives the outputs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct MlpArgs {
    /// Features after each layer but the last, at most 16 of them, 1 to 65536 each. Default none.
    pub hidden_dims: Vec<u32>,
    /// What follows a layer. Default `prelu`.
    pub act: AnyAct,
    /// How features are normalised. Default `batch`.
    pub norm: DenseNorm,
    /// Probability of dropping a number, 0 to 1. Default 0.
    pub dropout: f64,
    /// Layers have a bias. Default true.
    pub bias: bool,
}

impl Default for MlpArgs {
    fn default() -> Self {
        Self {
            hidden_dims: Vec::new(),
            act: AnyAct::Prelu,
            norm: DenseNorm::Batch,
            dropout: 0.0,
            bias: true,
        }
    }
}

impl MlpArgs {
    fn problems(&self) -> Vec<ParamIssue> {
        let mut problems = within(&[("mlp_args.dropout", self.dropout, 0.0, 1.0)]);
        if let DenseNorm::Group(groups) = self.norm {
            problems.extend(groups_problem("mlp_args.norm", groups, &self.hidden_dims));
        }
        let is_right = |c: &u32| (1..=65536).contains(c);
        if self.hidden_dims.len() > 16 || !self.hidden_dims.iter().all(is_right) {
            let got = &self.hidden_dims;
            let message = format!("expected at most 16 numbers from 1 to 65536, got {got:?}");
            problems.push(ParamIssue::new("mlp_args.hidden_dims", message));
        }
        problems
    }
}

engine::params! {
    /// Options of `MLP`.
    pub struct MlpOptions {
        /// The fully connected layers.
        semantic mlp_args: MlpArgs = MlpArgs::default(),
    }
}

impl NetworkOptions for MlpOptions {
    fn problems(&self) -> Vec<ParamIssue> {
        self.mlp_args.problems()
    }
}

engine::params! {
    /// Options of `CNN`.
    pub struct ConfigurableCnnOptions {
        /// The convolutions.
        semantic conv_args: ConvArgs = ConvArgs::default(),
        /// The fully connected layers after them.
        semantic mlp_args: MlpArgs = MlpArgs::default(),
    }
}

impl NetworkOptions for ConfigurableCnnOptions {
    fn problems(&self) -> Vec<ParamIssue> {
        let mut problems = self.conv_args.problems();
        problems.extend(self.mlp_args.problems());
        problems
    }
}

/// How maps become larger again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Unpooling {
    /// Voxels are repeated.
    Nearest,
    /// Between the four next pixels.
    Bilinear,
    /// Between the eight next voxels.
    Trilinear,
}

engine::params! {
    /// Options of `AutoEncoder` and `VAE`.
    pub struct CoderOptions {
        /// Numbers that an image is squeezed into, 1 to 65536. Default 64.
        semantic latent_size: u32 = 64,
        /// The convolutions; the decoder mirrors them.
        semantic conv_args: ConvArgs = ConvArgs::default(),
        /// The fully connected layers after them; the decoder mirrors them too.
        semantic mlp_args: MlpArgs = MlpArgs::default(),
        /// How pooled maps become larger again. Default `nearest`.
        semantic unpooling_mode: Unpooling = Unpooling::Nearest,
        /// Weight of the reconstruction in the loss of a `VAE`, at least 0. Default 1.
        semantic recons_weight: f64 = 1.0,
        /// Weight of the divergence in the loss of a `VAE`, at least 0. Default 1.
        semantic kl_weight: f64 = 1.0,
    }
}

impl NetworkOptions for CoderOptions {
    fn problems(&self) -> Vec<ParamIssue> {
        let mut problems = within(&[
            ("latent_size", self.latent_size.into(), 1.0, 65536.0),
            ("recons_weight", self.recons_weight, 0.0, f64::MAX),
            ("kl_weight", self.kl_weight, 0.0, f64::MAX),
        ]);
        problems.extend(self.conv_args.problems());
        problems.extend(self.mlp_args.problems());
        problems
    }
}

const TASKS: &[Task] = &[Task::Classification, Task::Regression];

/// Fully connected layers.
pub static MLP: Declaration = Declaration {
    name: "MLP",
    summary: "fully connected layers, as in ClinicaDL 2.0",
    tasks: TASKS,
    axes: &[2, 3],
    room: "any size",
    example: (&[1, 128, 128], 32_770),
    options: Options::of::<MlpOptions>(),
};

/// Convolutions and fully connected layers.
pub static CNN: Declaration = Declaration {
    name: "CNN",
    summary: "convolutions and fully connected layers of your choice, as in ClinicaDL 2.0",
    tasks: TASKS,
    axes: &[2, 3],
    room: "a size that the convolutions leave something of",
    example: (&[1, 128, 128], 1_928_452),
    options: Options::of::<ConfigurableCnnOptions>(),
};

/// Convolutions, fully connected layers and their mirror.
pub static AUTO_ENCODER: Declaration = Declaration {
    name: "AutoEncoder",
    summary: "convolutions and fully connected layers of your choice and their mirror, as in ClinicaDL 2.0",
    tasks: &[Task::Reconstruction],
    axes: &[2, 3],
    room: "a size that the convolutions leave something of",
    example: (&[1, 64, 64], 27_819_781),
    options: Options::of::<CoderOptions>(),
};

/// The same with a distribution in the middle.
pub static VAE: Declaration = Declaration {
    name: "VAE",
    summary: "an AutoEncoder that is variational, as in ClinicaDL 2.0",
    tasks: &[Task::Reconstruction],
    axes: &[2, 3],
    room: "a size that the convolutions leave something of",
    example: (&[1, 64, 64], 41_598_789),
    options: Options::of::<CoderOptions>(),
};
