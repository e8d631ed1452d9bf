#!/usr/bin/env python3
"""Measures this project's program beside its peers.

usage: run.py [--runs N] [--work FOLDER] [--list] PROGRAM [CASE…]

Without a case all are measured. Standard output has one line per case, separated by tabs:
`case ours peer ratio unit`, medians; the ratio is peer by ours. Standard error tells what is going on;
`bench/results/CASE.json` has every sample, peak memory, versions and the machine. Peers are installed in
the user's cache. Nothing here fails because of a time: only if what was measured is not what it claims.
"""

from __future__ import annotations

import argparse
import json
import pathlib
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

import peers  # noqa: E402
from cases import HEADER, Bench, Case, Result, table  # noqa: E402
from measure import BenchError, Place, machine  # noqa: E402

RESULTS = HERE / "results"
# Beside what cargo builds: on the checkout's disk, ignored by git, gone after `cargo clean`.
WORK = HERE.parent / "target" / "bench"
# Runs of everything quick, and seconds for the runs of a slow case, which also makes ready and compares.
RUNS, BUDGET_S = 5, 240.0


def log(text: str) -> None:
    """One line for whoever waits."""
    print(f"bench: {text}", file=sys.stderr, flush=True)


def arguments(cases: dict[str, Case]) -> argparse.Namespace:
    """The command line; cases are looked up before anything is measured."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    runs_help = f"runs of everything (default: {RUNS}, of what is slow as many as fit in five minutes)"
    parser.add_argument("--runs", type=int, help=runs_help)
    parser.add_argument("--work", type=pathlib.Path, default=WORK, help="where to work (default: target/bench)")
    parser.add_argument("--list", action="store_true", help="print the cases and stop")
    parser.add_argument("program", type=pathlib.Path, nargs="?", metavar="PROGRAM", help="the built `clinicadl`")
    parser.add_argument("cases", nargs="*", metavar="CASE")
    args = parser.parse_args()
    if args.list:
        return args
    if args.program is None or not args.program.is_file():
        parser.error(f"`{args.program}` is no program: build it first, or use `make bench`")
    for name in args.cases:
        if name not in cases:
            parser.error(f"no case `{name}`; there are {', '.join(cases)}")
    if args.runs is not None and args.runs < 1:
        parser.error("--runs must be at least 1")
    return args


def measure(name: str, case: Case, program: pathlib.Path, runs: int | None, work: pathlib.Path) -> Result:
    """One case: measured, and written down."""
    started = time.monotonic()
    place = Place(work / name)
    about = {**machine(), "sync_ms": place.sync_ms()}
    used: dict[str, str] = {}

    def peer(wanted: str) -> pathlib.Path:
        used[wanted] = peers.VERSIONS[wanted]
        return peers.program(wanted, log)

    version = place.run([str(program), "--version"]).expect_success("clinicadl --version")
    log(f"{name}: {case.summary}")
    budget_s = BUDGET_S if runs is None else None
    result = case.measure(Bench(program, place.folder, runs or RUNS, peer, log, budget_s))
    log(f"{name}: done in {time.monotonic() - started:.0f} s")
    document = {
        "case": name,
        "summary": case.summary,
        "ours": result.ours,
        "peer": result.peer,
        "peer_name": result.peer_name,
        "ratio": result.ratio,
        "unit": result.unit,
        "versions": {"clinicadl": version.stdout.strip(), **used},
        "machine": about,
        "details": result.details,
    }
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"{name}.json").write_text(json.dumps(document, indent=1) + "\n")
    return result


def main() -> int:
    cases = table()
    args = arguments(cases)
    if args.list:
        print("\n".join(f"{name:18} {case.summary}" for name, case in cases.items()))
        return 0
    failed: list[str] = []
    print(HEADER, flush=True)
    for name in args.cases or cases:
        try:
            result = measure(name, cases[name], args.program.resolve(), args.runs, args.work.resolve())
        except (BenchError, peers.PeerError) as error:
            log(f"error: {name}: {error}")
            failed.append(name)
            continue
        print(result.row(name), flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
