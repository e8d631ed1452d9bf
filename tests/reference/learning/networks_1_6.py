"""Reference vectors of the networks of ClinicaDL 1.6.1. Needs ClinicaDL 1.6.1 and PyTorch 2.13.

usage: networks_1_6.py
writes networks_1_6_cnn.json, networks_1_6_autoencoder.json and networks_1_6_vae.json beside this file.

Weights are drawn after `torch.manual_seed(seed)` by the Python class. A batch of numbered images passes through
the network in training mode, after another seed, and then in evaluation mode. Of every tensor the first numbers,
its product with numbered weights and its length are kept. Classes that ClinicaDL cannot build are built from its
source with the defect repaired (`repaired`), and those that it builds for one large size only are written out here
for any size; at that size names, shapes and first weights are those of its own class.
"""
import inspect
import math

import torch
from clinicadl.utils.network.autoencoder import models as autoencoders
from clinicadl.utils.network.autoencoder.models import AE_Conv4_FC3, AE_Conv5_FC3
from clinicadl.utils.network.cnn.models import (
    Conv4_FC3,
    Conv5_FC3,
    ResNet3D,
    SqueezeExcitationCNN,
    Stride_Conv5_FC3,
)
from clinicadl.utils.network.cnn.random import RandomArchitecture
from clinicadl.utils.network.cnn.resnet import ResNetDesigner
from clinicadl.utils.network.cnn.resnet3D import ResNetDesigner3D
from clinicadl.utils.network.cnn.SECNN import SECNNDesigner3D
from clinicadl.utils.network.unet.unet import GeneratorUNet
from clinicadl.utils.network.vae.advanced_CVAE import CVAE_3D_final_conv
from clinicadl.utils.network.vae import vae_layers, vanilla_vae
from clinicadl.utils.network.vae.convolutional_VAE import CVAE_3D, CVAE_3D_half
from clinicadl.utils.network.vae.vae_layers import DecoderLayer3D, EncoderLayer3D
from clinicadl.utils.network.vae.vanilla_vae import Vanilla3DdenseVAE
from torch import nn
from torchvision.models.resnet import BasicBlock

from cases import case, write

def repaired(source, name, *changes):
    """The class of this name from the source of its module, with texts replaced."""
    text = inspect.getsource(getattr(source, name))
    for old, new in changes:
        assert old in text, old
        text = text.replace(old, new)
    names = dict(vars(source))
    exec(text, names)
    return names[name]


class Whole(nn.Module):
    @property
    def layers(self):
        return nn.Sequential(*self.children())


class Parts(Whole):
    """`convolutions` and `fc`, as ClinicaDL's class CNN has them."""

    def __init__(self, convolutions, fc):
        super().__init__()
        self.convolutions, self.fc = convolutions, fc

    def forward(self, x):
        return self.fc(self.convolutions(x))


def residual(model):
    for module in model.fc:
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    return Parts(nn.Sequential(model.layer0, model.layer1, model.layer2, model.layer3, model.layer4), model.fc)


def resnet18(size, outputs):
    m = ResNetDesigner(size, BasicBlock, [2, 2, 2, 2])
    # ClinicaDL passes an image of zeros through it, and then loads other weights and statistics.
    for module in m.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.reset_running_stats()
    convolutions = nn.Sequential(m.conv1, m.bn1, m.relu, m.maxpool, m.layer1, m.layer2, m.layer3, m.layer4, m.avgpool)
    fc = nn.Sequential(nn.Flatten(), m.fc)
    fc.add_module("drop_out", nn.Dropout(p=0.0))
    fc.add_module("fc_out", nn.Linear(1000, outputs))
    return Parts(convolutions, fc)


class Autoencoder(nn.Module):
    def __init__(self, encoder, decoder):
        super().__init__()
        self.encoder, self.decoder = encoder, decoder

    def forward(self, x):
        return self.decoder(self.encoder(x))


