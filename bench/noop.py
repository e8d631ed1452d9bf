"""Measuring runs that have nothing to do."""

from __future__ import annotations

from functools import partial

from cases import Bench, Result
from engines import Engine, Graph
from engines.clinicadl import Clinicadl
from engines.dvc import Dvc
from engines.snakemake import Snakemake
from measure import Sample, in_turns, median, summary


def filled(engine: Engine, bench: Bench) -> dict[str, object]:
    """Runs the graph for the first time, or pretends to; then once without changes, which nothing times."""
    engine.write()
    pretend = getattr(engine, "pretend", None) if engine.graph.stages > longest_first_run(engine.name) else None
    first = None
    if pretend is not None:
        bench.log(f"{label(engine)}: {engine.graph.stages} results made by hand")
        pretend()
    else:
        bench.log(f"{label(engine)}: first run of {engine.graph.stages} stages")
        sample = engine.run()
        engine.check_ran_all(sample)
        first = summary([sample])
    sample = engine.run()
    engine.check_ran_nothing(sample)
    return {"first_run": first, "first_without_changes": summary([sample])}


def longest_first_run(engine: str) -> int:
    """Stages above which a peer's first run is not waited for."""
    return {"dvc": 200, "snakemake": 2000}.get(engine, 1_000_000)


def timed(engines: list[Engine], bench: Bench, most: dict[str, int]) -> dict[str, list[Sample]]:
    """Runs without changes, in turns; every one of them is checked."""

    def one(engine: Engine) -> Sample:
        sample = engine.run()
        engine.check_ran_nothing(sample)
        bench.log(f"{label(engine)}: {sample.seconds:.4f} s")
        return sample

    ways = {label(engine): partial(one, engine) for engine in engines}
    times = {label(engine): bench.slow(most.get(label(engine), bench.runs)) for engine in engines}
    return in_turns(ways, times)


def label(engine: Engine) -> str:
    """An engine's name in results."""
    return f"{engine.name}-explicit" if getattr(engine, "explicit", False) else engine.name


def compare(bench: Bench, graph: Graph) -> Result:
    """Ours, Snakemake in both ways of writing the graph, and DVC."""
    folder = bench.folder
    snakemake = bench.peer("snakemake")
    engines: list[Engine] = [
        Clinicadl(bench.program, folder / "clinicadl", graph),
        Snakemake(snakemake, folder / "snakemake", graph),
        Snakemake(snakemake, folder / "snakemake-explicit", graph, explicit=True),
        Dvc(bench.peer("dvc"), folder / "dvc", graph),
    ]
    details: dict[str, object] = {}
    for engine in engines:
        details[label(engine)] = filled(engine, bench)
    samples = timed(engines, bench, {"snakemake-explicit": 3, "dvc": 2})
    for name, found in samples.items():
        details[name]["no_op"] = summary(found)  # type: ignore[index]
    ours, peer = median(samples["clinicadl"]), median(samples["snakemake"])
    details["dvc_ratio"] = median(samples["dvc"]) / ours
    return Result(ours * 1e3, peer * 1e3, "ms", "snakemake", details)
