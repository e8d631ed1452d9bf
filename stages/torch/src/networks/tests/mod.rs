pub(crate) mod cases;
mod codes;
mod domains;
pub(crate) mod sketch;

use self::sketch::Bits;
use super::*;
use crate::losses;
use crate::state::Role;
use crate::testing::{assert_close, floats, head, numbered_images, reference};

/// Vectors were made with the vector instructions of one machine; others add in another order.
const TOLERANCE: f64 = 2e-5;

fn spec(case: &Value) -> NetworkSpec {
    NetworkSpec {
        declaration: declared("Conv5_FC3").unwrap(),
        input_size: serde_json::from_value(case["input_size"].clone()).unwrap(),
        output_size: case["output_size"].as_i64().unwrap(),
        options: Map::new(),
        module: None,
    }
}

fn for_each_case(check: impl Fn(&Value, &dyn Network)) {
    let reference = reference("networks.json");
    for (name, case) in reference["networks"].as_object().unwrap() {
        let session = Session::for_test();
        session.seed(case["seed"].as_u64().unwrap());
        let network = build(&spec(case), &session).unwrap();
        network.state().require_gradients().unwrap();
        assert!(!name.is_empty());
        check(case, network.as_ref());
    }
}

#[test]
fn the_table_holds_every_declared_network() {
    let names = |kinds: &[&Declaration]| -> Vec<&str> { kinds.iter().map(|k| k.name).collect() };
    let table: Vec<&Declaration> = NETWORKS.iter().map(|kind| kind.declaration).collect();
    let declared = names(stages::learning::networks::NETWORKS);
    assert_eq!(names(&table), declared);
    assert!(declared.is_sorted());
}

#[test]
fn initial_weights_are_those_of_clinicadl_bit_for_bit() {
    for_each_case(|case, network| {
        let expected = case["initial"].as_object().unwrap();
        let names: Vec<&String> = network.state().entries().iter().map(|e| &e.name).collect();
        assert_eq!(
            names,
            expected.keys().collect::<Vec<_>>(),
            "order of the state dict"
        );
        for entry in network.state().entries() {
            let shape: Vec<i64> =
                serde_json::from_value(case["shapes"][&entry.name].clone()).unwrap();
            assert_eq!(entry.tensor.size(), shape, "{}", entry.name);
            let expected = floats(&expected[&entry.name]);
            let got = head(&entry.tensor, expected.len());
            if entry.role == Role::Parameter {
                assert_eq!(got, expected, "{}", entry.name);
            } else {
                // Running statistics come out of a convolution.
                assert_close(&got, &expected, cases::OF_STATISTICS, &entry.name);
            }
        }
    });
}

#[test]
fn outputs_are_those_of_clinicadl() {
    for_each_case(|case, network| {
        let images = numbered_images(3, &spec(case).input_size);
        let outputs = tch::no_grad(|| network.forward(&images, Mode::Evaluate)).unwrap();
        let expected = floats(&case["evaluated"]);
        assert_close(
            &head(&outputs, expected.len()),
            &expected,
            TOLERANCE,
            "outputs",
        );
    });
}

#[test]
fn gradients_and_running_statistics_are_those_of_clinicadl() {
    for_each_case(|case, network| {
        let images = numbered_images(3, &spec(case).input_size);
        let labels: Vec<i64> = serde_json::from_value(case["labels"].clone()).unwrap();
        let outputs = network.outputs(&images, Mode::Train).unwrap();
        let loss = losses::parse("CrossEntropyLoss")
            .unwrap()
            .mean(
                &outputs,
                &Tensor::from_slice(&labels),
                &losses::Weighting::default(),
            )
            .unwrap();
        assert_close(
            &[loss.double_value(&[])],
            &floats(&case["loss"]),
            TOLERANCE,
            "loss",
        );
        let gradients = cases::gradients(network, &loss);
        sketch::assert_all("gradients", &gradients, &case["gradients"], Bits::ThirtyTwo);
        let buffers = cases::buffers(network);
        sketch::assert_all("buffers", &buffers, &case["buffers_after"], Bits::ThirtyTwo);
    });
}

#[test]
fn the_text_is_that_of_pytorch() {
    for_each_case(|case, network| {
        assert_eq!(network.describe(), case["layers"].as_str().unwrap());
    });
}

