"""Case `prepare-data-patch`: the patches of 24 T1 images at full size, written, beside ClinicaDL 1.6.1."""

from __future__ import annotations

import extraction
from cases import Bench, Case, Result

SIZE, STRIDE = 50, 50


def measure(bench: Bench) -> Result:
    ours = ["mode=patch", "save_features=true", f"patch_size={SIZE}", f"stride_size={STRIDE}"]
    theirs = ["patch", "--save_features", "-ps", str(SIZE), "-ss", str(STRIDE)]
    return extraction.measure(bench, extraction.Mode(ours, theirs, "patch_based"))


CASE = Case("extraction of the patches (50, stride 50) of 24 images; peer: ClinicaDL 1.6.1", measure)
