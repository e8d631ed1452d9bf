"""Case `caps-10000`: what it takes to see a CAPS of 10,000 sessions: listed, and every image hashed by content.

`plan` does that and nothing else. With an empty store every image is read (the row). After a run, for one
participant, all are known: `plan` still lists every folder but looks at stamps alone (`known`). `check`
keeps nothing and reads all of them each time. All pages are in memory each time. The images are tiny: how
long hashing takes by size is case `hash-2gib`.
"""

from __future__ import annotations

import gzip
import json
import pathlib
import random
import shutil
import struct

from cases import Bench, Case, Result
from measure import CPUS, BenchError, Place, Sample, median, summary

SESSIONS = 10_000
SUFFIX = "space-MNI152NLin2009cSym_desc-Crop_res-1x1x1_T1w.nii.gz"
MANIFEST = """clinicadl: 1
name: caps
inputs: { caps: caps, participants: participants.tsv }
stages: { extract: { uses: prepare-data, inputs: { caps: caps, participants: participants } } }
"""
PARTICIPANTS = "participant_id\tsession_id\nsub-00000\tses-M000\n"
EDGE = 12


def image(number: int, edge: int = EDGE) -> bytes:
    """A NIfTI image of edge×edge×edge voxels that no other number has."""
    header = bytearray(352)
    struct.pack_into("<i", header, 0, 348)
    struct.pack_into("<8h", header, 40, 3, edge, edge, edge, 1, 1, 1, 1)
    struct.pack_into("<2h", header, 70, 2, 8)  # unsigned bytes
    struct.pack_into("<8f", header, 76, 1, 1, 1, 1, 1, 1, 1, 1)
    struct.pack_into("<2f", header, 108, 352, 1)  # where voxels start, and their scale
    struct.pack_into("<h", header, 254, 1)  # the matrix below holds
    for row in range(3):
        struct.pack_into("<4f", header, 280 + 16 * row, *(float(column == row) for column in range(4)))
    header[344:348] = b"n+1\0"
    return gzip.compress(bytes(header) + random.Random(number).randbytes(edge**3), compresslevel=1, mtime=0)


def make(folder: pathlib.Path, sessions: int) -> None:
    """Writes a CAPS, unless it is there from an earlier bench."""
    done = folder / f"made-{sessions}"
    if done.exists():
        return
    shutil.rmtree(folder, ignore_errors=True)
    for number in range(sessions):
        participant, session = f"sub-{number // 2:05}", f"ses-M{12 * (number % 2):03}"
        place = folder / "caps" / "subjects" / participant / session / "t1_linear"
        place.mkdir(parents=True)
        (place / f"{participant}_{session}_{SUFFIX}").write_bytes(image(number))
    (folder / "experiment.yaml").write_text(MANIFEST)
    (folder / "participants.tsv").write_text(PARTICIPANTS)
    done.touch()


def measure(bench: Bench) -> Result:
    folder = bench.folder / "experiment"
    make(folder, SESSIONS)
    place, manifest = Place(folder), str(folder / "experiment.yaml")

    def plan(state: str) -> Sample:
        sample = place.run([str(bench.program), "--json", "plan", manifest]).expect_success("clinicadl plan")
        if [action["state"] for action in json.loads(sample.stdout)["actions"]] != [state]:
            raise BenchError(f"the one action was expected to be: {state}")
        bench.log(f"plan: {sample.seconds:.4f} s, peak {sample.peak_mib or 0:.0f} MiB")
        return sample

    def first() -> Sample:
        shutil.rmtree(folder / ".clinicadl", ignore_errors=True)
        return plan("run")

    first()
    cold = [first() for _ in range(bench.runs)]
    place.run([str(bench.program), "run", "--cpus", str(CPUS), manifest]).expect_success("clinicadl run")
    known = [plan("hit") for _ in range(bench.runs)]
    # Files of this size are read; larger ones would be mapped into memory, which nobody counts.
    least = SESSIONS * EDGE**3
    for sample in [*cold, *known]:
        if sample.read_bytes is not None and (sample.read_bytes >= least) != (sample in cold):
            raise BenchError(f"{sample.read_bytes} bytes were read; the images are {least}")
    check = [place.run([str(bench.program), "check", manifest]).expect_success("check") for _ in range(bench.runs)]
    details: dict[str, object] = {"first": summary(cold), "known": summary(known), "check": summary(check)}
    bench.log(f"once all are known: {median(known) * 1e3:.0f} ms; check: {median(check) * 1e3:.0f} ms")
    return Result(median(cold) * 1e3, None, "ms", "-", details)


CASE = Case("the first plan of a CAPS of 10,000 sessions: every image listed and hashed", measure)
