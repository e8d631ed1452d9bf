"""A MAPS trained by ClinicaDL 1.6.1, for the tests that read it: writes the folder maps/ beside this file.

Needs clinicadl 1.6.1, nibabel and numpy, and the command `clinicadl` of the same environment. Eight
participants with images of 18x18x18 voxels that a formula makes; two epochs on one split. Only what is
read is kept: parameters, groups, best weights, predictions and metrics of the validation set.
"""

import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import nibabel
import numpy

SIDE = 18
SUFFIX = "ses-M000_space-MNI152NLin2009cSym_desc-Crop_res-1x1x1_T1w.nii.gz"
KEPT = [
    "maps.json",
    "groups/train+validation.tsv",
    "split-0/best-loss/model.pth.tar",
    "split-0/best-loss/validation/validation_image_level_metrics.tsv",
    "split-0/best-loss/validation/validation_image_level_prediction.tsv",
]


def label(number):
    return "AD" if number % 2 == 0 else "CN"


def image(number):
    """Noise, with a dark half in class AD; exact in float32 whatever computes it."""
    count = SIDE**3
    index = numpy.arange(count, dtype=numpy.int64)
    noise = ((index * 7919 + number * 104729) % 1009).astype(numpy.float32) / numpy.float32(1009)
    dark = (index < count // 2) & (label(number) == "AD")
    voxels = numpy.where(dark, numpy.float32(0.2) * noise, noise) + numpy.float32(100)
    return voxels.astype(numpy.float32).reshape(SIDE, SIDE, SIDE)


def table(numbers):
    rows = [f"sub-{n:02}\tses-M000\t{label(n)}" for n in numbers]
    return "\n".join(["participant_id\tsession_id\tdiagnosis", *rows]) + "\n"


def clinicadl(folder, *arguments):
    command = [str(Path(sys.executable).parent / "clinicadl"), *arguments]
    subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL)


def main():
    target = Path(__file__).parent / "maps"
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for n in range(8):
            session = folder / f"caps/subjects/sub-{n:02}/ses-M000/t1_linear"
            session.mkdir(parents=True)
            nifti = nibabel.Nifti1Image(image(n), numpy.eye(4))
            nifti.to_filename(session / f"sub-{n:02}_{SUFFIX}")
        splits = folder / "splits"
        splits.mkdir()
        for file, numbers in [("train", range(4)), ("train_baseline", range(4))]:
            (splits / f"{file}.tsv").write_text(table(numbers))
        (splits / "validation_baseline.tsv").write_text(table(range(4, 8)))
        (folder / "labels.tsv").write_text(table(range(8)))
        clinicadl(folder, "prepare-data", "image", "caps", "t1-linear", "--extract_json", "extract.json")
        clinicadl(
            folder, "train", "classification", "caps", "extract.json", "splits", "maps",
            "--architecture", "Conv5_FC3", "--epochs", "2", "--batch_size", "2", "--no-gpu",
            "--n_proc", "0", "--learning_rate", "1e-3", "--seed", "0",
        )
        shutil.rmtree(target, ignore_errors=True)
        for path in KEPT:
            (target / path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(folder / "maps" / path, target / path)
    versions = {name: __import__(name).__version__ for name in ["numpy", "nibabel", "torch"]}
    versions["clinicadl"] = "1.6.1"
    (target / "versions.json").write_text(json.dumps(versions, indent=1) + "\n")


main()
