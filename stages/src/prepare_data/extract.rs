//! Decoding images to tensors, one cached item each.

use engine::items::{Item, Written};
use engine::{Context, Stage, StageError};
use ndarray::ArrayView4;
use serde_json::{Value, json};

use super::units::{Read, Unit};
use super::{PrepareData, PrepareDataParams};
use crate::extraction::Parts;
use crate::io::spare;
use crate::parallel::largest_first;
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
                Read::Parts(parts, affine) => (Content::Parts(parts), affine),
                Read::Whole(image, affine) => {
                    let written = write(unit, image.view(), affine, params, parts, path)?;
                    spare::give(image.into_raw_vec_and_offset().0);
                    return Ok(written);
                }
            };
            tensor_file::write(path, &content, affine)
        })
    };
    let size = |unit: &Unit<'_>| unit.image().file.size;
    largest_first(units, size, context, "images", one)
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
) -> Result<Written, StageError> {
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
        Content::Cut(image, parts, count)
    } else {
        Content::Whole(image)
    };
    tensor_file::write(path, &content, affine)
}
