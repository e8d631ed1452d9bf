use maps::weights::{Array, ArrayData, Checkpoint, write_pth};
use serde_json::Value;
use stages::volume::Volume;

use super::*;

/// Vectors were made with the vector instructions of one machine; others add in another order, in a
/// hundred layers of sums over up to 4608 products.
const TOLERANCE: f64 = 1e-4;

fn folder() -> &'static str {
    concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../tests/reference/quality_check"
    )
}

fn reference(network: QualityNetwork) -> Value {
    let text = std::fs::read_to_string(format!("{}/networks.json", folder())).unwrap();
    let mut reference: Value = serde_json::from_str(&text).unwrap();
    reference[network.name()].take()
}

/// Number `index` of a tensor, −0.5 to 0.5; `networks.py` computes the same.
fn unit(name: &str, index: usize) -> f64 {
    let seed = name.bytes().fold(2_166_136_261_u32, |seed, byte| {
        (seed ^ u32::from(byte)).wrapping_mul(16_777_619)
    });
    let mut x = seed.wrapping_add((index as u32).wrapping_mul(2_654_435_761));
    x = (x ^ (x >> 16)).wrapping_mul(0x85eb_ca6b);
    x = (x ^ (x >> 13)).wrapping_mul(0xc2b2_ae35);
    x ^= x >> 16;
    f64::from(x) / 2.0_f64.powi(32) - 0.5
}

fn array(name: &str, shape: &[usize]) -> Array {
    if name.ends_with("num_batches_tracked") {
        return Array::try_new(Vec::new(), ArrayData::I64(vec![100])).unwrap();
    }
    let scale = |unit: f64| {
        if shape.len() > 1 {
            let fan_in: usize = shape[1..].iter().product();
            unit * (2.0 * (6.0 / fan_in as f64).sqrt())
        } else if name.ends_with("running_var") || name.ends_with("weight") {
            1.0 + 0.4 * unit
        } else {
            0.4 * unit
        }
    };
    let count = shape.iter().product();
    let numbers = (0..count).map(|i| scale(unit(name, i)) as f32);
    Array::try_new(shape.to_vec(), ArrayData::F32(numbers.collect())).unwrap()
}

/// The state dict of a network of ClinicaDL with the numbers of `networks.py`.
pub(crate) fn weights(network: QualityNetwork) -> Weights {
    let reference = reference(network);
    let state: Vec<(String, Vec<usize>)> =
        serde_json::from_value(reference["state"].clone()).unwrap();
    state
        .into_iter()
        .map(|(name, shape)| {
            let array = array(&name, &shape);
            (name, array)
        })
        .collect()
}

/// A file of weights.
pub(crate) fn file(weights: Weights) -> Vec<u8> {
    write_pth(&Checkpoint {
        model: weights,
        epoch: None,
        name: None,
    })
}

/// The image of `head` in `scores.py`.
pub(crate) fn head([nx, ny, nz]: [usize; 3]) -> Volume {
    let places = (0..nx).flat_map(|i| (0..ny).flat_map(move |j| (0..nz).map(move |k| (i, j, k))));
    let value =
        |(i, j, k): (usize, usize, usize)| ((i * i + 2 * j * j + 3 * i * k + 5 * k) % 101) as f32;
    let mut affine = [[0.0; 4]; 4];
    for (axis, row) in affine.iter_mut().enumerate() {
        row[axis] = 1.0;
    }
    Volume {
        data: places.map(value).collect(),
        shape: [nx, ny, nz],
        affine,
    }
}

pub(crate) const SHAPES: [[usize; 3]; 2] = [[19, 23, 19], [64, 40, 51]];

fn refused(network: QualityNetwork, weights: &Weights) -> StageError {
    build(network, weights, "w.pth", Device::Cpu).err().unwrap()
}

#[test]
fn logits_are_those_of_clinicadl() {
    let _session = Session::for_test();
    for network in QualityNetwork::ALL {
        let reference = reference(network);
        let weights = weights(network);
        for (name, sum) in reference["sums"].as_object().unwrap() {
            let values = weights[name].as_f32().unwrap();
            let got: f64 = values.iter().map(|&value| f64::from(value)).sum();
            let difference = got - sum.as_f64().unwrap();
            assert!(difference.abs() < 1e-9, "weights are the script's: {name}");
        }
        let built = build(network, &weights, "w.pth", Device::Cpu).unwrap();
        for (shape, expected) in SHAPES.iter().zip(reference["logits"].as_array().unwrap()) {
            let views = views(&head(*shape)).unwrap();
            let views = Tensor::from_slice(&views).view([3, 1, SIZE as i64, SIZE as i64]);
            let logits = tch::no_grad(|| built.forward(&views)).unwrap();
            assert_eq!(logits.size(), [1, 2]);
            for class in [0, 1] {
                let got = logits.double_value(&[0, class as i64]);
                let expected = expected[class].as_f64().unwrap();
                let name = network.name();
                assert!(
                    (got - expected).abs() < TOLERANCE,
                    "{name}, {shape:?}: {got}, expected {expected}"
                );
            }
        }
    }
}

#[test]
fn probabilities_are_the_second_component_of_the_softmax() {
    let _session = Session::for_test();
    let network = QualityNetwork::Sq101;
    let built = build(network, &weights(network), "w.pth", Device::Cpu).unwrap();
    let expected = reference(network)["probabilities"].clone();
    for (shape, expected) in SHAPES.iter().zip(expected.as_array().unwrap()) {
        let views = views(&head(*shape)).unwrap();
        let got = probability(built.as_ref(), &views, Device::Cpu).unwrap();
        assert!(
            (got - expected.as_f64().unwrap()).abs() < TOLERANCE,
            "{got}"
        );
    }
}

