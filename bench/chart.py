#!/usr/bin/env python3
"""Draws the results of `run.py` as one SVG: bars on a logarithmic scale, one group per case.

usage: chart.py [--results FOLDER] OUTPUT

Reads `bench/results/*.json`. The picture follows the reader's light or dark theme, and names versions and
processor, because a number without them says little.
"""

from __future__ import annotations

import argparse
import html
import json
import math
import pathlib
import sys
from dataclasses import dataclass
from typing import Any

RESULTS = pathlib.Path(__file__).resolve().parent / "results"
# Case, its heading, and the bars: a name and where its value is. `ours` and `peer` are those of the row.
GROUPS: list[tuple[str, str, list[tuple[str, str]]]] = [
    (
        "noop-chain-1000",
        "Run without changes, chain of 1,000",
        [("clinicadl", "ours"), ("snakemake", "peer"), ("dvc", "dvc.no_op")],
    ),
    (
        "noop-fan-1000",
        "Run without changes, fan of 1,000",
        [("clinicadl", "ours"), ("snakemake", "peer"), ("dvc", "dvc.no_op")],
    ),
    ("noop-chain-10000", "Run without changes, ten chains of 1,000", [("clinicadl", "ours"), ("snakemake", "peer")]),
    (
        "execute-overhead",
        "Overhead per executed action",
        [("clinicadl", "ours"), ("snakemake", "peer"), ("dvc", "dvc.ms_per_action")],
    ),
    ("hash-2gib", "First hash of 2 GiB in 1,000 files", [("clinicadl", "ours"), ("b3sum", "peer")]),
    *(
        (case, heading, [("clinicadl", "ours"), ("1.6.1", "peer")])
        for case, heading in {
            "startup": "Start (--help), beside ClinicaDL 1.6.1",
            "prepare-data": "Extraction of 24 T1 images",
            "prepare-data-patch": "Extraction of their 864 patches",
            "train-fp32": "Epoch of Conv5_FC3, 12 images of 169×208×179",
            "train-bf16": "The same in bfloat16",
            "train-ae": "Epoch of AE_Conv5_FC3, 6 images",
            "train-resnet3d": "Epoch of ResNet3D, 6 images",
            "train-patch": "Epoch of Conv5_FC3 on 432 patches",
            "predict": "Prediction of 8 images",
            "interpret": "Gradient maps of 8 images",
            "experiment": "A whole experiment: images to maps",
        }.items()
    ),
]
WIDTH, LEFT, RIGHT, BAR, HEADING, TOP, FOOT = 720, 96, 84, 18, 28, 12, 34
STYLE = """
text { font: 12px system-ui, sans-serif; fill: #1f2328 }
.heading { font-weight: 600 }
.small { fill: #59636e; font-size: 11px }
.ours { fill: #1a7f64 }
.peer { fill: #afb8c1 }
@media (prefers-color-scheme: dark) {
  text { fill: #f0f6fc }
  .small { fill: #9198a1 }
  .ours { fill: #3fb68b }
  .peer { fill: #5b646d }
}
"""


@dataclass(frozen=True)
class Bar:
    """One bar: whose, and how many milliseconds."""

    name: str
    milliseconds: float


@dataclass(frozen=True)
class Group:
    """The bars of one case."""

    heading: str
    bars: list[Bar]


def value(document: dict[str, Any], where: str) -> float | None:
    """A value of a result in milliseconds; None if it was not measured."""
    found: Any
    if where in ("ours", "peer"):
        found = document[where]
    else:
        engine, what = where.split(".")
        found = document["details"].get(engine, {}).get(what)
    if isinstance(found, dict):
        # Summaries are in seconds, all else is in milliseconds already.
        return float(found["median_s"]) * 1e3
    if found is None:
        return None
    return float(found) * (1e3 if document["unit"] == "s" else 1.0)


def groups(documents: dict[str, dict[str, Any]]) -> list[Group]:
    """What there is to draw: cases that were measured, bars that have a value."""
    found = []
    for case, heading, wanted in GROUPS:
        if case in documents:
            values = [(name, value(documents[case], where)) for name, where in wanted]
            found.append(Group(heading, [Bar(name, ms) for name, ms in values if ms is not None]))
    return found


def told(milliseconds: float) -> str:
    """A time with two or three digits."""
    if milliseconds < 1000:
        return f"{milliseconds:.3g} ms"
    return f"{milliseconds / 1e3:.3g} s"


def footer(documents: dict[str, dict[str, Any]]) -> str:
    """Versions and machine, of the newest result."""
    newest = max(documents.values(), key=lambda document: document["machine"]["date"])
    versions: dict[str, str] = {}
    for document in documents.values():
        versions.update(document["versions"])
    versions.pop("clinicadl", None)
    peers = ", ".join(f"{name} {version}" for name, version in sorted(versions.items()))
    machine = newest["machine"]
    return f"Logarithmic scale. {machine['processors_used']} threads, {machine['processor']}; {peers}"


def draw(shown: list[Group], note: str) -> str:
    """The picture as text."""
    every = [bar.milliseconds for group in shown for bar in group.bars]
    least, most = math.log10(min(every) / 2), math.log10(max(every))
    scale = (WIDTH - LEFT - RIGHT) / max(most - least, 1e-9)
    parts: list[str] = []
    y = TOP
    for group in shown:
        y += HEADING
        parts.append(f'<text class="heading" x="0" y="{y - 9}">{html.escape(group.heading)}</text>')
        for bar in group.bars:
            kind = "ours" if bar.name == "clinicadl" else "peer"
            width = (math.log10(bar.milliseconds) - least) * scale
            middle = y + BAR / 2 + 4
            parts.append(f'<text x="{LEFT - 8}" y="{middle:.0f}" text-anchor="end">{html.escape(bar.name)}</text>')
            parts.append(f'<rect class="{kind}" x="{LEFT}" y="{y + 2}" width="{width:.1f}" height="{BAR - 4}" rx="2"/>')
            parts.append(f'<text x="{LEFT + width + 6:.1f}" y="{middle:.0f}">{told(bar.milliseconds)}</text>')
            y += BAR
    height = y + FOOT
    parts.append(f'<text class="small" x="0" y="{height - 10}">{html.escape(note)}</text>')
    body = "\n".join(parts)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" '
        f'role="img" aria-label="Times of clinicadl and its peers">\n<style>{STYLE}</style>\n{body}\n</svg>\n'
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", type=pathlib.Path, default=RESULTS)
    parser.add_argument("output", type=pathlib.Path)
    args = parser.parse_args()
    documents = {path.stem: json.loads(path.read_text()) for path in sorted(args.results.glob("*.json"))}
    shown = groups(documents)
    if not shown:
        print(f"error: no results in {args.results}\nhint: make bench", file=sys.stderr)
        return 1
    args.output.write_text(draw(shown, footer(documents)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
