"""Measuring: one run of a program, many runs in turns, and what they amount to."""

from __future__ import annotations

import datetime
import json
import os
import pathlib
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Callable

SPAWN = pathlib.Path(__file__).resolve().parent / "spawn.py"
# Processors that everything measured may use: `snakemake -c2`, `b3sum --num-threads 2`.
CPUS = 2


class BenchError(Exception):
    """What was claimed did not happen, so that its time means nothing."""


@dataclass(frozen=True)
class Sample:
    """One run of one program."""

    seconds: float
    user: float
    system: float
    peak_mib: float | None
    """None if it was below what can be told (see spawn.py)."""
    read_bytes: int | None
    """Asked of the kernel by read calls; files mapped into memory do not count."""
    code: int
    stdout: str
    stderr: str

    @property
    def said(self) -> str:
        """All that it printed."""
        return self.stdout + self.stderr

    def expect_success(self, what: str) -> Sample:
        """This sample, or an error with the end of what the program said."""
        if self.code != 0:
            tail = "\n".join(self.said.strip().splitlines()[-15:])
            raise BenchError(f"{what}: exit code {self.code}\n{tail}")
        return self


@dataclass(frozen=True)
class Place:
    """Where programs are run: a folder, with nothing of the user's settings."""

    folder: pathlib.Path

    def environment(self) -> dict[str, str]:
        """A home of its own, so that neither settings nor caches of the user take part."""
        home = self.folder / "home"
        home.mkdir(parents=True, exist_ok=True)
        return {
            "HOME": str(home),
            "LANG": "C.UTF-8",
            "NO_COLOR": "1",
            "PATH": os.environ.get("PATH", os.defpath),
            "TERM": "dumb",
            # The peers' ways of being told not to call home.
            "DVC_NO_ANALYTICS": "1",
            "DO_NOT_TRACK": "1",
        }

    def run(self, command: Sequence[str], limit_s: int = 1800) -> Sample:
        """Runs a program in this folder, and measures it."""
        self.folder.mkdir(parents=True, exist_ok=True)
        stdout, stderr = self.folder / "stdout.txt", self.folder / "stderr.txt"
        launcher = [sys.executable, "-I", "-S", str(SPAWN), str(CPUS), str(limit_s), str(stdout), str(stderr)]
        result = subprocess.run(
            [*launcher, *map(str, command)],
            cwd=self.folder,
            env=self.environment(),
            capture_output=True,
            text=True,
            check=False,
        )
        if result.returncode != 0:
            told = result.stderr.strip() or f"ended with {result.returncode}"
            raise BenchError(f"cannot run `{command[0]}`: {told}")
        report = json.loads(result.stdout)
        peak, floor = report.pop("peak_kib"), report.pop("floor_kib")
        return Sample(
            peak_mib=peak / 1024 if peak > floor else None,
            stdout=stdout.read_text(errors="replace"),
            stderr=stderr.read_text(errors="replace"),
            **report,
        )

    def sync_ms(self, times: int = 50) -> float:
        """How long the disk takes to make a small new file durable: what bounds engines that do so."""
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / "sync"
        seconds = []
        for _ in range(times):
            with open(path, "wb") as file:
                file.write(b"x" * 1000)
                file.flush()
                started = time.perf_counter()
                os.fsync(file.fileno())
                seconds.append(time.perf_counter() - started)
            path.unlink()
        return statistics.median(seconds) * 1e3


def in_turns(
    ways: Mapping[str, Callable[[], Sample]], times: Mapping[str, int], budget_s: float | None = None
) -> dict[str, list[Sample]]:
    """Runs every way as often as `times` says, A B A B …, so that a slow minute of the machine hits all.

    With a budget, a turn after the first is left out if it would not end in time, were it as long as the
    longest before.
    """
    samples: dict[str, list[Sample]] = {name: [] for name in ways}
    began, longest = time.monotonic(), 0.0
    for turn in range(max(times.values(), default=0)):
        turn_began = time.monotonic()
        if budget_s is not None and turn > 0 and turn_began - began + longest > budget_s:
            break
        for name, way in ways.items():
            if turn < times[name]:
                samples[name].append(way())
        longest = max(longest, time.monotonic() - turn_began)
    return samples


def median(samples: Sequence[Sample]) -> float:
    """The median of their seconds."""
    return statistics.median(sample.seconds for sample in samples)


def summary(samples: Sequence[Sample]) -> dict[str, object]:
    """Everything about some samples that is kept: all numbers, not what was printed."""
    seconds = [sample.seconds for sample in samples]
    peaks = [sample.peak_mib for sample in samples if sample.peak_mib is not None]
    kept = [{k: v for k, v in asdict(sample).items() if k not in ("stdout", "stderr")} for sample in samples]
    return {
        "median_s": statistics.median(seconds),
        "min_s": min(seconds),
        "max_s": max(seconds),
        "peak_mib": max(peaks) if peaks else None,
        "samples": kept,
    }


def machine() -> dict[str, object]:
    """What numbers depend on."""
    return {
        "date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "processor": _from_proc("/proc/cpuinfo", "model name") or platform.processor(),
        "processors": os.cpu_count(),
        "processors_used": CPUS,
        "memory": _from_proc("/proc/meminfo", "MemTotal"),
        "load_before": os.getloadavg()[0],
        "python": platform.python_version(),
    }


def _from_proc(path: str, field: str) -> str | None:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            for line in file:
                name, _, value = line.partition(":")
                if name.strip() == field:
                    return value.strip()
    except OSError:
        pass
    return None
