//! What an attribution method is, and the table [`METHODS`].

use engine::StageError;
use engine::seed::Stream;
use stages::learning::attribution::MethodParams;
use tch::{Device, Kind, TchError, Tensor};

use super::{
    grad_cam, gradient_input, gradients, guided_backprop, integrated_gradients, occlusion,
    smooth_grad,
};
use crate::error::During;
use crate::networks::layers::Tape;
use crate::networks::{Mode, Network};

/// What is explained: an output of a network.
pub(super) struct Subject<'a> {
    pub(super) network: &'a dyn Network,
    /// What messages call the network.
    pub(super) name: &'a str,
    /// Where the ReLUs of the network leave their cuts.
    pub(super) tape: &'a Tape,
    /// The output node.
    pub(super) node: usize,
    /// Fails where the stage shall stop.
    pub(super) proceed: &'a dyn Fn() -> Result<(), StageError>,
}

/// Images to explain.
#[derive(Clone, Copy)]
pub(super) struct Explained<'a> {
    /// `[B, C, X, Y(, Z)]`.
    pub(super) images: &'a Tensor,
    /// A random stream for each.
    pub(super) streams: &'a [Stream],
}

/// What a method says of images.
pub(super) struct Explanation {
    /// `[B, C, X, Y(, Z)]` with the channels of the images or one, on the CPU.
    pub(super) maps: Tensor,
    /// What the map of each image should add up to; empty where the method promises nothing.
    pub(super) promised: Vec<f64>,
}

impl Explanation {
    /// Maps that need not add up to anything.
    pub(super) fn of(maps: Tensor) -> Self {
        Self {
            maps,
            promised: Vec::new(),
        }
    }
}

/// An attribution method with its options.
pub(super) trait Method {
    /// Explains images; each by itself, whatever the others are.
    fn explain(
        &self,
        subject: &Subject<'_>,
        explained: Explained<'_>,
    ) -> Result<Explanation, StageError>;
}

/// Explains each of several images by itself.
///
/// Numbers of a network are rounded otherwise where other images are computed beside, and where two are
/// nearly equal, a ReLU or a pooling then passes a gradient on elsewhere: maps would depend on batches.
///
/// # Errors
/// Those of the method.
pub(super) fn one_by_one(
    method: &dyn Method,
    subject: &Subject<'_>,
    explained: Explained<'_>,
) -> Result<Explanation, StageError> {
    let act = "explain an image";
    let mut maps = Vec::new();
    let mut promised = Vec::new();
    for (i, stream) in (0..).zip(explained.streams) {
        (subject.proceed)()?;
        let image = explained.images.f_narrow(0, i, 1);
        // A copy lies in memory as any image alone does.
        let image = image.and_then(|image| image.f_detach_copy()).during(act)?;
        let of_image = method.explain(
            subject,
            Explained {
                images: &image,
                streams: std::slice::from_ref(stream),
            },
        )?;
        maps.push(of_image.maps);
        promised.extend(of_image.promised);
    }
    Ok(Explanation {
        maps: Tensor::f_cat(&maps, 0).during(act)?,
        promised,
    })
}

/// A method's name, and how it is made from what a manifest says.
type Line = (&'static str, fn(&MethodParams) -> Box<dyn Method>);

/// Every method, in the order of their declarations.
pub(super) static METHODS: &[Line] = &[
    ("GradCAM", grad_cam::make),
    ("GradientInput", gradient_input::make),
    ("GuidedBackprop", guided_backprop::make),
    ("IntegratedGradients", integrated_gradients::make),
    ("Occlusion", occlusion::make),
    ("SmoothGrad", smooth_grad::make),
    ("gradients", gradients::make),
];

/// The method that a manifest names.
pub(super) fn make(params: &MethodParams) -> Result<Box<dyn Method>, StageError> {
    let name = params.name();
    let line = METHODS.iter().find(|(known, _)| *known == name);
    line.map(|(_, make)| make(params))
        .ok_or_else(|| StageError::internal(format!("attribution method `{name}` is not built in")))
}

impl Subject<'_> {
    /// The output of each image, on the CPU.
    pub(super) fn outputs(&self, images: &Tensor) -> Result<Vec<f64>, TchError> {
        let outputs = tch::no_grad(|| self.network.forward(images, Mode::Evaluate))?;
        let outputs = outputs.f_select(1, self.node as i64)?;
        Vec::try_from(&outputs.f_to_device(Device::Cpu)?.f_to_kind(Kind::Double)?)
    }

    /// The gradient of the output with respect to each image, on the CPU.
    pub(super) fn gradient(&self, images: &Tensor) -> Result<Tensor, StageError> {
        let images = images
            .f_set_requires_grad(true)
            .during("explain an image")?;
        let compute = || {
            let outputs = self.network.forward(&images, Mode::Evaluate)?;
            // Images do not influence each other in evaluation mode: the sum has the gradient of each.
            let output = outputs.f_select(1, self.node as i64)?.f_sum(Kind::Float)?;
            let gradients = Tensor::f_run_backward(&[output], &[&images], false, false)?;
            gradients[0].f_to_device(Device::Cpu)?.f_contiguous()
        };
        compute().during("explain an image")
    }
}
