//! What the images of an experiment must have in common.

use std::collections::BTreeMap;

use engine::items::Item;
use engine::{Context, StageError};

use super::units::Unit;
use super::{PrepareDataParams, Source};
use crate::extraction::Parts;
use crate::listed::some;
use crate::preprocessing::Layout;
use crate::tensor_file::{self, Summary};
use crate::thumbnail::{Thumbnail, nearly_equal};
use crate::volume::Affine;

/// Differences of affines that only rounding makes, in millimetres.
const ROUNDING_MM: f64 = 1e-3;

/// All images must have one shape and be cut alike; what else is odd is told.
///
/// Raw images of different scanners may differ: that is only told.
///
/// # Errors
/// Images have different shapes; those that deviate from most are named.
pub(super) fn check(
    params: &PrepareDataParams,
    units: &[Unit<'_>],
    items: &[Item],
    parts: &Parts,
    context: &Context,
) -> Result<Vec<Summary>, StageError> {
    let known = units
        .iter()
        .zip(items)
        .map(|(unit, item)| {
            let summary = tensor_file::summary(&context.item_path(item), &unit.image().file.shown)?;
            Ok((unit.name(), summary))
        })
        .collect::<Result<Vec<_>, StageError>>()?;
    if let Err(error) = one_shape(&known) {
        if params.kind().layout() != Layout::Bids {
            return Err(error);
        }
        context.warn(error.message);
    }
    for (unit, (name, summary)) in units.iter().zip(&known) {
        let shape: Result<[usize; 4], _> = summary.shape.clone().try_into();
        if let (Ok(shape), None) = (shape, summary.parts)
            && let Err(why) = parts.count(shape)
        {
            let shown = &unit.image().file.shown;
            return Err(StageError::new(format!("`{shown}` ({name}) {why}")));
        }
    }
    for warning in oddities(&known, params.source == Source::Images) {
        context.warn(warning);
    }
    let participants = units.iter().map(|unit| {
        let (cohort, participant, _) = unit.image().key();
        (cohort, participant)
    });
    let participants: Vec<_> = participants.collect();
    for warning in duplicates(&known, &participants) {
        context.warn(warning);
    }
    Ok(known.into_iter().map(|(_, summary)| summary).collect())
}

/// Images of different participants that are equal or nearly so.
fn duplicates(known: &[(String, Summary)], participants: &[(Option<&str>, &str)]) -> Vec<String> {
    let differ = |i: usize, j: usize| participants[i] != participants[j];
    let pair = |i: usize, j: usize| format!("{} = {}", known[i].0, known[j].0);
    let mut first = BTreeMap::new();
    let mut equal = Vec::new();
    for (i, (_, summary)) in known.iter().enumerate() {
        let j = *first.entry(summary.voxels).or_insert(i);
        if i != j && differ(i, j) {
            equal.push(pair(j, i));
        }
    }
    let pictures: Vec<&Thumbnail> = known
        .iter()
        .map(|(_, summary)| &summary.thumbnail)
        .collect();
    let is_news = |i: usize, j: usize| differ(i, j) && known[i].1.voxels != known[j].1.voxels;
    let near = nearly_equal(&pictures, &is_news);
    let near: Vec<String> = near.into_iter().map(|(i, j)| pair(i, j)).collect();
    let mut warnings = Vec::new();
    if !equal.is_empty() {
        warnings.push(format!(
            "{} images are those of another participant, voxel by voxel: {}; \
             a model must not be trained on one and tested on the other",
            equal.len(),
            some(&equal)
        ));
    }
    if !near.is_empty() {
        warnings.push(format!(
            "{} pairs of images of different participants are nearly equal: {}; \
             are they of one person?",
            near.len(),
            some(&near)
        ));
    }
    warnings
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

fn spacing_mm(affine: &Affine) -> [f64; 3] {
    [0, 1, 2].map(|axis| {
        (0..3)
            .map(|row| affine[row][axis].powi(2))
            .sum::<f64>()
            .sqrt()
    })
}

fn oddities(known: &[(String, Summary)], have_places: bool) -> Vec<String> {
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
    if let Some((first, reference)) = known.first().filter(|_| have_places) {
        let spacing = spacing_mm(&reference.affine);
        let scaled = |summary: &Summary| {
            let mut pairs = spacing_mm(&summary.affine).into_iter().zip(spacing);
            pairs.any(|(a, b)| (a - b).abs() > ROUNDING_MM)
        };
        let [x, y, z] = spacing;
        let what = format!("voxels are not of {x:.3} × {y:.3} × {z:.3} mm, as those of {first},");
        tell(&what, named(&scaled));
        let moved = |summary: &Summary| {
            if scaled(summary) {
                return false;
            }
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
            voxels: engine::Digest::of(b"a"),
            thumbnail: Thumbnail::default(),
            parts: None,
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
        assert!(oddities(&all, true).is_empty());
        all[1].1.not_finite = 7;
        all[2].1.constant = true;
        all[3].1.affine[0][3] = 2.0;
        all.push(known(vec![summary([3, 4, 5])]).remove(0));
        all[4].0 = "sub-4, ses-M000".to_owned();
        all[4].1.affine[1][2] = 3.0;
        assert_eq!(
            oddities(&all, true),
            [
                "voxels are NaN or infinite in 1 images: sub-1, ses-M000 (7 voxels)",
                "all voxels are equal in 1 images: sub-2, ses-M000",
                "voxels are not of 1.732 × 1.732 × 1.732 mm, as those of sub-0, ses-M000, in 1 images: sub-4, ses-M000",
                "orientation or position is not that of sub-0, ses-M000 in 1 images: sub-3, ses-M000",
            ]
        );
    }

    #[test]
    fn equal_images_of_different_people_are_told() {
        let mut all = known(vec![summary([3, 4, 5]); 4]);
        all[2].1.voxels = engine::Digest::of(b"b");
        let people = [
            (None, "sub-0"),
            (None, "sub-0"),
            (None, "sub-1"),
            (Some("b"), "sub-0"),
        ];
        let warnings = duplicates(&all, &people);
        assert_eq!(warnings.len(), 1, "{warnings:?}");
        assert!(warnings[0].starts_with(
            "1 images are those of another participant, voxel by voxel: \
             sub-0, ses-M000 = sub-3, ses-M000; "
        ));
    }
}
