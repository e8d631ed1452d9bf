"""Reference vectors of augmentations. Needs TorchIO 0.18, SciPy and SimpleITK, as ClinicaDL 1.6.1 installs them.

usage: augmentations.py
writes augmentations.json beside this file.

Given parameters, TorchIO's deterministic transforms are applied to small images whose spacing is not 1. Their
affine puts the middle of the image at the origin, with axes to the right, to the front and up.
"""
import json
from pathlib import Path

import numpy as np
import SimpleITK as sitk
import torch
import torchio as tio

SPACING = [1.5, 2.0, 1.0]


def image(shape, seed=0):
    """A smooth pattern of 0 to 1, two channels."""
    axes = np.meshgrid(*[np.linspace(0, 1, n) for n in shape], indexing="ij")
    first = 0.5 + 0.5 * np.sin(5 * axes[0] + 3 * axes[1] * axes[2] + seed) * np.cos(4 * axes[1] - axes[2])
    second = (axes[0] + 2 * axes[1] + 3 * axes[2]) / 6
    return np.stack([first, second]).round(4).astype(np.float32)


def subject(voxels):
    affine = np.diag([*SPACING, 1.0])
    affine[:3, 3] = [-s * (n - 1) / 2 for s, n in zip(SPACING, voxels.shape[1:])]
    return tio.Subject(image=tio.ScalarImage(tensor=torch.as_tensor(voxels), affine=affine))


def case(transform, shape, **given):
    voxels = image(shape)
    result = transform(subject(voxels)).image.data.numpy()
    assert result.shape == voxels.shape
    return {
        "shape": shape,
        "image": voxels.flatten().tolist(),
        **given,
        "result": [float(f"{value:.7g}") for value in result.astype(float).flatten()],
    }


def affine(scales, degrees, translation, shape):
    transform = tio.Affine(scales=scales, degrees=degrees, translation=translation)
    return case(transform, shape, scales=scales, degrees=degrees, translation=translation)


def elastic(points, most, shape):
    moves = (np.random.default_rng(1).random([*points, 3]) * 2 - 1) * most
    moves = moves.round(4)
    # Points and displacements are in ITK's space, whose first two axes are opposite to the image's.
    given = (moves[::-1, ::-1] * [-1, -1, 1]).reshape(-1, 3)
    transform = tio.transforms.augmentation.spatial.random_elastic_deformation.ElasticDeformation(
        control_points=moves, max_displacement=(most,) * 3
    )
    return case(transform, shape, points=points, moves=given.tolist())


def anisotropy(axis, factor, shape):
    transform = tio.RandomAnisotropy(axes=(axis,), downsampling=(factor, factor))
    return case(transform, shape, axis=axis, factor=factor)


def bias(order, shape):
    count = (order + 1) * (order + 2) * (order + 3) // 6
    coefficients = ((np.arange(count) * 7919 % 101) / 101 - 0.5).round(4).tolist()
    return case(tio.BiasField(coefficients, order), shape, order=order, coefficients=coefficients)


def ghosting(ghosts, axis, intensity, shape):
    transform = tio.Ghosting(ghosts, axis, intensity, 0.02)
    return case(transform, shape, ghosts=ghosts, axis=axis, intensity=intensity)


def spike(place, intensity, shape):
    # One spike: for more, each is measured by the ones before it there.
    return case(tio.Spike(np.array([place]), intensity), shape, place=place, intensity=intensity)


def motion(degrees, translation, times, shape):
    transform = tio.Motion(
        degrees=np.array(degrees), translation=np.array(translation), times=np.array(times), image_interpolation="linear"
    )
    return case(transform, shape, degrees=degrees, translation=translation, times=times)


def swap(block, first, second, shape):
    transform = tio.Swap(np.array(block), [(np.array(first), np.array(second))])
    return case(transform, shape, block=block, first=first, second=second)


def main():
    small, odd = [8, 7, 6], [9, 6, 5]
    cases = {
        "Affine": [
            affine([1.0, 1.0, 1.0], [0.0, 0.0, 20.0], [0.0, 0.0, 0.0], small),
            affine([1.2, 0.9, 1.1], [10.0, -15.0, 25.0], [1.5, -2.0, 0.7], odd),
        ],
        "Elastic": [elastic([7, 7, 7], 1.5, small), elastic([5, 6, 4], 2.0, odd)],
        "Anisotropy": [anisotropy(0, 2.0, small), anisotropy(0, 3.0, odd), anisotropy(2, 2.5, [4, 5, 10])],
        "BiasField": [bias(3, small), bias(2, odd)],
        "Ghosting": [ghosting(3, 0, 0.7, small), ghosting(3, 1, 1.0, odd), ghosting(2, 2, 0.5, odd)],
        "Spike": [spike([0.7, 0.2, 0.9], 1.5, small), spike([0.1, 0.55, 0.4], 3.0, odd)],
        "Motion": [motion([[3.0, 2.0, 4.0], [2.5, -3.0, 2.0]], [[2.0, 3.0, 1.0], [1.0, 2.5, -2.0]], [0.3, 0.7], small)],
        "RandomSwap": [swap([3, 2, 2], [0, 1, 0], [4, 3, 3], small)],
        "Flip": [case(tio.Flip(axes=[0, 2]), small, axes=[True, False, True])],
        "RandomBlur": [case(tio.Blur(std=[1.0, 2.5, 0.4]), small, std=[1.0, 2.5, 0.4])],
        "Gamma": [case(tio.Gamma(1.3), small, gamma=1.3)],
    }
    versions = {"torchio": tio.__version__, "SimpleITK": sitk.Version.VersionString(), "torch": torch.__version__}
    text = json.dumps({"versions": versions, "spacing": SPACING, "cases": cases}, separators=(",", ":"))
    Path(__file__).with_suffix(".json").write_text(text + "\n")


main()
