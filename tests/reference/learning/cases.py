"""A reference case of a network, of whatever Python class: for the scripts networks_*.py."""
import json
import math
from pathlib import Path

import torch

torch.set_num_threads(1)
BATCH = 2


def images(size):
    count = BATCH * math.prod(size)
    return ((torch.arange(count, dtype=torch.int64) * 7919 % 1009).float() / 1009).view(BATCH, *size)


def summary(tensor, digits=7):
    flat = tensor.detach().double().flatten()
    weights = (torch.arange(len(flat), dtype=torch.int64) * 7919 % 1009).double() / 1009
    values = [*flat[:3].tolist(), (flat * weights).sum().item(), flat.norm().item()]
    return [float(f"{value:.{digits}g}") for value in values]


def evaluated(network, x):
    """The prediction; of classes that draw a code in evaluation too, that of the mean code."""
    if hasattr(network, "mu_layer"):
        return network.decoder(network.mu_layer(network.encoder(x)))
    return network(x)


# Networks whose text is kept already, with the number of axes.
told = set()


def case(name, size, make, options=None, outputs=0, order=("prediction",), seed=3, with_outputs=True, with_tensors=True, **more):
    torch.manual_seed(seed)
    network = make()
    network.train()
    found = {
        "network": name,
        "input_size": list(size),
        "output_size": outputs,
        "options": options or {},
        "seed": seed,
        **more,
        "parameters": sum(p.numel() for p in network.parameters()),
    }
    if not with_tensors:
        return found
    if getattr(network, "layers", None) is not None and (name, len(size)) not in told:
        told.add((name, len(size)))
        found["text"] = str(network.layers)
    state = network.state_dict()
    found["tensors"] = {k: {"shape": list(v.shape), "initial": summary(v, 9)} for k, v in state.items()}
    if not with_outputs:
        return found
    torch.manual_seed(11)
    result = network(images(size))
    values = dict(zip(order, result if isinstance(result, tuple) else (result,)))
    loss = sum((values[key] ** 2).mean() for key in ("prediction",) if key in values)
    for latent in ("mean", "log_variance"):
        if latent in values:
            loss = loss + 0.1 * (values[latent] ** 2).mean()
    loss.backward()
    found["outputs"] = {key: summary(value) for key, value in values.items() if key != "code"}
    found["loss"] = loss.item()
    found["gradients"] = {k: summary(p.grad) for k, p in network.named_parameters() if p.grad is not None}
    after = network.state_dict()
    found["buffers"] = {k: summary(v) for k, v in after.items() if k not in dict(network.named_parameters())}
    network.eval()
    with torch.no_grad():
        result = evaluated(network, images(size))
    at = order.index("prediction")
    found["evaluated"] = summary(result[at] if isinstance(result, tuple) else result)
    return found


def write(name, cases):
    """Writes cases beside this file."""
    path = Path(__file__).with_name(name)
    path.write_text(json.dumps({"torch": torch.__version__, "cases": list(cases)}, separators=(",", ":")) + "\n")