#[test]
fn several_heads_at_once_have_the_logits_of_each() {
    let _session = Session::for_test();
    for network in [QualityNetwork::DeepQc, QualityNetwork::Sq101] {
        let built = build(network, &weights(network), "w.pth", Device::Cpu).unwrap();
        let views: Vec<f32> = SHAPES
            .iter()
            .flat_map(|&s| views(&head(s)).unwrap())
            .collect();
        let views = Tensor::from_slice(&views).view([6, 1, SIZE as i64, SIZE as i64]);
        let logits = tch::no_grad(|| built.forward(&views)).unwrap();
        let expected = reference(network)["logits"].clone();
        for (head, class) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
            let got = logits.double_value(&[head as i64, class as i64]);
            let expected = expected[head][class].as_f64().unwrap();
            assert!(
                (got - expected).abs() < TOLERANCE,
                "{got}, expected {expected}"
            );
        }
    }
}

#[test]
fn everything_that_does_not_fit_is_told_in_one_message() {
    let network = QualityNetwork::Sq101;
    let mut weights = weights(network);
    weights.shift_remove("features.0.bias");
    weights.insert("fc.bias".to_owned(), array("fc.bias", &[2]));
    weights.insert("classifier.1.bias".to_owned(), array("b", &[3]));
    let wrong = Array::try_new(vec![16], ArrayData::F64(vec![0.0; 16])).unwrap();
    weights.insert("features.3.squeeze.bias".to_owned(), wrong);
    assert_eq!(
        refused(network, &weights).message,
        "weights in `w.pth` do not fit the network `sq101`: missing: `features.0.bias`; \
         not expected: `fc.bias`; of another shape or type: \
         `features.3.squeeze.bias` has type float64, expected float32, \
         `classifier.1.bias` has shape [3], expected [2]"
    );
}

#[test]
fn weights_of_another_network_are_recognised() {
    for (asked, given) in [
        (QualityNetwork::Darq, QualityNetwork::DeepQc),
        (QualityNetwork::DeepQc, QualityNetwork::Darq),
        (QualityNetwork::Darq, QualityNetwork::Sq101),
        (QualityNetwork::Sq101, QualityNetwork::DeepQc),
    ] {
        let error = refused(asked, &weights(given));
        let name = given.name();
        assert_eq!(
            error.hints,
            [format!("they fit `{name}`: set `network: {name}`")]
        );
        assert!(
            error
                .message
                .contains(&format!("network `{}`", asked.name()))
        );
    }
    let error = refused(QualityNetwork::Darq, &weights(QualityNetwork::DeepQc));
    assert!(
        error.message.ends_with("missing: `fc.weight`, `fc.bias`"),
        "{error}"
    );
    let error = refused(QualityNetwork::Sq101, &weights(QualityNetwork::Darq));
    assert!(error.message.contains("and 44 more"), "{error}");
}

#[test]
fn a_file_of_torch_save_is_read_and_refused_by_content() {
    let bytes = std::fs::read(format!("{}/small.pth", folder())).unwrap();
    let weights = read_pth(&bytes).unwrap().model;
    let error = refused(QualityNetwork::Darq, &weights);
    assert!(
        error
            .message
            .contains("`conv1.weight` has shape [2, 1, 3, 3], expected [64, 1, 7, 7]"),
        "{error}"
    );
    assert!(
        error.message.contains("and 143 more") && error.hints.is_empty(),
        "{error}"
    );
}

#[test]
fn other_files_than_the_published_are_known_by_their_digest() {
    // The vector of FIPS 180-2 for `abc`.
    let expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    for network in QualityNetwork::ALL {
        assert_eq!(origin(network, b"abc"), Err(expected.to_owned()));
        let hex = |c: char| c.is_ascii_digit() || ('a'..='f').contains(&c);
        assert!(
            network.published().1.chars().all(hex),
            "as it is written here"
        );
    }
}

#[test]
fn weights_that_give_no_number_are_refused() {
    let _session = Session::for_test();
    let network = QualityNetwork::Sq101;
    let mut weights = weights(network);
    let nan = Array::try_new(vec![2], ArrayData::F32(vec![f32::NAN; 2])).unwrap();
    weights.insert("classifier.1.bias".to_owned(), nan);
    let built = build(network, &weights, "w.pth", Device::Cpu).unwrap();
    let views = views(&head(SHAPES[0])).unwrap();
    let error = probability(built.as_ref(), &views, Device::Cpu).unwrap_err();
    assert!(error.message.contains("not a number"), "{error}");
}

#[test]
fn each_thread_that_asks_has_its_own_answer() {
    let work = |asked: &mpsc::Sender<Question>| {
        std::thread::scope(|scope| {
            let threads: Vec<_> = (0..8_u8)
                .map(|n| scope.spawn(move || ask(asked, vec![f32::from(n)])))
                .collect();
            let answers = threads.into_iter().map(|thread| thread.join().unwrap());
            answers.collect::<Result<Vec<f64>, StageError>>()
        })
    };
    let answers = answering(work, |views| Ok(f64::from(views[0]) * 2.0)).unwrap();
    assert_eq!(answers, [0.0, 2.0, 4.0, 6.0, 8.0, 10.0, 12.0, 14.0]);
    let error = answering(work, |_| Err(StageError::new("no"))).unwrap_err();
    assert_eq!(error.message, "no");
}
