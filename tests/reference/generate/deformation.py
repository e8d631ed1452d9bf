"""A small image, a displacement field at knots, and the image that scipy resamples with it. Run with a Python
that has numpy (seen with 1.26.4) and scipy (seen with 1.11.4).

usage: deformation.py   (writes deformation.json beside itself)

Displacements between knots, and intensities between voxels, are interpolated linearly; outside, the image
goes on as at its border. Numbers are float32 and flattened in C order.
"""
import json, os
import numpy as np, scipy
from scipy.ndimage import map_coordinates
here = os.path.dirname(os.path.abspath(__file__))
rng = np.random.default_rng(0)
shape, knots = (7, 9, 8), (3, 4, 2)
image = rng.normal(100, 30, shape).astype(np.float32)
fields = rng.normal(0, 2, (3, *knots)).astype(np.float32)
grid = np.meshgrid(*[np.arange(n, dtype=float) for n in shape], indexing="ij")
at_knots = [g * (k - 1) / (n - 1) for g, k, n in zip(grid, knots, shape)]
moved = [g + map_coordinates(f.astype(float), at_knots, order=1, mode="nearest") for g, f in zip(grid, fields)]
result = map_coordinates(image.astype(float), moved, order=1, mode="nearest")
flat = lambda a: [float(v) for v in np.ravel(a)]
json.dump({"numpy": np.__version__, "scipy": scipy.__version__, "shape": shape, "knots": knots,
           "image": flat(image), "fields": [flat(f) for f in fields], "result": flat(result)},
          open(os.path.join(here, "deformation.json"), "w"))
