//! Decoding images to tensors, one cached item each.

use std::sync::atomic::{AtomicUsize, Ordering};

use engine::items::Item;
use engine::{Context, FailureKind, Stage, StageError};
use rayon::prelude::*;
use serde_json::json;

use super::{Mode, PrepareData};
use crate::caps::{CapsImage, some};
use crate::io::nifti;
use crate::tensor_file;

/// Decodes every image that is not in the store, as many at once as there are processors.
///
/// Every image is tried, so that all broken ones are named at once.
pub(super) fn extract(
    images: &[CapsImage],
    mode: Mode,
    context: &Context,
) -> Result<Vec<Item>, StageError> {
    // No participant or session: equal content is one item, whatever it is called.
    let identity = json!({
        "stage": PrepareData::ID,
        "version": PrepareData::VERSION,
        "mode": mode,
    });
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(context.slots().cpus)
        .build()
        .map_err(StageError::environment)?;
    let done = AtomicUsize::new(0);
    let one = |image: &CapsImage| {
        context.check_cancelled()?;
        let item = context.item(&identity, image.file.digest, |path| decode(image, path))?;
        let done = done.fetch_add(1, Ordering::Relaxed) + 1;
        context.progress(done, images.len(), "images");
        Ok(item)
    };
    let results: Vec<Result<Item, StageError>> =
        pool.install(|| images.par_iter().map(one).collect());
    let mut items = Vec::new();
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

fn decode(image: &CapsImage, path: &std::path::Path) -> Result<(), StageError> {
    let volume = nifti::read(&image.file.path, &image.file.shown)?;
    if !volume.data.iter().any(|value| value.is_finite()) {
        let message = format!("`{}` has no finite voxel", image.file.shown);
        return Err(StageError::new(message));
    }
    tensor_file::write(path, &volume)
}

/// One error for all: what is no fault of the images (a full disk, an interruption) comes first.
pub(crate) fn together(errors: Vec<StageError>) -> Option<StageError> {
    let other = errors
        .iter()
        .find(|error| error.kind != FailureKind::Failed);
    let first = other.or(errors.first())?.clone();
    if other.is_some() || errors.len() == 1 {
        return Some(first);
    }
    let messages: Vec<String> = errors.iter().map(|error| error.message.clone()).collect();
    let mut all = StageError::new(format!(
        "{} images cannot be read: {}",
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
            "2 images cannot be read: `a` is bad; `b` is bad"
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
