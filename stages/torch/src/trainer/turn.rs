//! Which of several networks is trained, for messages: each part of images may have one of its own.

use engine::{Context, FailureKind, StageError};

/// The place of a training among those of an action.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Turn {
    /// The part that is learnt; `None` if one network learns all.
    pub(crate) part: Option<usize>,
    /// How many networks come before.
    pub(crate) place: usize,
    /// How many there are.
    pub(crate) of: usize,
}

impl Turn {
    /// A message, with the part that it is about.
    pub(super) fn told(self, message: String) -> String {
        match self.part {
            None => message,
            Some(part) => format!("part {part}: {message}"),
        }
    }

    /// An error, with the part that it is about.
    pub(crate) fn named(self, error: StageError) -> StageError {
        match error.kind {
            FailureKind::Cancelled => error,
            _ => StageError {
                message: self.told(error.message),
                ..error
            },
        }
    }

    /// Tells how far this training is, as a share of all of them.
    pub(super) fn progress(self, context: &Context, done: usize, total: usize, detail: String) {
        let (done, total) = (self.place * total + done, self.of * total);
        context.progress(done, total, self.told(detail));
    }
}
