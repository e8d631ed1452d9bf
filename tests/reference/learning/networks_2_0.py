"""Reference vectors of the configurable networks of ClinicaDL 2.0. Needs clinicadl 2.0.0 and MONAI 1.5.

usage: networks_2_0.py
writes networks_2_0.json beside this file, as networks_1_6.py does. Its variational autoencoder adds the
deviation to the mean where nothing is drawn; here the code is the mean then.
"""
import math

import torch

from clinicadl.networks.nn import CNN, MLP, VAE, AutoEncoder

from cases import case, write

ORDER = ("prediction", "mean", "log_variance")


def reparameterize(self, mean, log_variance):
    deviation = torch.exp(0.5 * log_variance)
    return torch.randn_like(deviation).mul(deviation).add_(mean) if self.training else mean


VAE.reparameterize = reparameterize


def by_axis(numbers):
    """Ours are lists by layer, of lists by axis, or the latter for all layers; there those are tuples."""
    if isinstance(numbers, dict):
        return tuple(numbers["axes"])
    return [tuple(n) if isinstance(n, list) else n for n in numbers] if isinstance(numbers, list) else numbers


def named(value):
    """A norm with its groups, or none."""
    if isinstance(value, dict):
        return ("group", {"num_groups": value["group"]})
    return None if value == "none" else value


def python_args(args):
    """Our options of convolutions as those of ClinicaDL, of which lists are by layer too."""
    args = dict(args)
    for key in ("kernel_size", "stride", "padding", "dilation"):
        if key in args:
            args[key] = by_axis(args[key])
    for key in ("norm", "act"):
        if key in args:
            args[key] = named(args[key])
    return {**{k: v for k, v in args.items() if k != "pooling"}, "pooling": (args.get("pooling", "max"), {"kernel_size": 2})}


def cases():
    few = {"hidden_dims": [10, 7]}
    for size, args in (([1, 6, 7, 5], few), ([2, 9, 8], {**few, "norm": "layer", "act": "elu", "bias": False})):
        make = lambda: MLP(num_inputs=math.prod(size), num_outputs=3, **args)
        yield case("MLP", size, make, {"mlp_args": args}, outputs=3)
    plain = {"channels": [4, 6, 5], "pooling_indices": [0, 1], "padding": 1}
    mixed = {
        "channels": [4, 6], "kernel_size": [5, 3], "stride": [2, 1], "padding": [2, 0], "pooling": "avg",
        "pooling_indices": [-1, 1], "act": "relu", "norm": "batch", "bias": False,
    }
    for size, args in (([1, 17, 19, 14], plain), ([3, 44, 39], mixed)):
        options = {"conv_args": args, "mlp_args": few}
        make = lambda: CNN(in_shape=size, num_outputs=2, conv_args=python_args(args), mlp_args=few)
        yield case("CNN", size, make, options, outputs=2)
        mode = {"unpooling_mode": "trilinear" if len(size) == 4 else "nearest"}
        for name, kind in (("AutoEncoder", AutoEncoder), ("VAE", VAE)):
            make = lambda: kind(size, 9, python_args(args), few, **mode)
            order = ORDER if name == "VAE" else ORDER[:1]
            yield case(name, size, make, {"latent_size": 9, **options, **mode}, order=order)
    # Numbers by axis, groups, and dilation.
    args = {
        "channels": [4, 6, 4], "kernel_size": [[3, 1, 5], 2, [1, 2, 3]], "stride": {"axes": [1, 2, 1]},
        "padding": [[1, 0, 2], 1, 0], "dilation": [1, [1, 2, 1], 1], "norm": {"group": 2}, "act": "mish",
    }
    few = {"hidden_dims": [8, 6], "norm": {"group": 2}, "act": "selu"}
    python = {**few, "norm": named(few["norm"])}
    options = {"conv_args": args, "mlp_args": few}
    make = lambda: CNN(in_shape=[1, 9, 12, 10], num_outputs=2, conv_args=python_args(args), mlp_args=python)
    yield case("CNN", [1, 9, 12, 10], make, options, outputs=2)
    make = lambda: AutoEncoder([1, 9, 12, 10], 5, python_args(args), python)
    yield case("AutoEncoder", [1, 9, 12, 10], make, {"latent_size": 5, **options})
    # Every other activation, and none.
    for act in ("celu", "leakyrelu", "logsoftmax", "relu6", "sigmoid", "softmax", "tanh", "gelu", "none"):
        args = {"channels": [3, 2], "norm": "none", "act": act}
        few = {"hidden_dims": [5], "norm": "none", "act": act}
        python = {**few, "norm": None, "act": named(act)}
        make = lambda: CNN(in_shape=[1, 7, 6], num_outputs=2, conv_args=python_args(args), mlp_args=python)
        yield case("CNN", [1, 7, 6], make, {"conv_args": args, "mlp_args": few}, outputs=2)
    # Without hidden layers, and stride 2 on odd and even axes.
    args = {"channels": [4, 5], "stride": 2, "padding": 1}
    for name, kind in (("AutoEncoder", AutoEncoder), ("VAE", VAE)):
        make = lambda: kind([1, 21, 16], 6, python_args(args))
        order = ORDER if name == "VAE" else ORDER[:1]
        yield case(name, [1, 21, 16], make, {"latent_size": 6, "conv_args": args}, order=order)


def layered():
    """`torch.nn.Sequential`, which a manifest can list layer by layer."""
    nn = torch.nn
    listed = [
        {"conv": {"channels": 4, "stride": 2, "padding": 1}}, "batch_norm", "relu", {"max_pool": {"kernel": 2}},
        {"conv": {"channels": 6, "kernel": 2, "bias": False}}, "instance_norm", "prelu", "avg_pool", "gelu",
        "flatten", {"dropout": 0.0}, {"linear": 7}, "batch_norm", "tanh", {"linear": "outputs"},
    ]
    make = lambda: nn.Sequential(
        nn.Conv3d(1, 4, 3, stride=2, padding=1), nn.BatchNorm3d(4), nn.ReLU(), nn.MaxPool3d(2),
        nn.Conv3d(4, 6, 2, bias=False), nn.InstanceNorm3d(6), nn.PReLU(), nn.AvgPool3d(2), nn.GELU(),
        nn.Flatten(), nn.Dropout(0.0), nn.Linear(6 * 2 * 2 * 1, 7), nn.BatchNorm1d(7), nn.Tanh(), nn.Linear(7, 3),
    )
    yield case("Layers", [1, 21, 20, 14], make, {"layers": listed}, outputs=3)
    listed = [
        {"conv": {"channels": 5}}, "elu", {"max_pool": {"kernel": 3, "stride": 2, "padding": 1}}, "leaky_relu",
        "upsample", {"conv_transpose": {"channels": 2, "kernel": 3}}, "sigmoid",
    ]
    make = lambda: nn.Sequential(
        nn.Conv2d(2, 5, 3), nn.ELU(), nn.MaxPool2d(3, stride=2, padding=1), nn.LeakyReLU(),
        nn.Upsample(scale_factor=2.0), nn.ConvTranspose2d(5, 2, 3), nn.Sigmoid(),
    )
    yield case("Layers", [2, 16, 12], make, {"layers": listed})


write("networks_2_0.json", [*cases(), *layered()])
