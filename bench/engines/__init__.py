"""The same graph of trivial stages for every engine: written, run, and what an engine said understood.

One file per engine. What each does with a graph is small, so that the engine is what is measured.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from measure import Place, Sample


@dataclass(frozen=True)
class Graph:
    """Stages 0 to `stages` - 1 in chains of `length`, whose first stages read the one input.

    One chain as long as the graph is a *chain*; chains of one stage each are a *fan*.
    """

    stages: int
    length: int

    def source(self, stage: int) -> int | None:
        """The stage that a stage reads, or None for the input."""
        return None if stage % self.length == 0 else stage - 1


def chain(stages: int) -> Graph:
    """Every stage reads the one before."""
    return Graph(stages, stages)


def fan(stages: int) -> Graph:
    """Every stage reads the input."""
    return Graph(stages, 1)


class Engine(Protocol):
    """An engine with a graph in a folder of its own."""

    name: str
    place: Place
    graph: Graph

    def write(self) -> None:
        """Makes the folder anew, with the graph and nothing done."""

    def run(self) -> Sample:
        """The command that brings everything up to date."""

    def check_ran_all(self, sample: Sample) -> None:
        """Raises unless this run executed every stage and the results are there."""

    def check_ran_nothing(self, sample: Sample) -> None:
        """Raises unless this run found everything up to date."""
