//! `Conv5_FC3_SSDA`.

use engine::StageError;
use stages::learning::networks::cnn::{CONV5_FC3_SSDA, CnnOptions};
use tch::{Kind, TchError, Tensor};

use super::cnn::{features, three_layers};
use super::conv5_fc3::{HIDDEN5, convolutions};
use super::domains::{Head, TwoDomains};
use super::layers::{Builder, Layer, Mode, Sequential, block};
use super::{Network, NetworkKind, NetworkSpec, Outputs};
use crate::error::During;
use crate::session::Session;
use crate::state::State;

pub(super) static KIND: NetworkKind = NetworkKind {
    declaration: &CONV5_FC3_SSDA,
    build: |spec, session| Ok(Box::new(build(spec, session)?)),
};

/// The blocks of `Conv5_FC3`, and its fully connected layers once for each head.
///
/// # Shapes
/// Those of `Conv5_FC3`. Every head has `output_size` outputs, that of the domains too, which uses two.
///
/// # Source
/// ClinicaDL 1.6.1 `clinicadl/utils/network/cnn/models.py`, `sub_network.py` (`CNN_SSDA`).
#[derive(Debug)]
struct Conv5Fc3Ssda {
    state: State,
    convolutions: Sequential,
    source: Sequential,
    target: Sequential,
    domain: Sequential,
}

fn build(spec: &NetworkSpec, session: &Session) -> Result<Conv5Fc3Ssda, StageError> {
    spec.needs_an_axis_of(17)?;
    let options: CnnOptions = spec.options()?;
    let make = || -> Result<Conv5Fc3Ssda, TchError> {
        let mut builder = Builder::new(session);
        let convolutions = convolutions(&mut builder, "convolutions", &spec.input_size, None)?;
        let features = features(session, &convolutions, &spec.input_size)?;
        let sizes = [features, HIDDEN5[0], HIDDEN5[1], spec.output_size];
        let mut head = |name: &str| three_layers(&mut builder, name, options.dropout, sizes);
        Ok(Conv5Fc3Ssda {
            source: head("fc_class_source")?,
            target: head("fc_class_target")?,
            domain: head("fc_domain")?,
            convolutions,
            state: builder.finish(),
        })
    };
    make().during("build the network")
}

impl TwoDomains for Conv5Fc3Ssda {
    fn features(&self, images: &Tensor, mode: Mode) -> Result<Tensor, TchError> {
        self.convolutions.forward(images, mode)
    }

    fn head(&self, head: Head, features: &Tensor, mode: Mode) -> Result<Tensor, TchError> {
        let layers = match head {
            Head::Source => &self.source,
            Head::Target => &self.target,
            Head::Domain => &self.domain,
        };
        layers.forward(features, mode)?.f_to_kind(Kind::Float)
    }
}

impl Network for Conv5Fc3Ssda {
    fn compute(&self, images: &Tensor, mode: Mode) -> Result<Outputs, TchError> {
        let features = self.features(images, mode)?;
        self.head(Head::Target, &features, mode).map(Outputs::of)
    }

    fn two_domains(&self) -> Option<&dyn TwoDomains> {
        Some(self)
    }

    fn state(&self) -> &State {
        &self.state
    }

    fn state_mut(&mut self) -> &mut State {
        &mut self.state
    }

    fn describe(&self) -> String {
        let parts = [&self.convolutions, &self.source, &self.target, &self.domain];
        let texts = parts.map(Layer::describe);
        block("Sequential", ["0", "1", "2", "3"].into_iter().zip(texts)).join("\n")
    }
}