def halves(size, times, kernel):
    sizes = [list(size)]
    for _ in range(times):
        sizes.append([(n + 2 - kernel) // 2 + 1 for n in sizes[-1]])
    return sizes


def padding(small, large, kernel):
    return [b - (2 * (a - 1) + kernel - 2) for a, b in zip(small, large)]


def cae_half(size, latent):
    maps = halves(size[1:], 3, 3)
    voxels = math.prod(maps[3])
    encoder = nn.Sequential(
        EncoderLayer3D(size[0], 32, kernel_size=3),
        EncoderLayer3D(32, 64, kernel_size=3),
        EncoderLayer3D(64, 128, kernel_size=3),
        nn.Flatten(),
        nn.Linear(128 * voxels, latent),
    )
    layers = [nn.Linear(latent, 256 * voxels), nn.Unflatten(1, (256, *maps[3]))]
    for level, (wide, narrow) in zip([3, 2, 1], [(256, 128), (128, 64), (64, size[0])]):
        fit = padding(maps[level], maps[level - 1], 3)
        layers.append(DecoderLayer3D(wide, narrow, kernel_size=3, output_padding=fit))
    return Autoencoder(encoder, nn.Sequential(*layers))


class Down(nn.Module):
    def __init__(self, conv, norm, a, b):
        super().__init__()
        self.layer = nn.Sequential(conv(a, b, 4, stride=2, padding=1, bias=False), norm(b))

    def forward(self, x):
        return nn.functional.leaky_relu(self.layer(x), 0.2)


class Up(nn.Module):
    def __init__(self, conv, norm, a, b, fit):
        super().__init__()
        self.layer = nn.Sequential(conv(a, b, 4, stride=2, padding=1, output_padding=fit, bias=False), norm(b))

    def forward(self, x):
        return torch.relu(self.layer(x))


class Container(nn.Module):
    def __init__(self, layers):
        super().__init__()
        self.sequential = nn.Sequential(*layers)

    def forward(self, x):
        return self.sequential(x)


class Vae(nn.Module):
    def __init__(self, encoder, mu, var, decoder):
        super().__init__()
        self.encoder, self.mu_layer, self.var_layer, self.decoder = encoder, mu, var, decoder

    def forward(self, x):
        h = self.encoder(x)
        mu, log_variance = self.mu_layer(h), self.var_layer(h)
        z = mu
        if self.training:
            z = torch.randn_like(mu) * torch.exp(0.5 * log_variance) + mu
        return self.decoder(z), mu, log_variance


def vanilla(size, dense, latent=12, features=20, n_conv=3, c=4):
    two = len(size) == 3
    conv, back, norm = (
        (nn.Conv2d, nn.ConvTranspose2d, nn.BatchNorm2d) if two else (nn.Conv3d, nn.ConvTranspose3d, nn.BatchNorm3d)
    )
    maps = halves(size[1:], n_conv, 4)
    channels = [size[0], c, *[c * 2 ** (i + 1) for i in range(n_conv - 1)]]
    down = [Down(conv, norm, a, b) for a, b in zip(channels, channels[1:])]
    last, voxels = channels[-1], channels[-1] * math.prod(maps[-1])
    if dense:
        tail = nn.Sequential(nn.Flatten(), nn.Linear(voxels, features), nn.ReLU())
    elif two:
        tail = nn.Sequential(conv(last, features, 3, padding=1, bias=False), nn.ReLU())
    else:
        tail = nn.Sequential(conv(last, features, 4, stride=2, padding=1, bias=False), nn.ReLU())
    wrap = Container if two else (lambda layers: nn.Sequential(*layers))
    encoder = wrap([*down, tail])
    if dense:
        mu, var = nn.Linear(features, latent), nn.Linear(features, latent)
        shape = nn.Unflatten(1, (last, *maps[-1]))
        head = nn.Sequential(nn.Linear(latent, features), nn.ReLU(), nn.Linear(features, voxels), nn.ReLU(), shape)
    else:
        mu, var = conv(features, 1, 3, padding=1, bias=False), conv(features, 1, 3, padding=1, bias=False)
        widen = back(1, features, 3, padding=1, bias=False)
        if two:
            restore = back(features, last, 3, padding=1, bias=False)
        else:
            fit = padding([n // 2 for n in maps[-1]], maps[-1], 4)
            restore = back(features, last, 4, stride=2, padding=1, output_padding=fit, bias=False)
        head = nn.Sequential(widen, nn.ReLU(), restore, nn.ReLU())
    up = [
        Up(back, norm, channels[i + 1], channels[i], padding(maps[i + 1], maps[i], 4)) for i in range(n_conv - 1, 0, -1)
    ]
    fit = padding(maps[1], maps[0], 4)
    end = nn.Sequential(back(c, size[0], 4, stride=2, padding=1, output_padding=fit, bias=False), nn.Sigmoid())
    return Vae(encoder, mu, var, wrap([head, *up, end]))


class Cvae3d(nn.Module):
    """CVAE_3D for any size: the class itself is for 169×208×179 voxels."""

    def __init__(self, size, latent):
        super().__init__()
        self.maps = maps = halves(size[1:], 3, 3)
        voxels = math.prod(maps[3])
        self.conv1 = nn.Conv3d(size[0], 32, 3, stride=2, padding=1)
        self.conv2 = nn.Conv3d(32, 64, 3, stride=2, padding=1)
        self.conv3 = nn.Conv3d(64, 128, 3, stride=2, padding=1)
        self.bn1, self.bn2, self.bn3, self.bn4 = (nn.BatchNorm3d(n) for n in (32, 64, 128, 128))
        self.fc10, self.fc11 = nn.Linear(128 * voxels, latent), nn.Linear(128 * voxels, latent)
        self.fc2 = nn.Linear(latent, 256 * voxels)
        fits = [padding(maps[i], maps[i - 1], 3) for i in (3, 2, 1)]
        self.upconv1 = nn.ConvTranspose3d(256, 128, 3, stride=2, padding=1, output_padding=fits[0])
        self.upconv2 = nn.ConvTranspose3d(128, 64, 3, stride=2, padding=1, output_padding=fits[1])
        self.upconv4 = nn.ConvTranspose3d(64, size[0], 3, stride=2, padding=1, output_padding=fits[2])
        self.bn5, self.bn6, self.bn7 = (nn.BatchNorm3d(n) for n in (128, 64, 32))

    def forward(self, x):
        relu = torch.relu
        x = relu(self.bn3(self.conv3(relu(self.bn2(self.conv2(relu(self.bn1(self.conv1(x)))))))))
        x = x.flatten(1)
        mu, log_variance = torch.tanh(self.fc10(x)), self.fc11(x)
        z = mu
        if self.training:
            z = mu + torch.randn(mu.shape[1]) * torch.exp(log_variance / 2)
        x = relu(self.fc2(z)).reshape(-1, 256, *self.maps[3])
        x = relu(self.bn6(self.upconv2(relu(self.bn5(self.upconv1(x))))))
        return relu(self.upconv4(x)), mu, log_variance


class EncoderLayer2D(nn.Module):
    """The class of this name without the argument that convolutions do not have."""

    def __init__(self, a, b):
        super().__init__()
        self.layer = nn.Sequential(nn.Conv2d(a, b, 4, stride=2, padding=1, bias=False), nn.BatchNorm2d(b))

    def forward(self, x):
        return nn.functional.leaky_relu(self.layer(x), 0.2)


vae_layers.EncoderLayer2D = EncoderLayer2D
SHAPE = ("input_size=input_size", "input_shape=input_size")
VanillaDenseVAE = repaired(vanilla_vae, "VanillaDenseVAE", SHAPE, ("super(VanillaDenseVAE, self)", "super()"))
VanillaSpatialVAE = repaired(vanilla_vae, "VanillaSpatialVAE", SHAPE, ("super(VanillaSpatialVAE, self)", "super()"))
# The paddings are listed as the decoder needs them.
Vanilla3DspacialVAE = repaired(
    vanilla_vae,
    "Vanilla3DspacialVAE",
    ("decoder_output_padding[i]", "decoder_output_padding[n_conv - 1 - i]"),
    ("super(Vanilla3DspacialVAE, self)", "super()"),
)
FIT = ("kernel_size=3),\n            DecoderLayer3D", "kernel_size=3, output_padding=1),\n            DecoderLayer3D")
CAE_half = repaired(
    autoencoders,
    "CAE_half",
    ("self.encoder", "encoder"),
    ("self.decoder", "decoder"),
    ("super(CAE_half, self)", "super()"),
    # Without it images come out smaller.
    FIT,
    ("DecoderLayer3D(64, 1, kernel_size=3)", "DecoderLayer3D(64, 1, kernel_size=3, output_padding=1)"),
)


BLOCKS = {
    "conv0": {"in_channels": None, "out_channels": 8, "n_conv": 1, "d_reduction": "MaxPooling"},
    "conv1": {"in_channels": 8, "out_channels": 12, "n_conv": 2, "d_reduction": "stride"},
}
VAE = ("prediction", "mean", "log_variance")
CVAE = ("mean", "log_variance", "prediction")
SMALL, ODD, SLICE = [1, 32, 24, 36], [1, 33, 35, 34], [3, 40, 37]
WHOLE, HALF = [1, 169, 208, 179], [1, 80, 96, 80]


def cnn():
    for size in (ODD, SLICE):
        for name, kind in (("Conv4_FC3", Conv4_FC3), ("Conv5_FC3", Conv5_FC3)):
            yield case(name, size, lambda: kind(size, gpu=False, output_size=3, dropout=0.3), {"dropout": 0.3}, 3)
    for size, norm in ((SMALL, "BatchNorm"), (ODD, "InstanceNorm"), (SLICE, None), (SLICE, "InstanceNorm")):
        described = {"convolutions_dict": BLOCKS, "n_fcblocks": 2, "network_normalization": norm}
        make = lambda: RandomArchitecture(BLOCKS, 2, size, 0.0, norm, 2, gpu=False)
        yield case("RandomArchitecture", size, make, described, outputs=2)
    for size in ([1, 34, 40, 33], [3, 64, 35]):
        make = lambda: Stride_Conv5_FC3(size, gpu=False, output_size=1, dropout=0.0)
        yield case("Stride_Conv5_FC3", size, make, outputs=1)
    for name, kind in (("ResNet3D", ResNet3D), ("SqueezeExcitationCNN", SqueezeExcitationCNN)):
        yield case(name, WHOLE, lambda: kind(gpu=False), outputs=2, with_outputs=False)
    none = {"dropout": 0.0}
    for size in ([1, 63, 95, 65], [2, 67, 63, 70]):
        yield case("ResNet3D", size, lambda: residual(ResNetDesigner3D(size)), none, outputs=2)
        yield case("SqueezeExcitationCNN", size, lambda: residual(SECNNDesigner3D(size)), none, outputs=2)
    for size in ([3, 64, 72], [3, 65, 97]):
        yield case("resnet18", size, lambda: resnet18(size, 2), outputs=2, is_normal=True)


def autoencoder():
    code = ("code", "prediction")
    for size in (SMALL, ODD, [1, 40, 37], [3, 64, 72]):
        yield case("AE_Conv5_FC3", size, lambda: AE_Conv5_FC3(size, gpu=False), order=code)
    for size in (ODD, [3, 33, 48]):
        yield case("AE_Conv4_FC3", size, lambda: AE_Conv4_FC3(size, gpu=False), order=code)
    make = lambda: CAE_half(HALF, 2, gpu=False)
    yield case("CAE_half", HALF, make, {"latent_space_size": 2}, with_outputs=False)
    for size in ([1, 24, 32, 16], [2, 25, 30, 19]):
        yield case("CAE_half", size, lambda: cae_half(size, 9), {"latent_space_size": 9})
    for size in ([1, 64, 32, 32], [1, 32, 64, 64]):
        yield case("GeneratorUNet", size, lambda: GeneratorUNet(gpu=False))


def vae():
    for size in ([1, 24, 32, 16], [2, 25, 30, 19]):
        yield case("CVAE_3D", size, lambda: Cvae3d(size, 9), {"latent_space_size": 9}, order=VAE)
    make = lambda: CVAE_3D(1, gpu=False)
    yield case("CVAE_3D", WHOLE, make, {"latent_space_size": 1}, with_outputs=False)
    small = {"latent_space_size": 12, "feature_size": 20, "n_conv": 3, "io_layer_channels": 4}
    without = {**small, "feature_size": 0, "n_conv": 4}
    maps = {key: small[key] for key in ("feature_size", "n_conv", "io_layer_channels")}
    for factor, size, weight in ((5, [1, 32, 40, 32], 1), (4, [1, 40, 48, 40], 0)):
        for name, kind in (("CVAE_3D_half", CVAE_3D_half), ("CVAE_3D_final_conv", CVAE_3D_final_conv)):
            make = lambda: kind(factor, 10, gpu=False, recons_weight=1, kl_weight=weight)
            yield case(name, size, make, {"latent_space_size": 10, "kl_weight": weight}, order=CVAE)
        make = lambda: Vanilla3DdenseVAE(factor, 12, 20, 3, 4, gpu=False)
        yield case("Vanilla3DdenseVAE", size, make, small, order=VAE)
    make = lambda: Vanilla3DdenseVAE(5, 12, 0, 4, 4, gpu=False)
    yield case("Vanilla3DdenseVAE", [1, 32, 40, 32], make, without, order=VAE)
    # With no known factor of reduction the class takes the size from here.
    odd = type("Odd", (Vanilla3DdenseVAE,), {"input_size": [2, 33, 27, 30]})
    yield case("Vanilla3DdenseVAE", [2, 33, 27, 30], lambda: odd(0, 12, 20, 3, 4, gpu=False), small, order=VAE)
    make = lambda: Vanilla3DspacialVAE(WHOLE, 0, 0, 1, 1, gpu=False)
    yield case("Vanilla3DspacialVAE", WHOLE, make, with_outputs=False)
    for size in ([1, 24, 32, 16], [2, 25, 30, 19]):
        yield case("Vanilla3DspacialVAE", size, lambda: vanilla(size, False), maps, order=VAE)
    make = lambda: VanillaDenseVAE([1, 64, 48], 128, 1024, 1, 1, gpu=False)
    yield case("VanillaDenseVAE", [1, 64, 48], make, order=VAE)
    make = lambda: VanillaSpatialVAE([1, 48, 64], 128, 1024, 1, 1, gpu=False)
    yield case("VanillaSpatialVAE", [1, 48, 64], make, order=VAE)
    for size in ([1, 40, 32], [3, 37, 46]):
        yield case("VanillaDenseVAE", size, lambda: vanilla(size, True), small, order=VAE)
        yield case("VanillaSpatialVAE", size, lambda: vanilla(size, False), maps, order=VAE)


if __name__ == "__main__":
    for family in (cnn, autoencoder, vae):
        write(f"networks_1_6_{family.__name__}.json", family())
