"""A reference case of a network, of whatever Python class: for the scripts networks_*.py.

What is expected is computed in 64 bits, from the weights that the class draws in 32. How far PyTorch itself is from
it in 32 bits is kept beside it: some gradients are differences of large numbers, or go to one voxel or another of
two that are equal but for rounding, and no program can do better than its numbers.
"""
import json
import math
from pathlib import Path
from unittest import mock

import torch

torch.set_num_threads(1)
BATCH = 2
# A prime: voxels of a batch do not come again, as those of repeated images do, whose pooling windows are ties.
PRIME = 999983
# Sums of a sketch.
SUMS = 8
# Normal numbers of 64 bits are other numbers: they are drawn in 32 and widened.
DRAWN = {"randn_like": lambda draw: lambda like: draw(like, dtype=torch.float32).to(like.dtype)}


def images(size):
    numbers = torch.arange(BATCH * math.prod(size), dtype=torch.int64)
    return ((numbers * numbers % PRIME * 3 + numbers * 7919) % PRIME).float().div(PRIME).view(BATCH, *size)


def told(values, digits):
    return [float(f"{value:.{digits}g}") for value in values]


def summary(tensor, digits=7):
    flat = tensor.detach().double().flatten()
    weights = (torch.arange(len(flat), dtype=torch.int64) * 7919 % 1009).double() / 1009
    return told([*flat[:3].tolist(), (flat * weights).sum().item(), flat.norm().item()], digits)


def sketch(tensor):
    """Eight sums of every eighth number with signs: the distance of two sketches is about that of the tensors.

    Signs are those of the generator 7919 i mod 1009: the square of the distance is right on average over signs, and
    its deviation is half of it."""
    flat = tensor.detach().double().flatten()
    numbers = torch.arange(len(flat), dtype=torch.int64)
    signs = 1.0 - 2.0 * (numbers * 7919 % 1009 % 2).double()
    return torch.zeros(SUMS, dtype=torch.float64).index_add_(0, numbers % SUMS, flat * signs)


def compared(exact, rounded):
    """Sketch and length of a tensor of 64 bits, and the largest distance of those of 32 bits from it."""
    exact = exact.detach().double()
    error = max((one.detach().double() - exact).norm().item() for one in rounded)
    return [*told([*sketch(exact).tolist(), exact.norm().item()], 8), *told([error], 3)]


def evaluated(network, x):
    """The prediction; of classes that draw a code in evaluation too, that of the mean code."""
    if hasattr(network, "mu_layer"):
        return network.decoder(network.mu_layer(network.encoder(x)))
    return network(x)


def passed(network, x, order):
    """What a batch gives in training and in evaluation."""
    network.train()
    torch.manual_seed(11)
    with mock.patch.multiple(torch, **{name: made(getattr(torch, name)) for name, made in DRAWN.items()}):
        result = network(x)
    values = dict(zip(order, result if isinstance(result, tuple) else (result,)))
    loss = (values["prediction"] ** 2).mean()
    for latent in ("mean", "log_variance"):
        if latent in values:
            loss = loss + 0.1 * (values[latent] ** 2).mean()
    loss.backward()
    parameters = dict(network.named_parameters())
    found = {
        "outputs": {key: value.detach() for key, value in values.items() if key != "code"},
        "loss": loss.item(),
        "gradients": {k: p.grad for k, p in parameters.items() if p.grad is not None},
        "buffers": {k: v.clone() for k, v in network.state_dict().items() if k not in parameters},
    }
    network.eval()
    with torch.no_grad():
        result = evaluated(network, x)
    at = order.index("prediction")
    found["evaluated"] = result[at] if isinstance(result, tuple) else result
    return found


def off(exact, rounded):
    """The largest part of its length by which an output is off."""
    outputs = [(value, rounded["outputs"][key]) for key, value in exact["outputs"].items()]
    pairs = [*outputs, (exact["evaluated"], rounded["evaluated"])]
    return max(((b.double() - a).norm() / a.norm()).item() for a, b in pairs)


def by_block(tensors):
    """Tensors of a block in one, of networks with hundreds of tensors: `layer1.0`, `features.denseblock1`."""
    blocks = {}
    for name, tensor in tensors.items():
        blocks.setdefault(".".join(name.split(".")[:2]), []).append(tensor.double().flatten())
    return {name: torch.cat(parts) for name, parts in blocks.items()}


# Networks whose text is kept already, with the number of axes.
kept = set()


def case(name, size, make, options=None, outputs=0, order=("prediction",), seed=3, with_outputs=True, with_tensors=True, **more):
    def made(fast=True):
        # Without oneDNN sums are added in another order.
        torch.backends.mkldnn.enabled = fast
        torch.manual_seed(seed)
        return make().train()

    network = made()
    found = {
        "network": name,
        "input_size": list(size),
        "output_size": outputs,
        "options": options or {},
        "seed": seed,
        **more,
        "parameters": sum(p.numel() for p in network.parameters()),
    }
    if with_tensors:
        if getattr(network, "layers", None) is not None and (name, len(size)) not in kept:
            kept.add((name, len(size)))
            found["text"] = str(network.layers)
        state = network.state_dict()
        found["tensors"] = {k: {"shape": list(v.shape), "initial": summary(v, 9)} for k, v in state.items()}
    if not with_outputs:
        return found
    x = images(size)
    exact = passed(made().double(), x.double(), order)
    # With images one rounding larger, too: what depends on that is told by no 32 bits.
    rounded = [passed(made(fast), x * scale, order) for fast in (True, False) for scale in (1.0, 1.0 + 2.0**-23)]
    torch.backends.mkldnn.enabled = True
    found["outputs"] = {key: summary(value) for key, value in exact["outputs"].items()}
    found["loss"] = exact["loss"]
    found["evaluated"] = summary(exact["evaluated"])
    rounding = max(off(exact, one) for one in rounded)
    if rounding > 2.5e-5:
        found["rounding"] = float(f"{rounding:.3g}")
    for which in ("gradients", "buffers"):
        whole = by_block if not with_tensors else dict
        tensors, others = whole(exact[which]), [whole(one[which]) for one in rounded]
        found[which] = {k: compared(v, [one[k] for one in others]) for k, v in tensors.items()}
    return found


def write(name, cases):
    """Writes cases beside this file."""
    path = Path(__file__).with_name(name)
    path.write_text(json.dumps({"torch": torch.__version__, "cases": list(cases)}, separators=(",", ":")) + "\n")
