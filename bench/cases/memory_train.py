"""Case `memory-train`: peak memory of the training of `train-fp32`, of the largest process on each side.

Together with `train-fp32` nothing is trained again.
"""

from __future__ import annotations

import learning
from cases import Bench, Case, Result, train_fp32


def measure(bench: Bench) -> Result:
    compared = learning.compare(bench, train_fp32.NAME, train_fp32.TRAINING)
    ours, theirs = (compared.sides[who].peak_mib() for who in (learning.OURS, learning.THEIRS))
    return Result(ours, theirs, "MiB", learning.PEER, compared.details(train_fp32.TRAINING))


CASE = Case("peak memory of the training of train-fp32; peer: ClinicaDL 1.6.1", measure)
