"""Case `noop-chain-10000`: a run without changes of 10,000 stages, each reading the one before."""

from __future__ import annotations

from cases import Bench, Case, Result
from engines import Graph
from engines.clinicadl import Clinicadl
from engines.snakemake import Snakemake
from measure import median, summary
from noop import filled, timed

GRAPH = Graph("chain", 10_000)


def measure(bench: Bench) -> Result:
    ours = Clinicadl(bench.program, bench.folder / "clinicadl", GRAPH)
    snakemake = Snakemake(bench.peer("snakemake"), bench.folder / "snakemake", GRAPH)
    details: dict[str, dict[str, object]] = {e.name: filled(e, bench) for e in (ours, snakemake)}
    samples = timed([ours, snakemake], bench, {"snakemake": 2})
    for name, found in samples.items():
        details[name]["no_op"] = summary(found)
    return Result(
        median(samples["clinicadl"]) * 1e3,
        median(samples["snakemake"]) * 1e3,
        "ms",
        "snakemake",
        dict(details),
    )


CASE = Case("a no-op run of a chain of 10,000 stages; peer: snakemake", measure)
