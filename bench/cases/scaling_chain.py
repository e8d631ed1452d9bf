"""Case `scaling-chain`: how much longer a run without changes takes when the chain is twice as long.

2 is linear. The row has the ratio of the two times; the details have memory, and the same of Snakemake,
which is no comparison: half a second of starting hides how its time grows.
"""

from __future__ import annotations

from functools import partial

from cases import Bench, Case, Result
from engines import Engine, chain
from engines.clinicadl import Clinicadl
from engines.snakemake import Snakemake
from measure import Sample, in_turns, median, summary
from noop import filled

SHORT, LONG = 1000, 2000


def measure(bench: Bench) -> Result:
    program = bench.peer("snakemake")
    engines: dict[str, Engine] = {}
    for stages in (SHORT, LONG):
        graph = chain(stages)
        engines[f"clinicadl-{stages}"] = Clinicadl(bench.program, bench.folder / f"clinicadl-{stages}", graph)
        engines[f"snakemake-{stages}"] = Snakemake(program, bench.folder / f"snakemake-{stages}", graph)
    details: dict[str, dict[str, object]] = {name: filled(engine, bench) for name, engine in engines.items()}

    def one(name: str) -> Sample:
        sample = engines[name].run()
        engines[name].check_ran_nothing(sample)
        bench.log(f"{name}: {sample.seconds:.4f} s")
        return sample

    times = {name: bench.slow(3) if name.startswith("snakemake") else bench.runs for name in engines}
    samples = in_turns({name: partial(one, name) for name in engines}, times)
    for name, found in samples.items():
        details[name]["no_op"] = summary(found)
    growth = {
        engine: median(samples[f"{engine}-{LONG}"]) / median(samples[f"{engine}-{SHORT}"])
        for engine in ("clinicadl", "snakemake")
    }
    memory = {
        "clinicadl_peak_mib": {stages: _peak(samples[f"clinicadl-{stages}"]) for stages in (SHORT, LONG)},
    }
    return Result(growth["clinicadl"], None, "x", "-", {**details, **memory, "growth": growth})


def _peak(samples: list[Sample]) -> float | None:
    return max((s.peak_mib for s in samples if s.peak_mib is not None), default=None)


CASE = Case("time of a no-op run of 2,000 stages by that of 1,000; 2 is linear", measure)
