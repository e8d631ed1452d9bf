"""Case `execute-overhead`: what an engine adds to every action that it executes, publication included.

The stages do next to nothing, so the time of a first run by their number is the engine's. Ours are real
`split` stages, which read a table and write five, durably; those of the peers copy seven bytes.
"""

from __future__ import annotations

from functools import partial

from cases import Bench, Case, Result
from engines import Engine, chain, fan
from engines.clinicadl import Clinicadl
from engines.dvc import Dvc
from engines.snakemake import Snakemake
from measure import Sample, in_turns, median, summary

STAGES, STAGES_OF_DVC = 200, 100


def measure(bench: Bench) -> Result:
    folder = bench.folder
    snakemake = bench.peer("snakemake")
    engines: dict[str, Engine] = {
        "clinicadl": Clinicadl(bench.program, folder / "clinicadl", chain(STAGES)),
        "snakemake": Snakemake(snakemake, folder / "snakemake", chain(STAGES)),
        "clinicadl-fan": Clinicadl(bench.program, folder / "clinicadl-fan", fan(STAGES)),
        "snakemake-fan": Snakemake(snakemake, folder / "snakemake-fan", fan(STAGES)),
        "dvc": Dvc(bench.peer("dvc"), folder / "dvc", chain(STAGES_OF_DVC)),
    }

    def first_run(name: str) -> Sample:
        engine = engines[name]
        engine.write()
        sample = engine.run()
        engine.check_ran_all(sample)
        bench.log(f"{name}: {sample.seconds:.3f} s, {sample.seconds * 1e3 / engine.graph.stages:.2f} ms per action")
        return sample

    most = {"snakemake": 3, "snakemake-fan": 2, "dvc": 1}
    times = {name: bench.slow(most.get(name, bench.runs)) for name in engines}
    samples = in_turns({name: partial(first_run, name) for name in engines}, times)
    details: dict[str, object] = {}
    per_action: dict[str, float] = {}
    for name, found in samples.items():
        per_action[name] = median(found) * 1e3 / engines[name].graph.stages
        details[name] = {"ms_per_action": per_action[name], "first_run": summary(found)}
    return Result(per_action["clinicadl"], per_action["snakemake"], "ms/action", "snakemake", details)


CASE = Case("a first run of a chain of 200 trivial stages, per action; peer: snakemake; also dvc", measure)
