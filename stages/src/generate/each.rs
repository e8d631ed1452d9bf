//! One cached item per image, as many at once as there are processors.

use std::sync::atomic::{AtomicUsize, Ordering};

use engine::items::Item;
use engine::{Context, FailureKind, StageError};
use rayon::prelude::*;

use crate::caps::some;

/// Makes an item of every image; items come in the order of the images.
///
/// # Errors
/// Every image is tried, so that all that fail are named at once.
pub(super) fn items<T: Sync>(
    images: &[T],
    context: &Context,
    make: impl Fn(&T) -> Result<Item, StageError> + Sync,
) -> Result<Vec<Item>, StageError> {
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(context.slots().cpus)
        .build()
        .map_err(StageError::environment)?;
    let done = AtomicUsize::new(0);
    let one = |image: &T| {
        context.check_cancelled()?;
        let item = make(image)?;
        let done = done.fetch_add(1, Ordering::Relaxed) + 1;
        context.progress(done, images.len(), "images");
        Ok(item)
    };
    let results: Vec<Result<Item, StageError>> =
        pool.install(|| images.par_iter().map(one).collect());
    let mut items = Vec::with_capacity(results.len());
    let mut errors = Vec::new();
    for result in results {
        match result {
            Ok(item) => items.push(item),
            Err(error) => errors.push(error),
        }
    }
    match together(errors) {
        Some(error) => Err(error),
        None => Ok(items),
    }
}

/// One error for all: what is no fault of the images (a full disk, an interruption) comes first.
fn together(mut errors: Vec<StageError>) -> Option<StageError> {
    let other = errors
        .iter()
        .position(|error| error.kind != FailureKind::Failed);
    if let Some(position) = other {
        return Some(errors.swap_remove(position));
    }
    if errors.len() < 2 {
        return errors.pop();
    }
    let messages: Vec<String> = errors.iter().map(|error| error.message.clone()).collect();
    let message = format!(
        "{} images cannot be used: {}",
        errors.len(),
        some(&messages)
    );
    let mut all = StageError::new(message);
    for hint in errors.into_iter().flat_map(|error| error.hints) {
        if !all.hints.contains(&hint) {
            all.hints.push(hint);
        }
    }
    Some(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_of_images_are_told_together_and_an_interruption_comes_first() {
        let bad = |name: &str| StageError::new(format!("`{name}` is bad")).hint("copy it again");
        assert!(together(Vec::new()).is_none());
        assert_eq!(together(vec![bad("a")]).unwrap().message, "`a` is bad");
        let all = together(vec![bad("a"), bad("b")]).unwrap();
        assert_eq!(
            all.message,
            "2 images cannot be used: `a` is bad; `b` is bad"
        );
        assert_eq!(all.hints, ["copy it again"]);
        let stopped = together(vec![bad("a"), StageError::cancelled()]).unwrap();
        assert_eq!(stopped.kind, FailureKind::Cancelled);
    }
}
