"""Reference rates of torch.optim.lr_scheduler. Needs PyTorch 2.13.

usage: schedulers.py > schedulers.json
Each case has the rate of every update; schedulers change by epoch, but for `one_cycle`.
"""
import json

import torch
from torch.optim import lr_scheduler as s

BASE = 0.05
LOSSES = [1.0, 0.9, 0.95, 0.94, 0.93, 0.91, 0.92, 0.5, 0.5, 0.5, 0.5, 0.4999, 0.3, 0.3, 0.3, 0.3, 0.3, 0.3, 0.3, 0.3]


def case(make, described, epochs=20, updates=1, losses=None):
    parameter = torch.nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([parameter], lr=BASE)
    scheduler = make(optimizer)
    rates = []
    for epoch in range(epochs):
        for _ in range(updates):
            rates.append(optimizer.param_groups[0]["lr"])
            optimizer.step()
            if described["name"] == "one_cycle":
                scheduler.step()
        if losses is not None:
            scheduler.step(losses[epoch])
        elif described["name"] != "one_cycle":
            scheduler.step()
    found = {"scheduler": described, "epochs": epochs, "updates_per_epoch": updates, "rates": rates}
    return found if losses is None else {**found, "losses": losses}


class OneCycle(s.OneCycleLR):
    """One step more than there are updates is asked for and not used."""

    def step(self, epoch=None):
        if self.last_epoch + 1 < self.total_steps:
            super().step(epoch)


cases = [
    case(lambda o: s.ConstantLR(o, factor=1.0), {"name": "constant"}),
    case(lambda o: s.StepLR(o, 3, 0.5), {"name": "step", "step_size": 3, "gamma": 0.5}, updates=2),
    case(lambda o: s.MultiStepLR(o, [2, 5, 11], 0.3), {"name": "multi_step", "milestones": [2, 5, 11], "gamma": 0.3}),
    case(lambda o: s.ExponentialLR(o, 0.9), {"name": "exponential", "gamma": 0.9}),
    case(lambda o: s.LinearLR(o, 0.25, 0.75, 8), {"name": "linear", "start_factor": 0.25, "end_factor": 0.75, "total_epochs": 8}),
    case(lambda o: s.PolynomialLR(o, 15, 2.0), {"name": "polynomial", "total_epochs": 15, "power": 2.0}),
    case(lambda o: s.CosineAnnealingLR(o, 20, BASE * 0.1), {"name": "cosine", "end_factor": 0.1}),
    case(lambda o: OneCycle(o, BASE, total_steps=40), {"name": "one_cycle"}, updates=2),
    case(
        lambda o: OneCycle(o, BASE, total_steps=20, pct_start=0.5, div_factor=10, final_div_factor=100),
        {"name": "one_cycle", "rising": 0.5, "div_factor": 10, "final_div_factor": 100},
    ),
    case(
        lambda o: s.ReduceLROnPlateau(o, factor=0.5, patience=2, threshold=1e-3, min_lr=0.01),
        {"name": "plateau", "factor": 0.5, "patience": 2, "threshold": 1e-3, "minimum": 0.01},
        losses=LOSSES,
    ),
    case(lambda o: s.ReduceLROnPlateau(o), {"name": "plateau"}, losses=LOSSES),
]
print(json.dumps({"torch": torch.__version__, "base": BASE, "cases": cases}, indent=1))
