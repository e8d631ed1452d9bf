//! Networks: one file each, and the table [`NETWORKS`].
//!
//! A network's tensors have the names, the order and, from the same seed, the initial values of
//! ClinicaDL 1.6.1, so that weights can be exchanged and trainings compared.

mod conv5_fc3;
mod layers;

use engine::StageError;
use stages::learning::names::NetworkName;
use tch::{TchError, Tensor};

pub(crate) use layers::Mode;

use crate::session::Session;
use crate::state::State;

/// What a network is built for.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct NetworkSpec {
    /// `[C, X, Y]` or `[C, X, Y, Z]`.
    pub(crate) input_size: Vec<i64>,
    /// Number of outputs.
    pub(crate) output_size: i64,
    /// Probability of dropping a feature in training.
    pub(crate) dropout: f64,
}

/// A network that maps a batch of images to a batch of outputs.
pub(crate) trait Network {
    /// Outputs `[B, output_size]` of a batch `[B, C, X, Y(, Z)]` of the size it was built for.
    fn forward(&self, images: &Tensor, mode: Mode) -> Result<Tensor, TchError>;

    /// Its tensors.
    fn state(&self) -> &State;

    /// Its tensors, to move them to another device.
    fn state_mut(&mut self) -> &mut State;

    /// PyTorch's textual representation of its layers.
    fn describe(&self) -> String;
}

type Build = fn(&NetworkSpec, &Session) -> Result<Box<dyn Network>, StageError>;

/// A line of [`NETWORKS`].
pub(crate) struct NetworkKind {
    /// Name in manifests and in `maps.json`.
    pub(crate) name: NetworkName,
    /// Builds the network with freshly drawn weights, on the CPU.
    pub(crate) build: Build,
}

/// Every network, sorted by name.
pub(crate) static NETWORKS: &[&NetworkKind] = &[&conv5_fc3::CONV5_FC3];

/// Builds the network called `name`, with weights drawn from the session's generator, on its device.
///
/// # Errors
/// The images are too small for the network.
pub(crate) fn build(
    name: NetworkName,
    spec: &NetworkSpec,
    session: &Session,
) -> Result<Box<dyn Network>, StageError> {
    let kind = NETWORKS
        .iter()
        .find(|kind| kind.name == name)
        .ok_or_else(|| {
            StageError::internal(format!("network `{}` is not built in", name.name()))
        })?;
    let mut network = (kind.build)(spec, session)?;
    network.state_mut().move_to(session.device())?;
    Ok(network)
}

/// The name of a network as written in a `maps.json`.
///
/// # Errors
/// It is none of ours; the message lists them.
pub(crate) fn parse_name(name: &str) -> Result<NetworkName, StageError> {
    NetworkName::ALL
        .iter()
        .copied()
        .find(|known| known.name() == name)
        .ok_or_else(|| {
            let known: Vec<String> = NetworkName::ALL
                .iter()
                .map(|known| format!("`{}`", known.name()))
                .collect();
            StageError::new(format!(
                "unknown network `{name}`, expected one of {}",
                known.join(", ")
            ))
        })
}

#[cfg(test)]
mod tests;
