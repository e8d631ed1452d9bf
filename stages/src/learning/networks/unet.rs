//! U-shaped networks of MONAI.

use engine::ParamIssue;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::super::names::Task;
use super::super::options::within;
use super::{Declaration, NetworkOptions, Options};

/// What follows a convolution.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Act {
    /// x above 0, a fitted slope times x below.
    Prelu,
    /// max(0, x).
    Relu,
    /// x above 0, x / 100 below.
    LeakyRelu,
    /// x above 0, eˣ − 1 below.
    Elu,
    /// x Φ(x).
    Gelu,
}

/// How a convolution's map is normalised.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum MapNorm {
    /// Over each image.
    Instance,
    /// Over the batch.
    Batch,
}

engine::params! {
    /// Options of `UNet`.
    pub struct UNetOptions {
        /// Channels of each level, 2 to 8 of them, 1 to 4096 each. Default [16, 32, 64, 128, 256].
        semantic channels: Vec<u32> = vec![16, 32, 64, 128, 256],
        /// Stride between levels, one fewer than `channels`, 1 to 8 each. Default [2, 2, 2, 2].
        semantic strides: Vec<u32> = vec![2, 2, 2, 2],
        /// Edge of convolutions, odd, 1 to 15 voxels. Default 3.
        semantic kernel_size: u32 = 3,
        /// Edge of transposed convolutions, odd, 1 to 15 voxels. Default 3.
        semantic up_kernel_size: u32 = 3,
        /// Convolutions of the residual unit of each level; 0 (default): plain convolutions.
        semantic num_res_units: u32 = 0,
        /// What follows a convolution. Default `prelu`.
        semantic act: Act = Act::Prelu,
        /// How maps are normalised. Default `instance`.
        semantic norm: MapNorm = MapNorm::Instance,
        /// Probability of dropping a number after each normalisation, 0 to 1. Default 0.
        semantic dropout: f64 = 0.0,
    }
}

impl NetworkOptions for UNetOptions {
    fn problems(&self) -> Vec<ParamIssue> {
        let mut problems = within(&[
            ("num_res_units", self.num_res_units.into(), 0.0, 8.0),
            ("dropout", self.dropout, 0.0, 1.0),
        ]);
        problems.extend(levels(&self.channels, &self.strides));
        problems.extend(edge("kernel_size", self.kernel_size));
        problems.extend(edge("up_kernel_size", self.up_kernel_size));
        problems
    }
}

engine::params! {
    /// Options of `AttentionUNet`.
    pub struct AttentionUNetOptions {
        /// Channels of each level, 2 to 8 of them, 2 to 4096 each. Default [16, 32, 64, 128, 256].
        semantic channels: Vec<u32> = vec![16, 32, 64, 128, 256],
        /// Stride between levels, one fewer than `channels`, 1 to 8 each. Default [2, 2, 2, 2].
        semantic strides: Vec<u32> = vec![2, 2, 2, 2],
        /// Edge of convolutions, odd, 1 to 15 voxels. Default 3.
        semantic kernel_size: u32 = 3,
        /// Edge of transposed convolutions, odd, 1 to 15 voxels. Default 3.
        semantic up_kernel_size: u32 = 3,
        /// Probability of dropping a number after each normalisation, 0 to 1. Default 0.
        semantic dropout: f64 = 0.0,
    }
}

impl NetworkOptions for AttentionUNetOptions {
    fn problems(&self) -> Vec<ParamIssue> {
        let mut problems = within(&[("dropout", self.dropout, 0.0, 1.0)]);
        problems.extend(levels(&self.channels, &self.strides));
        problems.extend(edge("kernel_size", self.kernel_size));
        problems.extend(edge("up_kernel_size", self.up_kernel_size));
        if self.channels.contains(&1) {
            let message = "expected 2 channels or more on each level";
            problems.push(ParamIssue::new("channels", message));
        }
        problems
    }
}

fn levels(channels: &[u32], strides: &[u32]) -> Vec<ParamIssue> {
    let mut problems = Vec::new();
    if !(2..=8).contains(&channels.len()) || channels.iter().any(|c| !(1..=4096).contains(c)) {
        let message = format!("expected 2 to 8 numbers from 1 to 4096, got {channels:?}");
        problems.push(ParamIssue::new("channels", message));
    }
    if strides.len() + 1 != channels.len() || strides.iter().any(|s| !(1..=8).contains(s)) {
        let expected = channels.len().saturating_sub(1);
        let message = format!("expected {expected} numbers from 1 to 8, got {strides:?}");
        problems.push(ParamIssue::new("strides", message));
    }
    problems
}

fn edge(name: &'static str, edge: u32) -> Option<ParamIssue> {
    let is_right = edge % 2 == 1 && edge <= 15;
    let message = format!("expected an odd number from 1 to 15, got {edge}");
    (!is_right).then(|| ParamIssue::new(name, message))
}

/// Convolutions down and up again, each level joined with its mirror.
pub static UNET: Declaration = Declaration {
    name: "UNet",
    summary: "levels joined with their mirrors, as in MONAI",
    tasks: &[Task::Reconstruction],
    axes: &[2, 3],
    room: "an axis of 17 voxels or more",
    example: (&[1, 128, 128, 128], 1_978_745),
    options: Options::of::<UNetOptions>(),
};

/// As `UNet`, with weights on what is joined.
pub static ATTENTION_UNET: Declaration = Declaration {
    name: "AttentionUNet",
    summary: "levels joined with their mirrors where attention is, as in MONAI",
    tasks: &[Task::Reconstruction],
    axes: &[2, 3],
    room: "an axis of 17 voxels or more",
    example: (&[1, 128, 128, 128], 5_909_113),
    options: Options::of::<AttentionUNetOptions>(),
};
