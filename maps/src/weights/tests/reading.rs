use proptest::prelude::*;
use serde_json::Value as Json;

use safetensors::tensor::TensorView;

use super::{bytes, sorted};
use crate::weights::{
    Array, ArrayData, Checkpoint, Dtype, Numbers, Weights, read_pt, read_pth, read_safetensors,
    write_pt, write_pth, write_safetensors,
};

fn expected(name: &str) -> Json {
    let all: Json = serde_json::from_slice(&bytes("weights.json")).unwrap();
    all["files"][name].clone()
}

/// Elements as float64, which every type of the reference files fits.
fn values(array: &Array) -> Vec<f64> {
    #[expect(
        clippy::cast_precision_loss,
        reason = "reference integers are below 2^53"
    )]
    match array.data() {
        ArrayData::F32(v) => v.iter().map(|&x| x.into()).collect(),
        ArrayData::F64(v) => v.clone(),
        ArrayData::F16(v) => v.iter().map(|&x| x.to_f64()).collect(),
        ArrayData::BF16(v) => v.iter().map(|&x| x.to_f64()).collect(),
        ArrayData::I64(v) => v.iter().map(|&x| x as f64).collect(),
        ArrayData::I32(v) => v.iter().map(|&x| x.into()).collect(),
        ArrayData::I16(v) => v.iter().map(|&x| x.into()).collect(),
        ArrayData::I8(v) => v.iter().map(|&x| x.into()).collect(),
        ArrayData::U8(v) => v.iter().map(|&x| x.into()).collect(),
        ArrayData::Bool(v) => v.iter().map(|&x| f64::from(u8::from(x))).collect(),
    }
}

fn assert_equal(array: &Array, expected: &Json) {
    assert_eq!(array.dtype().name(), expected["dtype"]);
    assert_eq!(serde_json::json!(array.shape()), expected["shape"]);
    let numbers = expected["values"].as_array().unwrap();
    let numbers: Vec<f64> = numbers.iter().map(|x| x.as_f64().unwrap()).collect();
    assert_eq!(values(array), numbers);
}

fn assert_reads(name: &str) {
    let (checkpoint, expected) = (read_pth(&bytes(name)).unwrap(), expected(name));
    assert_eq!(checkpoint.epoch, expected["epoch"].as_i64());
    assert_eq!(checkpoint.name.as_deref(), expected["name"].as_str());
    let model = expected["model"].as_object().unwrap();
    assert!(
        checkpoint.model.keys().eq(model.keys()),
        "same names in the same order"
    );
    for (key, array) in &checkpoint.model {
        assert_equal(array, &model[key]);
    }
}

#[test]
fn a_checkpoint_reads_as_pytorch_wrote_it() {
    assert_reads("checkpoint.pth.tar");
}

#[test]
fn a_gpu_checkpoint_without_byte_order_reads_from_any_root() {
    assert_reads("legacy.pth.tar");
}

#[test]
fn every_element_type_and_view_of_a_bare_state_dict_reads() {
    assert_reads("types.pth");
}

#[test]
fn a_tensor_that_is_part_of_a_batch_reads_alone() {
    assert_equal(&read_pt(&bytes("view.pt")).unwrap(), &expected("view.pt"));
}

/// What the library of the format writes.
fn of_the_library(model: &Weights) -> Vec<u8> {
    let bytes = |array: &Array| {
        let mut bytes = Vec::new();
        array.write(&mut bytes).unwrap();
        bytes
    };
    let arrays: Vec<_> = model.values().map(|array| (array, bytes(array))).collect();
    let views = arrays.iter().map(|(array, bytes)| {
        let dtype = array.dtype().to_safetensors();
        TensorView::new(dtype, array.shape().to_vec(), bytes).unwrap()
    });
    safetensors::serialize(model.keys().zip(views), None).unwrap()
}

