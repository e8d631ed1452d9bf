"""Case `train-patch`: an epoch of Conv5_FC3 on the 36 patches of each image, beside ClinicaDL 1.6.1.

Both read patches that were cut before: otherwise the peer reads a whole image for each of them.
"""

from __future__ import annotations

import learning
from cases import Bench, Case, Result

NAME = "train-patch"
# Of 288 patches to train on, and of 144 that validate.
BATCH = 16
OURS = {"network": {"name": "Conv5_FC3"}}
TRAINING = learning.Training(OURS, learning.CONV5, patches=True, batch=BATCH)


def measure(bench: Bench) -> Result:
    return learning.measure(bench, NAME, TRAINING)


CASE = Case("an epoch of Conv5_FC3 on 288 patches of 50x50x50; peer: ClinicaDL 1.6.1", measure)
