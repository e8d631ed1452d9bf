//! An exported file as the files of the model that it was made from.

use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::BTreeMap;

use engine::inputs::{ONLY_FILE, input_of};
use engine::{Context, Digest, Input, InputFile, StageError};
use maps::layout::{MAPS_JSON, SplitPath, TRAIN_VALIDATION};
use maps::weights::{expose_buffers, read_extra};
use stages::leakage::{Certificate, SEEN};
use stages::learning::selection_column;
use tch::{CModule, TchError, Tensor};

use super::DOCUMENT;
use super::document::{Document, FORMAT};
use crate::data::Transforms;
use crate::networks::{Mode, Network, Outputs};
use crate::session::Session;
use crate::state::State;

/// The input `model` as a trained model: as it is, or the files that exported ones hold, each written where
/// this action may write.
///
/// # Errors
/// A file was not written by `export`, is damaged, or two are of different models.
pub(crate) fn opened<'a>(
    input: &'a Input,
    context: &Context,
) -> Result<Cow<'a, Input>, StageError> {
    let is_module =
        |path: &str| path == ONLY_FILE || (path.ends_with(".pt") && !path.contains('/'));
    if input.files.contains_key(MAPS_JSON) || !input.files.keys().any(|path| is_module(path)) {
        return Ok(Cow::Borrowed(input));
    }
    let folder = context.scratch()?.join("exported");
    std::fs::create_dir_all(&folder).map_err(|e| StageError::io("create", &folder, &e))?;
    let mut files: BTreeMap<String, InputFile> = BTreeMap::new();
    let mut first: Option<Document> = None;
    for file in input.files.values() {
        let document = read(file)?;
        let metric = document.selection_metric.as_str();
        let voting = SplitPath::Voting { metric }.in_artifact();
        let mut texts = vec![
            (voting.as_str(), document.voting.clone()),
            (SEEN, document.seen.clone()),
            (TRAIN_VALIDATION, document.train_validation.clone()),
        ];
        let certificate = document.certificate.as_ref().map(ToString::to_string);
        let training = Certificate::path("training");
        texts.push((&training, certificate));
        let parameters = serde_json::Value::Object(document.parameters.clone());
        texts.push((MAPS_JSON, Some(parameters.to_string())));
        let whole = serde_json::to_string(&document).map_err(StageError::internal)?;
        texts.push((DOCUMENT, Some(whole)));
        for (path, text) in texts {
            let Some(text) = text else {
                continue;
            };
            let place = folder.join(path.replace('/', "_"));
            std::fs::write(&place, &text).map_err(|e| StageError::io("write", &place, &e))?;
            let inside = InputFile {
                path: place,
                shown: format!("{}/{path}", file.shown),
                digest: Digest::of(text.as_bytes()),
                size: text.len() as u64,
            };
            files.entry(path.to_owned()).or_insert(inside);
        }
        let model = SplitPath::Model { metric }.in_artifact();
        if files.insert(model, file.clone()).is_some() {
            let message = format!("`{}` has two models selected by `{metric}`", input.shown);
            return Err(StageError::new(message));
        }
        match &first {
            Some(first) if !first.is_of_same_training(&document) => {
                let message = format!(
                    "`{}` is of another training than its neighbours",
                    file.shown
                );
                return Err(StageError::new(message).hint("give the files of one training"));
            }
            Some(_) => {}
            None => first = Some(document),
        }
    }
    Ok(Cow::Owned(input_of(&input.kind, &input.shown, files)))
}

