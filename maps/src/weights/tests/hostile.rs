use std::io::Cursor;
use std::path::Path;

use proptest::prelude::*;

use super::bytes;
use crate::weights::archive;
use crate::weights::{
    Array, ArrayData, Numbers, WeightsError, read_pt, read_pth, read_safetensors, write_safetensors,
};

fn refused(name: &str) -> WeightsError {
    read_pth(&bytes(name)).unwrap_err()
}

#[test]
fn the_corpus_of_the_fuzzer_is_read_without_a_panic() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus/weights");
    let mut read = 0;
    for entry in std::fs::read_dir(corpus).unwrap() {
        let bytes = std::fs::read(entry.unwrap().path()).unwrap();
        read += usize::from(read_pth(&bytes).is_ok());
        drop((read_pt(&bytes), read_safetensors(&bytes)));
    }
    assert!(read > 0, "the corpus has a sound file");
}

#[test]
fn a_call_into_the_system_is_refused_by_name() {
    let error = refused("bad_system.pth");
    assert!(
        matches!(&error, WeightsError::Global(name) if name == "posix.system"),
        "{error}"
    );
    assert!(error.hints()[0].contains("state_dict"));
}

#[test]
fn a_hidden_builtin_is_refused_by_name() {
    assert!(
        matches!(refused("bad_eval.pth"), WeightsError::Global(name) if name == "__builtin__.eval")
    );
}

#[test]
fn a_whole_network_is_refused_by_its_class() {
    assert!(
        matches!(refused("bad_whole_network.pth"), WeightsError::Global(name) if name.starts_with("torch.nn."))
    );
}

#[test]
fn complex_numbers_are_refused_by_name() {
    assert!(
        matches!(refused("bad_complex.pth"), WeightsError::Global(name) if name == "torch.ComplexFloatStorage")
    );
}

#[test]
fn a_compressed_archive_is_refused() {
    assert!(matches!(
        refused("bad_compressed.pth"),
        WeightsError::NotStored(_)
    ));
}

#[test]
fn big_endian_weights_are_refused() {
    assert!(
        matches!(refused("bad_byte_order.pth"), WeightsError::ByteOrder(order) if order == "big")
    );
}

#[test]
fn a_missing_storage_is_named() {
    assert!(
        matches!(refused("bad_missing_storage.pth"), WeightsError::MissingEntry(name) if name.ends_with("data/0"))
    );
}

#[test]
fn a_short_storage_is_named() {
    let error = refused("bad_short_storage.pth");
    assert_eq!(error.to_string(), "storage `0` has 212 bytes, expected 216");
}

#[test]
fn two_pickles_are_refused() {
    assert!(matches!(
        refused("bad_two_pickles.pth"),
        WeightsError::Pickles(2)
    ));
}

#[test]
fn a_state_dict_with_other_values_is_refused() {
    assert_eq!(
        refused("bad_no_tensor.pth").to_string(),
        "entry `weight` of the state dict is a string, expected a tensor"
    );
    assert_eq!(
        refused("bad_list.pth").to_string(),
        "the state dict is a list, expected a dict"
    );
    assert_eq!(
        refused("bad_model.pth").to_string(),
        "the state dict is a tensor, expected a dict"
    );
}

#[test]
fn a_state_dict_is_not_a_tensor() {
    let error = read_pt(&bytes("types.pth")).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the content of the file is a dict, expected a tensor"
    );
}

#[test]
fn a_small_file_cannot_claim_much_memory() {
    assert!(matches!(
        read_pt(&bytes("bad_bomb.pt")).unwrap_err(),
        WeightsError::TooLarge { .. }
    ));
}

#[test]
fn the_format_before_zip_is_refused_with_advice() {
    let error = read_pt(&bytes("bad_not_zip.pt")).unwrap_err();
    assert!(matches!(error, WeightsError::NotAnArchive));
    assert!(error.hints()[0].contains("1.6"));
}

#[test]
fn an_empty_or_cut_file_is_refused_at_every_length() {
    let whole = bytes("checkpoint.pth.tar");
    for length in 0..whole.len() {
        assert!(read_pth(&whole[..length]).is_err(), "length {length}");
    }
}

#[test]
fn a_changed_number_is_noticed_by_its_checksum() {
    let mut changed = bytes("written.pth.tar");
    let checkpoint = read_pth(&changed).unwrap();
    let mut needle = Vec::new();
    checkpoint.model["0.weight"].write(&mut needle).unwrap();
    let start = changed
        .windows(needle.len())
        .position(|window| window == needle)
        .unwrap();
    changed[start] ^= 1;
    assert!(matches!(
        read_pth(&changed).unwrap_err(),
        WeightsError::DamagedEntry { .. }
    ));
}

