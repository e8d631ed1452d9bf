//! Errors of libtorch, told as failures of a stage.

use engine::StageError;
use tch::TchError;

/// Names what libtorch was asked to do when it fails.
pub(crate) trait During<T> {
    /// Turns an error of libtorch into a stage error that says what was being done.
    fn during(self, act: &str) -> Result<T, StageError>;
}

impl<T> During<T> for Result<T, TchError> {
    fn during(self, act: &str) -> Result<T, StageError> {
        self.map_err(|error| describe(act, &error.to_string()))
    }
}

/// libtorch appends its C++ stack to every message; only the first line means something to a user.
fn describe(act: &str, text: &str) -> StageError {
    let first = text.lines().next().unwrap_or_default();
    let lowered = text.to_lowercase();
    let is_memory = ["out of memory", "not enough memory", "can't allocate"]
        .iter()
        .any(|pattern| lowered.contains(pattern));
    if is_memory {
        return StageError::environment(format!("out of memory while trying to {act}: {first}"))
            .hint("lower `batch_size`, or use `size_reduction`");
    }
    StageError::internal(format!("libtorch failed to {act}: {first}"))
}

#[cfg(test)]
mod tests {
    use engine::FailureKind;

    use super::*;

    #[test]
    fn running_out_of_memory_is_the_machines_fault() {
        let error = describe(
            "train",
            "[enforce fail] DefaultCPUAllocator: can't allocate memory",
        );
        assert_eq!(error.kind, FailureKind::Environment);
        assert!(error.hints[0].contains("batch_size"));
    }

    #[test]
    fn the_stack_of_libtorch_is_not_shown() {
        let error = describe("train", "sizes differ\nframe #0: x\nframe #1: y");
        assert_eq!(error.message, "libtorch failed to train: sizes differ");
    }
}