/// What a file says of its model.
fn read(file: &InputFile) -> Result<Document, StageError> {
    let shown = &file.shown;
    let refuse = |what: String| StageError::new(format!("`{shown}`: {what}"));
    let bytes = std::fs::read(&file.path).map_err(|e| StageError::io("read", &file.path, &e))?;
    let extra = read_extra(&bytes, DOCUMENT).map_err(|e| refuse(e.to_string()))?;
    let Some(extra) = extra else {
        let message = format!(
            "has no `extra/{DOCUMENT}`, which tells what the model is and whom it has seen"
        );
        return Err(refuse(message).hint("give a MAPS, or a file that the stage `export` wrote"));
    };
    let document: Document = serde_json::from_slice(&extra)
        .map_err(|e| refuse(format!("`extra/{DOCUMENT}` is damaged: {e}")))?;
    if document.format != FORMAT {
        let format = document.format;
        return Err(refuse(format!("has format {format}, expected {FORMAT}"))
            .hint("export it again with this version of clinicadl"));
    }
    let metric = document.selection_metric.as_str();
    if selection_column(metric) != Some(metric) {
        return Err(refuse(format!("`{metric}` is no selection metric")));
    }
    if document.seen.is_none() && document.train_validation.is_none() {
        return Err(refuse("does not tell whom the model has seen".to_owned()));
    }
    if document.is_variational {
        let message = "is of a variational autoencoder, whose loss needs more than the file gives";
        return Err(refuse(message.to_owned()).hint("predict with the MAPS"));
    }
    Ok(document)
}

impl Document {
    fn is_of_same_training(&self, other: &Self) -> bool {
        self.parameters == other.parameters
            && self.seen == other.seen
            && self.train_validation == other.train_validation
            && self.split == other.split
    }
}

/// The module of an exported file, which takes images as they were extracted.
///
/// # Shapes
/// Input `[B, C, X, Y(, Z)]` of extracted images; output as that of the network.
#[derive(Debug)]
pub(crate) struct Exported {
    module: RefCell<CModule>,
    /// Nothing of it can be fitted.
    state: State,
    /// How the module thins images, the axis that slices lack, and what must come out.
    thinned: Option<(Transforms, Option<usize>, Vec<i64>)>,
}

impl Exported {
    /// Loads a module, after its code was looked at.
    ///
    /// # Errors
    /// It is none, or its code does more than to compute.
    pub(crate) fn load(
        bytes: &[u8],
        shown: &str,
        thinned: Option<(Transforms, Option<usize>, Vec<i64>)>,
        session: &Session,
    ) -> Result<Self, StageError> {
        let refuse = |what: &str| StageError::new(format!("`{shown}`: {what}"));
        let looked_at = expose_buffers(bytes).map_err(|error| {
            let refused = refuse(&error.to_string());
            error.hints().into_iter().fold(refused, StageError::hint)
        })?;
        let module = CModule::load_data_on_device(&mut &*looked_at, session.device());
        let module = module.map_err(|e| {
            let text = e.to_string();
            refuse(&format!(
                "is no module: {}",
                text.lines().next().unwrap_or_default()
            ))
        })?;
        Ok(Self {
            module: RefCell::new(module),
            state: State::default(),
            thinned,
        })
    }

    /// Makes sure that the images are of a size that the module thins to that of its network.
    fn check(&self, images: &Tensor) -> Result<(), TchError> {
        let Some((transforms, cut, expected)) = &self.thinned else {
            return Ok(());
        };
        let size = images.size();
        let mut sizes: Vec<usize> = size.iter().skip(2).map(|&n| n as usize).collect();
        if let Some(cut) = cut {
            sizes.insert((*cut).min(sizes.len()), 1);
        }
        let kept = <[usize; 3]>::try_from(sizes)
            .map_err(|_| "an image has not three axes".to_owned())
            .and_then(|sizes| transforms.kept(sizes, *cut))
            .map_err(TchError::Shape)?;
        let axes = kept
            .iter()
            .enumerate()
            .filter(|(axis, _)| Some(*axis) != *cut);
        let got: Vec<i64> = axes.map(|(_, kept)| kept.len() as i64).collect();
        if got == expected[1..] {
            return Ok(());
        }
        Err(TchError::Shape(format!(
            "images of {:?} voxels are reduced to {got:?}, expected {:?}",
            &size[2..],
            &expected[1..]
        )))
    }
}

impl Network for Exported {
    fn compute(&self, images: &Tensor, _: Mode) -> Result<Outputs, TchError> {
        self.check(images)?;
        // Of this thread; the optimizer computes differently after some passes.
        tch::jit::f_set_graph_executor_optimize(false)?;
        let module = self.module.borrow();
        module.forward_ts(&[images]).map(Outputs::of)
    }

    fn state(&self) -> &State {
        &self.state
    }

    fn state_mut(&mut self) -> &mut State {
        &mut self.state
    }

    fn describe(&self) -> String {
        "TorchScript()".to_owned()
    }
}
