"""This project's engine, with stages `split` that hold one participant out."""

from __future__ import annotations

import json
import pathlib
import shutil

from engines import Graph
from measure import CPUS, BenchError, Place, Sample


class Clinicadl:
    """A graph of `split` stages: real ones, with three outputs each, that need no libtorch."""

    name = "clinicadl"

    def __init__(self, program: pathlib.Path, folder: pathlib.Path, graph: Graph):
        self.program, self.place, self.graph = program, Place(folder), graph

    @property
    def _manifest(self) -> pathlib.Path:
        return self.place.folder / "experiment.yaml"

    def write(self) -> None:
        shutil.rmtree(self.place.folder, ignore_errors=True)
        self.place.folder.mkdir(parents=True)
        # Each stage of a chain leaves one participant fewer, and a split needs two. Short names keep the
        # tables small: what is measured is the engine.
        participants = 2 + self.graph.length
        rows = [f"{i}\tM0\n" for i in range(participants)]
        (self.place.folder / "labels.tsv").write_text("participant_id\tsession_id\n" + "".join(rows))
        stages = [self._stage(i) for i in range(self.graph.stages)]
        head = ["clinicadl: 1", "name: bench", "inputs: { labels: labels.tsv }", "stages:"]
        self._manifest.write_text("\n".join(head + stages) + "\n")

    def _stage(self, stage: int) -> str:
        source = self.graph.source(stage)
        labels = "labels" if source is None else f"s{source}.train"
        # Stages that read the same would be one action if they did not differ in something.
        trials = f", max_trials: {stage + 1}"
        parameters = f"n_test: 1, label: null, balance: []{trials}"
        return (
            f"  s{stage}: {{ uses: split, inputs: {{ labels: {labels} }}, "
            f"with: {{ {parameters} }}, resources: {{ cpus: 1 }} }}"
        )

    def run(self, *options: str) -> Sample:
        command = [str(self.program), *options, "run", "--cpus", str(CPUS), str(self._manifest)]
        return self.place.run(command)

    def forget(self) -> None:
        """Empties the store."""
        shutil.rmtree(self.place.folder / ".clinicadl", ignore_errors=True)

    def check_ran_all(self, sample: Sample) -> None:
        sample.expect_success("clinicadl run")
        stages = self.graph.stages
        if f"{stages} actions: {stages} ran, 0 hits" not in sample.said:
            raise BenchError(f"clinicadl: a first run did not execute {stages} actions:\n{sample.stdout}")
        # Its own word is compared with what another command sees.
        plan = self.place.run([str(self.program), "--json", "plan", str(self._manifest)]).expect_success("plan")
        states = [action["state"] for action in json.loads(plan.stdout)["actions"]]
        if states != ["hit"] * stages:
            raise BenchError("clinicadl: after a run not every action is a hit")

    def check_ran_nothing(self, sample: Sample) -> None:
        sample.expect_success("clinicadl run")
        if f"up to date: all {self.graph.stages} actions were hits" not in sample.said:
            raise BenchError(f"clinicadl: a run without changes was not a no-op:\n{sample.stdout}")
