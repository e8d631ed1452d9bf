//! The tensors that networks of ClinicaDL 1.6.1 have: names and shapes, without libtorch.
//!
//! Only networks of few lines are here; others are compared when they are used.

/// Name and shape of a tensor.
pub(super) type Tensor = (String, Vec<usize>);

const CHANNELS: [usize; 5] = [8, 16, 32, 64, 128];

/// The tensors of a network for images of this size, channel first; `None` where they are not known.
///
/// # Source
/// ClinicaDL 1.6.1 `clinicadl/utils/network/cnn`.
pub(super) fn tensors(network: &str, input: &[usize], outputs: usize) -> Option<Vec<Tensor>> {
    let (&channels, axes) = input.split_first()?;
    if !(2..=3).contains(&axes.len()) {
        return None;
    }
    let mut tensors = Tensors {
        axes: axes.len(),
        all: Vec::new(),
    };
    match network {
        "Conv5_FC3" => plain(&mut tensors, channels, 4, axes, [1300, 50], outputs),
        "Conv4_FC3" => plain(&mut tensors, channels, 4, axes, [50, 40], outputs),
        "Stride_Conv5_FC3" => plain(&mut tensors, channels, 3, axes, [1300, 50], outputs),
        "ResNet3D" | "SqueezeExcitationCNN" if axes.len() == 3 => {
            let excited = network == "SqueezeExcitationCNN";
            residual(&mut tensors, channels, axes, excited, outputs)?;
        }
        _ => return None,
    }
    Some(tensors.all)
}

/// Five blocks and three fully connected layers; a block has `step` layers with a number.
fn plain(
    tensors: &mut Tensors,
    mut channels: usize,
    step: usize,
    axes: &[usize],
    [first, second]: [usize; 2],
    outputs: usize,
) {
    for (block, next) in CHANNELS.into_iter().enumerate() {
        let layer = block * step;
        let name = |layer: usize| format!("convolutions.{layer}");
        tensors.convolution(&name(layer), next, channels, 3, true);
        tensors.batch_norm(&name(layer + 1), next);
        channels = next;
    }
    // Every block halves each axis, rounded up.
    let features = channels * axes.iter().map(|n| n.div_ceil(32)).product::<usize>();
    tensors.dense("fc.2", first, features);
    tensors.dense("fc.4", second, first);
    tensors.dense("fc.6", outputs, second);
}

/// Five residual blocks, each followed by a pooling of three voxels, and two fully connected layers.
fn residual(
    tensors: &mut Tensors,
    mut channels: usize,
    axes: &[usize],
    excited: bool,
    outputs: usize,
) -> Option<()> {
    for (block, next) in CHANNELS.into_iter().enumerate() {
        let name = |layer: &str| format!("convolutions.{block}.0.{layer}");
        tensors.convolution(&name("conv1"), next, channels, 3, false);
        tensors.batch_norm(&name("bn1"), next);
        tensors.convolution(&name("conv2"), next, next, 3, false);
        tensors.batch_norm(&name("bn2"), next);
        if excited {
            tensors.dense(&name("se_block.fc1"), next / 8, next);
            tensors.dense(&name("se_block.fc2"), next, next / 8);
        }
        tensors.convolution(&name("shortcut.0"), next, channels, 1, false);
        channels = next;
    }
    let pooled = |n: usize| (0..5).try_fold(n, |n, _| Some(n.checked_sub(3)? / 2 + 1));
    let sizes: Option<Vec<usize>> = axes.iter().map(|&n| pooled(n)).collect();
    let features = channels * sizes?.iter().product::<usize>();
    let first = if excited { "fc.2" } else { "fc.1" };
    tensors.dense(first, 256, features);
    tensors.dense("fc.4", outputs, 256);
    Some(())
}

struct Tensors {
    axes: usize,
    all: Vec<Tensor>,
}

impl Tensors {
    fn add(&mut self, layer: &str, tensor: &str, shape: Vec<usize>) {
        self.all.push((format!("{layer}.{tensor}"), shape));
    }

    fn convolution(&mut self, layer: &str, to: usize, from: usize, edge: usize, bias: bool) {
        let mut shape = vec![to, from];
        shape.extend(std::iter::repeat_n(edge, self.axes));
        self.add(layer, "weight", shape);
        if bias {
            self.add(layer, "bias", vec![to]);
        }
    }

    fn batch_norm(&mut self, layer: &str, channels: usize) {
        for tensor in ["weight", "bias", "running_mean", "running_var"] {
            self.add(layer, tensor, vec![channels]);
        }
        self.add(layer, "num_batches_tracked", Vec::new());
    }

    fn dense(&mut self, layer: &str, to: usize, from: usize) {
        self.add(layer, "weight", vec![to, from]);
        self.add(layer, "bias", vec![to]);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::Value;

    use super::*;

    /// Names and shapes that the Python classes of ClinicaDL 1.6.1 have.
    #[test]
    fn tensors_are_those_of_clinicadl() {
        let text = include_str!("../../../tests/reference/learning/networks_1_6_cnn.json");
        let reference: Value = serde_json::from_str(text).unwrap();
        let mut compared = 0;
        for case in reference["cases"].as_array().unwrap() {
            let input: Vec<usize> = serde_json::from_value(case["input_size"].clone()).unwrap();
            let outputs = usize::try_from(case["output_size"].as_u64().unwrap()).unwrap();
            let network = case["network"].as_str().unwrap();
            let Some(got) = tensors(network, &input, outputs) else {
                continue;
            };
            let got: BTreeMap<String, Vec<usize>> = got.into_iter().collect();
            let expected = case["tensors"].as_object().unwrap().iter();
            let expected = expected.map(|(name, tensor)| {
                (
                    name.clone(),
                    serde_json::from_value(tensor["shape"].clone()).unwrap(),
                )
            });
            assert_eq!(got, expected.collect(), "{network} {input:?}");
            compared += 1;
        }
        assert!(compared >= 8, "{compared}");
    }

    #[test]
    fn what_is_not_known_is_nothing() {
        assert_eq!(tensors("ResNet18", &[1, 64, 64, 64], 2), None);
        assert_eq!(tensors("Conv5_FC3", &[], 2), None);
        assert_eq!(
            tensors("ResNet3D", &[1, 5, 5, 5], 2),
            None,
            "too small to be pooled"
        );
    }
}
