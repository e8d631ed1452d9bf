"""The commands of ClinicaDL 1.6.1 that the comparison uses. Run by a Python that has it installed."""

import os
import pathlib
import subprocess
import sys

# One split of two is enough; the batch size divides the sessions of training and of validation, because
# the peer's loss is a sum over batches of their means and ours a mean over images.
N_SPLITS, SPLIT = 2, 0
BATCH_SIZE, EPOCHS = 2, 2
EXTRACTION = "extract.json"
IMAGES = "deeplearning_prepare_data/image_based/t1_linear"


class PeerError(Exception):
    """A command of the peer failed."""


def run(*arguments, folder):
    """Runs a command of the peer in a folder."""
    command = [str(pathlib.Path(sys.executable).parent / "clinicadl"), *map(str, arguments)]
    environment = {**os.environ, "PYTHONWARNINGS": "ignore"}
    result = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    if result.returncode != 0:
        said = result.stdout + result.stderr
        raise PeerError(f"{' '.join(command)}\n{said[-3000:]}")


def prepare_data(caps):
    """Writes a tensor beside every image."""
    run("prepare-data", "image", caps, "t1-linear", "--extract_json", EXTRACTION, folder=caps)


def kfold(labels, n_splits=N_SPLITS):
    """Splits a table; the folds are beside it."""
    arguments = ("--n_splits", n_splits)
    run("tsvtools", "kfold", labels, *arguments, folder=labels.parent)
    return labels.parent / f"{n_splits}_fold"


def train(caps, folds, maps):
    """Trains on the first split, from the weights and in the order of seed 0."""
    arguments = ["train", "classification", caps, EXTRACTION, folds, maps]
    arguments += ["--architecture", "Conv5_FC3", "--epochs", EPOCHS, "--batch_size", BATCH_SIZE]
    arguments += ["--n_splits", N_SPLITS, "--split", SPLIT, "--seed", 0]
    # Without evaluations inside of an epoch, the peer writes no history.
    arguments += ["--evaluation_steps", 1, "--no-gpu", "--n_proc", 0]
    run(*arguments, folder=maps.parent)


def predict(maps, group, caps, table):
    """Applies a MAPS to a table of participants."""
    arguments = ["--caps_directory", caps, "--participants_tsv", table, "--selection_metrics", "loss"]
    arguments += ["--no-gpu", "--n_proc", 0, "--batch_size", BATCH_SIZE]
    run("predict", maps, group, *arguments, folder=maps.parent)
