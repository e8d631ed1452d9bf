//! Densely connected networks.

use engine::ParamIssue;

use super::super::names::Task;
use super::super::options::within;
use super::{Declaration, NetworkOptions, Options};

engine::params! {
    /// Options of densely connected networks.
    pub struct DenseNetOptions {
        /// Channels after the first convolution, 2 to 4096. Default 64.
        semantic init_features: u32 = 64,
        /// Channels that each layer adds, 1 to 4096. Default 32.
        semantic growth_rate: u32 = 32,
        /// Channels within a layer, in multiples of `growth_rate`, 1 to 64. Default 4.
        semantic bn_size: u32 = 4,
    }
}

impl NetworkOptions for DenseNetOptions {
    fn problems(&self) -> Vec<ParamIssue> {
        let channels = |name, value: u32, least| (name, value.into(), least, 4096.0);
        within(&[
            channels("init_features", self.init_features, 2.0),
            channels("growth_rate", self.growth_rate, 1.0),
            ("bn_size", self.bn_size.into(), 1.0, 64.0),
        ])
    }
}

const TASKS: &[Task] = &[Task::Classification, Task::Regression];

/// Blocks of 6, 12, 24 and 16 layers.
pub static DENSENET121: Declaration = Declaration {
    name: "DenseNet121",
    summary: "58 densely connected layers, as in MONAI",
    tasks: TASKS,
    axes: &[2, 3],
    room: "axes of 29 voxels or more, one of 61 or more",
    example: (&[1, 128, 128, 128], 11_244_674),
    options: Options::of::<DenseNetOptions>(),
};

/// Blocks of 6, 12, 32 and 32 layers.
pub static DENSENET169: Declaration = Declaration {
    name: "DenseNet169",
    summary: "82 densely connected layers, as in MONAI",
    tasks: TASKS,
    axes: &[2, 3],
    room: "axes of 29 voxels or more, one of 61 or more",
    example: (&[1, 128, 128, 128], 18_546_050),
    options: Options::of::<DenseNetOptions>(),
};

/// Blocks of 6, 12, 48 and 32 layers.
pub static DENSENET201: Declaration = Declaration {
    name: "DenseNet201",
    summary: "98 densely connected layers, as in MONAI",
    tasks: TASKS,
    axes: &[2, 3],
    room: "axes of 29 voxels or more, one of 61 or more",
    example: (&[1, 128, 128, 128], 25_334_658),
    options: Options::of::<DenseNetOptions>(),
};
