//! Declaration of `quality-check-t1-linear`: a network's verdict on the registration of T1-weighted MRI.
//!
//! What needs no libtorch is here and in [`super::views`].
//!
//! # Source
//! ClinicaDL 1.6.1, `quality-check t1-linear`; networks of DARQ (Fonov et al. 2022,
//! doi:10.1016/j.neuroimage.2022.119266) and Deep-QC (Fonov et al. 2018, doi:10.1101/303487). Deviations:
//! images of equal probability are in the order of their participant and session; images are always read
//! from NIfTI files and resampled bilinearly (1.6.1 takes the nearest neighbour of extracted tensors,
//! which gives other probabilities); one image at a time passes through the network, so that no result
//! depends on which images are checked with it (1.6.1 has `batch_size`).

use engine::{Context, InputPort, OutputPort, Ports, RunsIn, Stage, StageError};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::quality::QUALITY;
use super::{Checked, images, pattern};
use crate::caps::OnMissing;
use crate::caps::{self, CapsImage};

/// A network that judges three views of a head.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum QualityNetwork {
    /// ResNet-18 of DARQ.
    #[serde(rename = "darq")]
    Darq,
    /// ResNet-18 of Deep-QC.
    #[serde(rename = "deep_qc")]
    DeepQc,
    /// SqueezeNet 1.1 of DARQ.
    #[serde(rename = "sq101")]
    Sq101,
}

impl QualityNetwork {
    /// Every network.
    pub const ALL: [Self; 3] = [Self::Darq, Self::DeepQc, Self::Sq101];

    /// Its name in manifests.
    pub fn name(self) -> &'static str {
        match self {
            Self::Darq => "darq",
            Self::DeepQc => "deep_qc",
            Self::Sq101 => "sq101",
        }
    }

    /// Name and SHA-256 of the file of weights that ClinicaDL 1.6.1 downloads.
    pub fn published(self) -> (&'static str, &'static str) {
        match self {
            Self::Darq => (
                "resnet_18_darq.pth",
                "321928e0532f1be7a8dd7f5d805b747c7147ff52594f77ffed0858ab19c5df03",
            ),
            Self::DeepQc => (
                "resnet18.pth.tar",
                "a97a781be3820b06424fe891ec405c78b87ad51a27b6b81614dbdb996ce60104",
            ),
            Self::Sq101 => (
                "sq101_darq.pth",
                "1f4f3ebd20aaa726d634165a89df12461d9b7c6f2f45931bd29d16cf2616d00f",
            ),
        }
    }
}

engine::params! {
    /// Parameters of `quality-check-t1-linear`.
    pub struct QualityCheckT1LinearParams {
        /// The network whose weights are given: darq, deep_qc or sq101. Default: darq.
        semantic network: QualityNetwork = QualityNetwork::Darq,
        /// Images with a probability above this pass, 0 to 1. Default: 0.5.
        #[schemars(range(min = 0.0, max = 1.0))]
        semantic threshold: f64 = 0.5,
        /// What to do about sessions of `participants` without an image: error or drop. Default: error.
        semantic on_missing: OnMissing = OnMissing::Error,
    }
}

/// Judges uncropped images of t1-linear.
#[derive(Debug)]
pub struct QualityCheckT1Linear;

impl Stage for QualityCheckT1Linear {
    const ID: &'static str = "quality-check-t1-linear";
    const VERSION: u32 = 1;
    const SUMMARY: &'static str =
        "Checks the registration of T1-weighted images with a trained network.";
    const RUNS_IN: RunsIn = RunsIn::Worker;
    type Params = QualityCheckT1LinearParams;

    fn ports(_: &QualityCheckT1LinearParams) -> Ports {
        Ports {
            inputs: vec![
                InputPort::new("caps", &["caps"], "The CAPS, with uncropped images."),
                InputPort::new("weights", &["weights"], "The network's state dict."),
                InputPort::new("participants", &["table"], "Check these sessions only.").optional(),
            ],
            outputs: vec![OutputPort::new(
                QUALITY,
                "table",
                "Sessions with probability and verdict, highest probability first.",
            )],
        }
    }

    fn selects(_: &QualityCheckT1LinearParams, port: &str, path: &str) -> bool {
        port != "caps" || caps::selects(&pattern(&Checked::T1Linear), path)
    }
}

/// The images to judge.
///
/// # Errors
/// There are none, or sessions of `participants` have none; see [`OnMissing`].
pub fn images_to_judge(
    params: &QualityCheckT1LinearParams,
    context: &Context,
) -> Result<Vec<CapsImage>, StageError> {
    images(&pattern(&Checked::T1Linear), params.on_missing, context)
}
