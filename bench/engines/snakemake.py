"""Snakemake, with jobs that copy a file."""

from __future__ import annotations

import pathlib
import shutil

from engines import Graph
from measure import CPUS, BenchError, Place, Sample

WILDCARD_RULE = """
rule stage:
    input: {read}
    output: "out/{{i}}.txt"
    shell: "cp {{input}} {{output}}"
"""


class Snakemake:
    """A graph as one wildcard rule, which Snakemake reads faster than one rule per stage, or as the latter."""

    name = "snakemake"

    def __init__(self, program: pathlib.Path, folder: pathlib.Path, graph: Graph, explicit: bool = False):
        self.program, self.place, self.graph, self.explicit = program, Place(folder), graph, explicit

    def write(self) -> None:
        shutil.rmtree(self.place.folder, ignore_errors=True)
        self.place.folder.mkdir(parents=True)
        (self.place.folder / "input.txt").write_text("input\n")
        # All outputs are asked for, first ones first: from its end, Snakemake follows a chain of some 500 rules
        # and then stops with Python's RecursionError.
        wanted = f'expand("out/{{i}}.txt", i=range({self.graph.stages}))'
        rules = self._explicit() if self.explicit else self._wildcard()
        (self.place.folder / "Snakefile").write_text(f"rule all:\n    input: {wanted}\n{rules}")

    def _wildcard(self) -> str:
        """One rule for all stages."""
        length = self.graph.length
        before = 'f"out/{int(w.i) - 1}.txt"'
        read = '"input.txt"' if length == 1 else f'lambda w: {before} if int(w.i) % {length} else "input.txt"'
        return WILDCARD_RULE.format(read=read)

    def _explicit(self) -> str:
        """One rule per stage, as a manifest has one entry per stage."""
        rules = []
        for stage in range(self.graph.stages):
            source = self.graph.source(stage)
            read = "input.txt" if source is None else f"out/{source}.txt"
            rules.append(
                f'\nrule s{stage}:\n    input: "{read}"\n    output: "out/{stage}.txt"\n'
                '    shell: "cp {input} {output}"\n'
            )
        return "".join(rules)

    def run(self) -> Sample:
        return self.place.run([str(self.program), "--cores", str(CPUS)])

    def _outputs(self) -> list[pathlib.Path]:
        return [self.place.folder / "out" / f"{stage}.txt" for stage in range(self.graph.stages)]

    def pretend(self) -> None:
        """Makes all outputs by hand and has Snakemake record them as its own, where its run takes too long."""
        (self.place.folder / "out").mkdir()
        for path in self._outputs():
            path.write_text("input\n")
        self.place.run([str(self.program), "--cores", str(CPUS), "--touch"]).expect_success("snakemake --touch")

    def check_ran_all(self, sample: Sample) -> None:
        sample.expect_success("snakemake")
        if f"{self.graph.stages + 1} of {self.graph.stages + 1} steps (100%) done" not in sample.said:
            raise BenchError(f"snakemake: a first run did not execute {self.graph.stages} jobs")
        missing = [path for path in self._outputs() if not path.exists()]
        if missing:
            raise BenchError(f"snakemake: {len(missing)} outputs are missing, such as {missing[0]}")

    def check_ran_nothing(self, sample: Sample) -> None:
        sample.expect_success("snakemake")
        if "Nothing to be done" not in sample.said:
            raise BenchError(f"snakemake: a run without changes was not a no-op:\n{sample.said[-2000:]}")
