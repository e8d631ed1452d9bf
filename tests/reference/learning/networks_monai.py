"""Reference vectors of the networks of MONAI. Needs MONAI 1.5 beside what networks_1_6.py needs.

usage: networks_monai.py
writes networks_monai.json beside this file, as networks_1_6.py does.
"""
from monai.networks import nets

from networks_1_6 import case, write


def densenet(name, size, outputs, **options):
    axes = len(size) - 1
    make = lambda: getattr(nets, name)(spatial_dims=axes, in_channels=size[0], out_channels=outputs, **options)
    return lambda **more: case(name, size, make, options, outputs=outputs, is_normal=True, **more)


def cases():
    # In the last block, maps have eight voxels or more: batch norms of fewer numbers are ill-conditioned.
    yield densenet("DenseNet121", [1, 64, 61, 66], 2)()
    yield densenet("DenseNet121", [3, 96, 100], 3, init_features=32, growth_rate=16, bn_size=2)()
    yield densenet("DenseNet169", [1, 64, 64], 1)(with_outputs=False)
    yield densenet("DenseNet201", [1, 64, 64], 1)(with_outputs=False)


write("networks_monai.json", cases())
