//! Each operator beside the operators of libtorch that it stands for.

use tch::{Device, Kind, Tensor};

use super::*;

/// Shapes with even and odd axes, two and three of them, and channels that fill vectors or do not.
const SHAPES: [&[i64]; 6] = [
    &[2, 8, 6, 7, 5],
    &[2, 16, 5, 4, 9],
    &[1, 3, 7, 7, 7],
    &[3, 48, 4, 4, 4],
    &[2, 8, 9, 12],
    &[2, 5, 1, 3],
];

/// Numbers that look random, with ties and zeros among them: multiples of 1/8 from −2 to 2.
fn map(shape: &[i64], seed: i64) -> Tensor {
    let n: i64 = shape.iter().product();
    let numbers = Tensor::arange(n, (Kind::Int64, Device::Cpu));
    let mixed = (numbers * 48_271 + seed * 7919).remainder(2_147_483_647_i64) * 16_807;
    let levels = mixed.remainder(2_147_483_647_i64).remainder(33_i64);
    levels.to_kind(Kind::Float).reshape(shape) / 8.0 - 2.0
}

/// The tensors of a norm, which count as parameters.
struct Tensors {
    weight: Tensor,
    bias: Tensor,
    mean: Tensor,
    variance: Tensor,
}

impl Tensors {
    fn new(channels: i64) -> Self {
        let ramp = Tensor::arange(channels, (Kind::Float, Device::Cpu));
        Self {
            // Also a weight that turns the order round, and one of zero.
            weight: (ramp.remainder(4.0) / 2.0 - 0.5).set_requires_grad(true),
            bias: (ramp.remainder(3.0) / 4.0 - 0.2).set_requires_grad(true),
            mean: &ramp / 16.0,
            variance: ramp.remainder(5.0) / 2.0 + 0.5,
        }
    }

    fn norm(&self, of_batch: bool) -> Norm<'_> {
        Norm {
            weight: &self.weight,
            bias: &self.bias,
            running: Some([&self.mean, &self.variance]),
            of_batch,
            momentum: 0.1,
            epsilon: 1e-5,
        }
    }

    /// What libtorch makes of it.
    fn expected(&self, x: &Tensor, of_batch: bool) -> Tensor {
        let (weight, bias) = (Some(&self.weight), Some(&self.bias));
        let (mean, variance) = (Some(&self.mean), Some(&self.variance));
        x.batch_norm(weight, bias, mean, variance, of_batch, 0.1, 1e-5, true)
    }
}

/// The greatest difference, by the greatest of the expected numbers.
fn difference(found: &Tensor, expected: &Tensor) -> f64 {
    assert_eq!(found.size(), expected.size());
    let expected = expected.to_kind(Kind::Double);
    let difference = (found.to_kind(Kind::Double) - &expected).abs().max();
    let scale = expected.abs().max().double_value(&[]).max(1e-3);
    difference.double_value(&[]) / scale
}

/// Value and gradients, of x, the parameters and what else is given, for a gradient that differs by voxel.
fn with_gradients(y: &Tensor, of: &[&Tensor]) -> Vec<Tensor> {
    let root = (y.to_kind(Kind::Float) * map(&y.size(), 3)).sum(Kind::Float);
    let mut all = vec![y.detach()];
    all.extend(Tensor::run_backward(&[root], of, false, false));
    all
}

/// Pads and pools as libtorch does.
fn pooled(x: &Tensor) -> Tensor {
    let odd: Vec<i64> = x.size()[2..]
        .iter()
        .rev()
        .flat_map(|axis| [axis % 2, 0])
        .collect();
    let x = x.constant_pad_nd(odd);
    let axes = x.dim() - 2;
    let (two, none, one) = (vec![2; axes], vec![0; axes], vec![1; axes]);
    match axes {
        2 => x.max_pool2d(&two, &two, &none, &one, false),
        _ => x.max_pool3d(&two, &two, &none, &one, false),
    }
}

#[derive(Clone, Copy, PartialEq)]
enum What {
    Norm,
    Relu,
    Pool,
}

