"""Reference steps of torch.optim for the optimizer rules: writes optimizers.json beside this file.

Needs torch 2.13. Two parameters take eight steps with gradients that depend on the weights; weight
decay is on. The learning rate falls after the fifth step, as an adaptive learning rate does.
"""

import json
from pathlib import Path

import torch

NAMES = [
    "ASGD", "Adadelta", "Adagrad", "Adam", "AdamW", "Adamax", "NAdam", "RAdam", "RMSprop", "SGD",
]
STARTS = [[0.5, -1.25, 2.0, 0.0625], [1.5, -0.75]]
SLOPES = [[0.3, -0.7, 0.05, 1.1], [-0.4, 0.9]]


def run(name):
    parameters = [torch.tensor(start, requires_grad=True) for start in STARTS]
    optimizer = getattr(torch.optim, name)(parameters, lr=0.01, weight_decay=0.1)
    trace = []
    for step in range(8):
        if step == 5:
            for group in optimizer.param_groups:
                group["lr"] = 0.001
        for parameter, slope in zip(parameters, SLOPES):
            parameter.grad = parameter.detach() * 0.5 + torch.tensor(slope) * (step + 1)
        optimizer.step()
        trace.append([parameter.tolist() for parameter in parameters])
    return trace


torch.set_num_threads(1)
reference = {
    "torch": torch.__version__,
    "starts": STARTS,
    "slopes": SLOPES,
    "weights_after_each_step": {name: run(name) for name in NAMES},
}
Path(__file__).with_suffix(".json").write_text(json.dumps(reference, indent=1) + "\n")
