"""Reads our extracted images without a library."""

import json

import numpy


def read_image(path):
    """The tensor `image` of a safetensors file."""
    content = path.read_bytes()
    start = 8 + int.from_bytes(content[:8], "little")
    head = json.loads(content[8:start])["image"]
    assert head["dtype"] == "F32"
    first, last = head["data_offsets"]
    return numpy.frombuffer(content[start + first : start + last], "<f4").reshape(head["shape"])
