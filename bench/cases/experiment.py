"""Case `experiment`: extraction, split, folds, training, prediction and attribution maps: from images to a MAPS.

Ours is one `run` with an empty store; ClinicaDL 1.6.1 needs six commands, each of which starts anew, in a
new CAPS of links. Both train two epochs of Conv5_FC3 on 8 of 24 images, validate on 4, and write the same
files of the 6 images that were held out. Which participants those are each draws for itself.
"""

from __future__ import annotations

import csv
import json
import pathlib
import shutil
from collections.abc import Sequence

import extraction
from cases import Bench, Case, Result
from measure import CPUS, BenchError, Place, Sample, in_turns, median, summary

SPLITS, EPOCHS, BATCH, HELD_OUT = 2, 2, 2, 3
# Of 11 participants no 3 have p-values of 0.8, so that the peer's default would look for them without end.
P_VALUE = 0.5
# Two sessions of each of them, and the mean map.
PREDICTIONS, MAPS = 6, 7
STAGES = {
    "extract": {"uses": "prepare-data", "inputs": {"caps": "caps"}},
    "holdout": {"uses": "split", "inputs": {"labels": "labels"}, "with": {"n_test": HELD_OUT, "p_threshold": P_VALUE}},
    "folds": {"uses": "kfold", "inputs": {"labels": "holdout.train"}, "with": {"n_splits": SPLITS}},
    "train": {
        "uses": "train",
        "inputs": {"images": "extract", "splits": "folds"},
        "splits": [0],
        "with": {"network": {"name": "Conv5_FC3"}, "epochs": EPOCHS, "batch_size": BATCH},
    },
    "test": {
        "uses": "predict",
        "inputs": {"model": "train", "images": "extract", "participants": "holdout.test"},
        "with": {"data_group": "test", "batch_size": BATCH},
    },
    "saliency": {
        "uses": "interpret",
        "inputs": {"model": "train", "images": "extract", "participants": "holdout.test"},
        "with": {"data_group": "test", "name": "saliency", "method": "gradients", "batch_size": BATCH},
    },
}


def commands(caps: pathlib.Path) -> dict[str, Sequence[str]]:
    """Those of the peer, in order, for a folder that has `labels.tsv`."""
    on_cpus = ["--no-gpu", "--n_proc", str(CPUS), "--batch_size", str(BATCH)]
    parts = ["--n_splits", str(SPLITS)]
    network = ["--architecture", "Conv5_FC3", "--epochs", str(EPOCHS), *parts, "--split", "0"]
    unseen = ["--caps_directory", str(caps), "--participants_tsv", "split/test.tsv"]
    balance = ["--p_sex_threshold", str(P_VALUE), "--p_age_threshold", str(P_VALUE)]
    holdout = ["tsvtools", "split", "labels.tsv", "--n_test", str(HELD_OUT), "--subset_name", "test", *balance]
    holdout += ["--valid_longitudinal"]
    extract = ["prepare-data", "image", str(caps), "t1-linear", "-np", str(CPUS), "--extract_json", "extract.json"]
    train = ["train", "classification", str(caps), "extract.json", "split/2_fold", "maps"]
    saliency = ["interpret", "maps", "test", "saliency", "gradients", "--save_individual", "--save_nifti"]
    return {
        "extract": extract,
        "holdout": holdout,
        "folds": ["tsvtools", "kfold", "split/train.tsv", *parts],
        "train": [*train, *network, *on_cpus],
        "test": ["predict", "maps", "test", *unseen, *on_cpus],
        "saliency": [*saliency, *on_cpus],
    }


def check(maps: pathlib.Path) -> None:
    """Raises unless a MAPS holds what it should."""
    group = maps / "split-0" / "best-loss" / "test"
    with open(group / "test_image_level_prediction.tsv", encoding="utf-8", newline="") as file:
        predictions = len(list(csv.DictReader(file, delimiter="\t")))
    tensors, images = (len(list((group / "interpret-saliency").glob(f"*.{kind}"))) for kind in ("pt", "nii.gz"))
    if (predictions, tensors, images) != (PREDICTIONS, MAPS, MAPS):
        raise BenchError(f"{maps} has {predictions} predictions, and {tensors} and {images} maps")


def together(samples: Sequence[Sample]) -> Sample:
    """Commands one after the other, as one."""
    peaks = [sample.peak_mib for sample in samples if sample.peak_mib is not None]
    return Sample(
        seconds=sum(sample.seconds for sample in samples),
        user=sum(sample.user for sample in samples),
        system=sum(sample.system for sample in samples),
        peak_mib=max(peaks, default=None),
        read_bytes=None,
        code=0,
        stdout="",
        stderr="",
    )


def measure(bench: Bench) -> Result:
    caps, peer = extraction.anatomy(bench), bench.peer(extraction.PEER)
    folders = {name: bench.folder / name for name in ("clinicadl", "peer")}
    steps: list[dict[str, float]] = []

    def ours() -> Sample:
        folder = new("clinicadl")
        inputs = {"caps": str(caps), "labels": "labels.tsv"}
        document = {"clinicadl": 1, "name": "bench", "inputs": inputs, "stages": STAGES, "maps": "maps"}
        (folder / "experiment.yaml").write_text(json.dumps(document, indent=1))
        command = [str(bench.program), "--quiet", "run", "--cpus", str(CPUS), "experiment.yaml"]
        sample = extraction.timed(bench, Place(folder), command, "clinicadl run")
        check(folder / "maps")
        return sample

    def theirs() -> Sample:
        folder = new("peer")
        own, place = extraction.linked(caps, folder / "caps"), Place(folder)
        samples = {
            name: extraction.timed(bench, place, [str(peer), *command], f"ClinicaDL 1.6.1, {name}")
            for name, command in commands(own).items()
        }
        check(folder / "maps")
        steps.append({name: sample.seconds for name, sample in samples.items()})
        return together(list(samples.values()))

    def new(name: str) -> pathlib.Path:
        shutil.rmtree(folders[name], ignore_errors=True)
        folders[name].mkdir(parents=True)
        shutil.copy(caps / "labels.tsv", folders[name])
        return folders[name]

    try:
        times = {"clinicadl": bench.slow(3), "clinicadl-1.6.1": bench.slow(2)}
        samples = in_turns({"clinicadl": ours, "clinicadl-1.6.1": theirs}, times, bench.budget_s)
    finally:
        for folder in folders.values():
            shutil.rmtree(folder, ignore_errors=True)
    details: dict[str, object] = {name: summary(found) for name, found in samples.items()}
    details["commands_s"] = steps
    ours_s, theirs_s = median(samples["clinicadl"]), median(samples["clinicadl-1.6.1"])
    return Result(ours_s, theirs_s, "s", extraction.PEER, details)


CASE = Case("from images to predictions and attribution maps; peer: ClinicaDL 1.6.1", measure)
