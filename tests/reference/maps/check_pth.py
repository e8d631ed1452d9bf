#!/usr/bin/env python3
"""Loads weights files with PyTorch's weights-only reader and prints what is in them, as JSON.

usage: check_pth.py FILE...           (needs torch; written with torch 2.13.0)
Exits with 1 if a checkpoint is not a dict with an OrderedDict `model`, an int `epoch` and a str `name`.
"""
import json
import sys
from collections import OrderedDict

import torch


def describe(tensor):
    values = tensor.double() if tensor.dtype.is_floating_point else tensor.long()
    return {"dtype": str(tensor.dtype).removeprefix("torch."), "shape": list(tensor.shape), "values": values.flatten().tolist()}


found = {}
for path in sys.argv[1:]:
    content = torch.load(path, map_location="cpu", weights_only=True)
    if isinstance(content, torch.Tensor):
        found[path] = describe(content)
        continue
    ok = isinstance(content.get("model"), OrderedDict) and type(content.get("epoch")) is int and type(content.get("name")) is str
    if not ok:
        sys.exit(f"{path}: not a ClinicaDL checkpoint")
    model = {name: describe(tensor) for name, tensor in content["model"].items()}
    found[path] = {"epoch": content["epoch"], "name": content["name"], "model": model}
print(json.dumps(found, indent=1))
