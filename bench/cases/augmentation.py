"""Case `augmentation`: random changes of an image of 169×208×179 voxels, beside TorchIO.

TorchIO is the one that ClinicaDL 1.6.1 has. Each uses one thread, has its own defaults for ours, and an image
in memory. The row is the sum of the medians of all augmentations; the JSON has each of them. Given the same
draws both make the same images: the tests of `stages` compare them.
"""

from __future__ import annotations

import json
import pathlib
import subprocess

from cases import Bench, Case, Result
from extraction import PEER
from measure import BenchError, Place

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[1]
SCRIPT = ROOT / "tests" / "reference" / "learning" / "augmentation_times.py"
EXAMPLE = "augmentation_times"


def build() -> pathlib.Path:
    """Our side is an example of the crate `stages`; built again only if it changed."""
    command = ["cargo", "build", "--release", "--locked", "-p", "stages", "--example", EXAMPLE]
    command += ["--message-format", "json-render-diagnostics"]
    try:
        built = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=False)
    except OSError as error:
        raise BenchError(f"`cargo`: {error}") from error
    if built.returncode != 0:
        raise BenchError(f"`{' '.join(command)}`: exit code {built.returncode}")
    return executable(built.stdout)


def executable(messages: str) -> pathlib.Path:
    """Where cargo says that the example is."""
    found = [
        message["executable"]
        for message in map(json.loads, messages.splitlines())
        if message.get("reason") == "compiler-artifact" and message["target"]["name"] == EXAMPLE
    ]
    if len(found) != 1 or not found[0]:
        raise BenchError(f"cargo did not tell where the example `{EXAMPLE}` is")
    return pathlib.Path(found[0])


def measure(bench: Bench) -> Result:
    python = bench.peer(PEER).parent / "python"
    command = [str(python), "-W", "ignore", str(SCRIPT), "--json", str(build()), str(bench.runs)]
    sample = Place(bench.folder).run(command).expect_success("augmentation_times.py")
    found = json.loads(sample.stdout)
    times = found["ms"]
    for name, (ours, theirs) in times.items():
        bench.log(f"{name}: {ours:.0f} ms; TorchIO {theirs:.0f} ms")
    totals = [sum(pair[side] for pair in times.values()) for side in (0, 1)]
    table = {name: {"ours": a, "torchio": b, "ratio": b / a} for name, (a, b) in times.items()}
    return Result(*totals, "ms", f"TorchIO-{found['torchio']}", {"ms": table, "torchio": found["torchio"]})


CASE = Case("twelve augmentations of an image of 169x208x179, one thread; peer: TorchIO", measure)
