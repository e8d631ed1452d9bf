use std::path::PathBuf;

use proptest::prelude::*;
use serde_json::Value;

use super::*;

fn reference(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("../tests/reference/nifti")
        .join(name)
}

#[test]
fn every_datatype_byte_order_scaling_and_orientation_reads_as_nibabel_does() {
    let text = std::fs::read_to_string(reference("nifti.json")).unwrap();
    let cases: Value = serde_json::from_str(&text).unwrap();
    let cases = cases["cases"].as_object().unwrap();
    assert!(cases.len() >= 29);
    for (name, case) in cases {
        let volume = read(&reference(&format!("{name}.nii")), name).unwrap();
        let shape: [usize; 3] = serde_json::from_value(case["shape"].clone()).unwrap();
        assert_eq!(volume.shape, shape, "{name}");
        let expected: Vec<u32> = serde_json::from_value(case["bits"].clone()).unwrap();
        let bits: Vec<u32> = volume.data.iter().map(|value| value.to_bits()).collect();
        assert_eq!(bits, expected, "{name}");
        let affine: [[f64; 4]; 4] = serde_json::from_value(case["affine"].clone()).unwrap();
        for (got, want) in volume.affine.iter().flatten().zip(affine.iter().flatten()) {
            // The header stores float32; quaternions go through another order of operations.
            assert!(
                (got - want).abs() < 1e-5,
                "{name}: {:?} {affine:?}",
                volume.affine
            );
        }
    }
}

/// A sound little file to break.
fn good() -> Vec<u8> {
    std::fs::read(reference("f4_little.nii")).unwrap()
}

fn message(bytes: &[u8]) -> String {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x");
    std::fs::write(&path, bytes).unwrap();
    read(&path, "x.nii").unwrap_err().message
}

fn with(at: usize, field: &[u8]) -> Vec<u8> {
    let mut bytes = good();
    bytes[at..at + field.len()].copy_from_slice(field);
    bytes
}

fn gzipped(bytes: &[u8]) -> Vec<u8> {
    use std::io::Write;
    let mut encoder = GzEncoderForTests::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

use flate2::write::GzEncoder as GzEncoderForTests;

#[test]
fn compression_is_recognised_by_content() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("no-extension");
    std::fs::write(&path, gzipped(&good())).unwrap();
    assert_eq!(
        read(&path, "x").unwrap(),
        read(&reference("f4_little.nii"), "x").unwrap()
    );
}

#[test]
fn a_truncated_file_tells_how_much_is_there() {
    let bytes = good();
    assert_eq!(
        message(&bytes[..bytes.len() - 4]),
        "`x.nii` is truncated: 59 of 60 voxels are there"
    );
    assert!(message(&gzipped(&bytes[..400])).contains("truncated: 12 of 60 voxels"));
    assert!(message(&bytes[..100]).contains("shorter than a NIfTI header"));
    assert!(message(&bytes[..350]).contains("truncated: 0 of 60"));
    let zipped = gzipped(&bytes);
    assert!(message(&zipped[..zipped.len() / 2]).contains("truncated or damaged gzip file"));
}

#[test]
fn what_is_no_nifti_is_told() {
    assert!(message(b"").contains("not a NIfTI file"));
    assert!(message(&[b'x'; 1000]).contains("is not a NIfTI file"));
    assert!(message(&[0x1f, 0x8b, 1, 2, 3]).contains("gzip"));
    assert!(message(&with(344, b"ni1\0")).contains("two-file"));
    assert!(message(&with(0, &540_i32.to_le_bytes())).contains("NIfTI-2"));
}

#[test]
fn dimensions_are_checked_before_memory_is_taken() {
    let dims = |dims: &[i16]| -> String {
        message(&with(
            40,
            &dims
                .iter()
                .flat_map(|d| d.to_le_bytes())
                .collect::<Vec<_>>(),
        ))
    };
    assert!(dims(&[3, 3, 0, 5]).contains("dimension 2 is not a positive size"));
    assert!(dims(&[3, 3, -4, 5]).contains("dimension 2 is not a positive size"));
    assert!(dims(&[2, 3, 4]).contains("has 2 dimensions"));
    assert!(dims(&[4, 3, 4, 5, 2]).contains("expected one three-dimensional image"));
    assert!(dims(&[3, 32767, 32767, 32767]).contains("more than any image has"));
    // 8 GiB are declared; only what is there is read.
    assert!(dims(&[3, 1290, 1290, 1290]).contains("truncated"));
}

