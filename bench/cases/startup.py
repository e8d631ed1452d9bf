"""Case `startup`: what it takes to say `--help`."""

from __future__ import annotations

from functools import partial

from cases import Bench, Case, Result
from extraction import PEER
from measure import BenchError, Place, Sample, in_turns, median, summary


def measure(bench: Bench) -> Result:
    place = Place(bench.folder)
    programs = {"clinicadl": bench.program, "clinicadl-1.6.1": bench.peer(PEER)}

    def helped(name: str) -> Sample:
        sample = place.run([str(programs[name]), "--help"]).expect_success(f"{name} --help")
        if "Usage:" not in sample.stdout:
            raise BenchError(f"{name} --help: it has not helped")
        bench.log(f"{name} --help: {sample.seconds * 1e3:.1f} ms")
        return sample

    # Once without timing: afterwards every page is in memory.
    for name in programs:
        helped(name)
    ways = {name: partial(helped, name) for name in programs}
    samples = in_turns(ways, {"clinicadl": bench.runs, "clinicadl-1.6.1": bench.slow(3)})
    details: dict[str, object] = {name: summary(found) for name, found in samples.items()}
    ours, theirs = median(samples["clinicadl"]) * 1e3, median(samples["clinicadl-1.6.1"]) * 1e3
    return Result(ours, theirs, "ms", PEER, details)


CASE = Case("`--help`; peer: ClinicaDL 1.6.1", measure)
