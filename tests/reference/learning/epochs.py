"""Losses of three epochs of ClinicaDL 1.6.1: writes epochs.json beside this file.

Needs what maps.py needs. Eight participants with images that a formula makes, batches of two, one split:
a classification, an autoencoder and a variational one. Losses are sums
over two batches.

Deviations from ClinicaDL, without which nothing could be compared: where the variational autoencoder
draws, the generator is started from the seeds of our batches, and it draws in training only; images have
the size that its size reduction gives already.
"""

import json
import subprocess
import tempfile
from pathlib import Path

import nibabel
import numpy
import torch

from clinicadl.cmdline import cli
from clinicadl.utils.caps_dataset import data
from clinicadl.utils.callbacks.callbacks import CallbacksHandler
from clinicadl.utils.network.vae.base_vae import BaseVAE

SUFFIX = "ses-M000_space-MNI152NLin2009cSym_desc-Crop_res-1x1x1_T1w.nii.gz"
# Of the batches of the test, epoch by epoch; it compares them.
SEEDS = [4349294551884468242, 5279295619037662734, 1445646349921838561, 3106539156843567316, 8996595074477858103, 2813628482679401654]


def label(number):
    return "AD" if number % 2 == 0 else "CN"


def image(number, shape):
    """Noise, with a dark half in class AD; exact in float32 whatever computes it."""
    count = int(numpy.prod(shape))
    index = numpy.arange(count, dtype=numpy.int64)
    noise = ((index * 7919 + number * 104729) % 1009).astype(numpy.float32) / numpy.float32(1009)
    dark = (index < count // 2) & (label(number) == "AD")
    voxels = numpy.where(dark, numpy.float32(0.2) * noise, noise) + numpy.float32(100)
    return voxels.astype(numpy.float32).reshape(shape)


def table(numbers):
    rows = [f"sub-{n:02}\tses-M000\t{label(n)}" for n in numbers]
    return "\n".join(["participant_id\tsession_id\tdiagnosis", *rows]) + "\n"


def clinicadl(*arguments):
    cli([str(argument) for argument in arguments], standalone_mode=False)


def train(folder, name, task, shape, rate, *options):
    caps, splits = folder / f"caps-{name}", folder / "splits"
    for n in range(8):
        session = caps / f"subjects/sub-{n:02}/ses-M000/t1_linear"
        session.mkdir(parents=True)
        nifti = nibabel.Nifti1Image(image(n, shape), numpy.eye(4))
        nifti.to_filename(session / f"sub-{n:02}_{SUFFIX}")
    splits.mkdir(exist_ok=True)
    for file, numbers in [("train", range(4)), ("train_baseline", range(4)), ("validation_baseline", range(4, 8))]:
        (splits / f"{file}.tsv").write_text(table(numbers))
    (folder / "labels.tsv").write_text(table(range(8)))
    clinicadl("prepare-data", "image", caps, "t1-linear", "--extract_json", "extract.json")
    clinicadl(
        "train", task, caps, "extract.json", splits, folder / name, "--epochs", 3, "--batch_size", 2,
        "--no-gpu", "--n_proc", 0, "--learning_rate", rate, "--seed", 0, *options,
    )
    found = {kind: [metrics[f"metrics_{kind}"]["loss"] for metrics in ended] for kind in ("train", "valid")}
    ended.clear()
    return found


# What ClinicaDL tells its callbacks at the end of epochs; its training.tsv leaves them out.
ended = []


def reparameterize(self, mu, log_variance):
    if not self.training:
        return mu
    torch.manual_seed(SEEDS.pop(0))
    deviation = torch.exp(0.5 * log_variance)
    return torch.randn_like(deviation).mul(deviation).add_(mu)


def main():
    torch.set_num_threads(1)
    seeds = list(SEEDS)
    BaseVAE.reparameterize = reparameterize
    CallbacksHandler.on_epoch_end = lambda self, *arguments, **told: ended.append(told)
    data.SizeReduction.__call__ = lambda self, image: image
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        found = {
            "classification": train(
                folder, "classification", "classification", (18, 18, 18), "1e-3", "--architecture", "Conv5_FC3"
            ),
            "autoencoder": train(
                folder, "autoencoder", "reconstruction", (18, 18, 18), "1e-2", "--architecture", "AE_Conv5_FC3"
            ),
        }
        config = folder / "vae.toml"
        reduced = "[Data]\nsize_reduction = true\nsize_reduction_factor = 5\n"
        config.write_text('[Reconstruction]\nloss = "VAEGaussianLoss"\n' + reduced)
        found["variational"] = train(
            folder, "variational", "reconstruction", (32, 40, 32), "1e-3", "--architecture", "Vanilla3DdenseVAE",
            "--config_file", config,
        )
    found["seeds"] = seeds
    found["torch"] = torch.__version__
    Path(__file__).with_suffix(".json").write_text(json.dumps(found, indent=1) + "\n")


main()