#[test]
fn a_fourth_dimension_of_one_is_one_image() {
    let dims: Vec<u8> = [4_i16, 3, 4, 5, 1]
        .iter()
        .flat_map(|d| d.to_le_bytes())
        .collect();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x");
    std::fs::write(&path, with(40, &dims)).unwrap();
    assert_eq!(read(&path, "x").unwrap().shape, [3, 4, 5]);
}

#[test]
fn numbers_that_are_not_real_are_refused() {
    for (datatype, word) in [
        (32_i16, "complex"),
        (128, "colours"),
        (1, "bits"),
        (9, "unknown"),
    ] {
        assert!(message(&with(70, &datatype.to_le_bytes())).contains(word));
    }
}

#[test]
fn odd_offsets_and_scalings_are_refused() {
    assert!(message(&with(108, &f32::NAN.to_le_bytes())).contains("cannot start at byte"));
    assert!(message(&with(108, &(-5_f32).to_le_bytes())).contains("cannot start at byte"));
    let mut bytes = with(112, &2_f32.to_le_bytes());
    bytes[116..120].copy_from_slice(&f32::INFINITY.to_le_bytes());
    assert!(message(&bytes).contains("scl_inter"));
}

#[test]
fn a_written_image_reads_back_and_has_the_same_bytes_every_time() {
    let folder = tempfile::tempdir().unwrap();
    let volume = read(&reference("f4_little.nii"), "x").unwrap();
    let paths = ["a", "b"].map(|name| folder.path().join(name));
    for path in &paths {
        write(path, &volume).unwrap();
    }
    let back = read(&paths[0], "x").unwrap();
    assert_eq!(back, volume);
    assert_eq!(
        std::fs::read(&paths[0]).unwrap(),
        std::fs::read(&paths[1]).unwrap()
    );
}

#[test]
fn a_damaged_gzip_file_is_noticed_even_if_it_decompresses_to_something() {
    let zipped = gzipped(&good());
    for at in [zipped.len() - 6, zipped.len() - 2] {
        let mut damaged = zipped.clone();
        damaged[at] ^= 1;
        assert!(message(&damaged).contains("damaged gzip file"));
    }
    assert!(message(&zipped[..zipped.len() - 1]).contains("damaged gzip file"));
}

#[test]
fn compressed_in_several_members_is_one_image() {
    let bytes = good();
    let mut stream = gzipped(&bytes[..400]);
    stream.extend(gzipped(&bytes[400..]));
    stream.extend([0; 512]);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x");
    std::fs::write(&path, stream).unwrap();
    assert_eq!(
        read(&path, "x").unwrap(),
        read(&reference("f4_little.nii"), "x").unwrap()
    );
}

#[test]
fn a_place_in_space_that_is_none_is_refused() {
    assert!(message(&with(280, &f32::NAN.to_le_bytes())).contains("(sform) is not finite"));
    let mut bytes = with(254, &0_i16.to_le_bytes());
    bytes[252..254].copy_from_slice(&1_i16.to_le_bytes());
    bytes[256..260].copy_from_slice(&1.5_f32.to_le_bytes());
    assert!(message(&bytes).contains("no rotation"));
    bytes[256..260].copy_from_slice(&0_f32.to_le_bytes());
    bytes[80..84].copy_from_slice(&f32::INFINITY.to_le_bytes());
    assert!(message(&bytes).contains("(qform) is not finite"));
    bytes[252..254].copy_from_slice(&0_i16.to_le_bytes());
    assert!(message(&bytes).contains("(voxel sizes) is not finite"));
}

proptest! {
    /// Whatever stands in a header: an image or a message, never a panic, and no more memory than the
    /// file can fill.
    #[test]
    fn no_header_makes_it_panic(
        fields in proptest::collection::vec((0_usize..348, any::<u8>()), 1..12),
        keep in 0_usize..700,
    ) {
        let mut bytes = good();
        for (at, value) in fields {
            bytes[at] = value;
        }
        bytes.truncate(keep);
        for known in [None, Some(bytes.len() as u64)] {
            if let Ok(volume) = parse(&mut bytes.as_slice(), known, "x") {
                prop_assert_eq!(volume.data.len(), volume.shape.iter().product::<usize>());
                prop_assert!(volume.affine.iter().flatten().all(|value| value.is_finite()));
            }
        }
    }
}
