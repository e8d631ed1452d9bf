//! Measuring images, one cached item each.

use engine::{Context, StageError};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::caps::CapsImage;
use crate::parallel::for_each;

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
    for_each(images, context, "images", |image| {
        let item = context.item(identity, image.digest(), |path| {
            let bytes = serde_json::to_vec(&measure(image)?).map_err(StageError::internal)?;
            std::fs::write(path, bytes).map_err(|e| StageError::io("write", path, &e))
        })?;
        let path = context.item_path(&item);
        let bytes = std::fs::read(&path).map_err(|e| StageError::io("read", &path, &e))?;
        serde_json::from_slice(&bytes).map_err(StageError::internal)
    })
}