/// Both ways of computing one thing: value, gradients, running statistics.
fn both(shape: &[i64], what: What, of_batch: bool, kind: Kind) -> [Vec<Tensor>; 2] {
    [false, true].map(|is_ours| {
        let tensors = Tensors::new(shape[1]);
        let x = map(shape, 1).to_kind(kind);
        let x = if is_ours {
            channels_last(&x).unwrap()
        } else {
            x
        }
        .set_requires_grad(true);
        let norm = tensors.norm(of_batch);
        let y = if is_ours {
            let after = After {
                rectify: what != What::Norm,
                may_overwrite: false,
            };
            match what {
                What::Pool => {
                    let [y, _] = norm.forward_pooled(&x, false).unwrap();
                    y
                }
                _ => norm.forward(&x, after).unwrap(),
            }
        } else {
            let y = tensors.expected(&x, of_batch);
            match what {
                What::Norm => y,
                What::Relu => y.relu(),
                What::Pool => pooled(&y.relu()),
            }
        };
        let mut all = with_gradients(&y, &[&x, &tensors.weight, &tensors.bias]);
        all.extend([
            tensors.mean.shallow_clone(),
            tensors.variance.shallow_clone(),
        ]);
        all
    })
}

#[test]
fn values_gradients_and_statistics_are_those_of_libtorch() {
    for shape in SHAPES {
        for what in [What::Norm, What::Relu, What::Pool] {
            for of_batch in [true, false] {
                let [found, expected] = both(shape, what, of_batch, Kind::Float);
                assert_eq!(found.len(), expected.len());
                for (i, (found, expected)) in found.iter().zip(&expected).enumerate() {
                    let difference = difference(found, expected);
                    // Sums of some hundred numbers in 32 bits, in another order.
                    assert!(
                        difference < 2e-6,
                        "{shape:?} {of_batch} {i}: {difference:e}"
                    );
                }
            }
        }
    }
}

#[test]
fn numbers_of_sixteen_bits_differ_by_their_rounding() {
    for shape in SHAPES {
        for what in [What::Relu, What::Pool] {
            let [found, _] = both(shape, what, true, Kind::BFloat16);
            // Every number of the map is one in 16 bits.
            let [_, exact] = both(shape, what, true, Kind::Float);
            assert_eq!(found[0].kind(), Kind::BFloat16);
            for (i, (found, exact)) in found.iter().zip(&exact).enumerate() {
                let difference = difference(found, exact);
                // A unit in the last place is 2⁻⁸; the gradient is rounded on its way, too.
                assert!(difference < 1.0 / 128.0, "{shape:?} {i}: {difference:e}");
            }
        }
    }
}

#[test]
fn writing_over_the_input_changes_no_number() {
    for pools in [false, true] {
        let [kept, overwritten] = [false, true].map(|may_overwrite| {
            let tensors = Tensors::new(8);
            let leaf = channels_last(&map(SHAPES[0], 1))
                .unwrap()
                .set_requires_grad(true);
            // As a convolution would, this makes a map that nobody else reads.
            let x = &leaf * 1.0;
            let norm = tensors.norm(true);
            let after = After {
                rectify: true,
                may_overwrite,
            };
            let y = match pools {
                false => norm.forward(&x, after).unwrap(),
                true => norm.forward_pooled(&x, may_overwrite).unwrap()[0].shallow_clone(),
            };
            let [_, of_x, of_weight, of_bias] =
                with_gradients(&y, &[&leaf, &tensors.weight, &tensors.bias])
                    .try_into()
                    .unwrap();
            [of_x, of_weight, of_bias]
        });
        for (kept, overwritten) in kept.iter().zip(&overwritten) {
            assert!(kept.equal(overwritten), "{pools}");
        }
    }
}

#[test]
fn numbers_do_not_depend_on_threads() {
    let threads = tch::get_num_threads();
    // More voxels than are added up at once.
    let shape = [2, 8, 33, 40, 31];
    let [one, two] = [1, 2].map(|threads| {
        tch::set_num_threads(threads);
        let [found, _] = both(&shape, What::Pool, true, Kind::Float);
        found
    });
    tch::set_num_threads(threads);
    for (one, two) in one.iter().zip(&two) {
        assert!(one.equal(two));
    }
}