/// An archive of a pickle and one storage, unless it is empty.
fn archived(pickle: &[u8], storage: &[u8]) -> Vec<u8> {
    let array = Array::try_new(vec![storage.len()], ArrayData::U8(storage.to_vec())).unwrap();
    let storages: &[&dyn Numbers] = if storage.is_empty() { &[] } else { &[&array] };
    let mut bytes = Cursor::new(Vec::new());
    archive::write(&mut bytes, pickle, storages).unwrap();
    bytes.into_inner()
}

/// Reads a pickle without storages.
fn run(pickle: &[u8]) -> WeightsError {
    read_pth(&archived(pickle, &[])).unwrap_err()
}

/// A pickle of one tensor of two numbers, its parts given as pickles.
fn tensor(key: &str, count: u8, offset: &str, shape: &str, strides: &str) -> Vec<u8> {
    let mut pickle =
        b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n((U\x07storagectorch\nByteStorage\nU".to_vec();
    pickle.push(u8::try_from(key.len()).unwrap());
    pickle.extend_from_slice(key.as_bytes());
    pickle.extend_from_slice(b"U\x03cpuK");
    pickle.push(count);
    pickle.extend_from_slice(format!("tQ{offset}{shape}{strides}").as_bytes());
    pickle.extend_from_slice(b"\x89}tR.");
    archived(&pickle, &[1, 2])
}

#[test]
fn a_hand_made_tensor_reads() {
    let array = read_pt(&tensor("0", 2, "K\x00", "(K\x02t", "(K\x01t")).unwrap();
    assert_eq!(array.data(), &ArrayData::U8(vec![1, 2]));
}

#[test]
fn a_view_beyond_its_storage_is_refused() {
    let views = [
        ("K\x01", "(K\x02t", "(K\x01t"),
        ("K\x00", "(K\x02t", "(K\x02t"),
        ("K\x02", "(t", "(t"),
        ("K\x00", "(K\x02t", "(J\x7f\x7f\x7f\x7ft"),
    ];
    for (offset, shape, strides) in views {
        let error = read_pt(&tensor("0", 2, offset, shape, strides)).unwrap_err();
        assert!(
            matches!(error, WeightsError::ViewBeyondStorage { .. }),
            "{error}"
        );
    }
}

#[test]
fn negative_and_mismatched_sizes_are_refused() {
    let minus_one = "(M\x01\x00t";
    assert!(
        read_pt(&tensor("0", 2, "K\x00", minus_one, "(K\x01K\x01t")).is_err(),
        "two strides"
    );
    assert!(
        read_pt(&tensor("0", 2, "U\x010", "(t", "(t")).is_err(),
        "a text for an offset"
    );
    let many = format!("({}t", "K\x01".repeat(65));
    assert!(
        read_pt(&tensor("0", 2, "K\x00", &many, &many)).is_err(),
        "65 axes"
    );
    let mut negative = b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n((U\x07storagectorch\nByteStorage\nU\x010U\x03cpuK\x02tQ".to_vec();
    negative.extend_from_slice(b"J\xff\xff\xff\xff(t(t\x89}tR.");
    assert!(
        read_pt(&archived(&negative, &[1, 2])).is_err(),
        "a negative offset"
    );
}

#[test]
fn a_storage_key_with_a_path_leads_nowhere() {
    for key in ["../data.pkl", "/etc/passwd", "..", ""] {
        let error = read_pt(&tensor(key, 2, "K\x00", "(K\x02t", "(K\x01t")).unwrap_err();
        assert!(
            matches!(error, WeightsError::MissingEntry(_)),
            "{key}: {error}"
        );
    }
}

#[test]
fn instructions_outside_the_subset_are_named() {
    for opcode in [
        b'0', b'i', b'o', b'P', b'I', b'S', b'V', b'd', b'l', 0x81, 0x82, 0x8b, 0x93, 0x95,
    ] {
        let error = run(&[0x80, 2, opcode, b'.']);
        assert!(
            matches!(error, WeightsError::Opcode { opcode: found, offset: 2 } if found == opcode),
            "{error}"
        );
    }
}

#[test]
fn another_protocol_is_refused() {
    assert!(matches!(run(b"\x80\x04}."), WeightsError::Protocol(4)));
}

#[test]
fn a_pickle_that_ends_early_is_refused() {
    for pickle in [
        &b"\x80"[..],
        b"\x80\x02",
        b"\x80\x02X\xff\xff\xff\xffab",
        b"\x80\x02J\x01",
        b"\x80\x02\x8a\x08\x01",
        b"\x80\x02cposix",
    ] {
        assert!(
            matches!(run(pickle), WeightsError::PickleTruncated(_)),
            "{pickle:?}"
        );
    }
}

#[test]
fn an_empty_stack_a_missing_mark_and_an_unknown_memo_are_refused() {
    for pickle in [
        &b"\x80\x02."[..],
        b"\x80\x02t.",
        b"\x80\x02u.",
        b"\x80\x02h\x05.",
        b"\x80\x02q\x00.",
        b"\x80\x02R.",
        b"\x80\x02(a.",
        b"\x80\x02]K\x01s.",
        b"\x80\x02}(K\x01u.",
        b"\x80\x02}}R.",
        b"\x80\x02K\x01Q.",
        b"\x80\x02K\x01}b.",
        b"\x80\x02X\x01\x00\x00\x00\xff.",
        b"\x80\x02\x8a\x09123456789.",
    ] {
        assert!(
            matches!(run(pickle), WeightsError::Malformed { .. }),
            "{pickle:?}"
        );
    }
}

#[test]
fn an_ordered_dict_with_arguments_and_a_called_storage_type_are_refused() {
    assert!(matches!(
        run(b"\x80\x02ccollections\nOrderedDict\n]\x85R."),
        WeightsError::Malformed { .. }
    ));
    assert!(matches!(
        run(b"\x80\x02ctorch\nFloatStorage\n)R."),
        WeightsError::Malformed { .. }
    ));
}

#[test]
fn values_that_contain_themselves_end_in_an_error() {
    // `d = {}; d["model"] = d` and `l = []; l.append(l)`.
    let error = run(b"\x80\x02}q\x00U\x05modelh\x00s.");
    assert_eq!(
        error.to_string(),
        "entry `model` of the state dict is a dict, expected a tensor"
    );
    assert!(matches!(
        run(b"\x80\x02]q\x00h\x00a."),
        WeightsError::Content { .. }
    ));
}

#[test]
fn deep_nesting_needs_no_stack() {
    let mut pickle = vec![0x80, 2];
    pickle.push(b')');
    pickle.extend(std::iter::repeat_n(0x85, 1_000_000));
    pickle.push(b'.');
    assert!(matches!(run(&pickle), WeightsError::Content { .. }));
}

#[test]
fn a_far_memo_index_allocates_nothing() {
    assert!(matches!(
        run(b"\x80\x02]r\xff\xff\xff\xffj\xff\xff\xff\xff."),
        WeightsError::Content { .. }
    ));
}

#[test]
fn a_pickle_beyond_any_state_dict_is_refused() {
    let pickle = vec![b')'; (16 << 20) + 1];
    assert!(matches!(run(&pickle), WeightsError::EntryTooLarge { .. }));
}

#[test]
fn damaged_safetensors_are_refused() {
    let good = write_safetensors(&read_pth(&bytes("checkpoint.pth.tar")).unwrap().model).unwrap();
    for damaged in [&good[..4], &good[..good.len() - 1], &[0xff; 64]] {
        assert!(matches!(
            read_safetensors(damaged).unwrap_err(),
            WeightsError::Safetensors(_)
        ));
    }
    let header = br#"{"w":{"dtype":"F8_E4M3","shape":[1],"data_offsets":[0,1]}}"#;
    let mut exotic = (header.len() as u64).to_le_bytes().to_vec();
    exotic.extend_from_slice(header);
    exotic.push(0);
    assert!(matches!(
        read_safetensors(&exotic).unwrap_err(),
        WeightsError::SafetensorsType { .. }
    ));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn no_change_of_bytes_makes_the_reader_panic(changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6)) {
        let mut file = bytes("checkpoint.pth.tar");
        for (index, byte) in changes {
            let index = index.index(file.len());
            file[index] = byte;
        }
        drop(read_pth(&file));
    }

    #[test]
    fn no_pickle_makes_the_reader_panic(mut pickle in prop::collection::vec(prop_oneof![any::<u8>(), prop::sample::select(&b"(t}]u.sabRQqhKNX)\x85\x86\x88"[..])], 0..60)) {
        pickle.splice(0..0, [0x80, 2]);
        drop(read_pth(&archived(&pickle, &[])));
    }
}
