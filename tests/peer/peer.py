"""The commands of ClinicaDL 1.6.1 that the comparison uses. Run by a Python that has it installed."""

import contextlib
import functools
import io
import os
import pathlib
import subprocess
import sys

import scipy.stats
import torch
import torchvision
from clinicadl.cmdline import cli
from clinicadl.utils.maps_manager.maps_manager import MapsManager
from clinicadl.utils.network.cnn import models

# One split of two is enough; the batch size divides the sessions of training and of validation, because
# the peer's loss is a sum over batches of their means and ours a mean over images.
N_SPLITS, SPLIT = 2, 0
BATCH_SIZE, EPOCHS = 2, 2
RESAMPLES = 10
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


def call(*arguments):
    """Runs a command of the peer in this process: its start takes longer than most of its commands."""
    said = io.StringIO()
    try:
        with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
            cli.main(args=[*map(str, arguments)], standalone_mode=False)
    except Exception as error:
        command = " ".join(map(str, arguments))
        raise PeerError(f"clinicadl {command}\n{said.getvalue()[-3000:]}{error!r}") from error


# Its names for parameters of `prepare-data`; True stands for a flag.
OPTIONS = {
    "use_uncropped_image": "--use_uncropped_image",
    "tracer": "--tracer",
    "suvr_reference_region": "--suvr_reference_region",
    "custom_suffix": "--custom_suffix",
    "save_features": "--save_features",
    "patch_size": "--patch_size",
    "stride_size": "--stride_size",
    "slice_direction": "--slice_direction",
    "slice_mode": "--slice_mode",
    "discarded_slices": "--discarded_slices",
    "roi_list": "--roi_list",
    "roi_uncrop_output": "--roi_uncrop_output",
    "roi_custom_template": "--roi_custom_template",
    "roi_custom_mask_pattern": "--roi_custom_mask_pattern",
}


def extract(caps, parameters, name):
    """Extracts tensors with our parameters."""
    rest = dict(parameters)
    # With several workers it forgets the template of the regions in its extraction file.
    arguments = [rest.pop("mode"), caps, rest.pop("preprocessing"), "--extract_json", name, "--n_proc", 1]
    for field, value in rest.items():
        for each in value if isinstance(value, list) else [value]:
            arguments += [OPTIONS[field]] if each is True else [OPTIONS[field], each]
    call("prepare-data", *arguments)


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


@contextlib.contextmanager
def small():
    """Makes the peer quick with tiny networks, and independent of the network.

    - It has one thread: a second one costs more than it brings.
    - Its confidence intervals take most of the time; they are drawn without a seed and compared nowhere.
    - It downloads the weights of ImageNet whenever it builds a `resnet18`, also to load others; here they are
      drawn weights of the same names.
    """
    threads, bootstrap, load_url = torch.get_num_threads(), scipy.stats.bootstrap, models.model_zoo.load_url
    torch.set_num_threads(1)
    scipy.stats.bootstrap = lambda *data, **options: bootstrap(*data, **{**options, "n_resamples": RESAMPLES})
    models.model_zoo.load_url = lambda _: drawn_weights()
    try:
        yield
    finally:
        torch.set_num_threads(threads)
        scipy.stats.bootstrap, models.model_zoo.load_url = bootstrap, load_url


@functools.lru_cache(maxsize=None)
def drawn_weights():
    """What torchvision's `resnet18` starts from."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return torchvision.models.resnet18().state_dict()


def train_task(maps, task, caps, extraction, folds, **options):
    """Trains a model of any task on the first split; options are those of the command line."""
    arguments = ["train", task, caps, extraction, folds, maps, "--n_splits", N_SPLITS, "--split", SPLIT, "--seed", 0]
    for name, value in options.items():
        arguments += [f"--{name}"] if value is True else [f"--{name}", value]
    call(*arguments, "--no-gpu", "--n_proc", 0)


def predict_group(maps, group, caps, table, batch_size, *flags):
    """As `predict`, in this process."""
    arguments = ["--caps_directory", caps, "--participants_tsv", table, "--selection_metrics", "loss"]
    call("predict", maps, group, *arguments, "--no-gpu", "--n_proc", 0, "--batch_size", batch_size, *flags)


def interpret(maps, group):
    """Gradients of node 0 for every sample of a group that was predicted, one by one: in batches of other
    sizes, sums of 32 bits are rounded otherwise, and a ReLU or a pooling may pass a gradient elsewhere."""
    arguments = ["gradients", "gradients", "--save_individual", "--selection_metrics", "loss", "--batch_size", 1]
    call("interpret", maps, group, *arguments, "--no-gpu", "--n_proc", 0)


def task_manager(maps):
    """What computes metrics and joins parts for the task of a MAPS."""
    with contextlib.redirect_stdout(io.StringIO()):
        return MapsManager(maps).task_manager
