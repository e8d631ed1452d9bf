"""Case `split-10000`: 10,000 participants split so that neither age nor sex differs between the parts.

The row is the time of the action alone, as the run reports it; `run` has the whole command, and `peer` that
of ClinicaDL 1.6.1 on the same table, most of which is its start. That both parts are balanced is checked by
counting here, not taken at the programs' word.
"""

from __future__ import annotations

import csv
import json
import pathlib
import random
import shutil
import statistics
from collections import Counter

from cases import Bench, Case, Result
from measure import CPUS, BenchError, Place, Sample, median, summary

PARTICIPANTS, HELD_OUT = 10_000, 2_000
# The test's threshold on p, 0.8, allows for a quarter of a standard error.
MOST_STANDARD_ERRORS = 0.26
PEER = "ClinicaDL-1.6.1"
def make(folder: pathlib.Path) -> None:
    """Writes the table."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    draws = random.Random(0)
    rows = ["participant_id\tsession_id\tdiagnosis\tsex\tage\n"]
    for number in range(PARTICIPANTS):
        diagnosis, sex, age = draws.choice(["AD", "CN", "MCI"]), draws.choice("FM"), draws.gauss(72, 8)
        rows.append(f"sub-{number:05}\tses-M000\t{diagnosis}\t{sex}\t{age:.1f}\n")
    (folder / "labels.tsv").write_text("".join(rows))


def read(path: pathlib.Path) -> list[dict[str, str]]:
    """The rows of a table."""
    with open(path, encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file, delimiter="\t"))


def check(train: list[dict[str, str]], test: list[dict[str, str]]) -> None:
    """Raises unless everybody is in one part, and the parts do not differ."""
    names = [row["participant_id"] for row in train + test]
    if len(test) != HELD_OUT or len(names) != PARTICIPANTS or len(set(names)) != PARTICIPANTS:
        raise BenchError(f"{len(train)} and {len(test)} participants are no split of {PARTICIPANTS}")
    ages = [[float(row["age"]) for row in part] for part in (train, test)]
    error = sum(statistics.variance(part) / len(part) for part in ages) ** 0.5
    if abs(statistics.fmean(ages[0]) - statistics.fmean(ages[1])) > MOST_STANDARD_ERRORS * error:
        raise BenchError("the parts differ in age")
    women = [Counter(row["sex"] for row in part)["F"] / len(part) for part in (train, test)]
    error = (0.25 / len(train) + 0.25 / len(test)) ** 0.5
    if abs(women[0] - women[1]) > MOST_STANDARD_ERRORS * error:
        raise BenchError("the parts differ in sex")


def measure(bench: Bench) -> Result:
    folder = bench.folder / "experiment"
    make(folder)
    place, program = Place(folder), bench.peer(PEER)
    actions: list[float] = []

    def ours() -> Sample:
        for name in ("store", "output"):
            shutil.rmtree(folder / name, ignore_errors=True)
        command = [str(bench.program), "--json", "exec", "split", "--cpus", str(CPUS), "--store", "store"]
        command += ["--input", "labels=labels.tsv", "--with", f"n_test={HELD_OUT}", "--with", "balance=[age, sex]"]
        sample = place.run([*command, "--output", "output"]).expect_success("clinicadl exec split")
        (action,) = json.loads(sample.stdout)["run"]["actions"]
        actions.append(float(action["elapsed_s"]))
        bench.log(f"split: {actions[-1] * 1e3:.1f} ms of {sample.seconds * 1e3:.1f} ms")
        return sample

    def theirs() -> Sample:
        for path in folder.glob("split*"):
            shutil.rmtree(path)
        command = [str(program), "tsvtools", "split", str(folder / "labels.tsv"), "--n_test", str(HELD_OUT)]
        sample = place.run(command).expect_success("tsvtools split")
        bench.log(f"ClinicaDL 1.6.1: {sample.seconds:.2f} s")
        return sample

    samples = [ours() for _ in range(bench.runs)]
    train, test = (read(folder / "output" / part / f"{part}.tsv") for part in ("train", "test"))
    check(train, test)
    peer = [theirs() for _ in range(bench.slow(3))]
    details: dict[str, object] = {"action_ms": [seconds * 1e3 for seconds in actions]}
    details |= {"run": summary(samples), "peer": summary(peer)}
    bench.log(f"the whole command: {median(samples) * 1e3:.0f} ms; ClinicaDL 1.6.1: {median(peer):.1f} s")
    return Result(statistics.median(actions) * 1e3, None, "ms", "-", details)


CASE = Case("a balanced split of 10,000 participants, the action alone", measure)
