//! Residual networks of MONAI.

use engine::ParamIssue;

use super::super::names::Task;
use super::super::options::within;
use super::autoencoder::NoOptions;
use super::{Declaration, NetworkOptions, Options};

engine::params! {
    /// Options of residual networks.
    pub struct ResNetOptions {
        /// Edge of the first convolution, odd, 1 to 31 voxels. Default 7.
        semantic conv1_t_size: u32 = 7,
        /// Stride of the first convolution, 1 to 8. Default 1.
        semantic conv1_t_stride: u32 = 1,
        /// Leave out the pooling after the first convolution. Default false.
        semantic no_max_pool: bool = false,
        /// Channels of all layers in multiples of the usual 64, 128, 256 and 512, 1/64 to 8. Default 1.
        semantic widen_factor: f64 = 1.0,
        /// Convolutions of shortcuts have a bias. Default true.
        semantic bias_downsample: bool = true,
    }
}

impl NetworkOptions for ResNetOptions {
    fn problems(&self) -> Vec<ParamIssue> {
        let mut problems = within(&[
            ("conv1_t_size", self.conv1_t_size.into(), 1.0, 31.0),
            ("conv1_t_stride", self.conv1_t_stride.into(), 1.0, 8.0),
            ("widen_factor", self.widen_factor, 1.0 / 64.0, 8.0),
        ]);
        if self.conv1_t_size.is_multiple_of(2) {
            let message = format!("expected an odd number, got {}", self.conv1_t_size);
            problems.push(ParamIssue::new("conv1_t_size", message));
        }
        problems
    }
}

const TASKS: &[Task] = &[Task::Classification, Task::Regression];

/// Declares networks of the same options.
macro_rules! networks {
    ($options:ty, $room:literal: $($id:ident = $name:literal, $summary:literal, $parameters:literal;)*) => {
        $(
            #[doc = $summary]
            pub static $id: Declaration = Declaration {
                name: $name,
                summary: $summary,
                tasks: TASKS,
                axes: &[2, 3],
                room: $room,
                example: (&[1, 128, 128, 128], $parameters),
                options: Options::of::<$options>(),
            };
        )*
    };
}

networks! { ResNetOptions, "an axis of 17 voxels or more":
    RESNET18_MONAI = "ResNet18", "eight residual blocks of two convolutions, as in MONAI", 33_161_922;
    RESNET34 = "ResNet34", "16 residual blocks of two convolutions, as in MONAI", 63_471_554;
    RESNET50 = "ResNet50", "16 residual blocks of three convolutions, as in MONAI", 46_163_010;
    RESNET101 = "ResNet101", "33 residual blocks of three convolutions, as in MONAI", 85_209_154;
    RESNET152 = "ResNet152", "50 residual blocks of three convolutions, as in MONAI", 117_367_874;
}

networks! { NoOptions, "axes of 5 voxels or more, one of 35 or more":
    SE_RESNET50 = "SEResNet50", "16 residual blocks that weigh their channels, as in MONAI", 48_690_162;
    SE_RESNET101 = "SEResNet101", "33 residual blocks that weigh their channels, as in MONAI", 89_983_026;
    SE_RESNET152 = "SEResNet152", "50 residual blocks that weigh their channels, as in MONAI", 123_993_074;
}
