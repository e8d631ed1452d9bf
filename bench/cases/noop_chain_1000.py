"""Case `noop-chain-1000`: a run without changes of 1,000 stages, each reading the one before."""

from cases import Bench, Case, Result
from engines import chain
from noop import compare


def measure(bench: Bench) -> Result:
    return compare(bench, chain(1000))


CASE = Case("a no-op run of a chain of 1,000 stages; peer: snakemake; also dvc", measure)
