//! A large input changes a little: only what depends on the change is computed.

use serde_json::Value;

use crate::support::{Project, nifti};

const IMAGES: usize = 1000;

fn path(i: usize) -> String {
    format!(
        "caps/subjects/sub-{i:04}/ses-M000/t1_linear/\
         sub-{i:04}_ses-M000_space-MNI152NLin2009cSym_desc-Crop_res-1x1x1_T1w.nii.gz"
    )
}

fn write(project: &Project, i: usize, extra: f32) {
    let image = nifti([4; 3], |x, y, z| (x + 5 * y + 7 * z + i) as f32 + extra);
    project.write_bytes(&path(i), &image);
}

const MANIFEST: &str = "\
clinicadl: 1
name: thousand
inputs: { caps: caps, labels: labels.tsv }
stages:
  extract: { uses: prepare-data, inputs: { caps: caps } }
  folds: { uses: kfold, inputs: { labels: labels }, with: { n_splits: 2 } }
maps: maps
";

#[test]
fn one_changed_image_of_a_thousand_is_one_item() {
    let project = Project::empty();
    let mut labels = String::from("participant_id\tsession_id\tdiagnosis\n");
    for i in 0..IMAGES {
        write(&project, i, 0.0);
        let diagnosis = if i % 2 == 0 { "AD" } else { "CN" };
        labels.push_str(&format!("sub-{i:04}\tses-M000\t{diagnosis}\n"));
    }
    project.write("labels.tsv", &labels);
    project.write("experiment.yaml", MANIFEST);
    assert_eq!(items(&project.report(&[]), "extract"), Some((0, 1000)));

    write(&project, 123, 0.5);
    let plan = project
        .clinicadl(&["plan", "experiment.yaml"])
        .success()
        .stdout;
    assert!(
        plan.contains("1 changed: `subjects/sub-0123/ses-M000/") && plan.contains("hit  folds"),
        "{plan}"
    );
    let report = project.report(&[]);
    assert_eq!(items(&report, "extract"), Some((999, 1)));
    assert_eq!(items(&report, "folds"), None);

    write(&project, IMAGES, 0.0);
    assert_eq!(items(&project.report(&[]), "extract"), Some((1000, 1)));

    // The bytes are another file's, the content is the same: nothing to do.
    std::fs::copy(project.path(&path(5)), project.path("copy")).unwrap();
    std::fs::rename(project.path("copy"), project.path(&path(5))).unwrap();
    assert_eq!(items(&project.report(&[]), "extract"), None);
}

/// Items reused and computed by an action that ran.
fn items(report: &Value, name: &str) -> Option<(u64, u64)> {
    let actions = report["run"]["actions"].as_array().unwrap();
    let action = actions.iter().find(|action| action["action"] == name)?;
    if action["outcome"]["outcome"] == "hit" {
        return None;
    }
    let items = action["items"].as_array()?;
    Some((items[0].as_u64()?, items[1].as_u64()?))
}
