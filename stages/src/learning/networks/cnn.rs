//! Convolutions followed by fully connected layers.

use std::collections::BTreeMap;

use engine::ParamIssue;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::super::names::Task;
use super::super::options::within;
use super::{Declaration, NetworkOptions, Options};

engine::params! {
    /// Options of convolutional networks.
    pub struct CnnOptions {
        /// Probability of dropping a feature before the first fully connected layer, 0 to 1. Default 0.
        #[schemars(range(min = 0.0, max = 1.0))]
        semantic dropout: f64 = 0.0,
    }
}

impl NetworkOptions for CnnOptions {
    fn problems(&self) -> Vec<ParamIssue> {
        dropout_problem(self.dropout)
    }
}

fn dropout_problem(dropout: f64) -> Vec<ParamIssue> {
    within(&[("dropout", dropout, 0.0, 1.0)])
}

const TASKS: &[Task] = &[Task::Classification, Task::Regression];

/// Five blocks of convolution and pooling, three fully connected layers.
pub static CONV5_FC3: Declaration = Declaration {
    name: "Conv5_FC3",
    summary: "five convolution blocks and three fully connected layers",
    tasks: TASKS,
    axes: &[2, 3],
    room: "an axis of 17 voxels or more",
    example: (&[1, 169, 208, 179], 42_293_972),
    options: Options::of::<CnnOptions>(),
};

/// As `Conv5_FC3`, with the fully connected layers three times: for each of two domains, and to tell them
/// apart.
pub static CONV5_FC3_SSDA: Declaration = Declaration {
    name: "Conv5_FC3_SSDA",
    summary: "five convolution blocks and three heads: for each of two domains, and to tell them apart",
    tasks: &[Task::Classification],
    axes: &[2, 3],
    room: "an axis of 17 voxels or more",
    example: (&[1, 169, 208, 179], 126_292_476),
    options: Options::of::<CnnOptions>(),
};

/// As `Conv5_FC3`, with fewer features in the fully connected layers.
pub static CONV4_FC3: Declaration = Declaration {
    name: "Conv4_FC3",
    summary: "five convolution blocks and three narrow fully connected layers",
    tasks: TASKS,
    axes: &[2, 3],
    room: "an axis of 17 voxels or more",
    example: (&[1, 169, 208, 179], 1_909_692),
    options: Options::of::<CnnOptions>(),
};

/// As `Conv5_FC3`, with convolutions of stride 2 instead of pooling.
pub static STRIDE_CONV5_FC3: Declaration = Declaration {
    name: "Stride_Conv5_FC3",
    summary: "five convolutions of stride 2 and three fully connected layers",
    tasks: TASKS,
    axes: &[2, 3],
    room: "an axis of 33 voxels or more",
    example: (&[1, 169, 208, 179], 42_293_972),
    options: Options::of::<CnnOptions>(),
};

/// Eight residual blocks.
pub static RESNET18: Declaration = Declaration {
    name: "resnet18",
    summary: "ResNet-18 for slices of three channels",
    tasks: TASKS,
    axes: &[2],
    room: "3 channels",
    example: (&[3, 128, 128], 11_691_514),
    options: Options::of::<CnnOptions>(),
};

engine::params! {
    /// Options of `ResNet3D`.
    pub struct ResNet3dOptions {
        /// Probability of dropping a feature before the last layer, 0 to 1. Default 0.8.
        #[schemars(range(min = 0.0, max = 1.0))]
        semantic dropout: f64 = 0.8,
    }
}

impl NetworkOptions for ResNet3dOptions {
    fn problems(&self) -> Vec<ParamIssue> {
        dropout_problem(self.dropout)
    }
}

engine::params! {
    /// Options of `SqueezeExcitationCNN`.
    pub struct SqueezeExcitationOptions {
        /// Probability of dropping a feature before the first fully connected layer, 0 to 1. Default 0.5.
        #[schemars(range(min = 0.0, max = 1.0))]
        semantic dropout: f64 = 0.5,
    }
}

impl NetworkOptions for SqueezeExcitationOptions {
    fn problems(&self) -> Vec<ParamIssue> {
        dropout_problem(self.dropout)
    }
}

/// Five residual blocks.
pub static RESNET3D: Declaration = Declaration {
    name: "ResNet3D",
    summary: "five residual blocks and two fully connected layers",
    tasks: TASKS,
    axes: &[3],
    room: "axes of 63 voxels or more",
    example: (&[1, 169, 208, 179], 3_517_314),
    options: Options::of::<ResNet3dOptions>(),
};

