"""Case `noop-chain-10000`: a run without changes of 10,000 stages, in ten chains of 1,000."""

from __future__ import annotations

from cases import Bench, Case, Result
from engines import Graph
from engines.clinicadl import Clinicadl
from engines.snakemake import Snakemake
from measure import median, summary
from noop import filled, timed

# As one chain the stages would work on tables of 10,000 participants: filling the store would take long, and
# looking at it not a bit longer.
GRAPH = Graph(10_000, 1000)


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


CASE = Case("a no-op run of 10,000 stages in ten chains; peer: snakemake", measure)
