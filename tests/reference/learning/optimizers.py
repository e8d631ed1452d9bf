"""Reference steps of torch.optim for the optimizer rules: writes optimizers.json beside this file.

Needs torch 2.13. Two parameters take twenty steps with gradients that depend on the weights; weight
decay is on. The learning rate falls after the fifth step, as an adaptive learning rate does.
"""

import json
from pathlib import Path

import torch

CASES = [
    *[{"name": n} for n in ["ASGD", "Adadelta", "Adagrad", "Adam", "AdamW", "Adamax", "NAdam", "RAdam", "RMSprop", "SGD"]],
    {"name": "ASGD", "lambd": 1e-2, "alpha": 0.5, "t0": 4.0},
    {"name": "Adadelta", "rho": 0.8, "eps": 1e-5},
    {"name": "Adagrad", "lr_decay": 0.1, "eps": 1e-8},
    {"name": "Adam", "beta1": 0.8, "beta2": 0.95, "eps": 1e-4},
    {"name": "AdamW", "beta1": 0.5, "beta2": 0.9},
    {"name": "NAdam", "beta1": 0.8, "momentum_decay": 0.05},
    {"name": "RMSprop", "alpha": 0.9, "eps": 1e-6, "momentum": 0.7},
    {"name": "SGD", "momentum": 0.9},
]
STARTS = [[0.5, -1.25, 2.0, 0.0625], [1.5, -0.75]]
SLOPES = [[0.3, -0.7, 0.05, 1.1], [-0.4, 0.9]]


def run(case):
    parameters = [torch.tensor(start, requires_grad=True) for start in STARTS]
    options = {key: value for key, value in case.items() if key not in ("name", "beta1", "beta2")}
    if "beta1" in case or "beta2" in case:
        options["betas"] = (case.get("beta1", 0.9), case.get("beta2", 0.999))
    optimizer = getattr(torch.optim, case["name"])(parameters, lr=0.01, weight_decay=0.1, **options)
    trace = []
    for step in range(20):
        if step == 5:
            for group in optimizer.param_groups:
                group["lr"] = 0.001
        for parameter, slope in zip(parameters, SLOPES):
            parameter.grad = parameter.detach() * 0.5 + torch.tensor(slope) * (step + 1)
        optimizer.step()
        trace.append([parameter.tolist() for parameter in parameters])
    return {"optimizer": case, "weights_after_each_step": trace}


torch.set_num_threads(1)
reference = {
    "torch": torch.__version__,
    "starts": STARTS,
    "slopes": SLOPES,
    "cases": [run(case) for case in CASES],
}
Path(__file__).with_suffix(".json").write_text(json.dumps(reference) + "\n")
