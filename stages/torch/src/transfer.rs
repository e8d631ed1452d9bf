//! Weights to start from: those of another training, or of a file.
//!
//! # Source
//! ClinicaDL 1.6.1 `transfer_weights`: networks of one kind take all weights, a network with
//! `convolutions` and an autoencoder with an `encoder` exchange those.

use engine::{Context, Input, StageError};
use maps::layout::{MAPS_JSON, SplitPath, TRAIN_VALIDATION};
use maps::weights::{Weights, read_pth, read_safetensors};
use stages::leakage::{Group, Origin, SEEN};
use stages::learning::TrainParams;
use stages::table::Table;

use crate::networks::Network;
use crate::weights;

/// The parts that networks and autoencoders share, by the beginning of their names.
const SHARED: [&str; 2] = ["convolutions.", "encoder."];

/// Weights of another training.
pub(crate) struct Source {
    shown: String,
    weights: Weights,
    /// Everybody whom they have seen; `None` where nobody can tell.
    pub(crate) seen: Option<Group>,
}

impl Source {
    /// Reads the weights that a metric selected in a model, or those of a file.
    ///
    /// # Errors
    /// There are none, or they are damaged.
    pub(crate) fn open(
        input: &Input,
        params: &TrainParams,
        context: &Context,
    ) -> Result<Self, StageError> {
        let (file, seen) = if input.file(MAPS_JSON).is_some() {
            let metric = params.transfer_metric();
            let path = SplitPath::Model { metric }.in_artifact();
            (input.require(&path)?, Some(seen_by(input)?))
        } else {
            (input.only_file()?, None)
        };
        let bytes =
            std::fs::read(&file.path).map_err(|e| StageError::io("read", &file.path, &e))?;
        let is_zip = bytes.starts_with(b"PK");
        let weights = if is_zip {
            read_pth(&bytes).map(|checkpoint| checkpoint.model)
        } else {
            read_safetensors(&bytes)
        };
        let weights = weights.map_err(|e| StageError::new(format!("`{}`: {e}", file.shown)))?;
        if seen.is_none() {
            context.warn(format!(
                "nobody can tell which participants the weights in `{}` have seen",
                file.shown
            ));
        }
        Ok(Self {
            shown: file.shown.clone(),
            weights,
            seen,
        })
    }

    /// Copies the weights into a network; tells how many tensors.
    ///
    /// # Errors
    /// They do not fit; every tensor that does not is named.
    pub(crate) fn apply(&self, network: &dyn Network) -> Result<usize, StageError> {
        let state = network.state();
        let has = |prefix: &str| state.entries().iter().any(|e| e.name.starts_with(prefix));
        let gives = |prefix: &str| self.weights.keys().any(|name| name.starts_with(prefix));
        let pairs = [(SHARED[0], SHARED[1]), (SHARED[1], SHARED[0])];
        let shared = pairs
            .into_iter()
            .find(|(own, other)| has(own) && !has(other) && gives(other) && !gives(own));
        let Some((own, other)) = shared else {
            weights::load_state_dict(state, &self.weights, &self.shown)?;
            return Ok(state.entries().len());
        };
        let part: Weights = self
            .weights
            .iter()
            .filter_map(|(name, array)| {
                let rest = name.strip_prefix(other)?;
                Some((format!("{own}{rest}"), array.clone()))
            })
            .collect();
        let entries = state.entries().iter().filter(|e| e.name.starts_with(own));
        weights::load(
            entries.map(|entry| (entry.name.clone(), &entry.tensor)),
            &part,
            &self.shown,
        )?;
        Ok(part.len())
    }
}

/// Everybody whom a model has seen, whatever for: to the next one all of that was before.
fn seen_by(model: &Input) -> Result<Group, StageError> {
    let mut seen = match model.file(SEEN) {
        Some(file) => Group::of_seen(&Table::read(file)?, &file.shown)?,
        None => {
            let file = model.require(TRAIN_VALIDATION)?;
            let origin = Origin::PreTraining;
            Group::of_table("pre-training", &Table::read(file)?, origin, Vec::new())?
        }
    };
    seen.name = "pre-training".to_owned();
    seen.shown.clone_from(&model.shown);
    for session in &mut seen.sessions {
        session.origin = Origin::PreTraining;
    }
    Ok(seen)
}
