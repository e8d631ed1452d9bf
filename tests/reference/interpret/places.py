"""Where parts of images are, by nibabel 5.4: for stages/torch/src/interpret/tests.rs,
stages/torch/src/tests/interpret.rs and stages/src/atlas.rs.

    pip install nibabel==5.4.2 scipy && python places.py
"""
import json
from pathlib import Path

import nibabel as nib
import numpy as np
from nibabel.processing import resample_from_to

AFFINES = {
    "oblique": [[0.9, -0.2, 0.1, 12.0], [0.3, 1.1, -0.4, -7.0], [-0.1, 0.5, 1.3, 30.0], [0, 0, 0, 1]],
    "flipped": [[-2.0, 0, 0, 90.0], [0, 0, 1.5, -126.0], [0, -1.0, 0, 72.0], [0, 0, 0, 1]],
}
SHAPE = (20, 24, 22)
# What `size_reduction` by 2 takes of each axis of an image of 169 x 208 x 179 voxels, as far as there are.
TAKEN = (slice(4, 164, 2), slice(8, 200, 2), slice(8, 168, 2))


def cut(image, *slices):
    # nibabel takes no end beyond the image in steps.
    inside = [slice(s.start, min(s.stop, n), s.step) for s, n in zip(slices, image.shape)]
    part = image.slicer[tuple(inside)]
    return {"shape": list(part.shape), "affine": part.affine.tolist()}


cases = []
for name, affine in AFFINES.items():
    image = nib.Nifti1Image(np.zeros(SHAPE, np.float32), np.array(affine))
    full = [slice(0, n, 1) for n in SHAPE]
    # Patches of 18 voxels, 2 apart: part 5 starts at (0, 2, 2) of (2, 4, 3) places, part 13 at (2, 0, 2).
    patch = [slice(2, 20, 1), slice(0, 18, 1), slice(2, 20, 1)]
    whole = image.slicer[tuple(patch)]
    cases.append({
        "affine": affine,
        "shape": list(SHAPE),
        "image reduced": cut(image, *TAKEN),
        "patch": cut(image, *patch),
        "patch reduced": cut(whole, *TAKEN),
        "slice": cut(image, full[0], slice(7, 8, 1), full[2]),
        "roi": cut(image, slice(3, 9, 1), slice(5, 20, 1), slice(2, 21, 1)),
    })

# A cube that is planted into images of 18 voxels each way: its first voxel of each axis, and its edge.
FIRST, EDGE = (10, 10, 8), 6
index = np.stack(np.meshgrid(*[np.arange(f, f + EDGE) for f in FIRST], indexing="ij"), axis=-1).reshape(-1, 3)
planted = [
    {"name": name, "affine": affine, "cube": nib.affines.apply_affine(np.array(affine), index).round(6).tolist()}
    for name, affine in AFFINES.items()
]

# Labels on a grid of their own, found on another by the nearest voxel.
labels = (np.arange(7 * 6 * 5) * 31 % 11).reshape(7, 6, 5).astype(np.float32)
atlas = nib.Nifti1Image(labels, np.array([[-3.0, 0, 0, 9.1], [0, 3.2, 0.3, -8.3], [0, -0.3, 3.1, -4.7], [0, 0, 0, 1]]))
grid = ((8, 7, 9), np.array([[0, 1.9, 0, -9.4], [0, 0, 1.7, -6.9], [-2.1, 0.1, 0, 6.3], [0, 0, 0, 1]]))
found = resample_from_to(atlas, grid, order=0, mode="constant", cval=0)
nearest = {
    "labels": labels.flatten().tolist(),
    "shape": list(labels.shape),
    "affine": atlas.affine.tolist(),
    "grid": {"shape": list(grid[0]), "affine": grid[1].tolist()},
    "found": np.asarray(found.dataobj).flatten().astype(int).tolist(),
}
path = Path(__file__).with_suffix(".json")
path.write_text(json.dumps({"places": cases, "planted": planted, "nearest": nearest}) + "\n")
