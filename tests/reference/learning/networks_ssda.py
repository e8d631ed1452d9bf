"""Reference vectors of the network of ClinicaDL 1.6.1 for two domains. Needs ClinicaDL 1.6.1 and PyTorch 2.13.

usage: networks_ssda.py
writes networks_ssda.json beside this file.

Names, shapes, first weights and text as in networks_1_6.py. `heads`: a batch of numbered images passes through the
three heads in training mode; the mean squares of what they say are added, times 1, 2 and 3, and gradients and running
statistics are those of this sum, in 64 bits and beside how far PyTorch is from them in 32, as in cases.py. `step`: the loss of ClinicaDL's training (`compute_outputs_and_loss`) on five numbered
images, two of the source, one labelled and two unlabelled ones of the target, without dropout, in the given epoch.

Deviation: PyTorch refuses ClinicaDL's layer that turns gradients round, whose methods are not static. It is written here
with static ones.
"""
from unittest import mock

import numpy
import torch
from clinicadl.utils.network import sub_network
from clinicadl.utils.network.cnn.models import Conv5_FC3_SSDA
from torch import nn

import cases
from cases import case, compared, images, summary, write

HEADS = ("source", "target", "domain")
ALPHA = 0.7
EPOCH = 3


class Reversed(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, alpha):
        ctx.alpha = alpha
        return x.view_as(x)

    @staticmethod
    def backward(ctx, gradient):
        return gradient.neg() * ctx.alpha, None


sub_network.ReverseLayerF = Reversed


def build(size, outputs, dropout, seed):
    torch.manual_seed(seed)
    network = Conv5_FC3_SSDA(size, gpu=False, output_size=outputs, dropout=dropout)
    network.train()
    return network


def compare(pass_through, size, outputs, dropout, seed):
    """A pass in 64 bits, and the distance of the gradients and statistics of passes in 32 from it."""

    def made(double, scale, fast=True):
        torch.backends.mkldnn.enabled = fast
        network = build(size, outputs, dropout, seed)
        x = images(size) * scale
        network, x = (network.double(), x.double()) if double else (network, x)
        found = pass_through(network, x)
        found.pop("total").backward()
        parameters = dict(network.named_parameters())
        found["gradients"] = {k: p.grad for k, p in parameters.items()}
        found["buffers"] = {k: v.clone() for k, v in network.state_dict().items() if k not in parameters}
        return network, found

    network, exact = made(True, 1.0)
    rounded = [made(False, scale, fast)[1] for fast in (True, False) for scale in (1.0, 1.0 + 2.0**-23)]
    torch.backends.mkldnn.enabled = True
    for which in ("gradients", "buffers"):
        others = [one[which] for one in rounded]
        exact[which] = {k: compared(v, [one[k] for one in others]) for k, v in exact[which].items()}
    return network, exact


def heads(size, outputs, dropout, seed):
    def pass_through(network, x):
        torch.manual_seed(11)
        said = network(x, ALPHA)
        loss = sum(weight * (one**2).mean() for weight, one in zip((1, 2, 3), said))
        return {"alpha": ALPHA, "said": dict(zip(HEADS, map(summary, said))), "loss": loss.item(), "total": loss}

    network, found = compare(pass_through, size, outputs, dropout, seed)
    network.eval()
    with torch.no_grad():
        found["evaluated"] = dict(zip(HEADS, map(summary, network(images(size).double(), ALPHA))))
    return found


def step(size, outputs, seed):
    labels = [[0, outputs - 1], [1]]

    def pass_through(network, batch):
        source = {"image": batch[:2], "label": torch.tensor(labels[0])}
        target = {"image": batch[2:3], "label": torch.tensor(labels[1])}
        alpha = 2.0 / (1.0 + numpy.exp(-10 * (EPOCH / 10))) - 1
        unlabelled = {"image": batch[3:]}
        _, _, losses = network.compute_outputs_and_loss(source, target, unlabelled, nn.CrossEntropyLoss(), alpha)
        return {"epoch": EPOCH, "labels": labels, "loss": losses["loss"].item(), "total": losses["loss"]}

    with mock.patch.object(cases, "BATCH", 5):
        return compare(pass_through, size, outputs, 0.0, seed)[1]


def all_cases():
    for size, outputs, dropout in (([1, 33, 35, 34], 2, 0.3), ([3, 40, 37], 3, 0.0)):
        make = lambda: Conv5_FC3_SSDA(size, gpu=False, output_size=outputs, dropout=dropout)
        found = case("Conv5_FC3_SSDA", size, make, {"dropout": dropout}, outputs, with_outputs=False)
        yield {**found, "heads": heads(size, outputs, dropout, 3), "step": step(size, outputs, 3)}
    size = [1, 169, 208, 179]
    make = lambda: Conv5_FC3_SSDA(size, gpu=False, output_size=2, dropout=0.0)
    yield case("Conv5_FC3_SSDA", size, make, outputs=2, with_outputs=False, with_tensors=False)


if __name__ == "__main__":
    write("networks_ssda.json", all_cases())
