"""Case `prepare-data`: from 24 T1 images at full size to tensors, beside ClinicaDL 1.6.1."""

from __future__ import annotations

import extraction
from cases import Bench, Case, Result


def measure(bench: Bench) -> Result:
    return extraction.measure(bench, extraction.Mode([], ["image"], "image_based"))


CASE = Case("extraction of 24 whole images of 169x208x179; peer: ClinicaDL 1.6.1", measure)
