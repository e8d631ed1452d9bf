use engine::{RunsIn, Stage};
use serde_json::json;

use crate::quality_check::t1_linear::{
    QualityCheckT1Linear, QualityCheckT1LinearParams, QualityNetwork,
};

#[test]
fn uncropped_images_only_are_selected() {
    let selects = |path: &str| {
        let params = QualityCheckT1LinearParams::default();
        QualityCheckT1Linear::selects(&params, "caps", path)
    };
    let folder = "subjects/sub-1/ses-1/t1_linear/sub-1_ses-1_space-MNI152NLin2009cSym";
    assert!(selects(&format!("{folder}_res-1x1x1_T1w.nii.gz")));
    assert!(!selects(&format!(
        "{folder}_desc-Crop_res-1x1x1_T1w.nii.gz"
    )));
}

#[test]
fn the_stage_runs_in_the_worker_and_knows_the_networks_by_their_names() {
    let stage = crate::STAGES
        .iter()
        .find(|stage| stage.id() == QualityCheckT1Linear::ID);
    let stage = stage.unwrap();
    assert_eq!(stage.runs_in(), RunsIn::Worker);
    for network in QualityNetwork::ALL {
        let params = stage
            .resolve(&json!({ "network": network.name() }))
            .unwrap();
        assert_eq!(params["network"], network.name());
        assert_eq!(network.published().1.len(), 64);
    }
    assert!(stage.resolve(&json!({ "network": "resnet" })).is_err());
}
