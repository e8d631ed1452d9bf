use super::*;

fn pattern(name: PreprocessingName, choice: &Choice) -> String {
    name.get().file_type(choice).pattern
}

fn uncropped() -> Choice {
    Choice {
        use_uncropped_image: true,
        ..Choice::default()
    }
}

#[test]
fn the_table_is_sorted_and_types_have_folders_of_their_own() {
    let name = |name: &PreprocessingName| serde_json::to_string(name).unwrap();
    assert!(PreprocessingName::ALL.is_sorted_by_key(name));
    let folders: std::collections::BTreeSet<&str> = PreprocessingName::ALL
        .iter()
        .map(|name| name.get().folder())
        .collect();
    assert_eq!(folders.len(), PreprocessingName::ALL.len());
    for name in PreprocessingName::ALL {
        let kind = name.get();
        assert!(
            kind.required()
                .iter()
                .all(|field| kind.fields().contains(field))
        );
    }
}

#[test]
fn the_description_of_t1_linear_is_that_of_extraction_files_of_clinicadl() {
    let cropped = PreprocessingName::T1Linear
        .get()
        .file_type(&Choice::default());
    let expected = r#"{"pattern":"*space-MNI152NLin2009cSym_desc-Crop_res-1x1x1_T1w.nii.gz","description":"T1w Image registered in MNI152NLin2009cSym space using t1-linear pipeline and cropped (matrix size 169×208×179, 1 mm isotropic voxels)","needed_pipeline":"t1-linear"}"#;
    assert_eq!(serde_json::to_string(&cropped).unwrap(), expected);
    assert_eq!(
        pattern(PreprocessingName::T1Linear, &uncropped()),
        "*space-MNI152NLin2009cSym_res-1x1x1_T1w.nii.gz"
    );
    assert_eq!(
        pattern(PreprocessingName::FlairLinear, &uncropped()),
        "*space-MNI152NLin2009cSym_res-1x1x1_flair.nii.gz"
    );
    assert_eq!(
        pattern(PreprocessingName::T2Linear, &Choice::default()),
        "*space-MNI152NLin2009cSym_desc-Crop_res-1x1x1_T2w.nii.gz"
    );
}

/// The two cases of ClinicaDL's own unit test.
#[test]
fn pet_is_found_by_tracer_and_region() {
    let mut choice = Choice {
        tracer: Some("18FFDG".to_owned()),
        suvr_reference_region: Some(SuvrRegion::CerebellumPons2),
        ..uncropped()
    };
    assert_eq!(
        pattern(PreprocessingName::PetLinear, &choice),
        "pet_linear/*_trc-18FFDG_space-MNI152NLin2009cSym_res-1x1x1_suvr-cerebellumPons2_pet.nii.gz"
    );
    choice.use_uncropped_image = false;
    choice.tracer = Some("18FAV45".to_owned());
    choice.suvr_reference_region = Some(SuvrRegion::Pons);
    assert_eq!(
        pattern(PreprocessingName::PetLinear, &choice),
        "pet_linear/*_trc-18FAV45_space-MNI152NLin2009cSym_desc-Crop_res-1x1x1_suvr-pons_pet.nii.gz"
    );
}

