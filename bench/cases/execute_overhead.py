"""Case `execute-overhead`: what an engine adds to every action that it executes, publication included.

The stages do next to nothing, so the time of a first run by their number is the engine's. Ours are real
`split` stages, which read a table and write five, durably; those of the peers copy seven bytes.
"""

from __future__ import annotations

import pathlib
import shutil
import time
from collections.abc import Callable
from functools import partial

from cases import Bench, Case, Result
from engines import Engine, chain, fan
from engines.clinicadl import Clinicadl
from engines.dvc import Dvc
from engines.snakemake import Snakemake
from measure import Sample, in_turns, median, summary

STAGES, STAGES_OF_DVC = 200, 100


def measure(bench: Bench) -> Result:
    snakemake, dvc = bench.peer("snakemake"), bench.peer("dvc")
    engines: dict[str, Callable[[pathlib.Path], Engine]] = {
        "clinicadl": lambda folder: Clinicadl(bench.program, folder, chain(STAGES)),
        "snakemake": lambda folder: Snakemake(snakemake, folder, chain(STAGES)),
        "clinicadl-fan": lambda folder: Clinicadl(bench.program, folder, fan(STAGES)),
        "snakemake-fan": lambda folder: Snakemake(snakemake, folder, fan(STAGES)),
        "dvc": lambda folder: Dvc(dvc, folder, chain(STAGES_OF_DVC)),
    }
    stages = {name: STAGES_OF_DVC if name == "dvc" else STAGES for name in engines}
    used: list[pathlib.Path] = []

    def first_run(name: str) -> Sample:
        # A new folder each time, and nothing deleted meanwhile: ext4 passes over every inode that was
        # freed within the last minutes before it gives out a new one, which would count for the next run.
        folder = bench.folder / f"{name}-{len(used)}-{time.time_ns()}"
        used.append(folder)
        engine = engines[name](folder)
        engine.write()
        sample = engine.run()
        engine.check_ran_all(sample)
        bench.log(f"{name}: {sample.seconds:.3f} s, {sample.seconds * 1e3 / stages[name]:.2f} ms per action")
        return sample

    most = {"snakemake": 3, "snakemake-fan": 2, "dvc": 1}
    times = {name: bench.slow(most.get(name, bench.runs)) for name in engines}
    try:
        samples = in_turns({name: partial(first_run, name) for name in engines}, times)
    finally:
        for folder in used:
            shutil.rmtree(folder, ignore_errors=True)
    details: dict[str, object] = {}
    per_action: dict[str, float] = {}
    for name, found in samples.items():
        per_action[name] = median(found) * 1e3 / stages[name]
        details[name] = {"ms_per_action": per_action[name], "first_run": summary(found)}
    return Result(per_action["clinicadl"], per_action["snakemake"], "ms/action", "snakemake", details)


CASE = Case("a first run of a chain of 200 trivial stages, per action; peer: snakemake; also dvc", measure)
