//! The wish that something ends: of the user for a run, of the run for one action.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// The user's wish to stop: once means in order, twice means now.
#[derive(Debug, Clone, Default)]
pub struct Interrupt(Arc<AtomicUsize>);

impl Interrupt {
    /// Asks to stop; a second call asks to stop at once.
    pub fn ask(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    /// Whether it was asked to stop.
    pub fn is_set(&self) -> bool {
        self.0.load(Ordering::Relaxed) > 0
    }

    pub(super) fn is_urgent(&self) -> bool {
        self.0.load(Ordering::Relaxed) > 1
    }
}

/// The run's wish that one action stops: in order, so that it can keep what it has, or at once.
#[derive(Debug, Clone, Default)]
pub struct Stop {
    asked: Arc<AtomicBool>,
    urgent: Arc<AtomicBool>,
}

impl Stop {
    /// Asks to stop in order.
    pub fn ask(&self) {
        self.asked.store(true, Ordering::Relaxed);
    }

    /// Asks to stop at once.
    pub fn urge(&self) {
        self.ask();
        self.urgent.store(true, Ordering::Relaxed);
    }

    /// Whether the action was asked to stop.
    pub fn is_asked(&self) -> bool {
        self.asked.load(Ordering::Relaxed)
    }

    /// Whether the action was asked to stop at once.
    pub fn is_urgent(&self) -> bool {
        self.urgent.load(Ordering::Relaxed)
    }
}

impl From<Arc<AtomicBool>> for Stop {
    /// A stop that is asked for by setting a flag.
    fn from(asked: Arc<AtomicBool>) -> Self {
        Self {
            asked,
            urgent: Arc::default(),
        }
    }
}
