//! What an epoch is made of: which images pass through the network together, and what is minimised.

use engine::StageError;
use engine::profile::span;
use tch::{TchError, Tensor};

use super::segments;
use crate::data::sampler::Sampler;
use crate::data::{Batch, Dataset};
use crate::error::During;
use crate::losses::Criterion;
use crate::networks::{Mode, Network, Outputs};
use crate::tasks::Objective;

/// The batches of a training.
pub(crate) trait Steps {
    /// The images that they are made of.
    fn dataset(&self) -> &Dataset<'_>;

    /// Images in each of them; the last of an epoch may have fewer.
    fn batch_size(&self) -> usize;

    /// How many there are in each epoch.
    fn count(&self) -> usize;

    /// The images of an epoch, batch after batch.
    ///
    /// # Errors
    /// There is no image.
    fn order(&self, epoch: u32) -> Result<Vec<usize>, StageError>;

    /// What is minimised, the mean loss of a batch, and the gradients of parameters, times a factor.
    ///
    /// # Errors
    /// libtorch fails.
    fn gradients(
        &self,
        batch: &Batch<'_>,
        epoch: u32,
        factor: f64,
        parameters: &[Tensor],
    ) -> Result<(f64, Vec<Tensor>), StageError>;
}

/// The training set in the order of a sampler.
pub(crate) struct OneDomain<'a> {
    pub(crate) network: &'a dyn Network,
    pub(crate) objective: &'a dyn Objective,
    pub(crate) criterion: &'a Criterion,
    pub(crate) train: &'a Dataset<'a>,
    pub(crate) sampler: Sampler,
    pub(crate) batch_size: usize,
    /// Whether maps are computed a second time instead of being kept.
    pub(crate) gradient_checkpointing: bool,
}

impl Steps for OneDomain<'_> {
    fn dataset(&self) -> &Dataset<'_> {
        self.train
    }

    fn batch_size(&self) -> usize {
        self.batch_size
    }

    fn count(&self) -> usize {
        self.train.cohort.samples.len().div_ceil(self.batch_size)
    }

    fn order(&self, epoch: u32) -> Result<Vec<usize>, StageError> {
        self.sampler.order(&self.train.cohort.strata(), epoch)
    }

    fn gradients(
        &self,
        batch: &Batch<'_>,
        _: u32,
        factor: f64,
        parameters: &[Tensor],
    ) -> Result<(f64, Vec<Tensor>), StageError> {
        let target = self.objective.target(batch)?;
        let mean = |outputs: &Outputs| self.criterion.mean(outputs, &target);
        let chain = self.network.chain();
        let chain = chain.filter(|_| self.gradient_checkpointing);
        let compute = || match chain {
            Some(chain) => segments::gradients(chain, &batch.images, factor, parameters, mean),
            None => {
                let forward = span(FORWARD);
                let outputs = self.network.outputs(&batch.images, Mode::Train)?;
                let loss = mean(&outputs)?;
                let _backward = forward.then_backward(BACKWARD);
                backward(&loss, factor, parameters)
            }
        };
        compute().during("train the network")
    }
}

/// Phases of a profile.
pub(super) const FORWARD: &str = "forward";
pub(super) const BACKWARD: &str = "backward";

/// A loss, and the gradients of parameters, times a factor.
pub(super) fn backward(
    loss: &Tensor,
    factor: f64,
    parameters: &[Tensor],
) -> Result<(f64, Vec<Tensor>), TchError> {
    let scaled = loss.f_multiply_scalar(factor)?;
    let gradients = Tensor::f_run_backward(&[scaled], parameters, false, false)?;
    Ok((loss.f_double_value(&[])?, gradients))
}