#[test]
fn what_is_no_number_stays_none() {
    let tensors = Tensors::new(8);
    let mut x = map(SHAPES[0], 1);
    drop(x.get(0).get(1).get(2).get(2).get(2).fill_(f64::NAN));
    x = channels_last(&x).unwrap();
    let norm = tensors.norm(false);
    let [y, _] = norm.forward_pooled(&x, false).unwrap();
    let expected = pooled(&tensors.expected(&x, false).relu());
    assert_eq!(i64::try_from(y.isnan().sum(Kind::Int64)).unwrap(), 1);
    assert!(y.isnan().equal(&expected.isnan()));
}

#[test]
fn places_put_voxels_back_where_libtorch_puts_them() {
    for shape in &SHAPES[..4] {
        let tensors = Tensors::new(shape[1]);
        let x = channels_last(&map(shape, 1)).unwrap();
        let [y, places] = tensors.norm(false).forward_pooled(&x, false).unwrap();
        let values = map(&y.size(), 5).set_requires_grad(true);
        let found = unpool(&values, &places, shape).unwrap();
        let found = with_gradients(&found, &[&values]);

        let rectified = tensors.expected(&x, false).relu();
        let odd: Vec<i64> = shape[2..]
            .iter()
            .rev()
            .flat_map(|axis| [axis % 2, 0])
            .collect();
        let padded = rectified.constant_pad_nd(odd);
        let (two, none, one) = ([2_i64; 3], [0_i64; 3], [1_i64; 3]);
        let (_, indices) = padded.max_pool3d_with_indices(two, two, none, one, false);
        let mut expected = values.max_unpool3d(&indices, &padded.size()[2..], two, none);
        for (axis, size) in (2..).zip(&shape[2..]) {
            expected = expected.narrow(axis, size % 2, *size);
        }
        let expected = with_gradients(&expected, &[&values]);
        for (found, expected) in found.iter().zip(&expected) {
            assert!(found.equal(expected), "{shape:?}");
        }
    }
}

#[test]
fn the_first_convolution_is_that_of_libtorch() {
    let threads = tch::get_num_threads();
    for shape in [
        [2, 1, 5, 6, 13],
        [1, 1, 3, 4, 1],
        [1, 1, 1, 2, 2],
        [1, 1, 9, 31, 40],
    ] {
        for (channels, has_bias) in [(8, true), (16, false), (24, true)] {
            let x = map(&shape, 1).set_requires_grad(true);
            let weight = map(&[channels, 1, 3, 3, 3], 2).set_requires_grad(true);
            let bias = map(&[channels], 4).set_requires_grad(true);
            let bias = has_bias.then_some(&bias);
            let mut of = vec![&x, &weight];
            of.extend(bias);
            let [one, two] = [1, 2].map(|threads| {
                tch::set_num_threads(threads);
                let y = FirstConvolution::of(&x, &weight, bias)
                    .unwrap()
                    .forward()
                    .unwrap();
                assert_eq!(y.stride()[1], 1);
                with_gradients(&y, &of)
            });
            let double = |tensor: &Tensor| tensor.to_kind(Kind::Double);
            let y = double(&x).conv3d(&double(&weight), bias.map(double), 1, 1, 1, 1);
            let root = (&y * double(&map(&y.size(), 3))).sum(Kind::Double);
            let mut expected = vec![y.detach()];
            expected.extend(Tensor::run_backward(&[root], &of, false, false));
            for (i, ((one, two), expected)) in one.iter().zip(&two).zip(&expected).enumerate() {
                assert!(one.equal(two), "{shape:?} {channels} {i}: threads");
                let difference = difference(one, expected);
                // Sums of up to ten thousand numbers, those of a row in 32 bits.
                assert!(
                    difference < 2e-6,
                    "{shape:?} {channels} {i}: {difference:e}"
                );
            }
            let plain = tch::no_grad(|| {
                FirstConvolution::of(&x, &weight, bias)
                    .unwrap()
                    .forward()
                    .unwrap()
            });
            assert!(plain.equal(&one[0]));
        }
    }
    tch::set_num_threads(threads);
}

