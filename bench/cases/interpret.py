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
# taken follows from rounding, and some hundred voxels round such a place change. So nearly all voxels must be
# equal within 1e-5 of the greatest, and all of a map together within some percent of its length. Where a map
# differs more, the same network in 64 bits decides: ours must not be further from it than twice the peer's, or
# than what two maps may differ by.
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
    allowed = max(LENGTH, TIMES_THE_PEER * found["theirs_off"])
    learning.greatest([found["ours_off"]], allowed, "our map and the gradient in 64 bits")
    learning.greatest([found["different_voxels"]], DIFFERENT_VOXELS, "parts of the voxels of maps")
    return found


def measure(bench: Bench) -> Result:
    options = [MAPS, "gradients", "--save_individual", "--save_nifti"]
    return learning.apply(bench, NAME, STAGE, options, check)


CASE = Case("gradients of Conv5_FC3 for 8 whole images; peer: ClinicaDL 1.6.1", measure)
