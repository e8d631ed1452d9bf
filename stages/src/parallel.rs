//! Work over images: as many at once as there are processors, every one tried.

use std::cmp::Reverse;
use std::sync::atomic::{AtomicUsize, Ordering};

use engine::{Context, FailureKind, StageError};

use crate::io::spare;
use crate::listed::some;

/// Threads beyond the processors: while an item becomes durable, its thread waits for the disk.
const WAITING: usize = 2;

/// Computes something for each image; results are in the order of the images, in which they are also begun.
///
/// What takes time belongs into items, of which no more are computed at once than there are processors.
///
/// # Errors
/// Those of all images, told together.
pub fn for_each<T: Sync, R: Send>(
    all: &[T],
    context: &Context,
    what: &str,
    one: impl Fn(&T) -> Result<R, StageError> + Sync,
) -> Result<Vec<R>, StageError> {
    let order: Vec<usize> = (0..all.len()).collect();
    begun_in(&order, all, context, what, one)
}

/// The same, the largest begun first, so that no processor has one left when all others are done.
///
/// # Errors
/// Those of all images, told together, in the order of the images.
pub fn largest_first<T: Sync, R: Send>(
    all: &[T],
    size: impl Fn(&T) -> u64,
    context: &Context,
    what: &str,
    one: impl Fn(&T) -> Result<R, StageError> + Sync,
) -> Result<Vec<R>, StageError> {
    let mut order: Vec<usize> = (0..all.len()).collect();
    order.sort_by_key(|&i| Reverse(size(&all[i])));
    begun_in(&order, all, context, what, one)
}

fn begun_in<T: Sync, R: Send>(
    order: &[usize],
    all: &[T],
    context: &Context,
    what: &str,
    one: impl Fn(&T) -> Result<R, StageError> + Sync,
) -> Result<Vec<R>, StageError> {
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(context.slots().cpus + WAITING)
        .build()
        .map_err(StageError::environment)?;
    let done = AtomicUsize::new(0);
    let one = |unit: &T| {
        context.check_cancelled()?;
        let result = one(unit)?;
        let done = done.fetch_add(1, Ordering::Relaxed) + 1;
        context.progress(done, all.len(), what);
        Ok(result)
    };
    let next = AtomicUsize::new(0);
    let results = pool.broadcast(|_| {
        let begin = || {
            let i = *order.get(next.fetch_add(1, Ordering::Relaxed))?;
            Some((i, &all[i]))
        };
        std::iter::from_fn(begin)
            .map(|(i, unit)| (i, one(unit)))
            .collect::<Vec<_>>()
    });
    spare::clear();
    let mut results: Vec<(usize, Result<R, StageError>)> = results.into_iter().flatten().collect();
    results.sort_unstable_by_key(|(i, _)| *i);
    let mut values = Vec::new();
    let mut errors = Vec::new();
    for (_, result) in results {
        match result {
            Ok(value) => values.push(value),
            Err(error) => errors.push(error),
        }
    }
    match together(errors) {
        Some(error) => Err(error),
        None => Ok(values),
    }
}

/// One error for all: what is no fault of the images (a full disk, an interruption) comes first.
fn together(errors: Vec<StageError>) -> Option<StageError> {
    let other = errors
        .iter()
        .find(|error| error.kind != FailureKind::Failed);
    let first = other.or(errors.first())?.clone();
    if other.is_some() || errors.len() == 1 {
        return Some(first);
    }
    let messages: Vec<String> = errors.iter().map(|error| error.message.clone()).collect();
    let mut all = StageError::new(format!(
        "{} images cannot be used: {}",
        errors.len(),
        some(&messages)
    ));
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
    fn errors_of_images_are_told_together_and_hints_once() {
        let bad = |name: &str| StageError::new(format!("`{name}` is bad")).hint("copy it again");
        assert!(together(Vec::new()).is_none());
        assert_eq!(together(vec![bad("a")]).unwrap().message, "`a` is bad");
        let all = together(vec![bad("a"), bad("b")]).unwrap();
        assert_eq!(
            all.message,
            "2 images cannot be used: `a` is bad; `b` is bad"
        );
        assert_eq!(all.hints, ["copy it again"]);
    }

    #[test]
    fn an_interruption_is_no_fault_of_the_images() {
        let errors = vec![
            StageError::new("`a` is bad"),
            StageError::cancelled(),
            StageError::new("`b` is bad"),
        ];
        assert_eq!(together(errors).unwrap().kind, FailureKind::Cancelled);
    }
}
