"""Case `train-resnet3d`: an epoch of ResNet3D on whole images, beside ClinicaDL 1.6.1."""

from __future__ import annotations

import learning
from cases import Bench, Case, Result

NAME = "train-resnet3d"
TRAINING = learning.Training({"network": {"name": "ResNet3D"}}, ["--architecture", "ResNet3D"])


def measure(bench: Bench) -> Result:
    return learning.measure(bench, NAME, TRAINING)


CASE = Case("an epoch of ResNet3D on 8 whole images; peer: ClinicaDL 1.6.1", measure)
