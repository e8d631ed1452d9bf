"""A MAPS of ClinicaDL 1.6.1 with a network for each part, for the tests that read it: writes multi_maps/.

usage: multi_maps.py          with the Python of an environment that has ClinicaDL 1.6.1 (see tests/peer/run.py)

The images of maps.py, of which two slices are learnt by a network each. Only what is read is kept.
"""

import json
import shutil
import sys
import tempfile
from pathlib import Path

import nibabel
import numpy

HERE = Path(__file__).resolve().parent
SIDE = 18
SUFFIX = "ses-M000_space-MNI152NLin2009cSym_desc-Crop_res-1x1x1_T1w.nii.gz"
VALIDATION = "split-0/best-loss/validation/validation"
KEPT = ["maps.json", "groups/train+validation.tsv", "split-0/training_logs/network-1/training.tsv"]
KEPT += [f"split-0/best-loss/network-{k}_model.pth.tar" for k in range(2)]
KEPT += [f"{VALIDATION}_{level}_level_{what}.tsv" for level in ("slice", "image") for what in ("metrics", "prediction")]
CONFIG = """
[Model]
architecture = "Conv4_FC3"
multi_network = true

[Classification]
selection_threshold = 0.3
"""

sys.path.insert(0, str(HERE.parents[1] / "peer"))
import peer


def label(number):
    return "AD" if number % 2 == 0 else "CN"


def image(number):
    """As in maps.py."""
    count = SIDE**3
    index = numpy.arange(count, dtype=numpy.int64)
    noise = ((index * 7919 + number * 104729) % 1009).astype(numpy.float32) / numpy.float32(1009)
    dark = (index < count // 2) & (label(number) == "AD")
    voxels = numpy.where(dark, numpy.float32(0.2) * noise, noise) + numpy.float32(100)
    return voxels.astype(numpy.float32).reshape(SIDE, SIDE, SIDE)


def table(numbers):
    rows = [f"sub-{n:02}\tses-M000\t{label(n)}" for n in numbers]
    return "\n".join(["participant_id\tsession_id\tdiagnosis", *rows]) + "\n"


def main():
    target = HERE / "multi_maps"
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for n in range(8):
            session = folder / f"caps/subjects/sub-{n:02}/ses-M000/t1_linear"
            session.mkdir(parents=True)
            nibabel.Nifti1Image(image(n), numpy.eye(4)).to_filename(session / f"sub-{n:02}_{SUFFIX}")
        splits = folder / "splits"
        splits.mkdir()
        for file in ("train", "train_baseline"):
            (splits / f"{file}.tsv").write_text(table(range(4)))
        (splits / "validation_baseline.tsv").write_text(table(range(4, 8)))
        (folder / "labels.tsv").write_text(table(range(8)))
        (folder / "config.toml").write_text(CONFIG)
        arguments = ["--slice_direction", 0, "--slice_mode", "single", "--discarded_slices", 8, "--discarded_slices", 8]
        peer.run("prepare-data", "slice", "caps", "t1-linear", "--extract_json", "extract.json", *arguments, folder=folder)
        arguments = ["--config_file", "config.toml", "--epochs", 3, "--batch_size", 2, "--no-gpu", "--n_proc", 0]
        arguments += ["--learning_rate", "1e-3", "--seed", 0, "--multi_network", "--evaluation_steps", 1]
        peer.run("train", "classification", "caps", "extract.json", "splits", "maps", *arguments, folder=folder)
        shutil.rmtree(target, ignore_errors=True)
        for path in KEPT:
            (target / path).parent.mkdir(parents=True, exist_ok=True)
            content = (folder / "maps" / path).read_bytes()
            (target / path).write_bytes(content.replace(f"{folder}/".encode(), b"") if path.endswith(".json") else content)
    versions = {name: __import__(name).__version__ for name in ["numpy", "nibabel", "torch"]}
    versions["clinicadl"] = "1.6.1"
    (target / "versions.json").write_text(json.dumps(versions, indent=1) + "\n")


if __name__ == "__main__":
    main()