#[test]
fn the_first_block_is_its_parts_one_after_the_other() {
    let threads = tch::get_num_threads();
    for shape in [
        [2, 1, 5, 6, 13],
        [1, 1, 4, 4, 2],
        [2, 1, 1, 3, 2],
        [1, 1, 9, 31, 40],
    ] {
        for (channels, has_bias, of_batch) in
            [(8, true, true), (16, false, false), (24, true, false)]
        {
            let x = map(&shape, 1).set_requires_grad(true);
            // Odd numbers of eighths of eighths: hardly ever two that are equal in a window.
            let weight = (map(&[channels, 1, 3, 3, 3], 2) + 1.0 / 64.0).set_requires_grad(true);
            let bias = map(&[channels], 4).set_requires_grad(true);
            let bias = has_bias.then_some(&bias);
            let all = |tensors: &Tensors, y: &Tensor| {
                let mut of = vec![&x, &weight, &tensors.weight, &tensors.bias];
                of.extend(bias);
                let mut all = with_gradients(y, &of);
                all.extend([&tensors.mean, &tensors.variance].map(Tensor::copy));
                all
            };
            let convolution = FirstConvolution::of(&x, &weight, bias).unwrap();
            let [one, two] = [1, 2].map(|threads| {
                tch::set_num_threads(threads);
                let tensors = Tensors::new(channels);
                let [y, places] = convolution.forward_pooled(&tensors.norm(of_batch)).unwrap();
                let mut all = all(&tensors, &y);
                all.push(places);
                all
            });
            let tensors = Tensors::new(channels);
            let y = convolution.forward().unwrap();
            let [y, places] = tensors.norm(of_batch).forward_pooled(&y, false).unwrap();
            let mut expected = all(&tensors, &y);
            expected.push(places);
            for (i, ((one, two), expected)) in one.iter().zip(&two).zip(&expected).enumerate() {
                assert!(one.equal(two), "{shape:?} {channels} {i}: threads");
                // The gradient of a bias before a norm of the batch is 0 but for rounding.
                if i == 5 && has_bias && of_batch {
                    continue;
                }
                let difference = difference(one, expected);
                assert!(
                    difference < 5e-6,
                    "{shape:?} {channels} {i}: {difference:e}"
                );
            }
            let tensors = Tensors::new(channels);
            let norm = tensors.norm(of_batch);
            let [plain, _] = tch::no_grad(|| convolution.forward_pooled(&norm)).unwrap();
            assert!(plain.equal(&one[0]));
        }
    }
    tch::set_num_threads(threads);
}

#[test]
fn only_what_is_asked_for_gets_a_gradient() {
    let x = map(&[1, 1, 4, 5, 6], 1).set_requires_grad(true);
    let weight = map(&[8, 1, 3, 3, 3], 2);
    let y = FirstConvolution::of(&x, &weight, None)
        .unwrap()
        .forward()
        .unwrap();
    let gradients = Tensor::run_backward(&[y.sum(Kind::Float)], &[&x], false, false);
    let expected = x.conv3d(&weight, None::<Tensor>, 1, 1, 1, 1);
    let expected = Tensor::run_backward(&[expected.sum(Kind::Float)], &[&x], false, false);
    assert!(difference(&gradients[0], &expected[0]) < 2e-6);
}

#[test]
fn other_convolutions_are_left_to_libtorch() {
    let x = map(&[1, 1, 4, 4, 4], 1);
    let weight = map(&[8, 1, 3, 3, 3], 1);
    assert!(FirstConvolution::of(&x, &weight, None).is_some());
    let two = map(&[1, 2, 4, 4, 4], 1);
    let flat = map(&[1, 1, 4, 4], 1);
    let odd = map(&[6, 1, 3, 3, 3], 1);
    let large = map(&[8, 1, 5, 5, 5], 1);
    let sixteen = x.to_kind(Kind::BFloat16);
    let turned = x.transpose(2, 4);
    let other = [
        (&two, &weight),
        (&flat, &weight),
        (&x, &odd),
        (&x, &large),
        (&sixteen, &weight),
        (&turned, &weight),
    ];
    for (x, weight) in other {
        assert!(
            FirstConvolution::of(x, weight, None).is_none(),
            "{x:?} {weight:?}"
        );
    }
    assert!(FirstConvolution::of(&x, &weight, Some(&map(&[7], 1))).is_none());
}

