#!/usr/bin/env python3
"""Writes python.json: numbers with the text that Python and pandas give them, and a JSON text of Python.

usage: make_python.py        (needs numpy and pandas, versions in python.json)
"""
import json
import struct
from pathlib import Path

import numpy
import pandas

rng = numpy.random.default_rng(0)
numbers = [0.0, -0.0, 0.5, 1.0, -1.0, 1e-4, 1e-5, 9.999e-5, 1.5e-7, 1e15, 1e16, 123456789012345680.0, 9999999999999998.0,
           5e-324, 1.7976931348623157e308, 2.2250738585072014e-308, 0.1, 1 / 3, 100.0, 1e22, 1e23, 2.0**53, 2.0**70]
numbers += [float(x) for x in rng.random(20)]
numbers += [float(numpy.float32(x)) for x in rng.random(40) * 4]
numbers += [2.0**k for k in range(-60, 61, 7)] + [2.0**-1074 * k for k in (1, 2, 3, 12)]
numbers += [float(struct.unpack("<d", struct.pack("<Q", int(bits)))[0]) for bits in rng.integers(0, 0x7FF0 << 48, 60, dtype=numpy.uint64)]
cells = pandas.DataFrame({"x": numbers}).to_csv(index=False, sep="\t").splitlines()[1:]
assert cells == [repr(x) for x in numbers]
value = {"text": "é×\u2028 😀 \"\\/\b\f\n\r\t\x01\x7f", "ключ": None, "empty": [], "none": {}, "nested": [[1, -2], {"a": [True, 1e-05]}], "big": 2**63}
content = {
    "versions": {"numpy": numpy.__version__, "pandas": pandas.__version__},
    "numbers": [[str(struct.unpack("<Q", struct.pack("<d", x))[0]), repr(x)] for x in numbers],
    "value": value,
    "dumped": json.dumps(value, indent=4),
}
Path(__file__).with_name("python.json").write_text(json.dumps(content, indent=1) + "\n")
