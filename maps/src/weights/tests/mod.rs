//! Tests of weights against files that PyTorch wrote, good ones and hostile ones.

mod hostile;
mod reading;

use std::fs;
use std::path::PathBuf;

use super::Weights;

fn reference(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("../tests/reference/maps")
        .join(name)
}

fn bytes(name: &str) -> Vec<u8> {
    fs::read(reference(name)).unwrap()
}

fn sorted(weights: &Weights) -> Weights {
    let mut weights = weights.clone();
    weights.sort_keys();
    weights
}
