//! The closed lists of names that a manifest can choose from.
//!
//! Each has a table of implementations in `stages-torch`; a test there keeps both equal.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Declares a closed list of names with their spelling in manifests and in MAPS.
macro_rules! names {
    ($(#[$meta:meta])* $type:ident { $( $(#[$variant_meta:meta])* $variant:ident = $name:literal ),* $(,)? }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
        pub enum $type {
            $( $(#[$variant_meta])* #[serde(rename = $name)] $variant, )*
        }

        impl $type {
            /// Every choice.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// The spelling in manifests and in MAPS.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name),* }
            }
        }
    };
}

names! {
    /// What is learnt.
    Task {
        /// A class per image.
        Classification = "classification",
        /// A number per image.
        Regression = "regression",
        /// The image itself.
        Reconstruction = "reconstruction",
    }
}

names! {
    /// Losses.
    LossName {
        /// Classification: cross-entropy of the softmax.
        CrossEntropy = "CrossEntropyLoss",
        /// Classification: margin of the true class over the others.
        MultiMargin = "MultiMarginLoss",
        /// Binary cross-entropy of the sigmoid, for targets from 0 to 1.
        BceWithLogits = "BCEWithLogitsLoss",
        /// Squared below an error of 1, absolute above.
        Huber = "HuberLoss",
        /// Divergence of the targets from outputs that are logarithms of probabilities.
        KlDiv = "KLDivLoss",
        /// Absolute error.
        L1 = "L1Loss",
        /// Squared error.
        Mse = "MSELoss",
        /// Half the squared error below an error of 1, absolute above.
        SmoothL1 = "SmoothL1Loss",
        /// Variational autoencoders: reconstruction of values from 0 to 1.
        VaeBernoulli = "VAEBernoulliLoss",
        /// Variational autoencoders: the same with its normalising constant.
        VaeContinuousBernoulli = "VAEContinuousBernoulliLoss",
        /// Variational autoencoders: squared error.
        VaeGaussian = "VAEGaussianLoss",
    }
}

names! {
    /// How the training set is ordered in an epoch.
    SamplerName {
        /// Every image once, shuffled.
        Random = "random",
        /// As many draws as images, with replacement, every class equally likely.
        Weighted = "weighted",
    }
}

names! {
    /// Numbers that convolutions and fully connected layers compute with; weights, losses and statistics
    /// have 32 bits.
    Precision {
        /// 32-bit floating point.
        Float32 = "float32",
        /// 16 bits with the range of 32: faster where the processor knows them.
        Bfloat16 = "bfloat16",
        /// 16 bits with more digits and less range; losses are scaled. For graphics processors.
        Float16 = "float16",
    }
}

names! {
    /// What the vote of a part for the class of its image weighs.
    VotingName {
        /// Its balanced accuracy on the validation set.
        BalancedAccuracy = "balanced_accuracy",
        /// Its accuracy on the validation set.
        Accuracy = "accuracy",
        /// The same for all parts.
        Equal = "equal",
    }
}

names! {
    /// What a prediction writes beside its tables.
    SavedName {
        /// What the network takes and gives, as tensors.
        Tensors = "tensors",
        /// Images that it makes, and what it says of parts laid over their image, in the image's space.
        Nifti = "nifti",
        /// The code of an autoencoder; of a variational one, the mean of its distribution.
        Latent = "latent",
    }
}

impl LossName {
    /// The tasks that it is a loss of, its first use first.
    pub fn tasks(self) -> &'static [Task] {
        match self {
            Self::CrossEntropy | Self::MultiMargin => &[Task::Classification],
            Self::VaeBernoulli | Self::VaeContinuousBernoulli | Self::VaeGaussian => {
                &[Task::Reconstruction]
            }
            _ => &[Task::Regression, Task::Reconstruction],
        }
    }

    /// What a task minimises unless told otherwise.
    pub fn default_of(task: Task) -> Self {
        match task {
            Task::Classification => Self::CrossEntropy,
            Task::Regression | Task::Reconstruction => Self::Mse,
        }
    }
}
