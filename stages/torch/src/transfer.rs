//! Weights to start from: those of another training, or of a file.
//!
//! # Source
//! ClinicaDL 1.6.1 `transfer_weights`: networks of one kind take all weights, a network with
//! `convolutions` and an autoencoder with an `encoder` exchange those.

use engine::{Context, Input, InputFile, StageError};
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
    /// Those of a single network, or of the network of each part.
    files: Vec<InputFile>,
    is_of_parts: bool,
    /// Everybody whom they have seen; `None` where nobody can tell.
    pub(crate) seen: Option<Group>,
}

impl Source {
    /// Finds the weights that a metric selected in a model, or those of a file.
    ///
    /// # Errors
    /// There are none, or there are several networks for a single one.
    pub(crate) fn open(
        input: &Input,
        params: &TrainParams,
        context: &Context,
    ) -> Result<Self, StageError> {
        let metric = params.transfer_metric();
        let of = |network| SplitPath::Model { metric }.of_network(network);
        let parts = (0..).map_while(|part| input.file(&of(Some(part))).cloned());
        let parts: Vec<InputFile> = parts.collect();
        if !parts.is_empty() && !params.multi_network {
            let count = parts.len();
            let shown = &input.shown;
            let message = format!(
                "`source`: `{shown}` has {count} networks, one for each part, which cannot start a single one"
            );
            let hint = "set `multi_network: true`, or start from a model of one network";
            return Err(StageError::new(message).hint(hint));
        }
        let is_of_parts = !parts.is_empty();
        let (files, seen) = match input.file(MAPS_JSON) {
            Some(_) if is_of_parts => (parts, Some(seen_by(input)?)),
            Some(_) => (
                vec![input.require(&of(None))?.clone()],
                Some(seen_by(input)?),
            ),
            None => (vec![input.only_file()?.clone()], None),
        };
        let shown = match files.as_slice() {
            [one] => one.shown.clone(),
            _ => input.shown.clone(),
        };
        if seen.is_none() {
            context.warn(format!(
                "nobody can tell which participants the weights in `{shown}` have seen"
            ));
        }
        Ok(Self {
            shown,
            files,
            is_of_parts,
            seen,
        })
    }

    /// Makes sure that there are weights for so many networks.
    ///
    /// # Errors
    /// Each part has a network of its own there, and there are others than here.
    pub(crate) fn fits(&self, networks: usize) -> Result<(), StageError> {
        if !self.is_of_parts || self.files.len() == networks {
            return Ok(());
        }
        let (shown, count) = (&self.shown, self.files.len());
        let message = format!(
            "`source`: `{shown}` has networks of {count} parts, expected {networks} as the images have"
        );
        Err(StageError::new(message).hint("extract the images as for the training of the source"))
    }

    /// Copies the weights into a network, which may be that of a part; tells how many tensors.
    ///
    /// # Errors
    /// They are damaged or do not fit; every tensor that does not is named.
    pub(crate) fn apply(
        &self,
        network: &dyn Network,
        part: Option<usize>,
    ) -> Result<usize, StageError> {
        let place = part.filter(|_| self.is_of_parts).unwrap_or(0);
        let file = &self.files[place];
        let source = read(file)?;
        let state = network.state();
        let has = |prefix: &str| state.entries().iter().any(|e| e.name.starts_with(prefix));
        let gives = |prefix: &str| source.keys().any(|name| name.starts_with(prefix));
        let pairs = [(SHARED[0], SHARED[1]), (SHARED[1], SHARED[0])];
        let shared = pairs
            .into_iter()
            .find(|(own, other)| has(own) && !has(other) && gives(other) && !gives(own));
        let Some((own, other)) = shared else {
            weights::load_state_dict(state, &source, &file.shown)?;
            return Ok(state.entries().len());
        };
        let part: Weights = source
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
            &file.shown,
        )?;
        Ok(part.len())
    }
}

/// Reads weights of PyTorch, or of a safetensors file.
fn read(file: &InputFile) -> Result<Weights, StageError> {
    let bytes = std::fs::read(&file.path).map_err(|e| StageError::io("read", &file.path, &e))?;
    let is_zip = bytes.starts_with(b"PK");
    let weights = if is_zip {
        read_pth(&bytes).map(|checkpoint| checkpoint.model)
    } else {
        read_safetensors(&bytes)
    };
    weights.map_err(|e| StageError::new(format!("`{}`: {e}", file.shown)))
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
