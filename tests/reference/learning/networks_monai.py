"""Reference vectors of the networks of MONAI. Needs MONAI 1.5 and PyTorch 2.13.

usage: networks_monai.py
writes networks_monai.json beside this file, as networks_1_6.py does.
"""
from monai.networks import nets

from cases import case, write


def network(name, size, outputs, options=None, python=None, kind=None, is_normal=True):
    """Cases of a class of MONAI, with our options and Python's."""
    options = options or {}
    python = options if python is None else python
    given = {"spatial_dims": len(size) - 1, "in_channels": size[0], "num_classes": outputs, **python}
    if "out_channels" in given:
        del given["num_classes"]
    make = lambda: getattr(nets, kind or name)(**given)
    return lambda **more: case(name, size, make, options, outputs=outputs, is_normal=is_normal, **more)


def densenet(name, size, outputs, **options):
    return network(name, size, outputs, options, {**options, "out_channels": outputs})


def senet(name, size, outputs):
    """Without the dropout of 0.2 that the larger ones have, and SEResNet50 has not."""
    return network(name, size, outputs, {}, {"dropout_prob": None})


def resnet(name, size, outputs, blocks, **options):
    kind = "basic" if name in ("ResNet18", "ResNet34") else "bottleneck"
    planes = nets.resnet.get_inplanes()
    python = {"block": kind, "layers": blocks, "block_inplanes": planes, "n_input_channels": size[0], **options}

    class Network(nets.ResNet):
        def __init__(self, in_channels, **more):
            super().__init__(**more)

    setattr(nets, "Network", Network)
    return network(name, size, outputs, options, python, "Network")


def unet(name, size, kind, **options):
    python = {
        "channels": (16, 32, 64, 128, 256),
        "strides": (2, 2, 2, 2),
        **options,
        "out_channels": size[0],
    }
    return network(name, size, 0, options, python, kind, is_normal=False)


class Vit(nets.ViT):
    """The first of its results is the prediction."""

    def __init__(self, size, patch_size=16, **options):
        super().__init__(img_size=size, patch_size=patch_size, classification=True, **options)

    def forward(self, x):
        return super().forward(x)[0]


def vit(size, outputs, tanh=False, **options):
    after = "Tanh" if tanh else "none"
    make = lambda: Vit(
        size[1:], spatial_dims=len(size) - 1, in_channels=size[0], num_classes=outputs, post_activation=after, **options
    )
    return lambda **more: case(
        "ViT", size, make, {"tanh": tanh, **options}, outputs=outputs, is_normal=True, **more
    )


def cases():
    # In the last block, maps have eight voxels or more: batch norms of fewer numbers are ill-conditioned.
    yield densenet("DenseNet121", [1, 64, 61, 66], 2)()
    yield densenet("DenseNet121", [3, 96, 100], 3, init_features=32, growth_rate=16, bn_size=2)()
    for size in ([1, 64, 64], [2, 96, 64]):
        yield densenet("DenseNet169", size, 1)(with_tensors=False)
    for size in ([1, 64, 64], [2, 96, 64]):
        yield densenet("DenseNet201", size, 1)(with_tensors=False)
    yield resnet("ResNet18", [1, 33, 40, 35], 2, [2, 2, 2, 2], widen_factor=0.125)()
    yield resnet("ResNet18", [3, 66, 64], 2, [2, 2, 2, 2])(with_tensors=False)
    small = {"conv1_t_size": 3, "conv1_t_stride": 2, "no_max_pool": True, "bias_downsample": False}
    yield resnet("ResNet34", [3, 65, 70], 3, [3, 4, 6, 3], widen_factor=0.25, **small)()
    yield resnet("ResNet34", [1, 34, 40, 33], 2, [3, 4, 6, 3])(with_tensors=False)
    yield resnet("ResNet50", [1, 33, 37, 34], 2, [3, 4, 6, 3], widen_factor=0.125)()
    yield resnet("ResNet50", [2, 70, 65], 1, [3, 4, 6, 3], widen_factor=0.25)()
    for size in ([1, 64, 64], [2, 96, 64]):
        yield resnet("ResNet101", size, 2, [3, 4, 23, 3])(with_tensors=False)
    for size in ([1, 64, 64], [2, 96, 64]):
        yield resnet("ResNet152", size, 2, [3, 8, 36, 3])(with_tensors=False)
    yield network("SEResNet50", [1, 66, 71, 68], 2)()
    yield network("SEResNet50", [3, 70, 81], 1)()
    for size in ([1, 64, 64], [2, 96, 64]):
        yield senet("SEResNet101", size, 2)(with_tensors=False)
    for size in ([1, 64, 64], [2, 96, 64]):
        yield senet("SEResNet152", size, 2)(with_tensors=False)
    few = {"channels": [4, 6, 8], "strides": [2, 2]}
    yield unet("UNet", [1, 24, 20, 28], "UNet", **few)()
    yield unet("UNet", [2, 24, 40], "UNet", **few, num_res_units=2, act="relu", norm="batch", kernel_size=5)()
    yield unet("UNet", [1, 20, 24, 16], "UNet", **few, num_res_units=1, up_kernel_size=5, act="elu")()
    yield unet("UNet", [1, 32, 32, 32], "UNet")(with_tensors=False, with_outputs=False)
    yield unet("AttentionUNet", [1, 24, 20, 28], "AttentionUnet", **few)()
    yield unet("AttentionUNet", [3, 48, 40], "AttentionUnet", channels=[4, 6, 8, 10], strides=[2, 1, 2])()
    yield unet("AttentionUNet", [1, 32, 32, 32], "AttentionUnet")(with_tensors=False, with_outputs=False)
    tiny = {"patch_size": 8, "hidden_size": 24, "mlp_dim": 40, "num_layers": 2, "num_heads": 3}
    yield vit([1, 24, 16, 33], 2, **tiny)()
    yield vit([3, 24, 40], 1, tanh=True, qkv_bias=True, **tiny)()
    yield vit([1, 32, 32, 32], 2)(with_tensors=False, with_outputs=False)


write("networks_monai.json", cases())
