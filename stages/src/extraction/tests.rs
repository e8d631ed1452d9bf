use ndarray::Array4;

use super::*;

fn counting(shape: [usize; 4]) -> Array4<f32> {
    let [c, x, y, z] = shape;
    Array4::from_shape_fn((c, x, y, z), |(c, i, j, k)| {
        (((c * x + i) * y + j) * z + k) as f32
    })
}

/// Appendix A5 of the notes on ClinicaDL 1.6.1: the order of its patches.
#[test]
fn patches_come_in_c_order_and_what_does_not_fill_one_is_left_out() {
    let parts = Parts::Patch(Patches { size: 3, stride: 2 });
    let image = counting([1, 6, 7, 5]);
    assert_eq!(parts.count([1, 6, 7, 5]), Ok(12));
    let first: Vec<f32> = (0..12)
        .map(|i| parts.cut(image.view(), i)[[0, 0, 0, 0]])
        .collect();
    let expected = [0., 2., 10., 12., 20., 22., 70., 72., 80., 82., 90., 92.];
    assert_eq!(first, expected);
    assert_eq!(parts.cut(image.view(), 11).shape(), [1, 3, 3, 3]);
    assert!(
        parts
            .count([1, 6, 2, 5])
            .unwrap_err()
            .contains("fewer than a patch of 3")
    );
    let gaps = Parts::Patch(Patches { size: 2, stride: 4 });
    assert_eq!(gaps.count([1, 6, 7, 5]), Ok(4));
    assert_eq!(
        parts.file_name("sub-1_ses-1_desc-x_T1w.nii.gz", 3),
        "sub-1_ses-1_desc-x_patchsize-3_stride-2_patch-3_T1w.pt"
    );
}

#[test]
#[expect(clippy::float_cmp, reason = "copied values")]
fn slices_run_along_an_axis_between_the_discarded_ones() {
    let image = counting([1, 6, 7, 5]);
    let slices = |direction, mode, discarded| {
        Parts::Slice(Slices {
            direction,
            mode,
            discarded,
        })
    };
    let coronal = slices(1, SliceMode::Single, [2, 2]);
    assert_eq!(coronal.count([1, 6, 7, 5]), Ok(3));
    let first = coronal.cut(image.view(), 0);
    assert_eq!(first.shape(), [1, 6, 5]);
    assert_eq!((first[[0, 0, 0]], first[[0, 1, 4]]), (10.0, 49.0));
    let rgb = slices(2, SliceMode::Rgb, [0, 0]).cut(image.view(), 4);
    assert_eq!(rgb.shape(), [3, 6, 7]);
    assert!((0..3).all(|channel| rgb[[channel, 5, 6]] == 209.0));
    assert_eq!(
        coronal.file_name("sub-1_ses-1_T1w.nii", 0),
        "sub-1_ses-1_axis-cor_channel-single_slice-2_T1w.pt"
    );
    // ClinicaDL extracts nothing, without an error.
    for discarded in [[3, 4], [usize::MAX, 1]] {
        let none = slices(1, SliceMode::Single, discarded);
        assert!(none.count([1, 6, 7, 5]).is_err());
    }
}

fn region(name: &str, file: &str, inside: impl Fn(usize, usize, usize) -> bool) -> Region {
    let mask = Array4::from_shape_fn((1, 4, 3, 5), |(_, i, j, k)| {
        f32::from(u8::from(inside(i, j, k)))
    });
    let values: Vec<f32> = mask.into_iter().collect();
    Region::new(name, file, [4, 3, 5], &values).unwrap()
}

fn regions(uncropped: bool) -> Regions {
    let mask = "tpl-MNI152NLin2009cSym_desc-Crop_res-1x1x1_roi-box_mask.nii.gz";
    Regions {
        // A box with an empty plane inside its extent, as ClinicaDL cuts it.
        regions: vec![region("box", mask, |i, j, k| i % 2 == 1 && j == 1 && k > 2)],
        uncropped,
        custom_template: String::new(),
        custom_mask_pattern: String::new(),
        template: "MNI152NLin2009cSym".to_owned(),
        mask_pattern: "res-1x1x1".to_owned(),
    }
}

#[test]
fn regions_are_products_with_their_masks_without_empty_planes() {
    let mut image = counting([1, 4, 3, 5]);
    image[[0, 0, 0, 0]] = -1.0;
    image[[0, 0, 0, 1]] = f32::NAN;
    let cropped = Parts::Roi(regions(false)).cut(image.view(), 0);
    assert_eq!(cropped.shape(), [1, 2, 1, 2]);
    assert_eq!(
        cropped.iter().copied().collect::<Vec<_>>(),
        [23., 24., 53., 54.]
    );
    let whole = Parts::Roi(regions(true)).cut(image.view(), 0);
    assert_eq!(whole.shape(), [1, 4, 3, 5]);
    assert!(whole[[0, 0, 0, 0]] == 0.0 && whole[[0, 0, 0, 0]].is_sign_negative());
    assert!(whole[[0, 0, 0, 1]].is_nan());
    let error = Parts::Roi(regions(true)).count([1, 4, 3, 6]).unwrap_err();
    assert_eq!(
        error,
        "has [4, 3, 6] voxels, but the mask of `box` [4, 3, 5]"
    );
}

#[test]
fn masks_are_zero_and_one_and_both() {
    let new = |values: [f32; 2]| Region::new("x", "x", [1, 1, 2], &values).map(|_| ());
    assert_eq!(new([0.0, 1.0]), Ok(()));
    assert!(new([0.0, 0.5]).unwrap_err().contains("the value 0.5"));
    assert!(new([0.0, f32::NAN]).unwrap_err().contains("NaN"));
    assert_eq!(
        new([0.0, 0.0]).unwrap_err(),
        "is 0 everywhere, expected 0 and 1"
    );
    assert_eq!(
        new([1.0, 1.0]).unwrap_err(),
        "is 1 everywhere, expected 0 and 1"
    );
}

/// The cases of section 2.6 of the notes on ClinicaDL 1.6.1.
#[test]
fn regions_are_named_after_image_and_mask() {
    let image = "sub-01_ses-M000_space-MNI152NLin2009cSym_desc-Crop_res-1x1x1_T1w.nii.gz";
    let name = |regions: Regions, image| Parts::Roi(regions).file_name(image, 0);
    assert_eq!(
        name(regions(false), image),
        "sub-01_ses-M000_space-MNI152NLin2009cSym_desc-CropRoi_res-1x1x1_roi-box_T1w.pt"
    );
    assert_eq!(
        name(regions(true), image),
        "sub-01_ses-M000_space-MNI152NLin2009cSym_desc-CropImage_res-1x1x1_roi-box_T1w.pt"
    );
    let mut whole = regions(true);
    whole.regions[0].mask_file = "tpl-X_res-1x1x1_roi-box_mask.nii".to_owned();
    let old = "sub-01_ses-M000_T1w_space-X_T1w.nii.gz";
    assert_eq!(
        name(whole, old),
        "sub-01_ses-M000_T1w_space-X_res-1x1x1_roi-box_T1w.pt"
    );
}