#[test]
fn tensors_that_do_not_fit_are_an_error() {
    let tensors = Tensors::new(8);
    let norm = tensors.norm(true);
    let x = map(&[2, 4, 3, 3], 1);
    assert!(norm.forward(&x, After::default()).is_err());
    let double = map(SHAPES[0], 1).to_kind(Kind::Double);
    let error = norm.forward(&double, After::default()).unwrap_err();
    assert!(error.to_string().contains("32 bits"), "{error}");
    let [y, places] = norm.forward_pooled(&map(SHAPES[0], 1), false).unwrap();
    assert!(unpool(&y, &places, &[2, 8, 9, 9, 9]).is_err());
    assert!(channels_last(&map(&[3, 3], 1)).is_err());
    let empty = Tensor::zeros([2, 8, 0, 3], (Kind::Float, Device::Cpu));
    assert!(norm.forward(&empty, After::default()).is_err());
    assert!(channels_last(&empty).is_err());
    assert!(unpool(&y, &places, &[2, 8, 0, 7, 5]).is_err());
    // One number that stands for all channels.
    let weight = Tensor::ones([1], (Kind::Float, Device::Cpu)).expand([8], false);
    let spread = Norm {
        weight: &weight,
        ..norm
    };
    assert!(
        spread
            .forward(&map(SHAPES[0], 1), After::default())
            .is_err()
    );
}

#[test]
fn arrays_are_stacked_whatever_their_lengths() {
    // More than a thread takes at a time, less, a single number, and none.
    for (count, length) in [(3, 100_003), (5, 7), (4, 1), (2, 0), (0, 0)] {
        let numbers: Vec<f32> = (0..count * length).map(|n| n as f32).collect();
        let arrays = (0..count).map(|i| &numbers[i * length..(i + 1) * length]);
        let stacked = crate::stacked(&arrays.collect::<Vec<_>>()).unwrap();
        let expected = Tensor::from_slice(&numbers).view([count as i64, length as i64]);
        assert!(stacked.equal(&expected), "{count} of {length}");
    }
    let error = crate::stacked(&[&[1.0, 2.0], &[3.0]]).unwrap_err();
    assert!(error.to_string().contains("several lengths"), "{error}");
}

/// `count` numbers that are all `value`, in memory of their own.
fn floats(count: i64, value: f64) -> Tensor {
    Tensor::full([count], value, (Kind::Float, Device::Cpu))
}

const MIB: i64 = (1 << 20) / 4;

#[test]
fn large_memory_that_is_given_back_is_found_again() {
    crate::keep_memory();
    let first = floats(16 * MIB, 0.0);
    let place = first.data_ptr();
    drop(first);
    let again = floats(16 * MIB - 8, 0.0);
    assert_eq!(again.data_ptr(), place, "as many pages");
    let other = floats(16 * MIB, 0.0);
    assert_ne!(other.data_ptr(), place, "it is in use");
    drop(again);
    let small = floats(12 * MIB, 0.0);
    assert_ne!(small.data_ptr(), place, "a quarter would lie idle");
    for tensor in [&other, &small] {
        assert_eq!(tensor.data_ptr() as usize % 64, 0);
        assert_eq!(tensor.sum(Kind::Double).double_value(&[]), 0.0);
    }
    drop(floats(10, 0.0));
}

#[test]
#[cfg(target_os = "linux")]
fn tensors_of_all_sizes_share_the_memory_that_was_needed_at_once() {
    let resident = || {
        let pages = std::fs::read_to_string("/proc/self/statm").unwrap();
        pages.split(' ').nth(1).unwrap().parse::<u64>().unwrap() * 4096
    };
    crate::keep_memory();
    let before = resident();
    // Sizes that hardly ever fit where another one was; about a third of a GiB at once.
    let mut random = 1_u64;
    let mut alive = std::collections::VecDeque::new();
    for round in 0..400 {
        random = random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        let count = MIB * (2 + (random >> 33) as i64 % 90) + round;
        alive.push_back((f64::from(round as i32), floats(count, round as f64)));
        while alive.len() > 8 {
            // Neither the oldest nor the newest one.
            let (value, tensor) = alive.remove((random >> 40) as usize % 7).unwrap();
            let [least, most] = [tensor.min(), tensor.max()].map(|found| found.double_value(&[]));
            assert_eq!(
                (least, most),
                (value, value),
                "nobody else has written there"
            );
        }
    }
    let (needed, held) = (crate::most_memory(), resident() - before);
    assert!(needed > 300 << 20, "{} MiB", needed >> 20);
    // libtorch itself takes some.
    let allowed = needed + (64 << 20);
    assert!(held < allowed, "{} of {} MiB", held >> 20, needed >> 20);
}
