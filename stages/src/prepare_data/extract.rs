//! Decoding images to tensors, one cached item each.

use std::sync::atomic::{AtomicUsize, Ordering};

use engine::items::Item;
use engine::{Context, FailureKind, Stage, StageError};
use ndarray::ArrayView4;
use rayon::prelude::*;
use serde_json::{Value, json};

use super::units::{Read, Unit};
use super::{PrepareData, PrepareDataParams};
use crate::caps::some;
use crate::extraction::Parts;
use crate::tensor_file::{self, Content};

/// Decodes every image that is not in the store, as many at once as there are processors.
///
/// Every image is tried, so that all broken ones are named at once.
pub(super) fn extract(
    params: &PrepareDataParams,
    units: &[Unit<'_>],
    parts: &Parts,
    context: &Context,
) -> Result<Vec<Item>, StageError> {
    let identity = identity(params, parts);
    let one = |unit: &Unit<'_>| {
        context.item(&identity, unit.digest(), |path| {
            let (content, affine) = match unit.read()? {
                Read::Parts(parts, affine) => (Content::Parts(None, parts), affine),
                Read::Whole(image, affine) => {
                    return write(unit, image.view(), affine, params, parts, path);
                }
            };
            tensor_file::write(path, &content, affine)
        })
    };
    for_each(units, context, "images", one)
}

/// Computes something for each image, as many at once as there are processors; errors are told
/// together.
pub(super) fn for_each<T: Sync, R: Send>(
    all: &[T],
    context: &Context,
    what: &str,
    one: impl Fn(&T) -> Result<R, StageError> + Sync,
) -> Result<Vec<R>, StageError> {
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(context.slots().cpus)
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
    let results: Vec<Result<R, StageError>> =
        pool.install(|| all.par_iter().with_max_len(1).map(one).collect());
    let mut values = Vec::new();
    let mut errors = Vec::new();
    for result in results {
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

/// What an item is, besides the content it is made from. No participant or session: equal content is
/// one item, whatever it is called.
fn identity(params: &PrepareDataParams, parts: &Parts) -> Value {
    let mut identity = json!({
        "stage": PrepareData::ID,
        "version": PrepareData::VERSION,
        "source": params.source,
        "volumes": params.volumes,
    });
    // Parts that are cut later leave the tensor whole, so that every mode shares it.
    if params.saves_parts() {
        identity["parts"] = json!(parts.record());
        if let Parts::Roi(regions) = parts {
            let masks = regions.regions.iter().map(|region| {
                let mask: Vec<u8> = region.mask.iter().map(|&inside| u8::from(inside)).collect();
                json!([region.shape, engine::Digest::of(&mask)])
            });
            identity["masks"] = masks.collect();
        }
    }
    identity
}

fn write(
    unit: &Unit<'_>,
    image: ArrayView4<'_, f32>,
    affine: crate::volume::Affine,
    params: &PrepareDataParams,
    parts: &Parts,
    path: &std::path::Path,
) -> Result<(), StageError> {
    let shown = &unit.image().file.shown;
    if !image.iter().any(|value| value.is_finite()) {
        let message = format!("`{shown}` has no finite voxel");
        return Err(StageError::new(message));
    }
    let (c, x, y, z) = image.dim();
    let count = parts
        .count([c, x, y, z])
        .map_err(|why| StageError::new(format!("`{shown}` ({}) {why}", unit.name())))?;
    let content = if params.saves_parts() {
        let cut = (0..count).map(|index| parts.cut(image, index)).collect();
        Content::Parts(Some(image), cut)
    } else {
        Content::Whole(image)
    };
    tensor_file::write(path, &content, affine)
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
