//! Vision transformers of MONAI.

use engine::ParamIssue;

use super::super::names::Task;
use super::super::options::within;
use super::{Declaration, NetworkOptions, Options};

engine::params! {
    /// Options of `ViT`.
    pub struct VitOptions {
        /// Edge of a patch, 1 to 256 voxels. Default 16.
        semantic patch_size: u32 = 16,
        /// Numbers of each patch, a multiple of `num_heads`, 1 to 8192. Default 768.
        semantic hidden_size: u32 = 768,
        /// Features between the two layers of each block, 1 to 32768. Default 3072.
        semantic mlp_dim: u32 = 3072,
        /// Blocks of attention, 1 to 64. Default 12.
        semantic num_layers: u32 = 12,
        /// Parts of the attention, 1 to 64. Default 12.
        semantic num_heads: u32 = 12,
        /// Probability of dropping a number, 0 to 1. Default 0.
        semantic dropout_rate: f64 = 0.0,
        /// Attention has biases. Default false.
        semantic qkv_bias: bool = false,
        /// Each output is a hyperbolic tangent, as in MONAI; losses want numbers of any size. Default false.
        semantic tanh: bool = false,
    }
}

impl NetworkOptions for VitOptions {
    fn problems(&self) -> Vec<ParamIssue> {
        let number = |name, value: u32, most| (name, f64::from(value), 1.0, most);
        let mut problems = within(&[
            number("patch_size", self.patch_size, 256.0),
            number("hidden_size", self.hidden_size, 8192.0),
            number("mlp_dim", self.mlp_dim, 32768.0),
            number("num_layers", self.num_layers, 64.0),
            number("num_heads", self.num_heads, 64.0),
            ("dropout_rate", self.dropout_rate, 0.0, 1.0),
        ]);
        if self.num_heads > 0 && !self.hidden_size.is_multiple_of(self.num_heads) {
            let (hidden, heads) = (self.hidden_size, self.num_heads);
            let message = format!("expected a multiple of the {heads} heads, got {hidden}");
            problems.push(ParamIssue::new("hidden_size", message));
        }
        problems
    }
}

/// Patches that attend to each other.
pub static VIT: Declaration = Declaration {
    name: "ViT",
    summary: "a transformer of patches, as in MONAI",
    tasks: &[Task::Classification, Task::Regression],
    axes: &[2, 3],
    room: "axes of 16 voxels or more",
    example: (&[1, 128, 128, 128], 116_909_570),
    options: Options::of::<VitOptions>(),
};
