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
# Of the greatest voxel of a map: one backward pass in float32, by two builds of PyTorch.
TOLERANCE = 1e-5
PARAMETERS = {"method": "gradients", "name": MAPS, "data_group": GROUP, "batch_size": learning.BATCH, "n_proc": CPUS}
STAGE = {"uses": "interpret", "with": PARAMETERS}


def check(data: learning.Data, ours: pathlib.Path, theirs: pathlib.Path) -> Mapping[str, object]:
    """Raises unless both have made the same maps."""
    python = data.bench.peer(learning.PEER).parent / "python"
    folders = [maps / "split-0" / "best-loss" / GROUP / f"interpret-{MAPS}" for maps in (ours, theirs)]
    command = [str(python), "-W", "ignore", str(learning.SAME_MAPS), *map(str, folders)]
    found = json.loads(data.place.run(command).expect_success("the maps of both programs").stdout)
    # One of each image, and their mean.
    if found["maps"] != learning.TEST_IMAGES + 1:
        raise BenchError(f"both made {found['maps']} maps")
    return {"maps": found["maps"], "difference_of_maps": learning.greatest([found["difference"]], TOLERANCE, "maps")}


def measure(bench: Bench) -> Result:
    options = [MAPS, "gradients", "--save_individual", "--save_nifti"]
    return learning.apply(bench, NAME, STAGE, options, check)


CASE = Case("gradients of Conv5_FC3 for 8 whole images; peer: ClinicaDL 1.6.1", measure)
