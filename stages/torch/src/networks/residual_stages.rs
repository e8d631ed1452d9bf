//! What residual networks of MONAI have in common: four stages of blocks.

use tch::TchError;

use super::layers::{Builder, Layer, Make, Sequential, Stack};
use super::plain::Plain;
use crate::state::State;

/// Channels before a block, channels within it, and its stride.
pub(super) type Place = (i64, i64, i64);

/// Adds `layer1` to `layer4`: so many blocks each, of which the first of all but the first stage halves the
/// map. Gives the channels at the end, which are `expansion` times those within.
pub(super) fn add_stages<M: Make>(
    s: &mut Stack<'_, '_>,
    planes: [i64; 4],
    blocks: [i64; 4],
    expansion: i64,
    block: impl Fn(Place) -> M,
) -> Result<i64, TchError> {
    let mut input = planes[0];
    for (number, (planes, count)) in (1..).zip(planes.into_iter().zip(blocks)) {
        s.within(&format!("layer{number}"), |s| {
            for place in 0..count {
                let stride = if place == 0 && number > 1 { 2 } else { 1 };
                s.add(block((input, planes, stride)))?;
                input = planes * expansion;
            }
            Ok(())
        })?;
    }
    Ok(input)
}

/// The network of these layers, its weights drawn as He et al. do.
///
/// Shortcuts, of this name, are made first and listed last in their blocks.
pub(super) fn finish(
    builder: Builder<'_>,
    layers: Sequential,
    shortcut: &str,
    fan: fn(&[i64]) -> i64,
) -> Result<Plain, TchError> {
    let mut state = builder.finish();
    state.sort_after(0, |name| place(name, shortcut));
    draw(&state, fan)?;
    Ok(Plain {
        state,
        layer: Box::new(layers) as Box<dyn Layer>,
    })
}

/// Stage, block, and whether it is a shortcut; what comes before the stages is 0, what comes after is last.
fn place(name: &str, shortcut: &str) -> (usize, usize, bool) {
    let mut parts = name.split('.');
    let first = parts.next().unwrap_or_default();
    let stage = first.strip_prefix("layer").and_then(|n| n.parse().ok());
    match stage {
        Some(stage) if stage > 0 => {
            let block = parts.next().and_then(|n| n.parse().ok()).unwrap_or(0);
            (stage, block, parts.next() == Some(shortcut))
        }
        None if !matches!(first, "conv1" | "bn1") => (usize::MAX, 0, false),
        _ => (0, 0, false),
    }
}

/// Draws the weights of convolutions anew, in the order of the state: normal with variance 2 / `fan`,
/// which is told the shape of a weight. Biases of fully connected layers, which are those of weights with
/// two axes, become 0.
fn draw(state: &State, fan: fn(&[i64]) -> i64) -> Result<(), TchError> {
    tch::no_grad(|| {
        let mut is_dense = false;
        for entry in state.entries() {
            let mut tensor = entry.tensor.shallow_clone();
            let size = tensor.size();
            if size.len() > 2 {
                let deviation = (2.0 / fan(&size) as f64).sqrt();
                drop(tensor.f_normal_(0.0, deviation)?);
            } else if size.len() == 1 && is_dense && entry.name.ends_with(".bias") {
                drop(tensor.f_zero_()?);
            }
            is_dense = size.len() == 2;
        }
        Ok(())
    })
}
