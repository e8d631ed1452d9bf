//! Any bytes are weights or an error: nothing is executed, and tensors are never larger than the file.
//!
//! Bytes are tried as a file, and as the pickle of an archive whose checksums are right, so that the
//! fuzzer gets behind them.
#![no_main]

use std::io::{Cursor, Write};

use libfuzzer_sys::fuzz_target;
use maps::weights::{Array, expose_buffers, read_pt, read_pth, read_safetensors};
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

/// Bytes of a number at most.
const WIDEST: usize = 8;

fn check(array: &Array, size: usize) {
    let numbers: usize = array.shape().iter().product();
    assert_eq!(numbers, array.data().len());
    assert!(numbers <= size * WIDEST);
}

fn read(bytes: &[u8]) {
    if let Ok(checkpoint) = read_pth(bytes) {
        checkpoint.model.values().for_each(|array| check(array, bytes.len()));
    }
    if let Ok(array) = read_pt(bytes) {
        check(&array, bytes.len());
    }
    drop(expose_buffers(bytes));
}

fn archive(pickle: &[u8]) -> Vec<u8> {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    let stored = SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
    for (name, bytes) in [("x/data.pkl", pickle), ("x/data/0", &[1; 64]), ("x/version", b"3\n")] {
        zip.start_file(name, stored).expect("memory can be written");
        zip.write_all(bytes).expect("memory can be written");
    }
    zip.finish().expect("memory can be written").into_inner()
}

fuzz_target!(|bytes: &[u8]| {
    read(bytes);
    read(&archive(bytes));
    if let Ok(weights) = read_safetensors(bytes) {
        weights.values().for_each(|array| check(array, bytes.len()));
    }
});
