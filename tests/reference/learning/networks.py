"""Reference values of Conv5_FC3 and of the losses: writes networks.json beside this file.

Needs clinicadl 1.6.1 and torch 2.13 on an x86-64 CPU. For each case the network is built by ClinicaDL from
a seed; images are `((7919 i) mod 1009) / 1009` over the flat index i. Kept are a few weights and
buffers right after construction, the outputs in evaluation and in training mode, sketches of the gradients
of the loss and of the buffers as in cases.py, and the gradient of an output with respect to the image.
"""

import copy
import json
from importlib.metadata import version
from pathlib import Path

import torch
from clinicadl.utils.network import Conv5_FC3

from cases import compared

CASES = {
    "3d": {"input_size": [1, 32, 32, 32], "output_size": 2, "seed": 0},
    "3d odd": {"input_size": [1, 21, 18, 19], "output_size": 3, "seed": 7},
    "2d": {"input_size": [3, 40, 33], "output_size": 2, "seed": 4294967295},
}
KEPT = 6


def head(tensor):
    return tensor.detach().flatten()[:KEPT].tolist()


def images(batch, input_size):
    shape = [batch, *input_size]
    count = torch.Size(shape).numel()
    index = torch.arange(count, dtype=torch.int64)
    return ((index * 7919 % 1009).to(torch.float32) / 1009).reshape(shape)


def trained(network, batch, labels):
    """A training pass."""
    network.zero_grad()
    network.train()
    outputs = network(batch)
    loss = torch.nn.CrossEntropyLoss()(outputs, labels)
    loss.backward()
    return {
        "outputs": outputs,
        "loss": loss,
        "gradients": {name: p.grad for name, p in network.named_parameters()},
        "buffers": dict(network.named_buffers()),
    }


def run(case):
    torch.manual_seed(case["seed"])
    network = Conv5_FC3(
        input_size=case["input_size"], gpu=False, output_size=case["output_size"], dropout=0.0
    )
    initial = {name: head(tensor) for name, tensor in network.state_dict().items()}
    shapes = {name: list(tensor.shape) for name, tensor in network.state_dict().items()}
    layers = str(network.layers)
    batch = images(3, case["input_size"])
    labels = torch.tensor([0, 1, case["output_size"] - 1])
    network.eval()
    with torch.no_grad():
        evaluated = network(batch)
    image = batch[:1].clone().requires_grad_()
    outputs = network(image)
    weight = torch.zeros_like(outputs)
    weight[:, 1] = 1
    outputs.backward(weight)
    flat = image.grad.flatten()
    exact = trained(copy.deepcopy(network).double(), batch.double(), labels)
    # In 32 bits as the network is, and of images one rounding larger.
    rounded = [trained(copy.deepcopy(network), batch * scale, labels) for scale in (1.0, 1.0 + 2.0**-23)]
    gradients, after = (
        {name: compared(tensor, [one[which][name] for one in rounded]) for name, tensor in exact[which].items()}
        for which in ("gradients", "buffers")
    )
    outputs, loss = rounded[0]["outputs"], rounded[0]["loss"]
    return {
        **case,
        "shapes": shapes,
        "layers": layers,
        "initial": initial,
        "evaluated": evaluated.tolist(),
        "image_gradient": flat[:: max(1, len(flat) // 50)].tolist(),
        "image_gradient_step": max(1, len(flat) // 50),
        "labels": labels.tolist(),
        "trained": outputs.tolist(),
        "loss": loss.item(),
        "gradients": gradients,
        "buffers_after": after,
    }


def losses():
    logits = [[0.2, -1.5, 3.0], [0.0, 0.0, 0.0], [-40.0, 25.0, 1.0], [1.0, 1.5, 0.75]]
    targets = [0, 2, 1, 1]
    found = {}
    for name in ["CrossEntropyLoss", "MultiMarginLoss"]:
        x = torch.tensor(logits, requires_grad=True)
        loss = getattr(torch.nn, name)()(x, torch.tensor(targets))
        loss.backward()
        found[name] = {"mean": loss.item(), "gradient": x.grad.tolist()}
    return {"logits": logits, "targets": targets, "losses": found}


def permutations():
    cases = []
    for count, seed in [(6, 0), (6, 1), (6, 2), (1, 5), (40, 123), (1000, 42)]:
        generator = torch.Generator()
        generator.manual_seed(seed)
        order = torch.randperm(count, generator=generator).tolist()
        cases.append({"count": count, "seed": seed, "order": order})
    return cases


torch.set_num_threads(1)
reference = {
    "torch": torch.__version__,
    "clinicadl": version("clinicadl"),
    "networks": {name: run(case) for name, case in CASES.items()},
    "losses": losses(),
    "permutations": permutations(),
}
Path(__file__).with_suffix(".json").write_text(json.dumps(reference) + "\n")
