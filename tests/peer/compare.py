"""Compares this program with ClinicaDL 1.6.1 on a small CAPS. Run by `run.py` with the peer's Python.

usage: compare.py PROGRAM WORK          WORK is made anew; it holds everything that both wrote

Prints one line per claim with what was measured, and fails if one does not hold.
"""

import json
import pathlib
import shutil
import subprocess
import sys

import numpy
import pandas
import torch
from safetensors_file import read_image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import data_side
import models
import peer
import tables
from make_caps import make_caps

PARTICIPANTS = 16
STEP = 4
# Kernels and threads differ between the two PyTorch builds, and two epochs amplify the rounding.
LOSS_TOLERANCE = 1e-4
# One forward pass in float32.
PROBABILITY_TOLERANCE = 1e-5

EXPERIMENT = f"""\
clinicadl: 1
name: peer
inputs: {{ caps: caps, labels: caps/labels.tsv, unseen: caps/test.tsv }}
stages:
  extract: {{ uses: prepare-data, inputs: {{ caps: caps }} }}
  folds:
    uses: kfold
    inputs: {{ labels: labels }}
    with: {{ n_splits: {peer.N_SPLITS} }}
  train:
    uses: train
    inputs: {{ images: extract, splits: folds }}
    splits: [{peer.SPLIT}]
    with:
      epochs: {peer.EPOCHS}
      batch_size: {peer.BATCH_SIZE}
      evaluation_steps: 1
      weights_seed: 0
      sampler_seed: 0
  test:
    uses: predict
    inputs: {{ model: train, images: extract, participants: unseen }}
    with: {{ data_group: test, batch_size: {peer.BATCH_SIZE} }}
maps: maps
"""


