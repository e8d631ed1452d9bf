//! `GuidedBackprop`.

use engine::StageError;
use stages::learning::attribution::MethodParams;
use tch::{Device, Kind, TchError, Tensor};

use super::method::{Explained, Explanation, Method, Subject};
use crate::error::During;
use crate::networks::Mode;
use crate::networks::layers::Cut;

/// The gradient, of which every ReLU passes on what is positive only.
///
/// ReLUs cut the graph of the forward pass ([`Tape`](crate::networks::layers::Tape)). The gradient is
/// carried through the cuts from the last one to the first: with gradient g behind a cut and x before it,
/// the backward pass goes on from the sum of x · relu(g) · [x > 0], whose gradient with respect to x is
/// relu(g) · [x > 0] exactly. A cut depends on earlier ones only, so that each has its whole gradient when
/// its turn comes, whatever shortcuts there are.
///
/// # Source
/// Springenberg et al. 2015, arXiv:1412.6806; `GuidedBackprop` of Captum.
struct GuidedBackprop;

pub(super) fn make(_: &MethodParams) -> Box<dyn Method> {
    Box::new(GuidedBackprop)
}

impl Method for GuidedBackprop {
    fn explain(
        &self,
        subject: &Subject<'_>,
        explained: Explained<'_>,
    ) -> Result<Explanation, StageError> {
        let act = "explain an image";
        let images = explained.images.f_set_requires_grad(true).during(act)?;
        let forward = || subject.network.forward(&images, Mode::Evaluate);
        let (outputs, cuts) = subject.tape.record(forward).during(act)?;
        if cuts.is_empty() {
            let name = subject.name;
            let message = format!("`{name}` has no ReLU that backpropagation could be guided by");
            return Err(StageError::new(message)
                .hint("`gradients` is what guided backpropagation would give"));
        }
        let output = outputs
            .f_select(1, subject.node as i64)
            .and_then(|node| node.f_sum(Kind::Float));
        let maps = output.and_then(|output| guided(&images, &cuts, output));
        maps.during(act).map(Explanation::of)
    }
}

/// The guided gradient of a sum of outputs with respect to images.
fn guided(images: &Tensor, cuts: &[Cut], output: Tensor) -> Result<Tensor, TchError> {
    // The images and what goes on behind each cut: all that a piece of the graph can begin with.
    let mut beginnings = vec![images];
    beginnings.extend(cuts.iter().map(|cut| &cut.after));
    let mut arrived: Vec<Option<Tensor>> = beginnings.iter().map(|_| None).collect();
    let carry = |from: Tensor, to: &[&Tensor], arrived: &mut [Option<Tensor>]| {
        // Pieces share parts of the graph where a ReLU has a shortcut beside it.
        let gradients = Tensor::f_run_backward(&[from], to, true, false)?;
        for (sum, gradient) in arrived.iter_mut().zip(gradients) {
            if gradient.defined() {
                *sum = Some(match sum.take() {
                    None => gradient,
                    Some(sum) => sum.f_add(&gradient)?,
                });
            }
        }
        Ok::<_, TchError>(())
    };
    carry(output, &beginnings, &mut arrived)?;
    for (place, cut) in cuts.iter().enumerate().rev() {
        let Some(gradient) = arrived[place + 1].take() else {
            continue;
        };
        let passes = cut.before.f_detach()?.f_gt(0.0)?;
        let gradient = gradient.f_relu()?.f_mul(&passes)?;
        let from = cut.before.f_mul(&gradient)?.f_sum(Kind::Float)?;
        carry(from, &beginnings[..=place], &mut arrived)?;
    }
    match arrived[0].take() {
        Some(map) => map.f_to_device(Device::Cpu)?.f_contiguous(),
        None => images.f_zeros_like()?.f_to_device(Device::Cpu),
    }
}
