//! Modules of TorchScript, run as they are: networks that are files, and exported models.

use std::cell::RefCell;

use engine::StageError;
use maps::weights::expose_buffers;
use tch::{CModule, TchError, Tensor};

use crate::error::During;
use crate::session::Session;

/// A module that libtorch's interpreter runs.
///
/// # Determinism
/// Its code is interpreted as it is: the optimizer of libtorch's interpreter, which computes differently
/// after some passes, is off.
#[derive(Debug)]
pub(crate) struct Module(RefCell<CModule>);

impl Module {
    /// Loads a module, after its code was looked at; buffers are parameters of what is loaded.
    ///
    /// # Errors
    /// It is none, or its code does more than to compute; `shown` is what the file is called.
    pub(crate) fn load(bytes: &[u8], shown: &str, session: &Session) -> Result<Self, StageError> {
        let exposed = expose_buffers(bytes).map_err(|error| {
            let refused = StageError::new(format!("`{shown}`: {error}"));
            error.hints().into_iter().fold(refused, StageError::hint)
        })?;
        Self::read(&exposed, shown, session)
    }

    /// Loads a module whose code was looked at.
    fn read(bytes: &[u8], shown: &str, session: &Session) -> Result<Self, StageError> {
        let module = CModule::load_data_on_device(&mut &*bytes, session.device());
        let module = module
            .map_err(|e| StageError::new(format!("`{shown}`: is no module: {}", reason(&e))))?;
        Ok(Self(RefCell::new(module)))
    }

    /// The names of what is a parameter in the file itself, which is one that [`Self::load`] takes.
    pub(crate) fn parameters_of(
        bytes: &[u8],
        shown: &str,
        session: &Session,
    ) -> Result<Vec<String>, StageError> {
        let tensors = Self::read(bytes, shown, session)?.tensors()?;
        Ok(tensors.into_iter().map(|(name, _)| name).collect())
    }

    /// Handles of its tensors, by name.
    pub(crate) fn tensors(&self) -> Result<Vec<(String, Tensor)>, StageError> {
        self.0.borrow().named_parameters().during("list parameters")
    }

    /// Whether it trains from now on.
    pub(crate) fn set_training(&self, is_training: bool) -> Result<(), TchError> {
        let mut module = self.0.borrow_mut();
        match is_training {
            true => module.f_set_train(),
            false => module.f_set_eval(),
        }
    }

    /// What a method makes of a batch.
    pub(crate) fn call(&self, method: &str, images: &Tensor) -> Result<Tensor, TchError> {
        // Of this thread.
        tch::jit::f_set_graph_executor_optimize(false)?;
        self.0.borrow().method_ts(method, &[images])
    }
}

/// What libtorch says is wrong: of the trace of a module's code, the last line.
pub(crate) fn reason(error: &TchError) -> String {
    let text = error.to_string();
    let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let first = lines.next().unwrap_or_default().to_owned();
    if !text.contains("TorchScript interpreter") {
        return first;
    }
    // Behind the trace there may be the stack of the program.
    let of_code = text.split("Exception raised from").next();
    let last = of_code.and_then(|text| text.lines().map(str::trim).rfind(|line| !line.is_empty()));
    last.map_or(first, str::to_owned)
}
