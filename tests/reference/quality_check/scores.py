"""Vectors of the quality checks that need no network: views, similarity, PET score.

Run with ClinicaDL 1.6.1, numpy 1.26.4, scikit-image 0.21.0, scipy 1.11.4, torch 2.13.0:
    python scores.py
Volumes are given by formulas, which the tests repeat.
"""

import json
import logging
from pathlib import Path

import nibabel as nib
import numpy as np

from clinicadl.quality_check.pet_linear.utils import get_metric
from clinicadl.quality_check.t1_linear.utils import QCDataset
from clinicadl.quality_check.t1_volume.utils import nmi

logging.disable(logging.CRITICAL)
HERE = Path(__file__).parent


def grid(shape):
    return np.meshgrid(*[np.arange(n, dtype=np.int64) for n in shape], indexing="ij")


def head(shape):
    i, j, k = grid(shape)
    return ((i**2 + 2 * j**2 + 3 * i * k + 5 * k) % 101).astype(np.float32)


def views(shape):
    image = nib.Nifti1Image(head(shape), np.eye(4))
    got = QCDataset.nii_transform(image)[0].numpy()
    flat = got.ravel()
    return {
        "shape": shape,
        "sums": [float(view.sum(dtype=np.float64)) for view in got],
        "every": 211,
        "pixels": [float(value) for value in flat[::211]],
    }


def main():
    i, j, k = grid((19, 23, 19))
    a = ((5 * i + 2 * j + k) % 23) / 22
    b = ((i + j**2 + 3 * k) % 19) / 18
    constant = np.zeros_like(a)
    similarity = {
        "a_b": nmi(a, b),
        "b_a": nmi(b, a),
        "a_a": nmi(a, a),
        "a_squared": nmi(a, a**2),
        "a_constant": nmi(a, constant),
        "shifted": nmi(a * 3 - 1, b * 0.1 + 7),
    }
    pet = ((7 * i + 3 * j + 11 * k) % 17).astype(float)
    ones = ((i + j + k) % 3 == 0).astype(float)
    parts = ((i + 2 * j + k) % 5) / 2  # 0, 0.5, 1, 1.5, 2
    scores = {
        "ones": get_metric(ones, pet, ones.sum()),
        "parts": get_metric(parts, pet, parts.sum()),
        "negative": get_metric(ones, pet - 5, ones.sum()),
    }
    document = {
        # The last ones shrink along one axis, along both, and by no whole number.
        "views": [
            views(shape)
            for shape in [(19, 23, 19), (64, 40, 51), (30, 300, 41), (290, 7, 517)]
        ],
        "similarity": similarity,
        "pet": scores,
    }
    text = json.dumps(document)
    (HERE / "scores.json").write_text(text + "\n")


if __name__ == "__main__":
    main()
