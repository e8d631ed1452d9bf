"""Case `train-resnet3d`: an epoch of ResNet3D on whole images, beside ClinicaDL 1.6.1.

With half of the images of the other trainings: the peer takes eight seconds for each and every epoch. And
without dropout: what two programs drop at random is not the same.
"""

from __future__ import annotations

import learning
from cases import Bench, Case, Result

NAME = "train-resnet3d"
OURS = {"network": {"name": "ResNet3D", "dropout": 0}}
TRAINING = learning.Training(OURS, ["--architecture", "ResNet3D"], no_dropout=True, half=True)


def measure(bench: Bench) -> Result:
    return learning.measure(bench, NAME, TRAINING)


CASE = Case("an epoch of ResNet3D on 4 whole images; peer: ClinicaDL 1.6.1", measure)
