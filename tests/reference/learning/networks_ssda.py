"""Reference vectors of the network of ClinicaDL 1.6.1 for two domains. Needs ClinicaDL 1.6.1 and PyTorch 2.13.

usage: networks_ssda.py
writes networks_ssda.json beside this file.

Names, shapes, first weights and text as in networks_1_6.py. `heads`: a batch of numbered images passes through the
three heads in training mode; the mean squares of what they say are added, times 1, 2 and 3, and gradients and running
statistics are those of this sum. `step`: the loss of ClinicaDL's training (`compute_outputs_and_loss`) on five numbered
images, two of the source, one labelled and two unlabelled ones of the target, without dropout, in the given epoch.

Deviation: PyTorch refuses ClinicaDL's layer that turns gradients round, whose methods are not static. It is written here
with static ones.
"""
import numpy
import torch
from clinicadl.utils.network import sub_network
from clinicadl.utils.network.cnn.models import Conv5_FC3_SSDA
from torch import nn

import cases
from cases import case, images, summary, write

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


def after(network, loss):
    loss.backward()
    parameters = dict(network.named_parameters())
    return {
        "loss": loss.item(),
        "gradients": {k: summary(p.grad) for k, p in parameters.items()},
        "buffers": {k: summary(v) for k, v in network.state_dict().items() if k not in parameters},
    }


def heads(size, outputs, dropout, seed):
    network = build(size, outputs, dropout, seed)
    torch.manual_seed(11)
    said = network(images(size), ALPHA)
    loss = sum(weight * (x**2).mean() for weight, x in zip((1, 2, 3), said))
    found = {"alpha": ALPHA, "said": dict(zip(HEADS, map(summary, said))), **after(network, loss)}
    network.eval()
    with torch.no_grad():
        found["evaluated"] = dict(zip(HEADS, map(summary, network(images(size), ALPHA))))
    return found


def step(size, outputs, seed):
    network = build(size, outputs, 0.0, seed)
    cases.BATCH = 5
    batch = images(size)
    cases.BATCH = 2
    labels = [[0, outputs - 1], [1]]
    source = {"image": batch[:2], "label": torch.tensor(labels[0])}
    target = {"image": batch[2:3], "label": torch.tensor(labels[1])}
    alpha = 2.0 / (1.0 + numpy.exp(-10 * (EPOCH / 10))) - 1
    _, _, losses = network.compute_outputs_and_loss(source, target, {"image": batch[3:]}, nn.CrossEntropyLoss(), alpha)
    return {"epoch": EPOCH, "labels": labels, **after(network, losses["loss"])}


def all_cases():
    for size, outputs, dropout in (([1, 33, 35, 34], 2, 0.3), ([3, 40, 37], 3, 0.0)):
        make = lambda: Conv5_FC3_SSDA(size, gpu=False, output_size=outputs, dropout=dropout)
        found = case("Conv5_FC3_SSDA", size, make, {"dropout": dropout}, outputs, with_outputs=False)
        yield {**found, "heads": heads(size, outputs, dropout, 3), "step": step(size, outputs, 3)}
    size = [1, 169, 208, 179]
    make = lambda: Conv5_FC3_SSDA(size, gpu=False, output_size=2, dropout=0.0)
    yield case("Conv5_FC3_SSDA", size, make, outputs=2, with_tensors=False)


if __name__ == "__main__":
    write("networks_ssda.json", all_cases())