#[test]
fn numbers_of_parameters_are_those_that_are_told() {
    for network in stages::learning::networks::NETWORKS {
        let (images, parameters) = network.example;
        // A file has what it has.
        if images.is_empty() {
            continue;
        }
        // The largest are counted by the reference script, on any image.
        if parameters > 100_000_000 {
            continue;
        }
        let session = Session::for_test();
        let network = build(
            &spec_of(network.name, images, serde_json::json!({})),
            &session,
        );
        let network = network.unwrap();
        let entries = network.state().entries().iter();
        let fitted = entries.filter(|entry| entry.role != Role::Buffer);
        let count: usize = fitted.map(|entry| entry.tensor.numel()).sum();
        assert_eq!(count as u64, parameters, "{images:?}");
    }
}

#[test]
fn images_of_any_size_fit_a_u_shape() {
    for name in ["UNet", "AttentionUNet"] {
        let session = Session::for_test();
        let options = serde_json::json!({ "channels": [4, 6, 8], "strides": [2, 2] });
        let network = build(&spec_of(name, &[1, 13, 18, 11], options), &session).unwrap();
        let images = numbered_images(1, &[1, 13, 18, 11]);
        let restored = network.forward(&images, Mode::Evaluate).unwrap();
        assert_eq!(restored.size(), images.size(), "{name}");
        // What is filled up is zeros at the end.
        let filled = images.constant_pad_nd([0, 1, 0, 2, 0, 3]);
        let whole = network.forward(&filled, Mode::Evaluate).unwrap();
        let cut = whole.narrow(2, 0, 13).narrow(3, 0, 18).narrow(4, 0, 11);
        assert!(cut.equal(&restored), "{name}");
    }
}

#[test]
fn images_too_small_are_refused() {
    let session = Session::for_test();
    let mut spec = NetworkSpec {
        declaration: declared("Conv5_FC3").unwrap(),
        input_size: vec![1, 16, 16, 16],
        output_size: 2,
        options: Map::new(),
        module: None,
    };
    let error = build(&spec, &session).err().unwrap();
    assert!(error.message.contains("at least 17"), "{}", error.message);
    spec.input_size = vec![1, 16, 17, 1];
    assert!(build(&spec, &session).is_ok());
    for input_size in [
        vec![],
        vec![1, 40],
        vec![1, 40, 0, 40],
        vec![1, 2, 3, 4, 50],
    ] {
        spec.input_size = input_size;
        assert!(build(&spec, &session).is_err());
    }
}

fn spec_of(name: &str, input_size: &[i64], options: Value) -> NetworkSpec {
    NetworkSpec {
        declaration: declared(name).unwrap(),
        input_size: input_size.to_vec(),
        output_size: 2,
        options: options.as_object().unwrap().clone(),
        module: None,
    }
}

#[test]
fn images_that_a_network_has_no_room_for_are_refused() {
    let none = serde_json::json!({});
    for (name, input_size, told) in [
        ("ResNet3D", &[1, 63, 62, 63][..], "at least 63"),
        ("GeneratorUNet", &[1, 64, 64, 80], "multiples of 32"),
        ("GeneratorUNet", &[1, 32, 32, 32], "at least 64"),
        ("Vanilla3DdenseVAE", &[1, 15, 64, 64], "halved 4 times"),
        ("Vanilla3DspacialVAE", &[1, 31, 64, 64], "halved 5 times"),
        ("resnet18", &[1, 64, 64], "3 channels"),
        ("ResNet50", &[1, 16, 16, 16], "at least 17"),
        ("SEResNet50", &[1, 34, 34, 34], "at least 35"),
        ("SEResNet50", &[1, 40, 4], "at least 5"),
        ("UNet", &[1, 16, 16], "at least 17"),
        ("ViT", &[1, 40, 15, 40], "at least 16"),
        ("CNN", &[1, 40, 6], "nothing left after convolution 2"),
        ("CAE_half", &[1, 64, 64], "3-D images"),
    ] {
        let session = Session::for_test();
        let error = build(&spec_of(name, input_size, none.clone()), &session)
            .err()
            .unwrap();
        assert!(error.message.contains(told), "{name}: {}", error.message);
    }
}