class Comparison:
    """The two sides, in one folder: `caps`, `peer-maps` and `maps`."""

    def __init__(self, program, work):
        self.program = program
        self.work = work
        self.failed = []

    def ours(self, *arguments):
        """Runs our program in the work folder."""
        command = [str(self.program), "--quiet", *map(str, arguments)]
        result = subprocess.run(command, cwd=self.work, capture_output=True, text=True, check=False)
        if result.returncode != 0:
            sys.exit(f"error: {' '.join(command)}\n{result.stdout}{result.stderr}")

    def claim(self, text, measured, tolerance=0.0):
        """Notes whether the greatest difference that was found is small enough (a NaN is not)."""
        holds = measured <= tolerance
        word = "ok    " if holds else "FAILED"
        allowed = f", at most {tolerance:g} allowed" if tolerance else ""
        print(f"{word} {text}: difference {measured:.2g}{allowed}", flush=True)
        if not holds:
            self.failed.append(text)

    def run(self):
        """Runs both sides and compares."""
        data_side.compare(self)
        tables.compare(self)
        caps = self.work / "caps"
        make_caps(caps, PARTICIPANTS, STEP)
        self.tensors(caps)
        folds = self.folds(caps / "labels.tsv")
        print("training with both", flush=True)
        peer.train(caps, folds, self.work / "peer-maps")
        (self.work / "experiment.yaml").write_text(EXPERIMENT)
        self.ours("run", "experiment.yaml")
        self.losses()
        self.events()
        self.our_predictions_of_their_model(caps, folds)
        self.exported_models()
        self.their_predictions_of_our_model(caps)
        print("training a model of every mode and task with both", flush=True)
        models.compare(self)

    def tensors(self, caps):
        """Both extract the same tensors."""
        peer.prepare_data(caps)
        self.ours("exec", "prepare-data", "--input", "caps=caps", "--output", "tensors")
        files = sorted(caps.glob(f"subjects/*/*/{peer.IMAGES}/*.pt"))
        ours = sorted((self.work / "tensors" / "images").iterdir())
        differing = abs(len(files) - len(ours))
        for file in files:
            theirs = torch.load(file, weights_only=True).numpy()
            name = "_".join(file.name.split("_")[:2])
            image = read_image(self.work / "tensors" / "images" / f"{name}.safetensors")
            same = theirs.shape == image.shape and theirs.tobytes() == image.tobytes()
            differing += not same
        self.claim(f"{len(files)} tensors are equal bit for bit", differing)

    def folds(self, labels):
        """Both make the same folds; returns those that are trained on."""
        for n_splits in (5, peer.N_SPLITS):
            folder = peer.kfold(labels, n_splits)
            output = f"folds-{n_splits}"
            arguments = ["--input", f"labels={labels}", "--with", f"n_splits={n_splits}", "--output", output]
            self.ours("exec", "kfold", *arguments)
            tables = sorted(path.relative_to(folder) for path in folder.glob("*/*.tsv"))
            differing = sum((folder / path).read_bytes() != (self.work / output / path).read_bytes() for path in tables)
            self.claim(f"{len(tables)} tables of {n_splits} folds are equal byte for byte", differing)
        return folder

    def losses(self):
        """From the same weights and in the same order, both trainings go the same way."""
        theirs, ours = (
            pandas.read_csv(self.work / maps / f"split-{peer.SPLIT}" / "training_logs" / "training.tsv", sep="\t")
            for maps in ("peer-maps", "maps")
        )
        key = ["epoch", "iteration"]
        both = theirs.merge(ours, on=key, suffixes=("_theirs", "_ours"))
        if not len(both) == len(theirs) == len(ours) > 0:
            sys.exit(f"error: the histories have {len(theirs)} and {len(ours)} rows, {len(both)} in common")
        for suffix, group in (("train", "train"), ("valid", "validation")):
            data = self.work / "peer-maps" / "groups" / group / f"split-{peer.SPLIT}" / "data.tsv"
            n_batches, rest = divmod(len(pandas.read_csv(data, sep="\t")), peer.BATCH_SIZE)
            assert rest == 0, "the peer's sum over batches is comparable only if all are equal"
            expected = both[f"loss_{suffix}_theirs"] / n_batches
            relative = (both[f"loss_{suffix}_ours"] / expected - 1).abs().max(skipna=False)
            text = f"{group} losses of {peer.EPOCHS} epochs ({len(both)} evaluations) agree"
            self.claim(text, relative, LOSS_TOLERANCE)

    def events(self):
        """TensorBoard reads from our event files what the history says."""
        logs = self.work / "maps" / f"split-{peer.SPLIT}" / "training_logs"
        history = pandas.read_csv(logs / "training.tsv", sep="\t")
        differing, read = 0, 0
        for group, suffix in (("train", "train"), ("validation", "valid")):
            accumulator = EventAccumulator(str(logs / "tensorboard" / group), size_guidance={"scalars": 0})
            accumulator.Reload()
            for tag in accumulator.Tags()["scalars"]:
                values = [event.value for event in accumulator.Scalars(tag)]
                expected = history[f"{tag}_{suffix}"].astype("float32")
                read += len(values)
                differing += len(values) != len(expected) or not numpy.array_equal(values, expected, equal_nan=True)
        self.claim(f"TensorBoard reads {read} values of our event files", differing if read else float("nan"))

    def our_predictions_of_their_model(self, caps, folds):
        """We read their MAPS and predict what they predicted."""
        peer.predict(self.work / "peer-maps", "test", caps, caps / "test.tsv")
        split = folds / f"split-{peer.SPLIT}"
        for group, table in (
            ("train", split / "train.tsv"),
            ("validation", split / "validation_baseline.tsv"),
            ("test", caps / "test.tsv"),
        ):
            arguments = ["--input", "model=peer-maps", "--input", "images=tensors", "--input", f"participants={table}"]
            arguments += ["--with", f"data_group=our-{group}", "--output", f"predictions-{group}"]
            if group != "test":
                arguments += ["--with", "allow_leakage='the peer predicted them too'"]
            self.ours("exec", "predict", *arguments)
            theirs = predictions(self.work / "peer-maps", group)
            ours = predictions(self.work / f"predictions-{group}", f"our-{group}")
            text = f"probabilities of their model on `{group}` agree"
            self.claim(text, difference(theirs, ours), PROBABILITY_TOLERANCE)

    def exported_models(self):
        """PyTorch alone loads what we export of either model, and says what the program said that trained it."""
        for maps in ("peer-maps", "maps"):
            self.ours("exec", "export", "--input", f"model={maps}", "--output", f"exported-{maps}")
            said = predictions(self.work / maps, "test")
            files = [f"{participant}_{session}.safetensors" for participant, session in said.index]
            images = numpy.stack([read_image(self.work / "tensors" / "images" / file) for file in files])
            about = {"clinicadl.json": ""}
            file = self.work / f"exported-{maps}" / f"split-{peer.SPLIT}" / "loss.pt"
            module = torch.jit.load(file, _extra_files=about)
            with torch.no_grad():
                logits = module(torch.from_numpy(images))
                alone = torch.cat([module(torch.from_numpy(images[i : i + 1])) for i in range(len(images))])
            columns = [f"proba{code}" for code in range(logits.shape[1])]
            measured = numpy.abs(torch.softmax(logits, 1).numpy() - said[columns].to_numpy()).max()
            text = f"probabilities of {len(images)} images by `torch.jit.load` of the exported `{maps}` agree"
            self.claim(text, measured, PROBABILITY_TOLERANCE)
            text = f"one by one the exported `{maps}` says the same"
            self.claim(text, (logits - alone).abs().max().item(), PROBABILITY_TOLERANCE)
            seen = json.loads(about["clinicadl.json"])
            tables = [seen["seen"] or "", seen["train_validation"] or ""]
            lacking = sum(f"{participant}\t" in table for participant, _ in said.index for table in tables)
            self.claim(f"the exported `{maps}` has seen nobody who is tested", lacking)

    def their_predictions_of_our_model(self, caps):
        """They read our MAPS and predict what we predicted."""
        shutil.copytree(self.work / "maps", self.work / "copied-maps")
        copy = self.work / "copied-maps"
        for file in copy.glob(f"split-{peer.SPLIT}/best-loss/test/*"):
            file.unlink()
        shutil.rmtree(copy / "groups" / "test")
        peer.predict(copy, "test", caps, caps / "test.tsv")
        theirs, ours = predictions(copy, "test"), predictions(self.work / "maps", "test")
        text = "probabilities of our model on `test` agree"
        self.claim(text, difference(theirs, ours), PROBABILITY_TOLERANCE)


def predictions(maps, group):
    """A prediction table, one row per session."""
    folder = maps / f"split-{peer.SPLIT}" / "best-loss" / group
    table = pandas.read_csv(folder / f"{group}_image_level_prediction.tsv", sep="\t")
    return table.set_index(["participant_id", "session_id"]).sort_index()


def difference(theirs, ours):
    """The greatest difference of a probability; not a number if the tables are of different sessions."""
    same = theirs.index.equals(ours.index) and theirs.true_label.equals(ours.true_label)
    columns = [column for column in theirs.columns if column.startswith("proba")]
    return (theirs[columns] - ours[columns]).abs().to_numpy().max() if same and columns else float("nan")


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    program, work = (pathlib.Path(argument).resolve() for argument in sys.argv[1:])
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    comparison = Comparison(program, work)
    try:
        comparison.run()
    except peer.PeerError as error:
        sys.exit(f"error: {error}")
    if comparison.failed:
        sys.exit(f"error: {len(comparison.failed)} claims do not hold; see {work}")
    print(f"both agree; everything is in {work}")


if __name__ == "__main__":
    main()