/// Five residual blocks that weigh their channels.
pub static SQUEEZE_EXCITATION_CNN: Declaration = Declaration {
    name: "SqueezeExcitationCNN",
    summary: "five residual blocks with squeeze and excitation",
    tasks: TASKS,
    axes: &[3],
    room: "axes of 63 voxels or more",
    example: (&[1, 169, 208, 179], 3_523_049),
    options: Options::of::<SqueezeExcitationOptions>(),
};

/// A normalisation between convolutions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Normalization {
    /// Over the batch.
    #[serde(rename = "BatchNorm")]
    Batch,
    /// Over each image.
    #[serde(rename = "InstanceNorm")]
    Instance,
}

/// How a block halves its map.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Reduction {
    /// By pooling at the end.
    MaxPooling,
    /// By the stride of the last convolution.
    #[serde(rename = "stride")]
    Stride,
}

/// A block of convolutions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BlockOptions {
    /// Channels before it; null: those of the image.
    pub in_channels: Option<u32>,
    /// Channels after it, at least 1.
    pub out_channels: u32,
    /// Number of convolutions, at least 1.
    pub n_conv: u32,
    /// How it halves the map.
    pub d_reduction: Reduction,
}

engine::params! {
    /// Options of a network that is described block by block, as random searches of ClinicaDL 1.6.1 do.
    pub struct RandomOptions {
        /// The blocks, 1 to 10, named `conv0`, `conv1`, …. Default: one of 8 channels.
        semantic convolutions_dict: BTreeMap<String, BlockOptions> = one_block(),
        /// Number of fully connected layers, at least 1. Default 1.
        #[schemars(range(min = 1))]
        semantic n_fcblocks: u32 = 1,
        /// Normalisation after each convolution: `BatchNorm` (default), `InstanceNorm` or null.
        semantic network_normalization: Option<Normalization> = Some(Normalization::Batch),
        /// Probability of dropping a feature before the first fully connected layer, 0 to 1. Default 0.
        #[schemars(range(min = 0.0, max = 1.0))]
        semantic dropout: f64 = 0.0,
    }
}

fn one_block() -> BTreeMap<String, BlockOptions> {
    let block = BlockOptions {
        in_channels: None,
        out_channels: 8,
        n_conv: 1,
        d_reduction: Reduction::MaxPooling,
    };
    BTreeMap::from([("conv0".to_owned(), block)])
}

impl RandomOptions {
    /// The blocks in order.
    pub fn blocks(&self) -> Vec<(&str, &BlockOptions)> {
        let number = |name: &str| {
            name.strip_prefix("conv")
                .and_then(|n| n.parse::<usize>().ok())
        };
        let mut blocks: Vec<(&str, &BlockOptions)> = self
            .convolutions_dict
            .iter()
            .map(|(name, block)| (name.as_str(), block))
            .collect();
        blocks.sort_by_key(|(name, _)| number(name));
        blocks
    }
}

impl NetworkOptions for RandomOptions {
    fn problems(&self) -> Vec<ParamIssue> {
        let mut problems = dropout_problem(self.dropout);
        let mut refuse = |message: String| {
            problems.push(ParamIssue::new("convolutions_dict", message));
        };
        let mut before = None;
        // Names of more would not be sorted as their numbers are.
        if !(1..=10).contains(&self.convolutions_dict.len()) {
            let got = self.convolutions_dict.len();
            refuse(format!("expected 1 to 10 blocks, got {got}"));
        }
        for (i, (name, block)) in self.blocks().into_iter().enumerate() {
            if name != format!("conv{i}") {
                refuse(format!("expected `conv{i}`, got `{name}`"));
            }
            if block.n_conv == 0 || block.out_channels == 0 {
                refuse(format!(
                    "`{name}`: expected at least 1 convolution and 1 channel"
                ));
            }
            if block.in_channels != before && (i > 0 || block.in_channels.is_none()) {
                let expected = before.map_or("null".to_owned(), |n| n.to_string());
                refuse(format!("`{name}.in_channels`: expected {expected}"));
            }
            before = Some(block.out_channels);
        }
        if self.n_fcblocks == 0 {
            problems.push(ParamIssue::new("n_fcblocks", "expected at least 1, got 0"));
        }
        problems
    }
}

/// Described block by block.
pub static RANDOM_ARCHITECTURE: Declaration = Declaration {
    name: "RandomArchitecture",
    summary: "blocks of convolutions given one by one, as found by a random search",
    tasks: TASKS,
    axes: &[2, 3],
    room: "any size",
    example: (&[1, 169, 208, 179], 12_729_842),
    options: Options::of::<RandomOptions>(),
};
