"""Reads our extracted images without a library."""

import json

import numpy


def read_tensors(path):
    """The tensors of a safetensors file by name, sorted."""
    content = path.read_bytes()
    start = 8 + int.from_bytes(content[:8], "little")
    tensors = {}
    for name, head in sorted(json.loads(content[8:start]).items()):
        if name == "__metadata__":
            continue
        assert head["dtype"] == "F32"
        first, last = head["data_offsets"]
        tensors[name] = numpy.frombuffer(content[start + first : start + last], "<f4").reshape(head["shape"])
    return tensors


def read_image(path):
    """The tensor `image` of a safetensors file."""
    return read_tensors(path)["image"]
