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
    assert!(cases.len() >= 60);
    for (name, case) in cases {
        let file = case["file"]
            .as_str()
            .map_or(format!("{name}.nii"), str::to_owned);
        let image = companion(&file).into_iter().map(|name| InputFile {
            path: reference(&name),
            shown: name,
            digest: engine::Digest::of(b""),
            size: 0,
        });
        let image = image.into_iter().find(|file| file.path.exists());
        let series = read_series(&reference(&file), name, image.as_ref()).unwrap();
        let shape: Vec<usize> = serde_json::from_value(case["shape"].clone()).unwrap();
        assert_eq!(series.shape.as_slice(), &shape[..3], "{name}");
        let count: usize = shape[3..].iter().product();
        assert_eq!(series.volumes.len(), count, "{name}");
        let expected: Vec<u32> = serde_json::from_value(case["bits"].clone()).unwrap();
        // numpy has the volumes as the last axis in C order: of several dimensions the last is fastest,
        // on disk the first.
        let further = &shape[3..];
        let of_disk = |place: usize| {
            let (mut rest, mut index, mut stride) = (place, 0, 1);
            let mut indices = Vec::new();
            for &size in further.iter().rev() {
                indices.insert(0, rest % size);
                rest /= size;
            }
            for (i, size) in indices.into_iter().zip(further) {
                index += i * stride;
                stride *= size;
            }
            index
        };
        let voxels: usize = shape[..3].iter().product();
        for voxel in 0..voxels {
            for place in 0..count {
                let got = series.volumes[of_disk(place)][voxel].to_bits();
                assert_eq!(
                    got,
                    expected[voxel * count + place],
                    "{name}, voxel {voxel}"
                );
            }
        }
        let affine: [[f64; 4]; 4] = serde_json::from_value(case["affine"].clone()).unwrap();
        for (got, want) in series.affine.iter().flatten().zip(affine.iter().flatten()) {
            // The header stores float32; quaternions go through another order of operations.
            assert!(
                (got - want).abs() < 1e-5,
                "{name}: {:?} {affine:?}",
                series.affine
            );
        }
    }
}

#[test]
fn what_holds_no_real_numbers_is_refused_by_its_kind() {
    let text = std::fs::read_to_string(reference("nifti.json")).unwrap();
    let cases: Value = serde_json::from_str(&text).unwrap();
    let refused = cases["refused"].as_object().unwrap();
    assert_eq!(refused.len(), 5);
    for (file, code) in refused {
        let message = read(&reference(file), file).unwrap_err().message;
        assert!(message.contains(&format!("(datatype {code})")), "{message}");
    }
    let message = read(&reference("analyze.hdr"), "x").unwrap_err().message;
    assert_eq!(message, "`x` is an Analyze image, expected NIfTI");
}

#[test]
fn a_series_is_not_one_image_and_a_header_needs_its_voxels() {
    let message = read(&reference("series.nii.gz"), "x").unwrap_err().message;
    assert_eq!(
        message,
        "`x` has 4 volumes, expected one three-dimensional image"
    );
    let message = read(&reference("pair.hdr"), "x").unwrap_err().message;
    assert!(message.contains("whose `.img` is missing"), "{message}");
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
    assert!(message(&with(344, b"\0\0\0\0")).contains("Analyze"));
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
    assert!(dims(&[4, 3, 4, 5, 2]).contains("truncated: 60 of 120 voxels"));
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

/// Large files are decompressed in one go if nothing is odd about them, and in pieces otherwise.
#[test]
fn a_large_image_is_the_same_however_it_is_compressed() {
    let mut plain = good();
    for (axis, size) in [300_i16, 20, 19].into_iter().enumerate() {
        let at = 42 + 2 * axis;
        plain[at..at + 2].copy_from_slice(&size.to_le_bytes());
    }
    plain.truncate(352);
    let values = (0..300 * 20 * 19).map(|i| i as f32);
    plain.extend(values.flat_map(f32::to_le_bytes));
    let expected = series_of_bytes(&plain, "x", None).unwrap();
    // Voxel (299, 1, 2) is where the header says.
    let at = ((299 * 20) + 1) * 19 + 2;
    let value = ((2 * 20 + 1) * 300 + 299) as f32;
    assert_eq!(expected.volumes[0][at].to_bits(), value.to_bits());
    let zipped = gzipped(&plain);
    let (first, second) = plain.split_at(100_000);
    let several = [gzipped(first), gzipped(second)].concat();
    let padded = [zipped.clone(), vec![0; 64]].concat();
    let more = gzipped(&[plain.clone(), vec![7; 64]].concat());
    for file in [&zipped, &several, &padded, &more] {
        assert_eq!(series_of_bytes(file, "x", None).unwrap(), expected);
    }
    let mut damaged = zipped.clone();
    let end = damaged.len() - 6;
    damaged[end] ^= 1;
    let short = gzipped(&plain[..plain.len() - 1]);
    for (file, word) in [(&damaged, "damaged"), (&short, "is truncated")] {
        let error = series_of_bytes(file, "x", None).unwrap_err();
        assert!(error.message.contains(word), "{error}");
    }
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
        for bytes in [gzipped(&bytes), bytes] {
            let read = series_of_bytes(&bytes, "x", None);
            if let Ok(series) = read {
                for volume in &series.volumes {
                    prop_assert_eq!(volume.len(), series.shape.iter().product::<usize>());
                }
                prop_assert!(series.affine.iter().flatten().all(|value| value.is_finite()));
            }
        }
    }
}
