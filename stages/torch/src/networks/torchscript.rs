//! `TorchScript`: a network that is a file.

use std::collections::BTreeSet;
use std::sync::Arc;

use engine::{InputFile, StageError};
use stages::learning::networks::torchscript::TORCH_SCRIPT;
use tch::{Device, Kind, TchError, Tensor};

use super::{Mode, Network, NetworkKind, NetworkSpec, Outputs};
use crate::error::During;
use crate::module::{Module, reason};
use crate::session::Session;
use crate::state::{Role, State};

pub(super) static KIND: NetworkKind = NetworkKind {
    declaration: &TORCH_SCRIPT,
    build: |spec, session| Ok(Box::new(Scripted::open(spec, session)?)),
};

/// The file of a network that is one.
#[derive(Debug, Clone)]
pub(crate) struct ModuleFile {
    shown: String,
    pub(crate) bytes: Arc<[u8]>,
}

impl ModuleFile {
    /// Reads the file.
    ///
    /// # Errors
    /// It cannot be read.
    pub(crate) fn read(file: &InputFile) -> Result<Self, StageError> {
        let bytes =
            std::fs::read(&file.path).map_err(|e| StageError::io("read", &file.path, &e))?;
        Ok(Self {
            shown: file.shown.clone(),
            bytes: bytes.into(),
        })
    }
}

/// A module that was exported by `torch.jit.save`, with its weights.
///
/// # Shapes
/// Input `[B, C, X, Y(, Z)]`; output `[B, output_size]`, or the shape of the input in a reconstruction.
#[derive(Debug)]
struct Scripted {
    module: Module,
    state: State,
}

impl Scripted {
    fn open(spec: &NetworkSpec, session: &Session) -> Result<Self, StageError> {
        let Some(file) = &spec.module else {
            let message = "network `TorchScript` is a file, and there is none";
            return Err(StageError::new(message).hint("give the stage an input `network`"));
        };
        let shown = &file.shown;
        let refuse = |what: &str| StageError::new(format!("`{shown}`: {what}"));
        let module = Module::load(&file.bytes, shown, session)?;
        let parameters = Module::parameters_of(&file.bytes, shown, session)?;
        let parameters: BTreeSet<String> = parameters.into_iter().collect();
        let mut state = State::default();
        for (name, tensor) in module.tensors()? {
            let is_parameter = parameters.contains(&name);
            let role = match (is_parameter, tensor.requires_grad()) {
                (false, _) => Role::Buffer,
                (true, true) => Role::Parameter,
                (true, false) => Role::Frozen,
            };
            let kind = tensor.kind();
            if kind != Kind::Float && (is_parameter || kind != Kind::Int64) {
                let message = format!("`{name}` has numbers of type {kind:?}, expected float32");
                return Err(refuse(&message));
            }
            let twin = state.entries().iter().find(|entry| {
                entry.tensor.numel() > 0 && entry.tensor.data_ptr() == tensor.data_ptr()
            });
            if let Some(twin) = twin {
                let message = format!("`{}` and `{name}` are the same tensor", twin.name);
                return Err(refuse(&message).hint("give each its own in Python: `.clone()`"));
            }
            drop(state.add(name, role, tensor));
        }
        let mut scripted = Self { module, state };
        scripted.try_it(spec, session.device(), &refuse)?;
        Ok(scripted)
    }

    /// Passes an image through it; parameters that have no part in what comes out are idle.
    fn try_it(
        &mut self,
        spec: &NetworkSpec,
        device: Device,
        refuse: &dyn Fn(&str) -> StageError,
    ) -> Result<(), StageError> {
        let mut size = vec![1];
        size.extend(&spec.input_size);
        let image = Tensor::f_zeros(&size, (Kind::Float, device)).during("make an image")?;
        let outputs = self.compute(&image, Mode::Evaluate).map_err(|e| {
            refuse(&format!("does not take images {size:?}: {}", reason(&e)))
                .hint("axes are [batch, channel, x, y(, z)]; one argument, one tensor back")
        })?;
        let outputs = outputs.prediction;
        let expected = match spec.output_size {
            0 => size,
            outputs => vec![1, outputs],
        };
        if outputs.size() != expected || outputs.kind() != Kind::Float {
            let (got, kind) = (outputs.size(), outputs.kind());
            let message =
                format!("gives {got:?} of type {kind:?}, expected {expected:?} of type Float");
            return Err(refuse(&message).hint(match spec.output_size {
                0 => "a reconstruction has the shape of the image",
                _ => "a classification has one output a class, a regression one",
            }));
        }
        let parameters = self.state.parameters();
        if parameters.is_empty() || !outputs.requires_grad() {
            let message = "has no parameter that could be fitted";
            return Err(refuse(message).hint(
                "`torch.jit.freeze` makes constants of parameters: save the module without it",
            ));
        }
        let gradients = outputs
            .f_sum(None)
            .and_then(|sum| Tensor::f_run_backward(&[sum], &parameters, false, false))
            .during("look for parameters in use")?;
        self.state
            .set_idle_where(|position| !gradients[position].defined());
        Ok(())
    }
}

impl Network for Scripted {
    fn compute(&self, images: &Tensor, mode: Mode) -> Result<Outputs, TchError> {
        self.module.set_training(mode.is_training())?;
        self.module.call("forward", images).map(Outputs::of)
    }

    fn state(&self) -> &State {
        &self.state
    }

    fn state_mut(&mut self) -> &mut State {
        &mut self.state
    }

    fn describe(&self) -> String {
        let tensors = self.state.entries().iter();
        let lines = tensors.map(|entry| format!("  ({}): {:?}\n", entry.name, entry.tensor.size()));
        format!("TorchScript(\n{})", lines.collect::<String>())
    }
}
