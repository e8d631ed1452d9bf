//! A project folder with a small CAPS, and the built program.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Edge of the test images, the smallest for which Conv5_FC3's batch norms see several values.
pub(crate) const EDGE: usize = 20;

/// The checkout.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// What a finished command said.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Said {
    #[track_caller]
    pub(crate) fn success(self) -> Self {
        assert_eq!(
            self.code,
            Some(0),
            "stdout:\n{}\nstderr:\n{}",
            self.stdout,
            self.stderr
        );
        self
    }
}

pub(crate) fn clinicadl(arguments: &[&str]) -> Said {
    run(&mut command(Path::new("."), arguments))
}

/// The program with these arguments, in a folder, with an environment that no user setting changes.
pub(crate) fn command(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_clinicadl"));
    command
        .current_dir(folder)
        .args(arguments)
        .env_remove("CI")
        .env_remove("CLINICADL_LOG")
        .env_remove("MLFLOW_TRACKING_URI");
    command
}

pub(crate) fn run(command: &mut Command) -> Said {
    let output = command.output().unwrap();
    Said {
        code: output.status.code(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

/// A folder with a CAPS, its labels and a manifest.
pub(crate) struct Project {
    folder: tempfile::TempDir,
}

impl Project {
    /// An empty project.
    pub(crate) fn empty() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
        }
    }

    /// `participants` participants with one session each, alternately AD and CN; the AD images are
    /// darker in one corner. `experiment.yaml` is a whole small experiment.
    pub(crate) fn with_caps(participants: usize) -> Self {
        let project = Self::empty();
        let mut labels = String::from("participant_id\tsession_id\tdiagnosis\tsex\tage\n");
        for i in 0..participants {
            project.add_image(i);
            let diagnosis = if i % 2 == 0 { "AD" } else { "CN" };
            let sex = if i % 4 < 2 { "F" } else { "M" };
            labels.push_str(&format!(
                "sub-{i:03}\tses-M000\t{diagnosis}\t{sex}\t{}\n",
                60 + i % 7
            ));
        }
        project.write("labels.tsv", &labels);
        project.write("experiment.yaml", EXPERIMENT);
        project
    }

    /// `participants` participants in a table, and `experiment.yaml` with stages that need no
    /// images: quick, and yet a graph with splits.
    pub(crate) fn with_tables(participants: usize) -> Self {
        let project = Self::empty();
        let mut labels = String::from("participant_id\tsession_id\tdiagnosis\tsex\tage\n");
        for i in 0..participants {
            let diagnosis = if i % 2 == 0 { "AD" } else { "CN" };
            let sex = if i % 4 < 2 { "F" } else { "M" };
            labels.push_str(&format!(
                "sub-{i:03}\tses-M000\t{diagnosis}\t{sex}\t{}\n",
                60 + i % 7
            ));
        }
        project.write("labels.tsv", &labels);
        project.write("experiment.yaml", TABLES);
        project
    }

    /// Writes the image of participant `i`.
    pub(crate) fn add_image(&self, i: usize) {
        let ill = i.is_multiple_of(2);
        let voxel = |x: usize, y: usize, z: usize| {
            let inside = x < EDGE / 2 && y < EDGE / 2 && z < EDGE / 2;
            let texture = ((x * 7 + y * 5 + z * 3 + i * 11) % 13) as f32;
            if ill && inside {
                20.0 + texture
            } else {
                100.0 + texture
            }
        };
        self.write_bytes(&image_path(i), &nifti([EDGE; 3], voxel));
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        self.write_bytes(name, text.as_bytes());
    }

    pub(crate) fn write_bytes(&self, name: &str, bytes: &[u8]) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }

    pub(crate) fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap()
    }

    /// Replaces text in a file; the text must be there.
    pub(crate) fn edit(&self, name: &str, from: &str, to: &str) {
        let text = self.read(name);
        assert!(text.contains(from), "`{from}` is not in {name}");
        self.write(name, &text.replace(from, to));
    }

    pub(crate) fn clinicadl(&self, arguments: &[&str]) -> Said {
        run(&mut command(self.folder.path(), arguments))
    }

    pub(crate) fn run(&self) -> Said {
        self.clinicadl(&["run", "experiment.yaml"])
    }

    /// The report of a run that must succeed.
    pub(crate) fn report(&self, arguments: &[&str]) -> serde_json::Value {
        let said = self.clinicadl(&[&["run", "experiment.yaml", "--json"], arguments].concat());
        serde_json::from_str(&said.success().stdout).unwrap()
    }

    /// Every file below the project, sorted.
    pub(crate) fn files(&self) -> Vec<String> {
        files(self.folder.path())
    }
}

