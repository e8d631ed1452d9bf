//! `ResNet3D`, `SqueezeExcitationCNN`.

use engine::StageError;
use stages::learning::networks::cnn::{
    RESNET3D, ResNet3dOptions, SQUEEZE_EXCITATION_CNN, SqueezeExcitationOptions,
};
use tch::{Kind, TchError, Tensor};

use super::cnn::features;
use super::layers::{
    Activation, Builder, Conv, Dense, Dropout, Flatten, Layer, Make, Norm, Pool, Sequential, Shown,
    block, forward_all,
};
use super::plain::Plain;
use super::{Mode, NetworkKind, NetworkSpec};
use crate::error::During;
use crate::session::Session;

pub(super) static RESNET: NetworkKind = NetworkKind {
    declaration: &RESNET3D,
    build: |spec, session| {
        let options: ResNet3dOptions = spec.options()?;
        Ok(Box::new(build(spec, session, false, options.dropout)?))
    },
};

pub(super) static SQUEEZE_EXCITATION: NetworkKind = NetworkKind {
    declaration: &SQUEEZE_EXCITATION_CNN,
    build: |spec, session| {
        let options: SqueezeExcitationOptions = spec.options()?;
        Ok(Box::new(build(spec, session, true, options.dropout)?))
    },
};

const CHANNELS: [i64; 5] = [8, 16, 32, 64, 128];
/// Features after the convolutions.
const HIDDEN: i64 = 256;

/// Five residual blocks with pooling, then two fully connected layers; with `squeeze`, each block weighs
/// its channels.
///
/// # Shapes
/// Input `[B, C, X, Y, Z]` with axes of 63 voxels or more; output `[B, output_size]`.
///
/// # Source
/// ClinicaDL 1.6.1 `resnet3D.py`, `SECNN.py`; He et al. 2016, doi:10.1109/CVPR.2016.90; Ghosal et al.
/// 2019, doi:10.1109/ASPCON.2019.8820580. Deviation: there both are always built for one channel of
/// 169×208×179 voxels, two outputs and a fixed dropout (the defaults here), whatever is asked for.
fn build(
    spec: &NetworkSpec,
    session: &Session,
    squeeze: bool,
    dropout: f64,
) -> Result<Plain, StageError> {
    spec.needs_axes_of(SMALLEST)?;
    let make = || -> Result<Plain, TchError> {
        let mut builder = Builder::new(session);
        let convolutions = Sequential::make_in(&mut builder, "convolutions", |s| {
            let mut input = spec.input_size[0];
            for output in CHANNELS {
                s.add(Stage {
                    input,
                    output,
                    squeeze,
                })?;
                input = output;
            }
            Ok(())
        })?;
        let features = features(session, &convolutions, &spec.input_size)?;
        let fc = Sequential::make_in(&mut builder, "fc", |s| {
            s.add(Shown("Flatten()", Flatten))?;
            if squeeze {
                s.add(Dropout(dropout))?;
                s.add(Dense::new(features, HIDDEN))?;
                s.add(Activation::Relu)?;
            } else {
                s.add(Dense::new(features, HIDDEN))?;
                s.add(Activation::Elu)?;
                s.add(Dropout(dropout))?;
            }
            s.add(Dense::new(HIDDEN, spec.output_size))
        })?;
        Ok(Plain::chain(builder.finish(), [convolutions, fc]))
    };
    make().during("build the network")
}

/// Five poolings with windows of 3 and stride 2 make one voxel of it: 63, 31, 15, 7, 3, 1.
const SMALLEST: i64 = 63;

/// A block and its pooling.
struct Stage {
    input: i64,
    output: i64,
    squeeze: bool,
}

impl Make for Stage {
    fn make(self, builder: &mut Builder<'_>) -> Result<Box<dyn Layer>, TchError> {
        let pool = Pool::Max {
            axes: 3,
            kernel: 3,
            stride: 2,
            padding: 0,
        };
        let both = Sequential::fill(builder, |s| {
            s.add(Block(self))?;
            s.add(pool)
        })?;
        Ok(Box::new(both))
    }
}

struct Block(Stage);

impl Make for Block {
    fn make(self, builder: &mut Builder<'_>) -> Result<Box<dyn Layer>, TchError> {
        let Stage {
            input,
            output,
            squeeze,
        } = self.0;
        let conv = |input| Conv::new(3, input, output, 3).padding(1).without_bias();
        let norm = Norm::Batch {
            axes: 3,
            channels: output,
        };
        let activation = if squeeze {
            Activation::Relu
        } else {
            Activation::Elu
        };
        Ok(Box::new(Residual {
            conv1: builder.layer("conv1", conv(input))?,
            bn1: builder.layer("bn1", norm)?,
            conv2: builder.layer("conv2", conv(output))?,
            bn2: builder.layer("bn2", norm)?,
            squeeze: squeeze
                .then(|| builder.layer("se_block", SqueezeExcitation { channels: output }))
                .transpose()?,
            shortcut: Sequential::make_in(builder, "shortcut", |s| {
                s.add(Conv::new(3, input, output, 1).without_bias())
            })?,
            activation: builder.layer("act", activation)?,
        }))
    }
}

