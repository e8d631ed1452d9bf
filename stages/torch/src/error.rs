//! Errors of libtorch, told as failures of a stage.

use engine::StageError;
use tch::TchError;

use crate::networks::layers::ONE_NUMBER;

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
    if text.contains(ONE_NUMBER) {
        return StageError::new(format!("cannot {act}: {ONE_NUMBER}"))
            .hint("choose a `batch_size` that leaves no batch of one image, or another norm");
    }
    let lowered = text.to_lowercase();
    let is_memory = ["out of memory", "not enough memory", "can't allocate"]
        .iter()
        .any(|pattern| lowered.contains(pattern));
    if is_memory {
        let what = asked_for(first).unwrap_or_else(|| first.to_owned());
        return StageError::environment(format!("out of memory while trying to {act}: {what}"))
            .hint("lower `batch_size` (`accumulation_steps` makes up for it), or use `size_reduction`")
            .hint("`precision: bfloat16` needs less memory");
    }
    StageError::internal(format!("libtorch failed to {act}: {first}"))
}

/// How much memory was asked for in vain, from the message of libtorch's allocator.
fn asked_for(message: &str) -> Option<String> {
    let (_, rest) = message.split_once("tried to allocate ")?;
    let bytes: u64 = rest.split_whitespace().next()?.parse().ok()?;
    let mebibytes = bytes.div_ceil(1 << 20);
    Some(format!("{mebibytes} MiB more were asked for at once"))
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
    fn what_was_asked_for_is_told() {
        let text = "[enforce fail at alloc_cpu.cpp:121] data. DefaultCPUAllocator: not enough memory: you tried to allocate 17179869184 bytes.";
        let error = describe("train the network", text);
        let expected = "out of memory while trying to train the network: 16384 MiB more were asked for at once";
        assert_eq!(error.message, expected);
    }

    #[test]
    fn the_stack_of_libtorch_is_not_shown() {
        let error = describe("train", "sizes differ\nframe #0: x\nframe #1: y");
        assert_eq!(error.message, "libtorch failed to train: sizes differ");
    }
}