#[test]
fn every_type_finds_the_names_that_clinica_and_bids_give() {
    let base = "sub-1_ses-M000";
    let choice = Choice {
        custom_suffix: Some("_mine.nii.gz".to_owned()),
        ..Choice::default()
    };
    use PreprocessingName as P;
    for (name, choice, path) in [
        (P::Custom, choice, "anything/x_mine.nii.gz".to_owned()),
        (P::Dwi, Choice::default(), format!("dwi/{base}_dwi.nii.gz")),
        (
            P::DwiDti,
            Choice::default(),
            format!("dwi/dti_based_processing/native_space/{base}_space-T1w_FA.nii.gz"),
        ),
        (
            P::DwiDti,
            Choice {
                dti_measure: Some(DtiMeasure::Md),
                dti_space: Some(DtiSpace::Normalized),
                ..Choice::default()
            },
            format!(
                "dwi/dti_based_processing/normalized_space/{base}_space-MNI152Lin_res-1x1x1_MD.nii.gz"
            ),
        ),
        (
            P::Flair,
            Choice::default(),
            format!("anat/{base}_FLAIR.nii.gz"),
        ),
        (
            P::Pet,
            Choice::default(),
            format!("pet/{base}_trc-18FFDG_pet.nii.gz"),
        ),
        (
            P::Pet,
            Choice {
                tracer: Some("18FFDG".to_owned()),
                ..Choice::default()
            },
            format!("pet/{base}_trc-18FFDG_rec-acdyn_pet.nii.gz"),
        ),
        (
            P::T1,
            Choice::default(),
            format!("anat/{base}_run-1_T1w.nii"),
        ),
        (
            P::T1Extensive,
            Choice::default(),
            format!("t1_extensive/{base}_space-Ixi549Space_desc-SkullStripped_T1w.nii.gz"),
        ),
        (
            P::T1Volume,
            Choice::default(),
            format!(
                "t1/spm/segmentation/normalized_space/{base}_T1w_segm-graymatter_space-Ixi549Space_modulated-off_probability.nii.gz"
            ),
        ),
        (
            P::T1Volume,
            Choice {
                tissue: Some(Tissue::Csf),
                modulated: Some(true),
                group_label: Some("ADNI".to_owned()),
                fwhm_mm: Some(8),
                ..Choice::default()
            },
            format!(
                "t1/spm/dartel/group-ADNI/{base}_T1w_segm-csf_space-Ixi549Space_modulated-on_fwhm-8mm_probability.nii.gz"
            ),
        ),
    ] {
        assert!(
            name.check(&choice).is_empty(),
            "{name:?}: {:?}",
            name.check(&choice)
        );
        let pattern = pattern(name, &choice);
        assert!(fits(&pattern, &path), "{pattern} {path}");
    }
    let smoothed = "t1/spm/dartel/group-A/x_T1w_segm-graymatter_space-Ixi549Space_modulated-off_fwhm-8mm_probability.nii.gz";
    let choice = Choice {
        group_label: Some("A".to_owned()),
        ..Choice::default()
    };
    assert!(!fits(&pattern(P::T1Volume, &choice), smoothed));
}

/// ClinicaDL looks for images of the tracer `None` instead.
#[test]
fn what_a_type_needs_and_what_it_does_not_use_is_told() {
    let told = |name: PreprocessingName, choice: &Choice| -> Vec<String> {
        let issues = name.check(choice).into_iter();
        issues
            .map(|(field, why)| format!("{field}: {why}"))
            .collect()
    };
    assert_eq!(
        told(PreprocessingName::PetLinear, &Choice::default()),
        [
            "tracer: preprocessing `pet-linear` needs it",
            "suvr_reference_region: preprocessing `pet-linear` needs it",
        ]
    );
    let choice = Choice {
        tracer: Some("x".to_owned()),
        ..uncropped()
    };
    assert_eq!(
        told(PreprocessingName::DwiDti, &choice),
        [
            "use_uncropped_image: preprocessing `dwi-dti` does not use it",
            "tracer: preprocessing `dwi-dti` does not use it",
        ]
    );
    let choice = Choice {
        custom_suffix: Some(String::new()),
        ..Choice::default()
    };
    assert_eq!(
        told(PreprocessingName::Custom, &choice),
        ["custom_suffix: `` cannot be a part of file names"]
    );
}

#[test]
fn the_record_of_a_choice_has_the_keys_of_extraction_files() {
    let choice = Choice {
        tracer: Some("18FFDG".to_owned()),
        suvr_reference_region: Some(SuvrRegion::Pons2),
        ..Choice::default()
    };
    let record = choice.record(PreprocessingName::PetLinear.get().fields());
    assert_eq!(
        serde_json::to_string(&record).unwrap(),
        r#"{"tracer":"18FFDG","suvr_reference_region":"pons2"}"#
    );
}