/// ELU, written over its argument: the backward pass is told by the value.
fn elu_over(mut x: Tensor) -> Result<Tensor, TchError> {
    drop(x.f_elu_()?);
    Ok(x)
}

/// act(norm(conv(act(norm(conv(x))))) + shortcut(x)).
#[derive(Debug)]
struct Residual {
    conv1: Box<dyn Layer>,
    bn1: Box<dyn Layer>,
    conv2: Box<dyn Layer>,
    bn2: Box<dyn Layer>,
    squeeze: Option<Box<dyn Layer>>,
    shortcut: Sequential,
    activation: Box<dyn Layer>,
}

impl Layer for Residual {
    fn forward(&self, x: &Tensor, mode: Mode) -> Result<Tensor, TchError> {
        let first: [&dyn Layer; 3] = [&*self.conv1, &*self.bn1, &*self.activation];
        let y = match self.squeeze {
            // One pass does all three.
            Some(_) => forward_all(&first, x, mode)?,
            None => elu_over(forward_all(&first[..2], x, mode)?)?,
        };
        let mut y = forward_all(&[&*self.conv2, &*self.bn2], &y, mode)?;
        if let Some(squeeze) = &self.squeeze {
            y = squeeze.forward(&y, mode)?;
        }
        // Nobody else needs these maps, the largest of the network.
        drop(y.f_add_(&self.shortcut.forward(x, mode)?)?);
        match self.squeeze {
            Some(_) => self.activation.forward_owned(y, mode),
            None => elu_over(y),
        }
    }

    fn is_block(&self) -> bool {
        true
    }

    fn describe(&self) -> Vec<String> {
        let mut parts = vec![
            ("conv1", self.conv1.describe()),
            ("bn1", self.bn1.describe()),
            ("act1", self.activation.describe()),
            ("conv2", self.conv2.describe()),
            ("bn2", self.bn2.describe()),
        ];
        parts.extend(
            self.squeeze
                .iter()
                .map(|part| ("se_block", part.describe())),
        );
        parts.push(("shortcut", self.shortcut.describe()));
        parts.push(("act2", self.activation.describe()));
        let name = match self.squeeze {
            Some(_) => "ResBlock_SE",
            None => "ResBlock",
        };
        block(name, parts.into_iter())
    }
}

/// Weighs channels by what two fully connected layers make of their means.
struct SqueezeExcitation {
    channels: i64,
}

/// Channels by features between the two layers.
const RATIO: i64 = 8;

impl Make for SqueezeExcitation {
    fn make(self, builder: &mut Builder<'_>) -> Result<Box<dyn Layer>, TchError> {
        let reduced = self.channels / RATIO;
        Ok(Box::new(Weighing {
            fc1: builder.layer("fc1", Dense::new(self.channels, reduced))?,
            fc2: builder.layer("fc2", Dense::new(reduced, self.channels))?,
            relu: builder.layer("act1", Activation::Relu)?,
        }))
    }
}

#[derive(Debug)]
struct Weighing {
    fc1: Box<dyn Layer>,
    fc2: Box<dyn Layer>,
    relu: Box<dyn Layer>,
}

impl Layer for Weighing {
    fn forward(&self, x: &Tensor, mode: Mode) -> Result<Tensor, TchError> {
        let means = x.f_mean_dim(&[2_i64, 3, 4][..], false, None::<Kind>)?;
        let hidden = self.relu.forward(&self.fc1.forward(&means, mode)?, mode)?;
        let weights = self.fc2.forward(&hidden, mode)?.f_sigmoid()?;
        let channels = weights.size()[1];
        // Of any number of images: a pass that is taken down keeps none.
        x.f_mul(&weights.f_view([-1, channels, 1, 1, 1])?)
    }

    fn describe(&self) -> Vec<String> {
        let parts = [
            (
                "avg_pooling_3D",
                vec!["AdaptiveAvgPool3d(output_size=1)".to_owned()],
            ),
            ("fc1", self.fc1.describe()),
            ("fc2", self.fc2.describe()),
            ("act1", self.relu.describe()),
            ("act2", Activation::Sigmoid.describe()),
        ];
        block("SE_Blocks", parts.into_iter())
    }
}
