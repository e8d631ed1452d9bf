"""Case `noop-fan-1000`: a run without changes of 1,000 stages that read one input."""

from cases import Bench, Case, Result
from engines import fan
from noop import compare


def measure(bench: Bench) -> Result:
    return compare(bench, fan(1000))


CASE = Case("a no-op run of 1,000 stages that read one input; peer: snakemake; also dvc", measure)
