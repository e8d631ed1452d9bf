//! An exported file as the files of the model that it was made from.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use engine::inputs::{ONLY_FILE, input_of};
use engine::{Context, Digest, Input, InputFile, StageError};
use maps::layout::{MAPS_JSON, SplitPath, TRAIN_VALIDATION};
use maps::weights::read_extra;
use serde_json::Value;
use stages::leakage::{Certificate, SEEN};
use stages::learning::selection_column;
use tch::{TchError, Tensor};

use super::DOCUMENT;
use super::beside::{Beside, JOINED};
use super::document::{Document, FORMAT};
use crate::data::Transforms;
use crate::module::Module;
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
    let mut metrics = BTreeSet::new();
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
        let parameters = Value::Object(document.parameters.clone());
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
        let model = SplitPath::Model { metric }.of_network(document.part);
        if files.insert(model, file.clone()).is_some() {
            let of_part = document.part.map(|part| format!(" of part {part}"));
            let of_part = of_part.unwrap_or_default();
            let message = format!(
                "`{}` has two models{of_part} selected by `{metric}`",
                input.shown
            );
            return Err(StageError::new(message));
        }
        metrics.insert(metric.to_owned());
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
    let networks = first.and_then(|first| first.networks()).unwrap_or(0);
    for metric in &metrics {
        let lacks = |part: &usize| {
            let path = SplitPath::Model { metric }.of_network(Some(*part));
            !files.contains_key(&path)
        };
        if let Some(part) = (0..networks).find(lacks) {
            let message = format!(
                "`{}` lacks the network of part {part} selected by `{metric}`, expected {networks}",
                input.shown
            );
            return Err(
                StageError::new(message).hint("give the folder with the files of all parts")
            );
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
    if document.is_variational != document.beside.is_some() {
        let message = "does not tell where the distribution of its autoencoder is in what it gives";
        return Err(refuse(message.to_owned())
            .hint("export it again with this version of clinicadl, or predict with the MAPS"));
    }
    if document
        .beside
        .as_ref()
        .is_some_and(|beside| !beside.is_possible())
    {
        return Err(refuse(format!(
            "`extra/{DOCUMENT}` is damaged: no image has the shape in `beside`"
        )));
    }
    if document.part.is_some() != document.networks().is_some() {
        return Err(refuse(
            "does not tell which part of images it is of".to_owned(),
        ));
    }
    Ok(document)
}

impl Document {
    /// How many networks its model has, where each part of images has one of its own.
    fn networks(&self) -> Option<usize> {
        let number = |name: &str| self.parameters.get(name);
        let is_several = number("multi_network").and_then(Value::as_bool);
        let count = number("num_networks").and_then(Value::as_u64).unwrap_or(0);
        is_several.filter(|is| *is)?;
        usize::try_from(count).ok()
    }

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
    module: Module,
    /// Nothing of it can be fitted.
    state: State,
    /// What it gives beside images, if it is a variational autoencoder.
    beside: Option<Beside>,
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
        let module = Module::load(bytes, shown, session)?;
        let document = read_extra(bytes, DOCUMENT).map_err(|e| refuse(&e.to_string()))?;
        let document = document.and_then(|text| serde_json::from_slice::<Document>(&text).ok());
        Ok(Self {
            module,
            state: State::default(),
            beside: document.and_then(|document| document.beside),
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
        match &self.beside {
            None => self.module.call("forward", images).map(Outputs::of),
            Some(beside) => beside.split(&self.module.call(JOINED, images)?),
        }
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