/// Every file below a folder as a sorted relative path.
pub(crate) fn files(folder: &Path) -> Vec<String> {
    fn descend(root: &Path, folder: &Path, found: &mut Vec<String>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                descend(root, &path, found);
            } else {
                found.push(
                    path.strip_prefix(root)
                        .unwrap()
                        .to_str()
                        .unwrap()
                        .to_owned(),
                );
            }
        }
    }
    let mut found = Vec::new();
    descend(folder, folder, &mut found);
    found.sort();
    found
}

/// Where the image of participant `i` is in the CAPS.
pub(crate) fn image_path(i: usize) -> String {
    format!(
        "caps/subjects/sub-{i:03}/ses-M000/t1_linear/\
         sub-{i:03}_ses-M000_space-MNI152NLin2009cSym_desc-Crop_res-1x1x1_T1w.nii.gz"
    )
}

/// A gzipped little-endian float32 NIfTI-1 file with 1 mm voxels, written by hand.
pub(crate) fn nifti(shape: [usize; 3], voxel: impl Fn(usize, usize, usize) -> f32) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(&plain_nifti(&shape, voxel)).unwrap();
    encoder.finish().unwrap()
}

/// The same, not compressed, of any rank from 3.
pub(crate) fn plain_nifti(shape: &[usize], voxel: impl Fn(usize, usize, usize) -> f32) -> Vec<u8> {
    let mut header = vec![0_u8; 352];
    header[0..4].copy_from_slice(&348_i32.to_le_bytes());
    let mut put = |at: usize, bytes: &[u8]| header[at..at + bytes.len()].copy_from_slice(bytes);
    put(40, &(shape.len() as i16).to_le_bytes());
    for axis in 0..7 {
        let size = shape.get(axis).copied().unwrap_or(1) as i16;
        put(42 + 2 * axis, &size.to_le_bytes());
        put(76 + 4 * axis, &1_f32.to_le_bytes());
    }
    put(70, &16_i16.to_le_bytes());
    put(72, &32_i16.to_le_bytes());
    put(108, &352_f32.to_le_bytes());
    put(112, &1_f32.to_le_bytes());
    put(254, &1_i16.to_le_bytes());
    for (row, offset) in [-10_f32, -20.0, -30.0].into_iter().enumerate() {
        put(280 + 16 * row + 4 * row, &1_f32.to_le_bytes());
        put(280 + 16 * row + 12, &offset.to_le_bytes());
    }
    put(344, b"n+1\0");
    let volumes: usize = shape[3..].iter().product();
    for _ in 0..volumes {
        for z in 0..shape[2] {
            for y in 0..shape[1] {
                for x in 0..shape[0] {
                    header.extend_from_slice(&voxel(x, y, z).to_le_bytes());
                }
            }
        }
    }
    header
}

/// Splits of splits.
const TABLES: &str = "\
clinicadl: 1
name: tables
seed: 42
inputs: { labels: labels.tsv }
stages:
  holdout: { uses: split, inputs: { labels: labels }, with: { n_test: 6, balance: [] } }
  validation: { uses: split, inputs: { labels: holdout.train }, with: { n_test: 4, balance: [] } }
  folds: { uses: kfold, inputs: { labels: validation.train }, with: { n_splits: 2 } }
maps: tables
";

/// A whole experiment, small enough for seconds.
const EXPERIMENT: &str = "\
clinicadl: 1
name: small
seed: 42
inputs: { caps: caps, labels: labels.tsv }
stages:
  extract:
    uses: prepare-data
    inputs: { caps: caps }
  holdout:
    uses: split
    inputs: { labels: labels }
    with: { n_test: 4, balance: [] }
  folds:
    uses: kfold
    inputs: { labels: holdout.train }
    with: { n_splits: 2 }
  train:
    uses: train
    inputs: { images: extract, splits: folds }
    with:
      epochs: 2
      batch_size: 2
      network: { name: Conv5_FC3, dropout: 0.1 }
      optimizer: { name: Adam, learning_rate: 0.001 }
      selection_metrics: [loss, balanced_accuracy]
  test:
    uses: predict
    inputs: { model: train, images: extract, participants: holdout.test }
    with: { data_group: test }
  saliency:
    uses: interpret
    inputs: { model: train, images: extract, participants: holdout.test }
    with: { method: gradients, target: AD, data_group: test }
maps: maps
";
