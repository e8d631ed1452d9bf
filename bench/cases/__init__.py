"""The cases: one file and one line here for each."""

from __future__ import annotations

import pathlib
from dataclasses import dataclass, field
from typing import Callable

from measure import BenchError


@dataclass(frozen=True)
class Bench:
    """What a case has to work with."""

    program: pathlib.Path
    """The `clinicadl` measured."""
    folder: pathlib.Path
    """The case's own, kept between benches: what is costly to make stays there."""
    runs: int
    """How often everything quick is run."""
    peer: Callable[[str], pathlib.Path]
    """The program of a peer by name; installs it when it is first asked for."""
    log: Callable[[str], None]
    budget_s: float | None = None
    """Seconds in which the turns of a slow case should end; none where the number of runs was asked for."""

    def slow(self, most: int) -> int:
        """How often something slow is run: as everything else, but at most so often."""
        return min(self.runs, most)


@dataclass(frozen=True)
class Result:
    """What a case found: its row, and everything behind it."""

    ours: float
    peer: float | None
    unit: str
    peer_name: str
    details: dict[str, object] = field(default_factory=dict)

    @property
    def ratio(self) -> float | None:
        """How many times ours the peer's is."""
        if self.peer is None:
            return None
        if self.ours <= 0:
            raise BenchError(f"a measure of {self.ours} {self.unit} is none")
        return self.peer / self.ours

    def row(self, name: str) -> str:
        """`case ours peer ratio unit`, separated by tabs; `-` where there is nothing to compare."""
        shown = ["-" if value is None else f"{value:.4g}" for value in (self.ours, self.peer, self.ratio)]
        return "\t".join([name, *shown, self.unit])


HEADER = "\t".join(["case", "ours", "peer", "ratio", "unit"])


@dataclass(frozen=True)
class Case:
    """A case: its measure, and one sentence for `--list`."""

    summary: str
    measure: Callable[[Bench], Result]


def table() -> dict[str, Case]:
    """Every case by name."""
    from cases import (
        augmentation,
        caps_10000,
        execute_overhead,
        experiment,
        hash_2gib,
        interpret,
        memory_train,
        noop_chain_1000,
        noop_chain_10000,
        noop_fan_1000,
        predict,
        prepare_data,
        prepare_data_patch,
        scaling_chain,
        scaling_epoch,
        scaling_extract,
        split_10000,
        startup,
        train_ae,
        train_bf16,
        train_fp32,
        train_patch,
        train_resnet3d,
    )

    return {
        "noop-chain-1000": noop_chain_1000.CASE,
        "noop-fan-1000": noop_fan_1000.CASE,
        "noop-chain-10000": noop_chain_10000.CASE,
        "scaling-chain": scaling_chain.CASE,
        "execute-overhead": execute_overhead.CASE,
        "hash-2gib": hash_2gib.CASE,
        "prepare-data": prepare_data.CASE,
        "prepare-data-patch": prepare_data_patch.CASE,
        "caps-10000": caps_10000.CASE,
        "split-10000": split_10000.CASE,
        "startup": startup.CASE,
        "train-fp32": train_fp32.CASE,
        "memory-train": memory_train.CASE,
        "train-bf16": train_bf16.CASE,
        "train-ae": train_ae.CASE,
        "train-patch": train_patch.CASE,
        "train-resnet3d": train_resnet3d.CASE,
        "predict": predict.CASE,
        "interpret": interpret.CASE,
        "experiment": experiment.CASE,
        "scaling-extract": scaling_extract.CASE,
        "scaling-epoch": scaling_epoch.CASE,
        "augmentation": augmentation.CASE,
    }
