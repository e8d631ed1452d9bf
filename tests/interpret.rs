//! `interpret` from a manifest: what is published, what is refused where.

use crate::support::{EDGE, Project, files, nifti};

/// A small experiment, whose saliency has a method, an atlas and their names.
fn project(method: &str) -> Project {
    let project = Project::with_caps(8);
    project.edit("experiment.yaml", "epochs: 2", "epochs: 1");
    project.edit("experiment.yaml", "n_test: 4", "n_test: 2");
    project.edit(
        "experiment.yaml",
        "labels: labels.tsv }",
        "labels: labels.tsv, atlas: atlas.nii.gz, names: names.tsv }",
    );
    let before = "participants: holdout.test }\n    with: { method: gradients, target: AD,";
    let after = format!(
        "participants: holdout.test, atlas: atlas, regions: names }}\n    with: {{ method: {method}, name: x, target: AD,"
    );
    project.edit("experiment.yaml", before, &after);
    let half = |x: usize, _, _| if x < EDGE / 2 { 3.0 } else { 8.0 };
    project.write_bytes("atlas.nii.gz", &nifti([EDGE; 3], half));
    project.write("names.tsv", "index\tname\n3\tdark half\n");
    project
}

#[test]
fn maps_and_what_regions_have_of_them_are_published() {
    let project = project("{ name: GradCAM, layer: convolutions.4 }");
    let said = project.run().success();
    let told = format!("{}{}", said.stdout, said.stderr);
    let folder = "maps/split-0/best-loss/test/interpret-x";
    assert!(
        told.contains("names no region 8"),
        "what the table lacks: {told}"
    );
    let found = files(&project.path(folder));
    assert_eq!(found.len(), 2 * (1 + 2) + 2, "{found:#?}");
    for name in [
        "mean_image-0_map.nii.gz",
        "mean_image-0_map.pt",
        "mean_regions.tsv",
        "regions.tsv",
    ] {
        assert!(found.iter().any(|file| file == name), "{found:#?}");
    }
    let table = project.read(&format!("{folder}/mean_regions.tsv"));
    let names: Vec<&str> = table
        .lines()
        .map(|line| line.split('\t').nth(1).unwrap())
        .collect();
    assert_eq!(names, ["roi_name", "background", "dark half", "8"]);
    project.clinicadl(&["maps", "validate", "maps"]).success();
    // Images read at once are no matter of the result.
    project.edit(
        "experiment.yaml",
        "target: AD,",
        "target: AD, batch_size: 1,",
    );
    let report = project.report(&[]);
    let actions = report["run"]["actions"].as_array().unwrap();
    let hits = actions.iter().filter(|a| a["outcome"]["outcome"] == "hit");
    assert_eq!(hits.count(), actions.len());

    project.edit("experiment.yaml", "convolutions.4", "convolution.4");
    let said = project.run();
    assert_eq!(said.code, Some(1), "{}", said.stderr);
    for expected in [
        "`Conv5_FC3` has no layer `convolution.4`",
        "did you mean `convolutions.4`?",
        "layers with maps, from 1: `convolutions.0`, `convolutions.1`,",
    ] {
        assert!(
            said.stderr.contains(expected),
            "{expected}\n{}",
            said.stderr
        );
    }
    // What was published stays.
    assert_eq!(files(&project.path(folder)), found);
}

#[test]
fn a_wrong_method_is_told_at_its_place_before_anything_runs() {
    for (method, line, expected) in [
        ("GradCam", 33, "did you mean `GradCAM`?"),
        ("{ name: GradCAM, layre: fc }", 33, "did you mean `layer`?"),
        (
            "{ name: GradCAM, layer: fc, level: 2 }",
            33,
            "both choose the layer",
        ),
        (
            "{ name: Occlusion, window: 4, stride: 5 }",
            33,
            "expected 1 to `window`",
        ),
    ] {
        let project = project(method);
        let said = project.clinicadl(&["check", "experiment.yaml"]);
        assert_eq!(said.code, Some(2), "{}", said.stderr);
        let told = format!("{}{}", said.stdout, said.stderr);
        assert!(told.contains(expected), "{expected}\n{told}");
        assert!(told.contains(&format!("experiment.yaml:{line}:")), "{told}");
    }
}
