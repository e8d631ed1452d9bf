#!/usr/bin/env python3
"""A small CAPS made from the ICBM152 template, with two classes that a network can tell apart.

usage: make_caps.py OUT N STEP         N participants, every STEP-th voxel of the t1-linear grid

Each brain is the template deformed by a smooth random field; that of AD participants is darker round the
hippocampi. Every third image is stored as int16 with a slope, the others as float32. OUT gets
`labels.tsv` (all but the last quarter of the participants, two sessions each) and `test.tsv` (the others,
one session each). Needs numpy, scipy, nibabel and nilearn, as ClinicaDL 1.6.1 has them.
"""

import pathlib
import sys

import nibabel
import nilearn
import numpy as np
from scipy.ndimage import gaussian_filter, map_coordinates, zoom

TEMPLATE = "datasets/data/mni_icbm152_t1_tal_nlin_sym_09a_converted.nii.gz"
GRID = (169, 208, 179)
HIPPOCAMPI_MM = [(-26, -22, -14), (26, -22, -14)]
RADIUS_MM = 12.0
FIELD_MM = 10.0
COLUMNS = ("participant_id", "session_id", "diagnosis", "sex", "age")


def template(step):
    """Every `step`-th voxel of the template on the grid of t1-linear, and its affine."""
    image = nibabel.load(pathlib.Path(nilearn.__file__).parent / TEMPLATE)
    first = [(size - wanted) // 2 for size, wanted in zip(image.shape, GRID)]
    cut = tuple(slice(start, start + wanted, step) for start, wanted in zip(first, GRID))
    affine = image.affine.copy()
    affine[:3, 3] = nibabel.affines.apply_affine(image.affine, first)
    affine[:3, :3] *= step
    return image.get_fdata()[cut].astype(np.float32), affine


def darkening(shape, affine, radius_mm):
    """A factor per voxel, below 1 round the hippocampi."""
    voxels = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), axis=-1)
    places = nibabel.affines.apply_affine(affine, voxels)
    factor = np.ones(shape)
    for centre in HIPPOCAMPI_MM:
        squared = ((places - centre) ** 2).sum(axis=-1)
        factor -= 0.45 * np.exp(-squared / (2 * radius_mm**2))
    return factor


def deformed(volume, step, rng):
    """The volume seen through a smooth random displacement."""
    coarse = [max(2, size * step // int(FIELD_MM)) for size in volume.shape]
    scale = [size / small for size, small in zip(volume.shape, coarse)]
    places = np.meshgrid(*map(np.arange, volume.shape), indexing="ij")
    for axis in range(3):
        field = zoom(gaussian_filter(rng.standard_normal(coarse), 1.2), scale, order=1)
        places[axis] = places[axis] + field * FIELD_MM / step
    return map_coordinates(volume, places, order=1, mode="nearest")


def make_caps(out, n_participants, step, radius_mm=RADIUS_MM):
    """Writes the images and tables."""
    out = pathlib.Path(out)
    volume, affine = template(step)
    factor = darkening(volume.shape, affine, radius_mm)
    rows = {"labels": [], "test": []}
    n_images = 0
    for i in range(n_participants):
        rng = np.random.default_rng((0, i))
        participant, diagnosis, sex = f"sub-{i:03}", ("CN", "AD")[i % 2], "MF"[i // 2 % 2]
        age = round(rng.uniform(60, 85), 1)
        brain = deformed(volume * (factor if diagnosis == "AD" else 1), step, rng)
        table = "test" if i >= n_participants - n_participants // 4 else "labels"
        for months in (0,) if table == "test" else (0, 12):
            session = f"ses-M{months:03}"
            values = brain * (1 + 0.05 * rng.standard_normal()) + rng.normal(0, 2, volume.shape)
            image = nibabel.Nifti1Image(np.clip(values, 0, None).astype(np.float32), affine)
            if n_images % 3 == 2:
                image.set_data_dtype(np.int16)
            folder = out / "subjects" / participant / session / "t1_linear"
            folder.mkdir(parents=True)
            name = f"{participant}_{session}_space-MNI152NLin2009cSym_desc-Crop_res-1x1x1_T1w.nii.gz"
            nibabel.save(image, folder / name)
            rows[table].append((participant, session, diagnosis, sex, round(age + months / 12, 1)))
            n_images += 1
    for table, content in rows.items():
        lines = ["\t".join(map(str, row)) + "\n" for row in [COLUMNS, *content]]
        (out / f"{table}.tsv").write_text("".join(lines))


if __name__ == "__main__":
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    make_caps(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
