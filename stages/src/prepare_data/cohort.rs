//! What the images of an experiment must have in common.

use std::collections::BTreeMap;

use engine::items::Item;
use engine::{Context, StageError};

use crate::caps::{CapsImage, some};
use crate::tensor_file::{self, Summary};

/// Differences of affines that only rounding makes, in millimetres.
const ROUNDING_MM: f64 = 1e-3;

/// All images must have one shape; what else is odd is told.
///
/// # Errors
/// Images have different shapes; those that deviate from most are named.
pub(super) fn check(
    images: &[CapsImage],
    items: &[Item],
    context: &Context,
) -> Result<(), StageError> {
    let known = images
        .iter()
        .zip(items)
        .map(|(image, item)| {
            let summary = tensor_file::summary(&context.item_path(item), &image.file.shown)?;
            Ok((image.name(), summary))
        })
        .collect::<Result<Vec<_>, StageError>>()?;
    one_shape(&known)?;
    for warning in oddities(&known) {
        context.warn(warning);
    }
    Ok(())
}

fn one_shape(known: &[(String, Summary)]) -> Result<(), StageError> {
    let mut counts: BTreeMap<&[usize], usize> = BTreeMap::new();
    for (_, summary) in known {
        *counts.entry(&summary.shape[1..]).or_default() += 1;
    }
    let Some((&most, count)) = counts.iter().max_by_key(|(_, count)| **count) else {
        return Ok(());
    };
    if counts.len() == 1 {
        return Ok(());
    }
    let others: Vec<String> = known
        .iter()
        .filter(|(_, summary)| &summary.shape[1..] != most)
        .map(|(name, summary)| format!("{name} has {:?}", &summary.shape[1..]))
        .collect();
    let message = format!(
        "images have different shapes: {count} have {most:?} voxels, but {}",
        some(&others)
    );
    Err(StageError::new(message).hint("all images of an experiment must be on the same grid"))
}

fn oddities(known: &[(String, Summary)]) -> Vec<String> {
    let mut warnings = Vec::new();
    let mut tell = |what: &str, names: Vec<String>| {
        if !names.is_empty() {
            warnings.push(format!(
                "{what} in {} images: {}",
                names.len(),
                some(&names)
            ));
        }
    };
    let not_finite = known
        .iter()
        .filter(|(_, summary)| summary.not_finite > 0)
        .map(|(name, summary)| format!("{name} ({} voxels)", summary.not_finite));
    tell("voxels are NaN or infinite", not_finite.collect());
    let named = |odd: &dyn Fn(&Summary) -> bool| -> Vec<String> {
        let odd = known.iter().filter(|(_, summary)| odd(summary));
        odd.map(|(name, _)| name.clone()).collect()
    };
    tell("all voxels are equal", named(&|summary| summary.constant));
    if let Some((first, reference)) = known.first() {
        let moved = |summary: &Summary| {
            let values = summary.affine.iter().flatten();
            let mut pairs = values.zip(reference.affine.iter().flatten());
            pairs.any(|(a, b)| (a - b).abs() > ROUNDING_MM)
        };
        let what = format!("orientation or position is not that of {first}");
        tell(&what, named(&moved));
    }
    warnings
}

#[cfg(test)]
mod tests {
    use super::*;

    fn summary(shape: [usize; 3]) -> Summary {
        Summary {
            shape: vec![1, shape[0], shape[1], shape[2]],
            affine: [[1.0; 4]; 4],
            not_finite: 0,
            constant: false,
        }
    }

    fn known(summaries: Vec<Summary>) -> Vec<(String, Summary)> {
        let named = summaries.into_iter().enumerate();
        named
            .map(|(i, s)| (format!("sub-{i}, ses-M000"), s))
            .collect()
    }

    #[test]
    fn images_of_another_shape_than_most_are_named() {
        let same = known(vec![summary([3, 4, 5]); 3]);
        assert!(one_shape(&same).is_ok() && one_shape(&[]).is_ok());
        let shapes = [[3, 4, 5], [3, 4, 6], [3, 4, 5]];
        let error = one_shape(&known(shapes.map(summary).to_vec())).unwrap_err();
        let expected = "images have different shapes: 2 have [3, 4, 5] voxels, \
                        but sub-1, ses-M000 has [3, 4, 6]";
        assert_eq!(error.message, expected);
    }

    #[test]
    fn odd_images_are_told_by_name() {
        let mut all = known(vec![summary([3, 4, 5]); 4]);
        assert!(oddities(&all).is_empty());
        all[1].1.not_finite = 7;
        all[2].1.constant = true;
        all[3].1.affine[0][3] = 2.0;
        assert_eq!(
            oddities(&all),
            [
                "voxels are NaN or infinite in 1 images: sub-1, ses-M000 (7 voxels)",
                "all voxels are equal in 1 images: sub-2, ses-M000",
                "orientation or position is not that of sub-0, ses-M000 in 1 images: sub-3, ses-M000",
            ]
        );
    }
}
