use serde_json::Value;

use super::world::{SHAPE, read_reference, volume};
use crate::quality_check::pet_linear::score;
use crate::quality_check::similarity::normalised_mutual_information as nmi;
use crate::quality_check::views::{SIZE, VIEWS, views};
use crate::volume::Volume;

/// Made by `scores.py`.
fn reference() -> Value {
    read_reference("scores.json")
}

#[track_caller]
fn close(got: Option<f64>, expected: &Value, tolerance: f64) {
    let (got, expected) = (got.unwrap(), expected.as_f64().unwrap());
    assert!(
        (got - expected).abs() <= tolerance,
        "{got}, expected {expected}"
    );
}

fn doubles(value: impl Fn(usize, usize, usize) -> f64) -> Vec<f64> {
    let [nx, ny, nz] = SHAPE;
    let places = (0..nx).flat_map(|i| (0..ny).flat_map(move |j| (0..nz).map(move |k| (i, j, k))));
    places.map(|(i, j, k)| value(i, j, k)).collect()
}

fn head(shape: [usize; 3]) -> Volume {
    volume(shape, |i, j, k| {
        ((i * i + 2 * j * j + 3 * i * k + 5 * k) % 101) as f64
    })
}

#[test]
fn similarity_is_that_of_clinicadl() {
    let a = doubles(|i, j, k| ((5 * i + 2 * j + k) % 23) as f64 / 22.0);
    let b = doubles(|i, j, k| ((i + j * j + 3 * k) % 19) as f64 / 18.0);
    let map = |values: &[f64], f: fn(f64) -> f64| values.iter().map(|&v| f(v)).collect::<Vec<_>>();
    let expected = &reference()["similarity"];
    // The order of additions differs.
    close(nmi(&a, &b), &expected["a_b"], 1e-15);
    close(nmi(&b, &a), &expected["b_a"], 1e-15);
    close(nmi(&a, &a), &expected["a_a"], 1e-15);
    close(nmi(&a, &map(&a, |v| v * v)), &expected["a_squared"], 1e-14);
    close(nmi(&a, &vec![0.0; a.len()]), &expected["a_constant"], 1e-14);
    let moved = nmi(&map(&a, |v| v * 3.0 - 1.0), &map(&b, |v| v * 0.1 + 7.0));
    close(moved, &expected["shifted"], 1e-15);
}

#[test]
fn similarity_of_two_constant_images_or_with_nan_is_not_known() {
    assert_eq!(nmi(&[1.0; 4], &[2.0; 4]), None);
    assert_eq!(nmi(&[1.0, f64::NAN], &[1.0, 2.0]), None);
    assert_eq!(nmi(&[1.0, 2.0], &[f64::INFINITY, 2.0]), None);
}

#[test]
fn the_score_of_pet_images_is_that_of_clinicadl() {
    let pet = |shift: f64| {
        volume(SHAPE, move |i, j, k| {
            ((7 * i + 3 * j + 11 * k) % 17) as f64 + shift
        })
    };
    let ones = volume(SHAPE, |i, j, k| f64::from(u8::from((i + j + k) % 3 == 0)));
    let parts = volume(SHAPE, |i, j, k| ((i + 2 * j + k) % 5) as f64 / 2.0);
    let expected = &reference()["pet"];
    // The same additions in the same order.
    close(score(&pet(0.0), &ones), &expected["ones"], 1e-15);
    close(score(&pet(0.0), &parts), &expected["parts"], 1e-15);
    close(score(&pet(-5.0), &ones), &expected["negative"], 1e-15);
    assert_eq!(score(&volume(SHAPE, |_, _, _| 3.0), &ones), None);
    let nan = volume(
        SHAPE,
        |i, j, _| if i + j == 0 { f64::NAN } else { i as f64 },
    );
    assert_eq!(score(&nan, &ones), None);
}

#[test]
fn views_are_those_of_clinicadl() {
    for case in reference()["views"].as_array().unwrap() {
        let shape: [usize; 3] = serde_json::from_value(case["shape"].clone()).unwrap();
        let got = views(&head(shape)).unwrap();
        assert_eq!(got.len(), VIEWS * SIZE * SIZE);
        let every = usize::try_from(case["every"].as_u64().unwrap()).unwrap();
        let expected = case["pixels"].as_array().unwrap();
        assert_eq!(expected.len(), got.len().div_ceil(every));
        for (i, (got, expected)) in got.iter().step_by(every).zip(expected).enumerate() {
            // Rounding to float32 at the end.
            let difference = (f64::from(*got) - expected.as_f64().unwrap()).abs();
            assert!(
                difference < 1e-7,
                "{shape:?}: pixel {}: {got}, expected {expected}",
                i * every
            );
        }
        for (view, expected) in got
            .chunks(SIZE * SIZE)
            .zip(case["sums"].as_array().unwrap())
        {
            let sum: f64 = view.iter().map(|&value| f64::from(value)).sum();
            close(Some(sum), expected, 1e-4);
        }
    }
}

#[test]
fn views_have_the_published_pixels() {
    let got = views(&head(SHAPE)).unwrap();
    for (channel, row, column, expected) in [
        (0, 0, 0, 0.0),
        (0, 112, 112, -0.4235),
        (1, 100, 50, 0.06157),
        (2, 30, 200, -0.02083),
        (0, 20, 112, 0.25924),
        (2, 200, 111, 0.04933),
    ] {
        let value = got[(channel * SIZE + row) * SIZE + column];
        assert!(
            (value - expected).abs() < 1e-4,
            "{channel}, {row}, {column}: {value}"
        );
    }
}

/// Defect of 1.6.1: extracted tensors are resampled by nearest neighbour, images bilinearly.
#[test]
fn views_are_bilinear_and_padded_with_mid_grey() {
    let got = views(&head(SHAPE)).unwrap();
    // What 1.6.1 makes of the tensor of this image.
    let nearest = [(0, 112, 112, -0.45), (1, 100, 50, 0.19), (0, 20, 112, 0.31)];
    for (channel, row, column, other) in nearest {
        let value = got[(channel * SIZE + row) * SIZE + column];
        assert!(
            (value - other).abs() > 0.02,
            "{channel}, {row}, {column}: {value}"
        );
    }
    // The first view has 19 rows where 23 would fill the frame: columns at both sides are 0, the middle
    // of -0.5 to 0.5.
    for row in got[..SIZE * SIZE].chunks(SIZE) {
        assert!(
            row[..6]
                .iter()
                .chain(&row[218..])
                .all(|&value| value == 0.0)
        );
        assert!(row[6..218].iter().any(|&value| value != 0.0));
    }
}

#[test]
fn constant_images_and_nan_have_no_views() {
    assert!(views(&volume(SHAPE, |_, _, _| 1.0)).is_none());
    let nan = volume(SHAPE, |i, _, _| if i == 3 { f64::NAN } else { i as f64 });
    assert!(views(&nan).is_none());
}

#[test]
fn views_of_flat_images_are_made_too() {
    let got = views(&volume([1, 2, 1], |_, j, _| j as f64)).unwrap();
    assert!(got.iter().all(|value| (-0.5..=0.5).contains(value)));
}
