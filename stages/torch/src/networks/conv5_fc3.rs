//! `Conv5_FC3`, `Conv4_FC3`.

use engine::StageError;
use stages::learning::networks::cnn::{CONV4_FC3, CONV5_FC3, CnnOptions};
use tch::TchError;

use super::cnn::{Cnn, features};
use super::layers::{Activation, Builder, Conv, Norm, PadMaxPool, Sequential};
use super::{NetworkKind, NetworkSpec};
use crate::error::During;
use crate::session::Session;

pub(super) static KIND5: NetworkKind = NetworkKind {
    declaration: &CONV5_FC3,
    build: |spec, session| Ok(Box::new(build(spec, session, [1300, 50])?)),
};

/// Despite its name it has five blocks too, and fewer features after them.
pub(super) static KIND4: NetworkKind = NetworkKind {
    declaration: &CONV4_FC3,
    build: |spec, session| Ok(Box::new(build(spec, session, [50, 40])?)),
};

pub(super) const CHANNELS: [i64; 5] = [8, 16, 32, 64, 128];

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
fn build(spec: &NetworkSpec, session: &Session, hidden: [i64; 2]) -> Result<Cnn, StageError> {
    let name = spec.declaration.name;
    spec.needs_an_axis_of(17)?;
    let options: CnnOptions = spec.options()?;
    let make = || -> Result<Cnn, TchError> {
        let mut builder = Builder::new(session);
        let convolutions = convolutions(&mut builder, &spec.input_size)?;
        let features = features(&convolutions, &spec.input_size)?;
        Cnn::three_layers(
            builder,
            convolutions,
            options.dropout,
            [features, hidden[0], hidden[1], spec.output_size],
        )
    };
    make().during(&format!("build `{name}`"))
}

/// The blocks.
pub(super) fn convolutions(
    builder: &mut Builder<'_>,
    input_size: &[i64],
) -> Result<Sequential, TchError> {
    let axes = input_size.len() - 1;
    Sequential::make_in(builder, "convolutions", |s| {
        let mut input = input_size[0];
        for channels in CHANNELS {
            s.add(Conv::new(axes, input, channels, 3).padding(1))?;
            s.add(Norm::Batch { axes, channels })?;
            s.add(Activation::Relu)?;
            s.add(PadMaxPool::new(axes))?;
            input = channels;
        }
        Ok(())
    })
}
