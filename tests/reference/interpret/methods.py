"""Attribution maps of Captum 0.9 on small networks, for stages/torch/src/interpret/tests.rs.

    pip install torch==2.13.0 captum==0.9.0 && python methods.py

Weights, images and noise are numbers that both sides make: see `numbers`. Networks are the layers that
`Layers` and `ResNet18` of this program make, under the same names.
"""
import json
import math
from pathlib import Path

import torch
from captum.attr import (
    GuidedBackprop,
    InputXGradient,
    IntegratedGradients,
    LayerGradCam,
    NoiseTunnel,
    Occlusion,
    Saliency,
)
from torch import nn
from torch.nn import functional as F

torch.set_num_threads(1)
BATCH = 2
SAMPLES = 3


def numbers(count, start):
    """From -1/2 to 1/2."""
    return ((torch.arange(count, dtype=torch.int64) * 7919 + start) % 1009).double() / 1009 - 0.5


def fill(network, seed):
    state = network.state_dict()
    for name, tensor in state.items():
        if not tensor.is_floating_point():
            continue
        values = numbers(tensor.numel(), sum(name.encode()) * seed)
        if name.endswith("running_var"):
            values = values + 1
        elif tensor.dim() > 1:
            values = values * 8 / math.sqrt(math.prod(tensor.shape[1:]))
        tensor.copy_(values.float().view(tensor.shape))
    return network.eval()


def layers(axes, channels, features):
    conv, norm, pool = (getattr(nn, f"{name}{axes}d") for name in ("Conv", "BatchNorm", "MaxPool"))
    return nn.Sequential(
        conv(channels, 4, 3, padding=1), norm(4), nn.ReLU(), pool(2),
        conv(4, 8, 3, padding=1), norm(8), nn.ReLU(), pool(2),
        nn.Flatten(), nn.Linear(features, 10), nn.ReLU(), nn.Linear(10, 3),
    )


class Block(nn.Module):
    def __init__(self, inputs, outputs, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.relu1, self.relu2 = nn.ReLU(), nn.ReLU()
        self.downsample = None
        if stride != 1 or inputs != outputs:
            shortcut = nn.Conv2d(inputs, outputs, 1, stride, bias=True), nn.BatchNorm2d(outputs)
            self.downsample = nn.Sequential(*shortcut)

    def forward(self, x):
        y = self.bn2(self.conv2(self.relu1(self.bn1(self.conv1(x)))))
        return self.relu2(y + (x if self.downsample is None else self.downsample(x)))


class ResNet18(nn.Module):
    """That of MONAI with `widen_factor: 0.0625, conv1_t_size: 3`, every ReLU a module of its own."""

    def __init__(self):
        super().__init__()
        planes = [4, 8, 16, 32]
        self.conv1 = nn.Conv2d(1, 4, 3, 1, 1, bias=False)
        self.bn1, self.act, self.maxpool = nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(3, 2, 1)
        inputs = 4
        for number, outputs in enumerate(planes, 1):
            stride = 1 if number == 1 else 2
            blocks = Block(inputs, outputs, stride), Block(outputs, outputs, 1)
            setattr(self, f"layer{number}", nn.Sequential(*blocks))
            inputs = outputs
        self.fc = nn.Linear(32, 3)

    def forward(self, x):
        x = self.maxpool(self.act(self.bn1(self.conv1(x))))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return self.fc(x.mean((2, 3)))


def noise(size, sample):
    return (numbers(math.prod(size), 31 * (sample + 1)) * 0.2).float().view(size)


def smooth(network, x, node):
    drawn = iter(range(SAMPLES))
    real, torch.normal = torch.normal, lambda *_, **__: noise(tuple(x.shape), next(drawn))
    tunnel = NoiseTunnel(Saliency(network))
    maps = tunnel.attribute(
        x, nt_type="smoothgrad", nt_samples=SAMPLES, nt_samples_batch_size=1, stdevs=0.1, target=node, abs=False,
    )
    torch.normal = real
    return maps


def cam(network, layer, x, node):
    maps = LayerGradCam(network, layer).attribute(x, target=node, relu_attributions=True)
    mode = "bilinear" if x.dim() == 4 else "trilinear"
    return F.interpolate(maps, x.shape[2:], mode=mode, align_corners=False)


def text(tensor):
    return [float(f"{value:.8g}") for value in tensor.detach().double().flatten().tolist()]


def case(network, size, node, seed, cams):
    network = fill(network, seed)
    x = (numbers(BATCH * math.prod(size), 0) + 0.5).float().view(BATCH, *size)
    window = (size[0],) + (4,) * (len(size) - 1)
    stride = (size[0],) + (3,) * (len(size) - 1)
    integrated, delta = IntegratedGradients(network).attribute(
        x, baselines=0.25, n_steps=8, target=node, return_convergence_delta=True,
    )
    maps = {
        "gradients": Saliency(network).attribute(x.clone(), target=node, abs=False),
        "GradientInput": InputXGradient(network).attribute(x.clone(), target=node),
        "GuidedBackprop": GuidedBackprop(network).attribute(x.clone(), target=node),
        "IntegratedGradients": integrated,
        "SmoothGrad": smooth(network, x.clone(), node),
        "Occlusion": Occlusion(network).attribute(
            x.clone(), sliding_window_shapes=window, strides=stride, baselines=0.1, target=node,
        ),
    }
    for level, layer in cams.items():
        maps[f"GradCAM {level}"] = cam(network, layer(network), x.clone(), node)
    return {
        "input_size": list(size),
        "node": node,
        "seed": seed,
        "outputs": text(network(x)),
        "delta": text(delta),
        # Of the second image: that there is a first must not matter.
        "maps": {name: text(values[1]) for name, values in maps.items()},
    }


cases = {
    "2d": case(layers(2, 2, 48), (2, 12, 10), 1, 211, {4: lambda n: n[3], 0: lambda n: n[7], 6: lambda n: n[5]}),
    "3d": case(layers(3, 1, 64), (1, 8, 10, 9), 0, 211, {4: lambda n: n[3], 0: lambda n: n[7], 6: lambda n: n[5]}),
    "residual": case(ResNet18(), (1, 20, 18), 2, 71, {0: lambda n: n.layer4, 7: lambda n: n.layer2[0]}),
}
path = Path(__file__).with_suffix(".json")
path.write_text(json.dumps({"cases": cases}) + "\n")
