"""Outputs of ClinicaDL's quality networks with weights given by a formula.

Run with ClinicaDL 1.6.1, torch 2.13.0 and numpy 1.26.4:
    python networks.py
Real weights are 48 MB; every number of a state dict is a hash of its tensor's name and its index
instead, which the tests compute too. `small.pth` is a state dict as torch.save writes it that fits no
network.
"""

import json
import math
from pathlib import Path

import nibabel as nib
import numpy as np
import torch

from clinicadl.quality_check.t1_linear import models
from clinicadl.quality_check.t1_linear.utils import QCDataset
from scores import head

HERE = Path(__file__).parent


def unit(name, count):
    """Numbers from -0.5 to 0.5: FNV-1a of the name, then murmur3's last mixing of name and index."""
    seed = 2166136261
    for byte in name.encode():
        seed = ((seed ^ byte) * 16777619) % 2**32
    x = np.arange(count, dtype=np.uint64)
    x = (seed + x * 2654435761) % 2**32
    for shift, factor in [(16, 0x85EBCA6B), (13, 0xC2B2AE35), (16, 1)]:
        x = ((x ^ (x >> np.uint64(shift))) * np.uint64(factor)) % 2**32
    return x.astype(np.float64) / 2**32 - 0.5


def tensor(name, like):
    if name.endswith("num_batches_tracked"):
        return torch.tensor(100)
    values = unit(name, like.numel())
    if like.dim() > 1:
        values *= 2 * math.sqrt(6 / like[0].numel())
    elif name.endswith("running_var") or name.endswith("weight"):
        values = 1 + 0.4 * values
    else:
        values *= 0.4
    return torch.from_numpy(values.astype(np.float32)).reshape(like.shape)


def main():
    torch.set_num_threads(1)
    images = [
        QCDataset.nii_transform(nib.Nifti1Image(head(shape), np.eye(4)))
        for shape in [(19, 23, 19), (64, 40, 51)]
    ]
    networks = {
        "darq": models.resnet_darq_qc_18(),
        "deep_qc": models.resnet_deep_qc_18(),
        "sq101": models.squeezenet_qc(),
    }
    document = {}
    for name, network in networks.items():
        state = network.state_dict()
        filled = {key: tensor(key, value) for key, value in state.items()}
        network.load_state_dict(filled)
        network.eval()
        with torch.no_grad():
            logits = network(torch.cat(images))
        document[name] = {
            "state": [[key, list(value.shape)] for key, value in state.items()],
            "parameters": sum(p.numel() for p in network.parameters()),
            "sums": {key: float(value.double().sum()) for key, value in list(filled.items())[:3]},
            "logits": logits.tolist(),
            "probabilities": logits.softmax(1)[:, 1].tolist(),
        }
    (HERE / "networks.json").write_text(json.dumps(document) + "\n")
    torch.save({"conv1.weight": torch.zeros(2, 1, 3, 3)}, HERE / "small.pth")


if __name__ == "__main__":
    main()
