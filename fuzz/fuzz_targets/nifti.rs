//! Any bytes are a NIfTI image or an error; voxels take no more memory than the file can fill.
//!
//! Files end in four bytes that say how many bytes before them are the voxels of a pair; without such a
//! number, there is no second file. What is not compressed is tried compressed as well.
#![no_main]

use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;
use libfuzzer_sys::fuzz_target;
use stages::io::nifti::{Series, series_of_bytes};

/// What one byte of a compressed file can become at most.
const DEFLATE_MOST: usize = 1032;
/// Float32 per stored byte, in bytes.
const WIDEST: usize = 4;

fn check(series: &Series, size: usize) {
    let voxels: usize = series.shape.iter().product();
    assert!(voxels > 0);
    assert!(series.volumes.iter().all(|volume| volume.len() == voxels));
    assert!(series.volumes.len() * voxels * 4 <= size * DEFLATE_MOST * WIDEST);
    assert!(series.affine.iter().flatten().all(|value| value.is_finite()));
}

fn zip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).expect("memory can be written");
    encoder.finish().expect("memory can be written")
}

fuzz_target!(|bytes: &[u8]| {
    let (header, image) = match bytes.split_last_chunk::<4>() {
        Some((rest, number)) => match rest.len().checked_sub(u32::from_le_bytes(*number) as usize) {
            Some(at) => (&rest[..at], Some(&rest[at..])),
            None => (bytes, None),
        },
        None => (bytes, None),
    };
    let plain = series_of_bytes(header, "x", image);
    if let Ok(series) = &plain {
        check(series, header.len() + image.map_or(0, <[u8]>::len));
    }
    let zipped = zip(header);
    if !header.starts_with(&[0x1f, 0x8b]) {
        let again = series_of_bytes(&zipped, "x", image);
        assert_eq!(again.is_ok(), plain.is_ok());
        if let (Ok(plain), Ok(again)) = (plain, again) {
            // Bit by bit: a NaN does not equal itself.
            let bits = |series: &Series| -> Vec<u32> {
                series.volumes.iter().flatten().map(|value| value.to_bits()).collect()
            };
            assert_eq!((bits(&plain), plain.affine), (bits(&again), again.affine));
        }
    }
});
