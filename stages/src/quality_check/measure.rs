//! Measuring images, one cached item each.

use std::sync::atomic::{AtomicUsize, Ordering};

use engine::{Context, StageError};
use rayon::prelude::*;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::caps::CapsImage;
use crate::prepare_data::together;

/// Measures every image that is not in the store, as many at once as there are processors.
///
/// `identity` names the measurement with everything it depends on besides the image. Every image is
/// tried, so that all that cannot be measured are named at once.
///
/// # Errors
/// Those of `measure`, together.
pub fn measure<T: Serialize + DeserializeOwned + Send>(
    images: &[CapsImage],
    identity: &Value,
    context: &Context,
    measure: impl Fn(&CapsImage) -> Result<T, StageError> + Sync,
) -> Result<Vec<T>, StageError> {
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(context.slots().cpus)
        .build()
        .map_err(StageError::environment)?;
    let done = AtomicUsize::new(0);
    let one = |image: &CapsImage| {
        context.check_cancelled()?;
        let item = context.item(identity, image.file.digest, |path| {
            let bytes = serde_json::to_vec(&measure(image)?).map_err(StageError::internal)?;
            std::fs::write(path, bytes).map_err(|e| StageError::io("write", path, &e))
        })?;
        let path = context.item_path(&item);
        let bytes = std::fs::read(&path).map_err(|e| StageError::io("read", &path, &e))?;
        let value = serde_json::from_slice(&bytes).map_err(StageError::internal)?;
        let done = done.fetch_add(1, Ordering::Relaxed) + 1;
        context.progress(done, images.len(), "images");
        Ok(value)
    };
    let results: Vec<Result<T, StageError>> = pool.install(|| images.par_iter().map(one).collect());
    let mut values = Vec::with_capacity(results.len());
    let mut errors = Vec::new();
    for result in results {
        match result {
            Ok(value) => values.push(value),
            Err(error) => errors.push(error),
        }
    }
    together(errors).map_or(Ok(values), Err)
}
