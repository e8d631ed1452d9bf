"""Modules of TorchScript and what PyTorch makes of them. Needs PyTorch 2.13.

usage: torchscript.py
writes torchscript/*.pt and torchscript.json beside this file: outputs, gradients of the first of three steps
of stochastic gradient descent, and every tensor after the third, of each
the first numbers and the length. Images are the numbered ones of cases.py.
"""
import json
import pathlib

import torch
from torch import nn

HERE = pathlib.Path(__file__).parent
STEPS, RATE, MOMENTUM, SEED, KEPT = 3, 0.1, 0.9, 11, 12


class Classifier(nn.Module):
    """Everything that has to survive: batch norm, dropout, a buffer, control flow, an unused layer."""

    def __init__(self, dropout: float = 0.25):
        super().__init__()
        self.conv = nn.Conv3d(1, 4, 3, stride=2, padding=1)
        self.norm = nn.BatchNorm3d(4)
        self.dropout = nn.Dropout(dropout)
        self.fc = nn.Linear(4 * 27, 2)
        self.unused = nn.Linear(3, 2)
        self.register_buffer("scale", torch.tensor([0.5, 2.0]))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = torch.relu(self.norm(self.conv(x)))
        for _ in range(1):
            y = nn.functional.max_pool3d(y, 3, 3)
        return self.fc(self.dropout(y.flatten(1))) * self.scale


class Autoencoder(nn.Module):
    def __init__(self):
        super().__init__()
        self.encoder = nn.Sequential(nn.Conv3d(1, 3, 2, stride=2), nn.BatchNorm3d(3), nn.ReLU())
        self.decoder = nn.ConvTranspose3d(3, 1, 2, stride=2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.decoder(self.encoder(x))


class Files(nn.Module):
    """What a module must not do."""

    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(1, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.fc(x.mean([2, 3, 4])) + torch.from_file("/etc/hostname", False, 2, dtype=torch.float)


def images(batch, size):
    count = batch * torch.Size(size).numel()
    return (torch.arange(count, dtype=torch.int64) * 7919 % 1009).float().div(1009).view(batch, *size)


def numbers(tensor):
    """The first numbers, then the length of all."""
    flat = tensor.detach().double().flatten()
    return flat[:KEPT].tolist() + [flat.norm().item()]


def case(module, size):
    """Trains as the trainer does: random numbers start anew with each batch."""
    x = images(4, size)
    y = torch.tensor([0, 1, 1, 0])
    module.eval()
    found = {"input_size": size, "evaluated": numbers(module(x))}
    module.train()
    optimizer = torch.optim.SGD(module.parameters(), lr=RATE, momentum=MOMENTUM)
    for step in range(STEPS):
        torch.manual_seed(SEED + step)
        outputs = module(x)
        loss = nn.functional.cross_entropy(outputs, y) if outputs.dim() == 2 else outputs.sub(x).square().mean()
        optimizer.zero_grad()
        loss.backward()
        if step == 0:
            found["loss"] = loss.item()
            found["gradients"] = {n: numbers(p.grad) for n, p in module.named_parameters() if p.grad is not None}
        optimizer.step()
    found["trained"] = {name: numbers(tensor) for name, tensor in module.state_dict().items()}
    return found


def main():
    torch.set_num_threads(1)
    folder = HERE / "torchscript"
    folder.mkdir(exist_ok=True)
    cases = {}
    for name, make in (("classifier", Classifier), ("autoencoder", Autoencoder)):
        torch.manual_seed(3)
        module = torch.jit.script(make())
        module.save(str(folder / f"{name}.pt"))
        cases[name] = case(module, [1, 18, 18, 18])
    torch.jit.script(Files()).save(str(folder / "files.pt"))
    torch.manual_seed(3)
    torch.jit.freeze(torch.jit.script(Classifier().eval())).save(str(folder / "frozen.pt"))
    torch.save(Classifier().state_dict(), folder / "weights.pt")
    tied = nn.Sequential(nn.AdaptiveAvgPool3d(1), nn.Flatten(), nn.Linear(1, 1), nn.Linear(1, 1))
    tied[3].weight = tied[2].weight
    torch.jit.script(tied).save(str(folder / "tied.pt"))
    vectors = {"torch": torch.__version__, "steps": STEPS, "rate": RATE, "momentum": MOMENTUM, "seed": SEED, "kept": KEPT, "cases": cases}
    (HERE / "torchscript.json").write_text(json.dumps(vectors) + "\n")


if __name__ == "__main__":
    main()
