//! `Stride_Conv5_FC3`.

use engine::StageError;
use stages::learning::networks::cnn::{CnnOptions, STRIDE_CONV5_FC3};
use tch::TchError;

use super::cnn::{features, three_layers};
use super::conv5_fc3::{CHANNELS, HIDDEN5};
use super::layers::{Activation, Builder, Conv, Norm, Sequential};
use super::plain::Plain;
use super::{NetworkKind, NetworkSpec};
use crate::error::During;
use crate::session::Session;

pub(super) static KIND: NetworkKind = NetworkKind {
    declaration: &STRIDE_CONV5_FC3,
    build: |spec, session| Ok(Box::new(build(spec, session)?)),
};

/// As `Conv5_FC3`, with convolutions of stride 2 instead of pooling.
///
/// # Shapes
/// Input `[B, C, X, Y(, Z)]`, at least one axis of 33 voxels or more; output `[B, output_size]`.
///
/// # Source
/// ClinicaDL 1.6.1 `clinicadl/utils/network/cnn/models.py`.
fn build(spec: &NetworkSpec, session: &Session) -> Result<Plain, StageError> {
    spec.needs_an_axis_of(33)?;
    let options: CnnOptions = spec.options()?;
    let make = || -> Result<Plain, TchError> {
        let mut builder = Builder::new(session);
        let axes = spec.input_size.len() - 1;
        let convolutions = Sequential::make_in(&mut builder, "convolutions", |s| {
            let mut input = spec.input_size[0];
            for channels in CHANNELS {
                s.add(Conv::new(axes, input, channels, 3).padding(1).stride(2))?;
                s.add(Norm::Batch { axes, channels })?;
                s.add(Activation::Relu)?;
                input = channels;
            }
            Ok(())
        })?;
        let features = features(session, &convolutions, &spec.input_size)?;
        let sizes = [features, HIDDEN5[0], HIDDEN5[1], spec.output_size];
        let fc = three_layers(&mut builder, "fc", options.dropout, sizes)?;
        Ok(Plain::chain(builder.finish(), [convolutions, fc]))
    };
    make().during("build the network")
}
