"""Case `scaling-epoch`: what an epoch takes per image when there are a thousand times as many.

1 is linear, below 1 is better: what an epoch costs by itself, such as its checkpoint, is shared by more images.
Both sets grow alike. The images are of 32×32×32 voxels of noise.
"""

from __future__ import annotations

import pathlib
import shutil
import statistics

import learning
from cases import Bench, Case, Result
from cases.caps_10000 import SUFFIX, image
from measure import CPUS, BenchError, Place, Sample, summary

EDGE = 32
# Of the training set; the validation has a fifth of it.
FEW, MANY = 10, 10_000
EPOCHS = {FEW: 6, MANY: 2}
MANIFEST = """clinicadl: 1
name: scaling
inputs: {{ caps: caps, folds: folds }}
stages:
  extract: {{ uses: prepare-data, inputs: {{ caps: caps }} }}
  train:
    uses: train
    inputs: {{ images: extract, splits: folds }}
    splits: [0]
    with: {{ network: {{ name: Conv5_FC3 }}, epochs: {epochs}, batch_size: 2 }}
"""


def make(folder: pathlib.Path, images: int) -> None:
    """An experiment with so many images to train on, unless it is there from an earlier bench."""
    done = folder / "made"
    if done.exists():
        return
    shutil.rmtree(folder, ignore_errors=True)
    rows = [(f"sub-{number:05}", "ses-M000", ("CN", "AD")[number % 2]) for number in range(images + images // 5)]
    for number, (participant, session, _) in enumerate(rows):
        place = folder / "caps" / "subjects" / participant / session / "t1_linear"
        place.mkdir(parents=True)
        (place / f"{participant}_{session}_{SUFFIX}").write_bytes(image(number, EDGE))
    learning.write_table(folder / "folds" / "split-0" / "train.tsv", rows[:images])
    learning.write_table(folder / "folds" / "split-0" / "train_baseline.tsv", rows[:images])
    learning.write_table(folder / "folds" / "split-0" / "validation_baseline.tsv", rows[images:])
    (folder / "experiment.yaml").write_text(MANIFEST.format(epochs=EPOCHS[images]))
    done.touch()


def measure(bench: Bench) -> Result:
    samples: dict[int, list[Sample]] = {FEW: [], MANY: []}
    epochs: dict[int, list[float]] = {FEW: [], MANY: []}
    for images in (FEW, MANY):
        make(bench.folder / f"images-{images}", images)
    # An epoch of many takes a minute: it is measured once.
    for images, runs in ((FEW, bench.runs), (MANY, 1)):
        for _ in range(runs):
            folder = bench.folder / f"images-{images}"
            command = [str(bench.program), "run", "--cpus", str(CPUS), "--force", "train"]
            with learning.Watch(folder / ".clinicadl", every_s=0.002) as watch:
                sample = Place(folder).run([*command, str(folder / "experiment.yaml")]).expect_success("clinicadl run")
            samples[images].append(sample)
            epochs[images] += watch.epochs(EPOCHS[images])
            bench.log(f"{images} images: {statistics.median(epochs[images]) * 1e3 / images:.2f} ms per image")
    per_image = {images: statistics.median(found) / images for images, found in epochs.items()}
    details: dict[str, object] = {
        f"images_{images}": {
            "ms_per_image": per_image[images] * 1e3,
            "epochs_s": epochs[images],
            "whole_command": summary(samples[images]),
        }
        for images in samples
    }
    if not per_image[FEW] > 0:
        raise BenchError("an epoch took no time")
    return Result(per_image[MANY] / per_image[FEW], None, "x", "-", details)


CASE = Case("time of an epoch per image with 10,000 images by that with 10; 1 is linear", measure)
