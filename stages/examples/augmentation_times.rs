//! How long augmentations take: reads their names, one a line, and answers each with milliseconds.
//!
//! `tests/reference/learning/augmentation_times.py` asks it, and TorchIO in turn.

#![expect(clippy::print_stdout, reason = "it answers there")]
#![expect(clippy::disallowed_methods, reason = "it measures")]

use std::io::BufRead;
use std::time::Instant;

use engine::seed::Stream;
use serde_json::Map;
use stages::augmentation::{AugmentationParams, Augmenter, Picture};

/// Of a T1 image after `t1-linear`.
const SHAPE: [usize; 3] = [169, 208, 179];

fn main() {
    let count: usize = SHAPE.iter().product();
    let voxels: Vec<f32> = (0..count)
        .map(|i| (i * 7919 % 1009) as f32 / 1009.0)
        .collect();
    for (number, name) in std::io::stdin()
        .lock()
        .lines()
        .map_while(Result::ok)
        .enumerate()
    {
        let mut options = Map::new();
        options.insert("p".to_owned(), 1.into());
        if name == "Flip" {
            options.insert("flip_probability".to_owned(), 1.into());
        }
        let augmenter = Augmenter::new(&[AugmentationParams::new(&name, options)]);
        let mut picture = Picture {
            channels: 1,
            shape: SHAPE,
            spacing_mm: [1.0; 3],
            voxels: voxels.clone(),
        };
        let started = Instant::now();
        augmenter.apply(&mut picture, &Stream::root(number as u64));
        println!("{}", started.elapsed().as_secs_f64() * 1000.0);
    }
}
