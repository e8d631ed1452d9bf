"""Case `predict`: a model of ClinicaDL 1.6.1 applied to 8 images that are new to it, by both.

The row is the work without the start of the programs; the JSON has the whole commands.
"""

from __future__ import annotations

import csv
import pathlib
from collections.abc import Mapping, Sequence

import learning
from cases import Bench, Case, Result
from measure import CPUS, BenchError

NAME, GROUP = "predict", learning.GROUP
# One forward pass in float32, by two builds of PyTorch.
TOLERANCE = 1e-5
STAGE = {"uses": "predict", "with": {"data_group": GROUP, "batch_size": learning.BATCH, "n_proc": CPUS}}

Predictions = Mapping[tuple[str, str], Sequence[float]]


def probabilities(maps: pathlib.Path) -> Predictions:
    """What a MAPS says of each session."""
    table = maps / "split-0" / "best-loss" / GROUP / f"{GROUP}_image_level_prediction.tsv"
    with open(table, encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    return {
        (row["participant_id"], row["session_id"]): [float(row[c]) for c in sorted(row) if c.startswith("proba")]
        for row in rows
    }


def check(_: learning.Data, ours: pathlib.Path, theirs: pathlib.Path) -> Mapping[str, object]:
    """Raises unless both have said the same of the same sessions."""
    return {"difference_of_probabilities": difference(probabilities(ours), probabilities(theirs))}


def difference(ours: Predictions, theirs: Predictions) -> float:
    """The greatest; an error if it is too great."""
    if ours.keys() != theirs.keys() or len(ours) != learning.TEST_IMAGES:
        raise BenchError(f"predictions are of {len(ours)} and {len(theirs)} sessions, not of {learning.TEST_IMAGES}")
    pairs = [pair for key in ours for pair in zip(ours[key], theirs[key], strict=True)]
    return learning.greatest((abs(a - b) for a, b in pairs), TOLERANCE, "probabilities")


def measure(bench: Bench) -> Result:
    return learning.apply(bench, NAME, STAGE, [], check)


CASE = Case("Conv5_FC3 applied to 8 whole images; peer: ClinicaDL 1.6.1", measure)
