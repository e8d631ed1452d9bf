"""Case `train-fp32`: an epoch of Conv5_FC3 on whole images of 169×208×179 voxels, beside ClinicaDL 1.6.1."""

from __future__ import annotations

import learning
from cases import Bench, Case, Result

NAME = "train-fp32"
TRAINING = learning.Training({"network": {"name": "Conv5_FC3"}}, learning.CONV5)


def measure(bench: Bench) -> Result:
    return learning.measure(bench, NAME, TRAINING)


CASE = Case("an epoch of Conv5_FC3 on 8 whole images of 169x208x179; peer: ClinicaDL 1.6.1", measure)
