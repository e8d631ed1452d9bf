"""Case `scaling-extract`: how many times quicker two processors extract the images of `prepare-data` than one.

2 is perfect. Both runs may use both processors of the bench; `--cpus` is what differs.
"""

from __future__ import annotations

import shutil
from functools import partial

import extraction
from cases import Bench, Case, Result
from measure import CPUS, Place, Sample, in_turns, median, summary


def measure(bench: Bench) -> Result:
    caps, place, folder = extraction.anatomy(bench), Place(bench.folder), bench.folder / "extracted"

    def extracted(cpus: int) -> Sample:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        command = [str(bench.program), "--quiet", "exec", "prepare-data", "--cpus", str(cpus)]
        command += ["--input", f"caps={caps}", "--store", str(folder / "store"), "--output", str(folder / "images")]
        return extraction.timed(bench, place, command, f"--cpus {cpus}")

    try:
        # Once without timing: afterwards every page that is read is in memory.
        extracted(CPUS)
        ways = {f"cpus_{cpus}": partial(extracted, cpus) for cpus in (1, CPUS)}
        samples = in_turns(ways, dict.fromkeys(ways, bench.runs))
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    details: dict[str, object] = {name: summary(found) for name, found in samples.items()}
    gain = median(samples["cpus_1"]) / median(samples[f"cpus_{CPUS}"])
    return Result(gain, None, "x", "-", {"images": extraction.IMAGES, **details})


CASE = Case("time of an extraction on one processor by that on two; 2 is perfect", measure)
