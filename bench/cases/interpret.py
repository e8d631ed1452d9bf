"""Case `interpret`: gradients of a model of ClinicaDL 1.6.1 for 8 images that are new to it, by both.

Both write the map of each image and their mean, as tensors and as NIfTI. The row is the work without the
start of the programs; the JSON has the whole commands.
"""

from __future__ import annotations

import json
import pathlib
from collections.abc import Mapping

import learning
from cases import Bench, Case, Result
from measure import CPUS, BenchError

NAME, GROUP, MAPS = "interpret", learning.GROUP, "saliency"
# Gradients jump where two voxels of a maximum are nearly equal, or what a ReLU gets is nearly 0: which side is
# taken follows from rounding, and some hundred voxels round such a place change. So two programs that round
# otherwise have other maps, and the same network in 64 bits decides between them: of the map that differs most,
# ours must be as near to it as that of the peer, twice the distance allowed. Where hardly anything is rounded
# otherwise, both differ from it by little.
LENGTH, DIFFERENT_VOXELS, TIMES_THE_PEER = 0.02, 0.05, 2.0
# What both explain unless they are told another one.
NODE = 0
PARAMETERS = {"method": "gradients", "name": MAPS, "data_group": GROUP, "batch_size": learning.BATCH, "n_proc": CPUS}
STAGE = {"uses": "interpret", "with": PARAMETERS}


def check(data: learning.Data, ours: pathlib.Path, theirs: pathlib.Path) -> Mapping[str, object]:
    """Raises unless both have made the same maps."""
    python = data.bench.peer(learning.PEER).parent / "python"
    folders = [maps / "split-0" / "best-loss" / GROUP / f"interpret-{MAPS}" for maps in (ours, theirs)]
    command = [str(python), "-W", "ignore", str(learning.SAME_MAPS), *map(str, folders)]
    command += [str(theirs), str(data.caps), str(NODE)]
    found: dict[str, float] = json.loads(data.place.run(command).expect_success("the maps of both programs").stdout)
    # One of each image, and their mean.
    if found["maps"] != learning.TEST_IMAGES + 1:
        raise BenchError(f"both made {found['maps']} maps")
    for what, least in (("off", LENGTH), ("different", DIFFERENT_VOXELS)):
        allowed = max(least, TIMES_THE_PEER * found[f"theirs_{what}"])
        learning.greatest([found[f"ours_{what}"]], allowed, f"our map and the gradient in 64 bits ({what})")
    data.bench.log(f"beside 64 bits: {found}")
    return found


def measure(bench: Bench) -> Result:
    options = [MAPS, "gradients", "--save_individual", "--save_nifti"]
    return learning.apply(bench, NAME, STAGE, options, check)


CASE = Case("gradients of Conv5_FC3 for 8 whole images; peer: ClinicaDL 1.6.1", measure)
