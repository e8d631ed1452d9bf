//! `Conv5_FC3`.

use engine::StageError;
use maps::files::python_repr;
use stages::learning::names::NetworkName;
use tch::{Device, Kind, TchError, Tensor};

use super::layers::{BatchNorm, Builder, Convolution, Geometry, Linear, PadMaxPool};
use super::{Mode, Network, NetworkKind, NetworkSpec};
use crate::error::During;
use crate::session::Session;
use crate::state::State;

pub(super) static CONV5_FC3: NetworkKind = NetworkKind {
    name: NetworkName::Conv5Fc3,
    build: |spec, session| Ok(Box::new(Conv5Fc3::try_new(spec, session)?)),
};

const CHANNELS: [i64; 5] = [8, 16, 32, 64, 128];
const HIDDEN: [i64; 2] = [1300, 50];

/// Five blocks of convolution, batch norm, ReLU and max pooling, then three fully connected layers.
///
/// # Shapes
/// Input `[B, C, X, Y]` or `[B, C, X, Y, Z]`. At least one axis has 17 voxels or more: a smaller image
/// is one voxel when it reaches the last batch norm, which has nothing to normalise over in a batch of
/// one. Output `[B, output_size]` logits. Features after the blocks: 128·∏⌈axis/32⌉.
///
/// # Source
/// ClinicaDL 1.6.1 `clinicadl/utils/network/cnn/models.py`; Wen et al. 2020,
/// doi:10.1016/j.media.2020.101694. As there, building the network passes one image of zeros through
/// the blocks in training mode, so that running statistics do not start at 0 and 1.
#[derive(Debug)]
struct Conv5Fc3 {
    state: State,
    blocks: Vec<Block>,
    dropout: f64,
    hidden: [Linear; 2],
    output: Linear,
    input_size: Vec<i64>,
}

#[derive(Debug)]
struct Block {
    convolution: Convolution,
    norm: BatchNorm,
    pool: PadMaxPool,
}

impl Block {
    fn forward(&self, x: &Tensor, mode: Mode) -> Result<Tensor, TchError> {
        let mut x = self.norm.forward(&self.convolution.forward(x)?, mode)?;
        // In place: the backward pass of batch norm needs its input, not its output.
        drop(x.f_relu_()?);
        self.pool.forward(&x)
    }
}

impl Conv5Fc3 {
    fn try_new(spec: &NetworkSpec, session: &Session) -> Result<Self, StageError> {
        check_size(&spec.input_size)?;
        Self::build(spec, session).during("build `Conv5_FC3`")
    }

    fn build(spec: &NetworkSpec, session: &Session) -> Result<Self, TchError> {
        let axes = spec.input_size.len() - 1;
        let mut builder = Builder::new(session);
        let mut blocks = Vec::with_capacity(CHANNELS.len());
        let mut input = spec.input_size[0];
        for (i, &output) in CHANNELS.iter().enumerate() {
            let geometry = Geometry {
                axes,
                kernel: 3,
                stride: 1,
                padding: 1,
            };
            let convolution = format!("convolutions.{}", 4 * i);
            let norm = format!("convolutions.{}", 4 * i + 1);
            blocks.push(Block {
                convolution: builder.convolution(&convolution, (input, output), geometry)?,
                norm: builder.batch_norm(&norm, output, axes)?,
                pool: PadMaxPool { axes },
            });
            input = output;
        }
        let features = warm_up(&blocks, &spec.input_size)?;
        let hidden = [
            builder.linear("fc.2", features, HIDDEN[0])?,
            builder.linear("fc.4", HIDDEN[0], HIDDEN[1])?,
        ];
        let output = builder.linear("fc.6", HIDDEN[1], spec.output_size)?;
        Ok(Self {
            state: builder.finish(),
            blocks,
            dropout: spec.dropout,
            hidden,
            output,
            input_size: spec.input_size.clone(),
        })
    }
}

/// Passes one image of zeros through the blocks in training mode; returns the number of features.
fn warm_up(blocks: &[Block], input_size: &[i64]) -> Result<i64, TchError> {
    let shape: Vec<i64> = std::iter::once(1)
        .chain(input_size.iter().copied())
        .collect();
    tch::no_grad(|| {
        let mut x = Tensor::f_zeros(shape, (Kind::Float, Device::Cpu))?;
        for block in blocks {
            x = block.forward(&x, Mode::Train)?;
        }
        Ok(x.size().iter().product())
    })
}

fn check_size(input_size: &[i64]) -> Result<(), StageError> {
    let axes = input_size.get(1..).unwrap_or_default();
    if !matches!(axes.len(), 2 | 3) || input_size.iter().any(|&axis| axis < 1) {
        return Err(StageError::new(format!(
            "`Conv5_FC3` takes images [C, X, Y] or [C, X, Y, Z], got {input_size:?}"
        )));
    }
    if axes.iter().all(|&axis| axis <= 16) {
        return Err(StageError::new(format!(
            "images of {axes:?} voxels are too small for `Conv5_FC3`, which needs an axis of at least 17"
        ))
        .hint("turn `size_reduction` off or lower its factor"));
    }
    Ok(())
}

impl Network for Conv5Fc3 {
    fn forward(&self, images: &Tensor, mode: Mode) -> Result<Tensor, TchError> {
        let mut x = images.shallow_clone();
        for block in &self.blocks {
            x = block.forward(&x, mode)?;
        }
        x = x.f_flatten(1, -1)?;
        x = x.f_dropout(self.dropout, mode == Mode::Train)?;
        for layer in &self.hidden {
            x = layer.forward(&x)?;
            drop(x.f_relu_()?);
        }
        self.output.forward(&x)
    }

    fn state(&self) -> &State {
        &self.state
    }

    fn state_mut(&mut self) -> &mut State {
        &mut self.state
    }

    fn describe(&self) -> String {
        let mut axes = self.input_size[1..].to_vec();
        let mut layers: Vec<Vec<String>> = Vec::new();
        for block in &self.blocks {
            layers.push(vec![block.convolution.describe()]);
            layers.push(vec![block.norm.describe()]);
            layers.push(vec!["ReLU()".to_owned()]);
            layers.push(block.pool.describe(&axes));
            for axis in &mut axes {
                *axis = (*axis + 1) / 2;
            }
        }
        let dropout = python_repr(self.dropout);
        let fc: Vec<Vec<String>> = [
            "Flatten(start_dim=1, end_dim=-1)".to_owned(),
            format!("Dropout(p={dropout}, inplace=False)"),
            self.hidden[0].describe(),
            "ReLU()".to_owned(),
            self.hidden[1].describe(),
            "ReLU()".to_owned(),
            self.output.describe(),
        ]
        .map(|line| vec![line])
        .into();
        sequential(&[sequential(&layers), sequential(&fc)]).join("\n")
    }
}

/// PyTorch's representation of a `Sequential` of modules, each given by its lines.
fn sequential(modules: &[Vec<String>]) -> Vec<String> {
    let mut lines = vec!["Sequential(".to_owned()];
    for (i, module) in modules.iter().enumerate() {
        for (j, line) in module.iter().enumerate() {
            lines.push(if j == 0 {
                format!("  ({i}): {line}")
            } else {
                format!("  {line}")
            });
        }
    }
    lines.push(")".to_owned());
    lines
}
