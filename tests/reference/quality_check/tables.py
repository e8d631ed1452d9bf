"""Tables of ClinicaDL's quality checks of a small CAPS, whose images are given by formulas.

Run with ClinicaDL 1.6.1, pandas 1.5.3, nibabel 5.4.2, torch 2.13.0:
    python tables.py
Masks and weights are put where ClinicaDL keeps its downloads, below a home folder of its own. There
are no ties: 1.6.1 leaves their order open.
"""

import json
import os
import tempfile
from pathlib import Path

HOME = Path(tempfile.mkdtemp())
os.environ["HOME"] = str(HOME)

import nibabel as nib
import numpy as np
import torch

from clinicadl.quality_check.pet_linear import quality_check as pet_linear
from clinicadl.quality_check.t1_linear import models, quality_check as t1_linear
from clinicadl.quality_check.t1_volume import quality_check as t1_volume
from networks import tensor
from scores import grid, head

HERE = Path(__file__).parent
SHAPE = (19, 23, 19)
I, J, K = grid(SHAPE)
CACHE = HOME / ".cache" / "clinicadl"


def write(path, values):
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(values.astype(np.float32), np.eye(4)), path)


def pet(n):
    """Bright inside, by more the larger n."""
    inside = (I + J + K) % 3 == 0
    return np.where(inside, 0, 8) + ((7 * I + 3 * J + 11 * K) % 17) * (n + 3) / 8


def pet_mask():
    return ((I + J + K) % 3 == 0).astype(int)


def grey(n):
    """Of n = 0 the template; 1 is nowhere 0; 2 is unlike the template; the maximum of 3 is low."""
    phase, places = I + 2 * J + K, I + J + K
    if n == 2:
        phase, places = 5 * J * J + 7 * K, I * J + 2 * J * K + I
    values = (phase % 16 + 1) * (48 if n == 3 else 64 - n) / 1024
    return values if n == 1 else np.where(places % 3 == 0, values, 0)


def eyes_mask():
    return (I > 10).astype(int)


def session(caps, n):
    return caps / "subjects" / f"sub-{n}" / "ses-M000", f"sub-{n}_ses-M000"


def main():
    caps = HOME / "caps"
    (caps / "groups").mkdir(parents=True)
    space = "space-MNI152NLin2009cSym"
    for n in range(5):
        folder, name = session(caps, n)
        write(
            folder / "pet_linear" / f"{name}_trc-18FFDG_{space}_desc-Crop_res-1x1x1_suvr-pons_pet.nii.gz",
            pet(n),
        )
        write(
            folder / "t1/spm/segmentation/normalized_space"
            / f"{name}_T1w_segm-graymatter_space-Ixi549Space_modulated-off_probability.nii.gz",
            grey(n),
        )
        write(folder / "t1_linear" / f"{name}_{space}_res-1x1x1_T1w.nii.gz", head((19 + n, 23, 21)))
    write(CACHE / "mask/qc_pet_mask_contour.nii.gz", pet_mask())
    write(CACHE / "segmentation/eyes_segmentation.nii.gz", eyes_mask())
    # Two tissues, whose sum is the map of n = 0.
    template = np.stack([grey(0) / 4, grey(0) * 3 / 4], axis=3)
    write(caps / "groups/group-g/t1/group-g_template.nii.gz", template)
    network = models.squeezenet_qc()
    state = {key: tensor(key, value) for key, value in network.state_dict().items()}
    (CACHE / "models").mkdir()
    torch.save(state, CACHE / "models/sq101_darq.pth")

    out = HOME / "out"
    out.mkdir()
    pet_linear.quality_check(
        caps, out / "pet_linear.tsv", "18FFDG", "pons", False, threshold=0.8, n_proc=1
    )
    t1_volume.quality_check(caps, out, "g")
    torch.set_num_threads(1)
    t1_linear.quality_check(
        caps, out / "t1_linear.tsv", threshold=0.566, gpu=False, network="sq101", batch_size=1
    )
    names = ["pet_linear", "QC_metrics", "pass_step-1", "pass_step-2", "pass_step-3", "t1_linear"]
    tables = {name: (out / f"{name}.tsv").read_text() for name in names}
    (HERE / "tables.json").write_text(json.dumps(tables, indent=1) + "\n")
    for name, text in tables.items():
        print(name, text, sep="\n")


if __name__ == "__main__":
    main()