#[test]
fn layers_that_do_not_fit_are_told_with_their_number() {
    for (layers, told) in [
        (
            serde_json::json!(["flatten", "max_pool_2"]),
            "unknown variant `max_pool_2`",
        ),
        (
            serde_json::json!([{ "conv": { "channels": 0 } }]),
            "`layers.0`: `channels`: expected 1 to 65536",
        ),
        (
            serde_json::json!(["flatten", { "conv": { "channels": 3 } }]),
            "layer 1, {\"conv\"",
        ),
        (
            serde_json::json!([{ "max_pool": { "kernel": 9 } }, "flatten", { "linear": "outputs" }]),
            "layer 0, {\"max_pool\"",
        ),
        (
            serde_json::json!(["flatten", { "linear": 5 }]),
            "end with [5] numbers, expected [2]",
        ),
    ] {
        let session = Session::for_test();
        let options = serde_json::json!({ "layers": layers });
        let error = build(&spec_of("Layers", &[1, 8, 8], options), &session);
        let error = error.err().unwrap();
        assert!(error.message.contains(told), "{}", error.message);
    }
}

#[test]
fn options_of_a_model_of_others_are_checked() {
    let block = |input: Value| {
        serde_json::json!({ "convolutions_dict": { "conv0": {
            "in_channels": input, "out_channels": 4, "n_conv": 1, "d_reduction": "stride",
        } } })
    };
    for (name, options, told) in [
        (
            "Vanilla3DdenseVAE",
            serde_json::json!({ "n_conv": 0 }),
            "`n_conv`: expected 1 to 12",
        ),
        (
            "ResNet18",
            serde_json::json!({ "conv1_t_size": 4 }),
            "`conv1_t_size`: expected an odd number",
        ),
        (
            "UNet",
            serde_json::json!({ "strides": [2, 2] }),
            "`strides`: expected 4 numbers",
        ),
        (
            "AttentionUNet",
            serde_json::json!({ "channels": [1, 2], "strides": [2] }),
            "`channels`: expected 2 channels or more",
        ),
        (
            "ViT",
            serde_json::json!({ "hidden_size": 100 }),
            "`hidden_size`: expected a multiple of the 12 heads",
        ),
        (
            "CVAE_3D",
            serde_json::json!({ "latent_space_size": 0 }),
            "`latent_space_size`",
        ),
        (
            "ResNet3D",
            serde_json::json!({ "dropout": 1.5 }),
            "`dropout`: expected 0 to 1",
        ),
        (
            "RandomArchitecture",
            block(3.into()),
            "number of channels of the images, 1",
        ),
        (
            "RandomArchitecture",
            serde_json::json!({ "convolutions_dict": {} }),
            "1 to 10 blocks",
        ),
    ] {
        let session = Session::for_test();
        let error = build(&spec_of(name, &[1, 64, 64, 64], options), &session)
            .err()
            .unwrap();
        assert!(error.message.contains(told), "{name}: {}", error.message);
    }
}

#[test]
fn outputs_and_dropout_of_residual_networks_are_as_asked_for() {
    let session = Session::for_test();
    let asked = NetworkSpec {
        output_size: 5,
        ..spec_of(
            "SqueezeExcitationCNN",
            &[1, 63, 63, 63],
            serde_json::json!({ "dropout": 0.25 }),
        )
    };
    let network = build(&asked, &session).unwrap();
    let outputs = network.forward(&numbered_images(1, &[1, 63, 63, 63]), Mode::Evaluate);
    assert_eq!(outputs.unwrap().size(), [1, 5]);
    assert!(
        network
            .describe()
            .contains("Dropout(p=0.25, inplace=False)")
    );
}

#[test]
fn autoencoders_restore_the_size_of_any_image() {
    for (name, input_size) in [
        ("CVAE_3D_half", [1, 13, 17, 11]),
        ("CVAE_3D_final_conv", [1, 18, 9, 23]),
        ("Vanilla3DspacialVAE", [1, 35, 32, 41]),
    ] {
        let session = Session::for_test();
        let network = build(&spec_of(name, &input_size, serde_json::json!({})), &session).unwrap();
        let images = numbered_images(2, &input_size);
        let restored = network.forward(&images, Mode::Train).unwrap();
        assert_eq!(restored.size(), images.size(), "{name}");
        // What is predicted is not drawn.
        let again = || network.forward(&images, Mode::Evaluate).unwrap();
        assert!(again().equal(&again()), "{name}");
    }
}
