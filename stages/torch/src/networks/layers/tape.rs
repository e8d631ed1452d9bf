//! ReLUs that can be told apart from the rest of a backward pass.
//!
//! Automatic differentiation is linear in the gradient that arrives, and guided backpropagation is not: a
//! ReLU passes on the positive part of the gradient only. So, while it is asked for, every ReLU cuts the
//! graph: what goes on is a new beginning, and what arrived is kept with it. Who goes through the cuts from
//! the last to the first gives each the gradient that it wants (`interpret/guided.rs`).

use std::cell::RefCell;
use std::rc::Rc;

use tch::{TchError, Tensor};

/// A place where a ReLU has cut the graph.
#[derive(Debug)]
pub(crate) struct Cut {
    /// What arrived.
    pub(crate) before: Tensor,
    /// max(0, x) of it, with a graph of its own.
    pub(crate) after: Tensor,
}

/// Where the ReLUs of a session's networks leave their cuts; nothing unless [`Tape::record`] asks for it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Tape(Rc<RefCell<Option<Vec<Cut>>>>);

impl Tape {
    /// What a computation gives, and the cuts of its ReLUs in the order of computation.
    pub(crate) fn record<T>(
        &self,
        compute: impl FnOnce() -> Result<T, TchError>,
    ) -> Result<(T, Vec<Cut>), TchError> {
        self.0.replace(Some(Vec::new()));
        let computed = compute();
        let cuts = self.0.take().unwrap_or_default();
        Ok((computed?, cuts))
    }

    pub(super) fn is_recording(&self) -> bool {
        self.0.borrow().is_some()
    }

    /// max(0, x).
    pub(super) fn relu(&self, x: &Tensor) -> Result<Tensor, TchError> {
        let mut cuts = self.0.borrow_mut();
        let Some(cuts) = cuts.as_mut() else {
            return x.f_relu();
        };
        let after = x.f_detach()?.f_relu()?.f_set_requires_grad(true)?;
        cuts.push(Cut {
            before: x.shallow_clone(),
            after: after.shallow_clone(),
        });
        Ok(after)
    }

    /// The same where nobody else needs `x`.
    pub(super) fn relu_owned(&self, mut x: Tensor) -> Result<Tensor, TchError> {
        if self.is_recording() {
            return self.relu(&x);
        }
        drop(x.f_relu_()?);
        Ok(x)
    }
}