#[test]
fn what_is_written_reads_back_and_twice_the_same() {
    for name in ["checkpoint.pth.tar", "types.pth"] {
        let checkpoint = read_pth(&bytes(name)).unwrap();
        let written = write_pth(&checkpoint);
        assert_eq!(read_pth(&written).unwrap(), checkpoint);
        assert_eq!(write_pth(&checkpoint), written);
        let safe = write_safetensors(&checkpoint.model).unwrap();
        assert_eq!(read_safetensors(&safe).unwrap(), sorted(&checkpoint.model));
        assert_eq!(safe, of_the_library(&checkpoint.model), "{name}");
        assert_eq!(write_safetensors(&sorted(&checkpoint.model)).unwrap(), safe);
        for array in checkpoint.model.values() {
            assert_eq!(&read_pt(&write_pt(array)).unwrap(), array);
        }
    }
}

/// The storages that PyTorch can map into memory start at multiples of 64 bytes.
#[test]
fn written_storages_are_aligned() {
    let data: Vec<f32> = (0_u16..40).map(|i| 1e9 + 100.0 * f32::from(i)).collect();
    let needle: Vec<u8> = data.iter().flat_map(|x| x.to_le_bytes()).collect();
    let array = Array::try_new(vec![40], ArrayData::F32(data)).unwrap();
    let model = (0..3)
        .map(|i| (format!("layer.{i}"), array.clone()))
        .collect();
    let written = write_pth(&Checkpoint {
        model,
        epoch: Some(0),
        name: None,
    });
    let starts: Vec<usize> = written
        .windows(needle.len())
        .enumerate()
        .filter_map(|(start, window)| (window == needle).then_some(start))
        .collect();
    assert_eq!(starts.len(), 3);
    assert!(starts.iter().all(|start| start % 64 == 0), "{starts:?}");
}

/// The committed file was loaded with PyTorch by `check_pth.py`; equal bytes need no second look.
#[test]
fn the_writer_still_gives_the_bytes_that_pytorch_loaded() {
    let checkpoint = read_pth(&bytes("checkpoint.pth.tar")).unwrap();
    assert_eq!(write_pth(&checkpoint), bytes("written.pth.tar"));
    let types = read_pth(&bytes("types.pth")).unwrap();
    let types = Checkpoint {
        epoch: Some(1 << 40),
        name: Some("ü".to_owned()),
        ..types
    };
    assert_eq!(write_pth(&types), bytes("written_types.pth.tar"));
}

#[test]
fn a_shape_that_does_not_fit_its_elements_is_refused() {
    let error = Array::try_new(vec![2, 2], ArrayData::F32(vec![0.0; 3])).unwrap_err();
    assert_eq!(error.to_string(), "shape [2, 2] does not hold 3 elements");
    assert!(Array::try_new(vec![usize::MAX, 2], ArrayData::U8(Vec::new())).is_err());
}

fn array() -> impl Strategy<Value = Array> {
    let shape = prop::collection::vec(0_usize..4, 0..4);
    let element = prop_oneof![
        Just(Dtype::F32),
        Just(Dtype::I64),
        Just(Dtype::BF16),
        Just(Dtype::U8)
    ];
    (shape, element, any::<u8>()).prop_map(|(shape, dtype, fill)| {
        let count: usize = shape.iter().product();
        // Bytes of one value below 0x7f give no NaN, which would not equal itself.
        let bytes = vec![fill % 0x7f; count * dtype.size()];
        Array::try_new(shape, ArrayData::from_bytes(dtype, &bytes)).unwrap()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn any_weights_survive_both_formats(
        model in prop::collection::vec((".{1,12}", array()), 0..5),
        epoch in prop::option::of(any::<i64>()),
        name in prop::option::of(".{0,12}"),
    ) {
        let model: Weights = model.into_iter().collect();
        let checkpoint = Checkpoint { model, epoch, name };
        prop_assert_eq!(&read_pth(&write_pth(&checkpoint)).unwrap(), &checkpoint);
        let safe = write_safetensors(&checkpoint.model).unwrap();
        prop_assert_eq!(read_safetensors(&safe).unwrap(), sorted(&checkpoint.model));
    }
}
