"""Case `train-ae`: an epoch of AE_Conv5_FC3, which reconstructs whole images, beside ClinicaDL 1.6.1.

With half of the images of the other trainings: the peer takes fifteen seconds for each and every epoch.
"""

from __future__ import annotations

import learning
from cases import Bench, Case, Result

NAME = "train-ae"
OURS = {"network": {"name": "AE_Conv5_FC3"}}
TRAINING = learning.Training(OURS, ["--architecture", "AE_Conv5_FC3"], task="reconstruction", half=True)


def measure(bench: Bench) -> Result:
    return learning.measure(bench, NAME, TRAINING)


CASE = Case("an epoch of AE_Conv5_FC3 on 4 whole images; peer: ClinicaDL 1.6.1", measure)
