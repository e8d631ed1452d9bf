//! `Conv5_FC3`, `Conv4_FC3`.

use engine::StageError;
use stages::learning::networks::cnn::{CONV4_FC3, CONV5_FC3, CnnOptions};
use tch::TchError;

use super::cnn::{features, three_layers};
use super::layers::{Activation, Builder, Conv, CropMaxUnpool, Norm, PadMaxPool, Sequential};
use super::plain::Plain;
use super::{NetworkKind, NetworkSpec};
use crate::error::During;
use crate::session::Session;

pub(super) static KIND5: NetworkKind = NetworkKind {
    declaration: &CONV5_FC3,
    build: |spec, session| Ok(Box::new(build(spec, session, HIDDEN5)?)),
};

/// Despite its name it has five blocks too, and fewer features after them.
pub(super) static KIND4: NetworkKind = NetworkKind {
    declaration: &CONV4_FC3,
    build: |spec, session| Ok(Box::new(build(spec, session, HIDDEN4)?)),
};

pub(super) const CHANNELS: [i64; 5] = [8, 16, 32, 64, 128];
/// Features of the hidden layers of `Conv5_FC3`, and of `Conv4_FC3`.
pub(super) const HIDDEN5: [i64; 2] = [1300, 50];
pub(super) const HIDDEN4: [i64; 2] = [50, 40];

/// Five blocks of convolution, batch norm, ReLU and max pooling, then three fully connected layers.
///
/// # Shapes
/// Input `[B, C, X, Y]` or `[B, C, X, Y, Z]`. At least one axis has 17 voxels or more: a smaller image
/// is one voxel when it reaches the last batch norm, which has nothing to normalise over in a batch of
/// one. Output `[B, output_size]`. Features after the blocks: 128·∏⌈axis/32⌉.
///
/// # Source
/// ClinicaDL 1.6.1 `clinicadl/utils/network/cnn/models.py`; Wen et al. 2020,
/// doi:10.1016/j.media.2020.101694. As there, building the network passes one image of zeros through
/// the blocks in training mode, so that running statistics do not start at 0 and 1.
fn build(spec: &NetworkSpec, session: &Session, hidden: [i64; 2]) -> Result<Plain, StageError> {
    spec.needs_an_axis_of(17)?;
    let options: CnnOptions = spec.options()?;
    let make = || -> Result<Plain, TchError> {
        let mut builder = Builder::new(session);
        let convolutions = convolutions(&mut builder, "convolutions", &spec.input_size, None)?;
        let features = features(session, &convolutions, &spec.input_size)?;
        let sizes = [features, hidden[0], hidden[1], spec.output_size];
        let fc = three_layers(&mut builder, "fc", options.dropout, sizes)?;
        Ok(Plain::chain(builder.finish(), [convolutions, fc]))
    };
    make().during("build the network")
}

/// The blocks; where wanted with what undoes the pooling of each.
pub(super) fn convolutions(
    builder: &mut Builder<'_>,
    name: &str,
    input_size: &[i64],
    mut inverse: Option<&mut Vec<CropMaxUnpool>>,
) -> Result<Sequential, TchError> {
    let axes = input_size.len() - 1;
    Sequential::make_in(builder, name, |s| {
        let mut input = input_size[0];
        for channels in CHANNELS {
            s.add(Conv::new(axes, input, channels, 3).padding(1))?;
            s.add(Norm::Batch { axes, channels })?;
            s.add(Activation::Relu)?;
            match &mut inverse {
                None => s.add(PadMaxPool::new(axes))?,
                Some(inverse) => {
                    let (pool, unpool) = PadMaxPool::with_inverse(axes);
                    inverse.push(unpool);
                    s.add(pool)?;
                }
            }
            input = channels;
        }
        Ok(())
    })
}
