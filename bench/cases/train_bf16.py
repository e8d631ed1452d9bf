"""Case `train-bf16`: the epoch of `train-fp32` with `precision: bfloat16`.

ClinicaDL 1.6.1 refuses its `--amp` without a GPU, so that the peer computes with 32 bits. After three epochs
from the same weights the losses may differ by 2 %.
"""

from __future__ import annotations

import learning
from cases import Bench, Case, Result

NAME = "train-bf16"
OURS = {"network": {"name": "Conv5_FC3"}, "precision": "bfloat16"}
TRAINING = learning.Training(OURS, learning.CONV5, epochs=3, tolerance=0.02)


def measure(bench: Bench) -> Result:
    return learning.measure(bench, NAME, TRAINING)


CASE = Case("an epoch of Conv5_FC3 in bfloat16; peer: ClinicaDL 1.6.1 in float32", measure)
