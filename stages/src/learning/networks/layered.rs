//! A network that is given layer by layer.

use engine::ParamIssue;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::super::names::Task;
use super::super::options::within;
use super::{Declaration, NetworkOptions, Options};

/// A convolution, also a transposed one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ConvLayer {
    /// Channels after it, 1 to 65536.
    #[schemars(range(min = 1, max = 65536))]
    pub channels: u32,
    /// Edge, 1 to 63 voxels. Default 3.
    #[serde(default = "three")]
    #[schemars(range(min = 1, max = 63))]
    pub kernel: u32,
    /// Stride, 1 to 16. Default 1.
    #[serde(default = "one")]
    #[schemars(range(min = 1, max = 16))]
    pub stride: u32,
    /// Voxels added at both ends of each axis, or cut by a transposed one, 0 to 63. Default 0.
    #[serde(default)]
    #[schemars(range(max = 63))]
    pub padding: u32,
    /// Voxels that a transposed one adds at the end of each axis, 0 to 15. Default 0.
    #[serde(default)]
    #[schemars(range(max = 15))]
    pub output_padding: u32,
    /// Whether it has a bias. Default true.
    #[serde(default = "yes")]
    pub bias: bool,
}

/// A window of the greatest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PoolLayer {
    /// Edge, 1 to 63 voxels.
    #[schemars(range(min = 1, max = 63))]
    pub kernel: u32,
    /// Stride, 1 to 63; null (default): the edge.
    #[schemars(range(min = 1, max = 63))]
    pub stride: Option<u32>,
    /// Voxels added at both ends of each axis, 0 to 31. Default 0.
    #[serde(default)]
    #[schemars(range(max = 31))]
    pub padding: u32,
}

/// Features after a fully connected layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged, expecting = "expected a number of features, or `outputs`")]
pub enum Features {
    /// As many, 1 to 1048576.
    Number(#[schemars(range(min = 1, max = 1_048_576))] u32),
    /// As many as the task has outputs.
    Outputs(OutputsWord),
}

/// The word for the outputs of the task.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum OutputsWord {
    /// One for each class, one in a regression.
    Outputs,
}

/// A layer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum LayerOptions {
    /// A convolution.
    Conv(ConvLayer),
    /// A transposed convolution.
    ConvTranspose(ConvLayer),
    /// A normalisation over the batch.
    BatchNorm,
    /// A normalisation over each image.
    InstanceNorm,
    /// max(0, x).
    Relu,
    /// x above 0, x / 100 below.
    LeakyRelu,
    /// x above 0, a fitted slope times x below.
    Prelu,
    /// x above 0, eˣ − 1 below.
    Elu,
    /// x Φ(x).
    Gelu,
    /// Hyperbolic tangent.
    Tanh,
    /// 1 / (1 + e⁻ˣ).
    Sigmoid,
    /// The greatest of each window.
    MaxPool(PoolLayer),
    /// The mean of windows of two voxels per axis.
    AvgPool,
    /// The mean of all voxels of each channel.
    GlobalPool,
    /// Every voxel twice along each axis.
    Upsample,
    /// All numbers of an image in a row.
    Flatten,
    /// Drops numbers in training with this probability, 0 to 1.
    Dropout(#[schemars(range(min = 0.0, max = 1.0))] f64),
    /// A fully connected layer.
    Linear(Features),
}

fn one() -> u32 {
    1
}

fn three() -> u32 {
    3
}

fn yes() -> bool {
    true
}

engine::params! {
    /// Options of `Layers`.
    pub struct LayeredOptions {
        /// The layers in order, 1 to 1000.
        semantic layers: Vec<LayerOptions> = vec![LayerOptions::Flatten, LayerOptions::Linear(Features::Outputs(OutputsWord::Outputs))],
    }
}

impl NetworkOptions for LayeredOptions {
    fn problems(&self) -> Vec<ParamIssue> {
        let count = self.layers.len();
        if !(1..=1000).contains(&count) {
            let message = format!("expected 1 to 1000 layers, got {count}");
            return vec![ParamIssue::new("layers", message)];
        }
        let layers = self.layers.iter().enumerate();
        layers
            .flat_map(|(number, layer)| layer.problems(number))
            .collect()
    }
}

impl LayerOptions {
    /// Its values out of range, at the place of the layer.
    fn problems(&self, number: usize) -> Vec<ParamIssue> {
        let values = match self {
            Self::Conv(conv) | Self::ConvTranspose(conv) => vec![
                ("channels", conv.channels.into(), 1.0, 65536.0),
                ("kernel", conv.kernel.into(), 1.0, 63.0),
                ("stride", conv.stride.into(), 1.0, 16.0),
                ("padding", conv.padding.into(), 0.0, 63.0),
                ("output_padding", conv.output_padding.into(), 0.0, 15.0),
            ],
            Self::MaxPool(pool) => vec![
                ("kernel", pool.kernel.into(), 1.0, 63.0),
                ("stride", pool.stride.unwrap_or(1).into(), 1.0, 63.0),
                ("padding", pool.padding.into(), 0.0, 31.0),
            ],
            Self::Dropout(probability) => vec![("dropout", *probability, 0.0, 1.0)],
            Self::Linear(Features::Number(features)) => {
                vec![("linear", (*features).into(), 1.0, 1_048_576.0)]
            }
            _ => Vec::new(),
        };
        let problems = within(&values).into_iter();
        problems
            .map(|issue| {
                let message = format!("`{}`: {}", issue.field, issue.message);
                ParamIssue::new(format!("layers.{number}"), message)
            })
            .collect()
    }
}

/// Layers of the manifest.
pub static LAYERS: Declaration = Declaration {
    name: "Layers",
    summary: "layers that the manifest lists one by one",
    tasks: Task::ALL,
    axes: &[2, 3],
    room: "any size that its layers take",
    example: (&[1, 128, 128], 32_770),
    options: Options::of::<LayeredOptions>(),
};
