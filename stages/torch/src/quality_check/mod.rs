//! The stage `quality-check-t1-linear`.
//!
//! Images are read on several threads; one thread has the network, and passes one image at a time
//! through it: a probability is the same whatever images are checked with it or were checked before.

mod fit;
mod resnet;
mod squeezenet;

use std::sync::mpsc;

use engine::{Context, InputFile, Run, Stage, StageError};
use maps::weights::{Weights, read_pth};
use serde_json::json;
use sha2::{Digest as _, Sha256};
use stages::io::nifti;
use stages::quality_check::measure::measure;
use stages::quality_check::quality::{self, Order};
use stages::quality_check::t1_linear::{QualityNetwork, images_to_judge};
use stages::quality_check::views::{SIZE, VIEWS, views};
use stages::quality_check::{QualityCheckT1Linear, QualityCheckT1LinearParams};
use tch::{Device, Kind, TchError, Tensor};

use crate::error::During;
use crate::implemented::Implemented;
use crate::session::{Session, numerics};
use fit::Fit;

/// A network that judges heads by their views.
trait Network {
    /// Logits `[B, 2]` of views `[3·B, 1, 224, 224]`: the head does not pass, it does.
    fn forward(&self, views: &Tensor) -> Result<Tensor, TchError>;
}

impl Run for Implemented<QualityCheckT1Linear> {
    fn run(params: &QualityCheckT1LinearParams, context: &Context) -> Result<(), StageError> {
        let session = Session::open(context.slots())?;
        let images = images_to_judge(params, context)?;
        let file = context.input("weights")?.only_file()?;
        let network = open(params.network, file, session.device(), context)?;
        let identity = json!({
            "stage": Self::ID,
            "version": Self::VERSION,
            "network": params.network,
            "weights": file.digest,
            "numerics": numerics(context.slots()),
        });
        let work = |asked: &mpsc::Sender<Question>| {
            measure(&images, &identity, context, |image| {
                let volume = nifti::read(&image.file.path, &image.file.shown)?;
                views(&volume).map(|views| ask(asked, views)).transpose()
            })
        };
        let scores = answering(work, |views| {
            probability(network.as_ref(), views, session.device())
        })?;
        quality::write(
            &images,
            &scores,
            params.threshold,
            Order::Descending,
            context,
        )
    }
}

/// Reads the weights of a network, and tells whether they are the published ones.
fn open(
    network: QualityNetwork,
    file: &InputFile,
    device: Device,
    context: &Context,
) -> Result<Box<dyn Network>, StageError> {
    let bytes = std::fs::read(&file.path).map_err(|e| StageError::io("read", &file.path, &e))?;
    let weights = read_pth(&bytes)
        .map_err(|e| {
            let error = StageError::new(format!("`{}`: {e}", file.shown));
            e.hints().into_iter().fold(error, StageError::hint)
        })?
        .model;
    let opened = build(network, &weights, &file.shown, device)?;
    match origin(network, &bytes) {
        Ok(name) => context.info(format!("`{}` is the published `{name}`", file.shown)),
        Err(digest) => context.warn(format!(
            "`{}` is not the published weights `{}` of `{}`: its SHA-256 is {digest}",
            file.shown,
            network.published().0,
            network.name()
        )),
    }
    Ok(opened)
}

/// The name of the published file that has these bytes; else their SHA-256.
fn origin(network: QualityNetwork, bytes: &[u8]) -> Result<&'static str, String> {
    let (name, published) = network.published();
    let digest = format!("{:x}", Sha256::digest(bytes));
    if digest == published {
        Ok(name)
    } else {
        Err(digest)
    }
}

/// Makes a network of a state dict that must fit it exactly.
fn build(
    network: QualityNetwork,
    weights: &Weights,
    shown: &str,
    device: Device,
) -> Result<Box<dyn Network>, StageError> {
    let (built, problem) = take(network, weights, device)?;
    let Some(problem) = problem else {
        return Ok(built);
    };
    let name = network.name();
    let error = StageError::new(format!(
        "weights in `{shown}` do not fit the network `{name}`: {problem}"
    ));
    for other in QualityNetwork::ALL {
        if take(other, weights, Device::Cpu)?.1.is_none() {
            let other = other.name();
            return Err(error.hint(format!("they fit `{other}`: set `network: {other}`")));
        }
    }
    Err(error)
}

/// The network, and what does not fit it.
fn take(
    network: QualityNetwork,
    weights: &Weights,
    device: Device,
) -> Result<(Box<dyn Network>, Option<String>), StageError> {
    let mut fit = Fit::new(weights, device);
    let taken: Box<dyn Network> = match network {
        QualityNetwork::Darq => Box::new(resnet::ResNet::take(&mut fit, true)?),
        QualityNetwork::DeepQc => Box::new(resnet::ResNet::take(&mut fit, false)?),
        QualityNetwork::Sq101 => Box::new(squeezenet::SqueezeNet::take(&mut fit)?),
    };
    Ok((taken, fit.problem()))
}

/// The probability that a head passes.
fn probability(network: &dyn Network, views: &[f32], device: Device) -> Result<f64, StageError> {
    let size = SIZE as i64;
    let forward = || -> Result<f64, TchError> {
        let views = Tensor::f_from_slice(views)?
            .f_view([VIEWS as i64, 1, size, size])?
            .f_to_device(device)?;
        let logits = tch::no_grad(|| network.forward(&views))?;
        let softmax = logits.f_softmax(1, Kind::Float)?.f_to_device(Device::Cpu)?;
        softmax.f_double_value(&[0, 1])
    };
    let probability = forward().during("judge an image")?;
    if probability.is_finite() {
        Ok(probability)
    } else {
        let message = "the network's output is not a number: its weights are damaged";
        Err(StageError::new(message))
    }
}

/// Views to be judged, and where the answer goes.
struct Question {
    views: Vec<f32>,
    answer: mpsc::Sender<Result<f64, StageError>>,
}

/// Has views judged by the thread that has the network.
fn ask(asked: &mpsc::Sender<Question>, views: Vec<f32>) -> Result<f64, StageError> {
    let (answer, answered) = mpsc::channel();
    let gone = || StageError::internal("the network's thread ended early");
    let question = Question { views, answer };
    asked.send(question).map_err(|_| gone())?;
    answered.recv().map_err(|_| gone())?
}

/// Does `work` on another thread and answers its questions on this one.
fn answering<T: Send>(
    work: impl FnOnce(&mpsc::Sender<Question>) -> Result<T, StageError> + Send,
    answer: impl Fn(&[f32]) -> Result<f64, StageError>,
) -> Result<T, StageError> {
    let (asked, questions) = mpsc::channel::<Question>();
    std::thread::scope(|scope| {
        let worker = scope.spawn(move || work(&asked));
        for question in questions {
            // One who no longer listens was interrupted.
            drop(question.answer.send(answer(&question.views)));
        }
        worker
            .join()
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

#[cfg(test)]
pub(crate) mod tests;
