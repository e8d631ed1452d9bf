"""What TorchIO draws for its augmentations, and how much it changes an image. Needs what augmentations.py needs.

usage: augmentation_draws.py
writes augmentation_draws.json beside this file.

Of every number that a transform draws, and of mean, deviation and change of an image that it changed, quantiles of
many draws are kept: two programs that draw alike have the same ones, but for what chance does. The image vanishes
towards its edges, so that what comes from outside of it does not matter.
"""
import json
from pathlib import Path

import numpy as np
import torch
import torchio as tio

DRAWS, IMAGES, QUANTILES = 20_000, 2_000, 64
SHAPE, SPACING = [16, 20, 14], [1.5, 2.0, 1.0]
# Of long axes the last place, which TorchIO does not draw, is one of many.
SWAPPED = [200, 240, 180]


def image():
    """Smooth, other on every side, 0 at the edges."""
    axes = np.meshgrid(*[np.linspace(0, 1, n) for n in SHAPE], indexing="ij")
    inside = np.prod([np.clip(1.5 * np.sin(np.pi * axis) - 0.5, 0, 1) for axis in axes], axis=0)
    pattern = 1 + axes[0] + 0.5 * axes[1] * axes[2] + 0.3 * np.sin(9 * axes[0] + 7 * axes[1] - 5 * axes[2])
    return (inside * pattern).round(4).astype(np.float32)


def quantiles(values):
    levels = np.linspace(0, 1, QUANTILES + 1)
    return [float(f"{value:.6g}") for value in np.quantile(np.asarray(values, float), levels, method="inverted_cdf")]


def by_column(rows, names):
    return {name: quantiles(column) for name, column in zip(names, zip(*rows))}


def triples(*names):
    return [f"{name}.{axis}" for name in names for axis in range(3)]


def drawn():
    """Numbers by the names that the test gives them."""
    affine = tio.RandomAffine(scales=(0.8, 1.3), degrees=(-5, 20), translation=(-3, 6))
    ghosting, elastic = tio.RandomGhosting(), tio.RandomElasticDeformation()
    anisotropy, blur = tio.RandomAnisotropy(), tio.RandomBlur()
    motion, spike = tio.RandomMotion(degrees=(2, 4), translation=(-1, 4), num_transforms=3), tio.RandomSpike(num_spikes=(1, 4))
    tensor, block = torch.zeros(1, *SWAPPED), np.array([5, 5, 5])

    def flat(*parts):
        return [float(x) for part in parts for x in np.asarray(part, float).flatten()]

    draw = {
        "Affine": (
            triples("scale", "degree", "translation"),
            lambda: flat(*affine.get_params(affine.scales, affine.degrees, affine.translation, False)),
        ),
        "Anisotropy": (["axis", "factor"], lambda: anisotropy.get_params(anisotropy.axes, anisotropy.downsampling_range)),
        "BiasField": (["first", "last"], lambda: np.array(tio.RandomBiasField().get_params(3, (-0.2, 0.5)))[[0, -1]]),
        "Elastic": (
            triples("moves"),
            lambda: flat(elastic.get_params((7, 7, 7), (7.5, 7.5, 7.5), 2)[3, 2, 4]),
        ),
        "Flip": (["0", "1", "2"], lambda: flat(tio.RandomFlip.get_params(0.3))),
        "Gamma": (["gamma"], lambda: [tio.RandomGamma().get_params((-0.3, 0.5))]),
        "Ghosting": (["ghosts", "axis", "intensity"], lambda: flat(ghosting.get_params((4, 10), (0, 1, 2), (0.5, 1)))),
        "Motion": (
            ["first time", "last time", "degree", "translation"],
            lambda: (lambda t, d, m: [t[0], t[-1], d[1, 2], m[2, 0]])(*motion.get_params((2, 4), (-1, 4), 3)),
        ),
        "Noise": (["std"], lambda: [tio.RandomNoise().get_params((0, 0), (0.02, 0.1))[1]]),
        "RandomBlur": (triples("std"), lambda: flat(blur.get_params(blur.std_ranges))),
        "RandomSwap": (
            triples("first", "second"),
            lambda: flat(*tio.RandomSwap.get_params(tensor, block, 1)[0]),
        ),
        "Spike": (
            ["spikes", *triples("place"), "intensity"],
            lambda: (lambda places, intensity: flat([len(places)], places[-1], [intensity]))(*spike.get_params((1, 4), (1, 3))),
        ),
    }
    return {name: by_column([one() for _ in range(DRAWS)], names) for name, (names, one) in draw.items()}


def changed():
    """Statistics of images with the options that the test takes."""
    voxels = image()
    affine = np.diag([*SPACING, 1.0])
    affine[:3, 3] = [-s * (n - 1) / 2 for s, n in zip(SPACING, SHAPE)]
    subject = tio.Subject(image=tio.ScalarImage(tensor=torch.as_tensor(voxels)[None], affine=affine))
    transforms = {
        "Affine": tio.RandomAffine(scales=(0.8, 1.3), degrees=(-20, 20), translation=(-3, 3)),
        "Anisotropy": tio.RandomAnisotropy(downsampling=(1.5, 5)),
        "BiasField": tio.RandomBiasField(),
        "Elastic": tio.RandomElasticDeformation(max_displacement=5, locked_borders=0),
        "Flip": tio.RandomFlip(axes=(0, 1, 2), flip_probability=0.3),
        "Gamma": tio.RandomGamma(),
        "Ghosting": tio.RandomGhosting(),
        "Motion": tio.RandomMotion(degrees=(2, 14), translation=(-4, 4)),
        "Noise": tio.RandomNoise(std=(0.02, 0.1)),
        "RandomBlur": tio.RandomBlur(),
        "RandomSwap": tio.RandomSwap(patch_size=3, num_iterations=10),
        "Spike": tio.RandomSpike(),
    }
    found = {}
    for name, transform in transforms.items():
        rows = []
        for _ in range(IMAGES):
            result = transform(subject).image.data.numpy().astype(float)[0]
            rows.append([result.mean(), result.std(), np.sqrt(((result - voxels) ** 2).mean())])
        found[name] = by_column(rows, ["mean", "deviation", "change"])
    return found


torch.manual_seed(0)
reference = {
    "versions": {"torchio": tio.__version__, "torch": torch.__version__},
    "draws": DRAWS,
    "drawn": drawn(),
    "swapped": SWAPPED,
    "images": IMAGES,
    "shape": SHAPE,
    "spacing": SPACING,
    "image": [float(f"{x:.4f}") for x in image().flatten()],
    "changed": changed(),
}
Path(__file__).with_suffix(".json").write_text(json.dumps(reference, separators=(",", ":")) + "\n")
