//! What a variational autoencoder gives beside its image: a module of TorchScript gives one tensor.
//!
//! ```text
//! outputs(images)   [B, N + 2 L]: image, mean and log variance of the distribution, one behind the other
//! forward(images)   the image
//! latent(images)    (mean, log variance)
//! ```

use serde::{Deserialize, Serialize};
use tch::{TchError, Tensor};

use crate::networks::{Latent, Outputs};

/// The method that gives everything.
pub(super) const JOINED: &str = "outputs";

/// Shapes of what is in one row, without the axis of the batch.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Beside {
    image: Vec<i64>,
    /// Of the mean, and of the log variance.
    latent: Vec<i64>,
}

/// Everything that a variational autoencoder says of a batch as one row for each image.
pub(super) fn join(outputs: Outputs) -> Result<Tensor, TchError> {
    let mut parts = vec![outputs.prediction.f_flatten(1, -1)?];
    if let Some(latent) = &outputs.latent {
        parts.push(latent.mean.f_flatten(1, -1)?);
        parts.push(latent.log_variance.f_flatten(1, -1)?);
    }
    Tensor::f_cat(&parts, 1)
}

impl Beside {
    /// The shapes of outputs; `None` where there is an image or numbers alone.
    pub(super) fn of(outputs: &Outputs) -> Option<Self> {
        let latent = outputs.latent.as_ref()?;
        let of_one = |tensor: &Tensor| tensor.size().get(1..).unwrap_or_default().to_vec();
        Some(Self {
            image: of_one(&outputs.prediction),
            latent: of_one(&latent.mean),
        })
    }

    /// Whether images and codes have numbers of voxels that there can be.
    pub(super) fn is_possible(&self) -> bool {
        let count = |shape: &[i64]| {
            let mut axes = shape.iter().filter(|axis| **axis > 0);
            let all = axes.clone().count() == shape.len();
            let count = axes.try_fold(1_i64, |count, axis| count.checked_mul(*axis));
            count.filter(|count| all && *count < 1 << 40)
        };
        count(&self.image).is_some() && count(&self.latent).is_some()
    }

    /// What rows hold.
    pub(super) fn split(&self, rows: &Tensor) -> Result<Outputs, TchError> {
        let mut at = 0;
        let mut take = |shape: &[i64]| {
            let count = shape.iter().product::<i64>();
            let part = rows.f_narrow(1, at, count)?;
            at += count;
            let mut shape = shape.to_vec();
            shape.insert(0, -1);
            part.f_reshape(&shape)
        };
        Ok(Outputs {
            prediction: take(&self.image)?,
            latent: Some(Latent {
                mean: take(&self.latent)?,
                log_variance: take(&self.latent)?,
            }),
        })
    }

    /// Code of the methods that give a part of it each.
    pub(super) fn methods(&self) -> String {
        let count = |shape: &[i64]| shape.iter().product::<i64>();
        let (image, latent) = (count(&self.image), count(&self.latent));
        let part = |start: i64, end: i64, shape: &[i64]| {
            let shape: Vec<String> = shape.iter().map(ToString::to_string).collect();
            let shape = shape.join(", ");
            format!("torch.reshape(torch.slice(rows, 1, {start}, {end}), [-1, {shape}])")
        };
        let method = |name: &str, gives: &str, value: &str| {
            format!(
                "  def {name}(self: __torch__.Network,\n    images: Tensor) -> {gives}:\n    \
                 rows = (self).{JOINED}(images)\n    return {value}\n"
            )
        };
        let mean = part(image, image + latent, &self.latent);
        let log_variance = part(image + latent, image + 2 * latent, &self.latent);
        let both = format!("({mean}, {log_variance})");
        method("forward", "Tensor", &part(0, image, &self.image))
            + &method("latent", "Tuple[Tensor, Tensor]", &both)
    }
}
