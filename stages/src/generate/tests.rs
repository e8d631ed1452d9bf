use super::*;

fn template() -> Volume {
    let shape = [20, 22, 24];
    let data = (0..20 * 22 * 24).map(|i| 50.0 + (i % 97) as f32).collect();
    let affine = [
        [4.0, 0.0, 0.0, -40.0],
        [0.0, 4.0, 0.0, -44.0],
        [0.0, 0.0, 4.0, -48.0],
        [0.0, 0.0, 0.0, 1.0],
    ];
    Volume {
        data,
        shape,
        affine,
    }
}

fn params() -> GenerateParams {
    GenerateParams {
        centres_mm: vec![[0.0, 0.0, 0.0]],
        ..GenerateParams::default()
    }
}

#[test]
fn the_effect_is_greatest_at_the_centre_in_millimetres() {
    let template = template();
    let affected = affected(&params(), &template, None).unwrap();
    let ratio = |x: usize, y: usize, z: usize| {
        let at = (x * 22 + y) * 24 + z;
        affected[at] / template.data[at]
    };
    // Voxel (10, 11, 12) is at 0 mm; 40 % are lost there, a third of that 18 mm away.
    assert!((ratio(10, 11, 12) - 0.6).abs() < 1e-6);
    assert!((ratio(13, 11, 12) - (1.0 - 0.4 * (-0.5_f32).exp())).abs() < 1e-5);
    assert!(ratio(0, 0, 0) > 0.999);
}

#[test]
fn a_mask_restricts_the_effect() {
    let template = template();
    let mut mask = Volume {
        data: vec![0.0; template.data.len()],
        ..template.clone()
    };
    mask.data[(10 * 22 + 11) * 24 + 12] = 8.0;
    mask.data[(10 * 22 + 11) * 24 + 13] = 3.0;
    let changed = affected(&params(), &template, Some(&mask)).unwrap();
    let count = changed
        .iter()
        .zip(&template.data)
        .filter(|(a, b)| a.to_bits() != b.to_bits())
        .count();
    assert_eq!(
        count, 1,
        "only values above half the mask's maximum are affected"
    );
}

#[test]
fn an_effect_outside_the_image_is_an_error() {
    let far = GenerateParams {
        centres_mm: vec![[500.0, 0.0, 0.0]],
        ..params()
    };
    assert!(
        affected(&far, &template(), None)
            .unwrap_err()
            .message
            .contains("is empty")
    );
}

#[test]
fn cutting_keeps_every_voxel_in_its_place() {
    let shape = [171, 210, 182];
    let data = (0..shape.iter().product::<usize>())
        .map(|i| (i % 1009) as f32)
        .collect();
    let volume = Volume {
        data,
        shape,
        affine: template().affine,
    };
    let small = cut(volume.clone(), true, "t").unwrap();
    assert_eq!(small.shape, T1_LINEAR);
    let (first, was) = (
        to_world(&small.affine, [0.0; 3]),
        to_world(&volume.affine, [1.0; 3]),
    );
    for (mm, expected) in first.iter().zip(was) {
        assert!((mm - expected).abs() < 1e-12);
    }
    let (x, y, z) = (100, 50, 70);
    let got = small.data[(x * 208 + y) * 179 + z];
    let want = volume.data[((x + 1) * 210 + y + 1) * 182 + z + 1];
    assert!((got - want).abs() < f32::EPSILON);
    assert!(
        cut(template(), true, "t")
            .unwrap_err()
            .message
            .contains("smaller than")
    );
}

#[test]
fn an_image_depends_on_its_own_stream_only() {
    let template = template();
    let session = Session {
        number: 3,
        participant: "sub-TRIV003".into(),
        session: "ses-M000",
        class: 1,
        sex: 'F',
        age: 70.0,
    };
    let make = |stream: u64| {
        let stream = Stream::root(stream);
        image(&params(), &template, &template.data, &session, &stream)
            .unwrap()
            .data
    };
    assert_eq!(make(1), make(1));
    assert_ne!(make(1), make(2));
}
