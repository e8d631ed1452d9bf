//! From a manifest to the files of each image: what `predict` saves, in a MAPS that is whole.

use crate::support::{EDGE, Project, clinicadl, files};

/// Patches along an axis, and of an image.
const ALONG: usize = 2;
const PATCHES: usize = ALONG * ALONG * ALONG;

/// An autoencoder of patches, whose files are saved in all three ways.
const MANIFEST: &str = "\
clinicadl: 1
name: saving
seed: 42
inputs: { caps: caps, labels: labels.tsv }
stages:
  extract:
    uses: prepare-data
    inputs: { caps: caps }
    with: { mode: patch, patch_size: 10, stride_size: 10 }
  holdout:
    uses: split
    inputs: { labels: labels }
    with: { n_test: 2, balance: [] }
  validation:
    uses: split
    inputs: { labels: holdout.train }
    with: { n_test: 2, balance: [] }
  train:
    uses: train
    inputs: { images: extract, splits: validation }
    with:
      task: reconstruction
      epochs: 1
      batch_size: 4
      bootstrap: 10
      network: { name: AutoEncoder, latent_size: 5, conv_args: { channels: [2], stride: 2 } }
  test:
    uses: predict
    inputs: { model: train, images: extract, participants: holdout.test }
    with: { data_group: test, bootstrap: 10, save: [tensors, nifti, latent] }
maps: maps
";

#[test]
fn an_autoencoder_of_patches_saves_tensors_images_and_codes_in_a_valid_maps_that_verifies() {
    let project = Project::with_caps(8);
    project.write("experiment.yaml", MANIFEST);
    project.run().success();

    let labels = project.read("maps/groups/test/data.tsv");
    let tested = labels.lines().skip(1).map(|row| {
        let mut cells = row.split('\t');
        let (participant, session) = (cells.next().unwrap(), cells.next().unwrap());
        format!("{participant}_{session}")
    });
    let mut expected = Vec::new();
    for who in tested {
        let parts = (0..PATCHES).map(|k| format!("patch-{k}"));
        for ends in ["input", "output"] {
            expected.push(format!("nifti_images/{who}_image_{ends}.nii.gz"));
            expected.push(format!("tensors/{who}_image-0_{ends}.pt"));
            for part in parts.clone() {
                expected.push(format!("nifti_images/{who}_{part}_{ends}.nii.gz"));
                expected.push(format!("tensors/{who}_{part}_{ends}.pt"));
            }
        }
        expected.extend(parts.map(|part| format!("latent_tensors/{who}_{part}_latent.pt")));
    }
    expected.sort();
    assert_eq!(expected.len(), 2 * (4 + 5 * PATCHES));
    let folder = project.path("maps/split-0/best-loss/test");
    let mut saved = files(&folder);
    saved.retain(|file| file.contains('/'));
    assert_eq!(saved, expected);

    let read = |file: &String| std::fs::read(folder.join(file)).unwrap();
    for file in &saved {
        let bytes = read(file);
        if file.ends_with(".pt") {
            let shape = maps::weights::read_pt(&bytes).unwrap().shape().to_vec();
            let edge = if file.contains("_image-0_") {
                EDGE
            } else {
                EDGE / ALONG
            };
            match file.contains("latent") {
                true => assert_eq!(shape, [5], "{file}"),
                false => assert_eq!(shape, [1, edge, edge, edge], "{file}"),
            }
        } else {
            let image = stages::io::nifti::read(&folder.join(file), file).unwrap();
            let edge = if file.contains("_image_") {
                EDGE
            } else {
                EDGE / ALONG
            };
            assert_eq!(image.shape, [edge; 3], "{file}");
        }
    }

    let maps = project.path("maps").display().to_string();
    let said = clinicadl(&["maps", "validate", &maps]).success();
    assert_eq!(said.stdout, format!("{maps}: nothing is wrong\n"));
    project.clinicadl(&["verify", "experiment.yaml"]).success();
    let changed = folder.join(&saved[0]);
    std::fs::write(&changed, "other").unwrap();
    let said = project.clinicadl(&["verify", "experiment.yaml"]);
    assert_ne!(said.code, Some(0));
    let told = said.stdout + &said.stderr;
    assert!(told.contains(&saved[0]), "{told}");
}
