#!/usr/bin/env python3
"""Writes small PyTorch files, good and hostile, and weights.json with the values of the good ones.

usage: make_weights.py        (writes beside itself; needs torch and numpy, versions in weights.json)
"""
import json
import os
import zipfile
from collections import OrderedDict
from pathlib import Path

import numpy
import torch

HERE = Path(__file__).parent
torch.manual_seed(0)
expected = {"versions": {"torch": torch.__version__, "numpy": numpy.__version__}, "files": {}}


def describe(tensor):
    values = tensor.double() if tensor.dtype.is_floating_point else tensor.long()
    return {
        "dtype": str(tensor.dtype).removeprefix("torch."),
        "shape": list(tensor.shape),
        "values": values.flatten().tolist(),
    }


def state(tensors):
    return {key: describe(value) for key, value in tensors.items()}


# A checkpoint as ClinicaDL saves it: the state dict of a module, which carries `_metadata`.
network = torch.nn.Sequential(
    torch.nn.Conv3d(1, 2, 3), torch.nn.BatchNorm3d(2), torch.nn.Flatten(), torch.nn.Linear(6, 2)
)
model = network.state_dict()
torch.save({"model": model, "epoch": 1, "name": "Conv5_FC3"}, HERE / "checkpoint.pth.tar")
expected["files"]["checkpoint.pth.tar"] = {"epoch": 1, "name": "Conv5_FC3", "model": state(model)}

# Every element type, a parameter, and views with offset, strides, repetition and no element.
base = torch.arange(24, dtype=torch.float32) / 8
types = OrderedDict(
    float32=base[:3].clone(), float64=base[:3].double() / 3, float16=base[:3].half(),
    bfloat16=base[:3].bfloat16(), int64=torch.tensor([-(2**40), 7]), int32=torch.tensor([-3, 4], dtype=torch.int32),
    int16=torch.tensor([-300, 4], dtype=torch.int16), int8=torch.tensor([-3, 4], dtype=torch.int8),
    uint8=torch.tensor([0, 255], dtype=torch.uint8), bool=torch.tensor([True, False, True]),
    scalar=torch.tensor(5), empty=torch.zeros(0, 3), parameter=torch.nn.Parameter(base[:2].clone()),
    offset=base[4:10].reshape(2, 3), transposed=base.reshape(2, 3, 4).permute(2, 0, 1),
    stepped=base[1::5], repeated=torch.tensor([[1.5], [2.5]]).expand(2, 3), tied=base[:3],
)
torch.save(types, HERE / "types.pth")
expected["files"]["types.pth"] = {"epoch": None, "name": None, "model": state(types)}

# One tensor that is a part of a batch, as individual attribution maps are saved.
batch = torch.randn(3, 1, 2, 3, 2)
torch.save(batch[1], HERE / "view.pt")
expected["files"]["view.pt"] = describe(batch[1])


def rewrite(source, target, change, compression=zipfile.ZIP_STORED):
    """Copies an archive; `change(name, bytes)` gives a list of (name, bytes)."""
    with zipfile.ZipFile(HERE / source) as old, zipfile.ZipFile(HERE / target, "w", compression) as new:
        for name in old.namelist():
            for entry in change(name, old.read(name)):
                new.writestr(zipfile.ZipInfo(entry[0]), entry[1], compression)


# As PyTorch before 2.1 wrote it on a GPU: another root, no byte order, tensors on `cuda:0`.
def legacy(name, content):
    name = name.split("/", 1)[1]
    if name == "data.pkl":
        content = content.replace(b"X\x03\x00\x00\x00cpu", b"X\x06\x00\x00\x00cuda:0")
    return [] if name.startswith(".") or name == "byteorder" else [(f"an old archive/{name}", content)]


rewrite("checkpoint.pth.tar", "legacy.pth.tar", legacy)
expected["files"]["legacy.pth.tar"] = expected["files"]["checkpoint.pth.tar"]

(HERE / "weights.json").write_text(json.dumps(expected, indent=1) + "\n")


# Hostile and damaged files.
class Call:
    def __init__(self, function, *arguments):
        self.call = (function, arguments)

    def __reduce__(self):
        return self.call


rewrite("checkpoint.pth.tar", "bad_compressed.pth", lambda n, c: [(n, c)], zipfile.ZIP_DEFLATED)
rewrite("checkpoint.pth.tar", "bad_byte_order.pth", lambda n, c: [(n, b"big" if n.endswith("byteorder") else c)])
rewrite("checkpoint.pth.tar", "bad_missing_storage.pth", lambda n, c: [] if n.endswith("data/0") else [(n, c)])
rewrite("checkpoint.pth.tar", "bad_short_storage.pth", lambda n, c: [(n, c[:-4] if n.endswith("data/0") else c)])
rewrite("checkpoint.pth.tar", "bad_two_pickles.pth", lambda n, c: [(n, c), ("other/data.pkl", c)] if n.endswith(".pkl") else [(n, c)])
torch.save(Call(os.system, "exit 1"), HERE / "bad_system.pth")
torch.save({"model": {"weight": Call(eval, "1")}}, HERE / "bad_eval.pth")
torch.save(network, HERE / "bad_whole_network.pth")
torch.save({"model": {"weight": "no tensor"}}, HERE / "bad_no_tensor.pth")
torch.save([1, 2], HERE / "bad_list.pth")
torch.save({"model": torch.zeros(2), "epoch": 0}, HERE / "bad_model.pth")
torch.save({"model": {"w": torch.zeros(2, dtype=torch.complex64)}}, HERE / "bad_complex.pth")
torch.save(torch.zeros(1).expand(1 << 40), HERE / "bad_bomb.pt")
torch.save(torch.zeros(2), HERE / "bad_not_zip.pt", _use_new_zipfile_serialization=False)
