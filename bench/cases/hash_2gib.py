"""Case `hash-2gib`: the first look at 2 GiB of images in 1,000 files, beside `b3sum` on the same files.

The files have the names of images that `prepare-data` selects, and are hashed by content before anything
is decided: `plan` with an empty store does that and nothing else. All pages are in memory, and both use
the same number of threads. Then the experiment is run, for one participant, and run again without
changes: that run looks at the stamps of the 1,000 files and reads none of them.
"""

from __future__ import annotations

import gzip
import json
import os
import pathlib
import shutil
import struct

from cases import Bench, Case, Result
from measure import CPUS, BenchError, Place, Sample, in_turns, median, summary

FILES = 1000
TOTAL = 2 << 30
SPACE_LEFT = 1 << 30
SUFFIX = "space-MNI152NLin2009cSym_desc-Crop_res-1x1x1_T1w.nii.gz"
MANIFEST = """clinicadl: 1
name: hash
inputs: { caps: caps, participants: participants.tsv }
stages:
  extract:
    uses: prepare-data
    inputs: { caps: caps, participants: participants }
"""


class Experiment:
    """An experiment that reads one image of a CAPS of a thousand."""

    def __init__(self, program: pathlib.Path, folder: pathlib.Path):
        self.program, self.place = program, Place(folder)
        self.manifest = folder / "experiment.yaml"
        self.files = [self._image(i) for i in range(FILES)]

    def _image(self, number: int) -> pathlib.Path:
        participant = f"sub-{number:04}"
        folder = self.place.folder / "caps" / "subjects" / participant / "ses-M000" / "t1_linear"
        return folder / f"{participant}_ses-M000_{SUFFIX}"

    def make(self, bench: Bench) -> None:
        """Writes the files, unless they are there from an earlier bench."""
        self.place.folder.mkdir(parents=True, exist_ok=True)
        self.manifest.write_text(MANIFEST)
        (self.place.folder / "participants.tsv").write_text("participant_id\tsession_id\nsub-0000\tses-M000\n")
        if sum(path.stat().st_size for path in self.files if path.exists()) == TOTAL:
            return
        free = shutil.disk_usage(self.place.folder).free
        if free < TOTAL + SPACE_LEFT:
            raise BenchError(f"{self.place.folder}: {free >> 20} MiB free, {(TOTAL + SPACE_LEFT) >> 20} needed")
        bench.log(f"writing {TOTAL >> 20} MiB of random bytes")
        for number, path in enumerate(self.files):
            path.parent.mkdir(parents=True, exist_ok=True)
            size = TOTAL // FILES + (number < TOTAL % FILES)
            path.write_bytes(image(size) if number == 0 else os.urandom(size))

    def forget(self) -> None:
        """Empties the store, and with it all that is known of the files."""
        shutil.rmtree(self.place.folder / ".clinicadl", ignore_errors=True)

    def plan(self) -> Sample:
        return self.place.run([str(self.program), "--json", "plan", str(self.manifest)])

    def run(self) -> Sample:
        return self.place.run([str(self.program), "run", "--cpus", str(CPUS), str(self.manifest)])

    def action(self, plan: Sample) -> dict[str, str]:
        """The one action as `plan` tells of it."""
        actions: list[dict[str, str]] = json.loads(plan.expect_success("clinicadl plan").stdout)["actions"]
        if len(actions) != 1:
            raise BenchError(f"one action was expected, not {len(actions)}")
        return actions[0]


def image(size: int) -> bytes:
    """A NIfTI image of noise, as gzip that is exactly `size` bytes long."""
    slices = (size - 8192) >> 14
    header = bytearray(352)
    struct.pack_into("<i", header, 0, 348)
    struct.pack_into("<8h", header, 40, 3, 128, 128, slices, 1, 1, 1, 1)
    struct.pack_into("<2h", header, 70, 2, 8)  # unsigned bytes
    struct.pack_into("<8f", header, 76, 1, 1, 1, 1, 1, 1, 1, 1)
    struct.pack_into("<2f", header, 108, 352, 1)  # where voxels start, and their scale
    struct.pack_into("<h", header, 254, 1)  # the matrix below holds
    for row in range(3):
        struct.pack_into("<4f", header, 280 + 16 * row, *(float(column == row) for column in range(4)))
    header[344:348] = b"n+1\0"
    stream = gzip.compress(bytes(header) + os.urandom(slices << 14), compresslevel=0)
    # Flag 0x10 tells of a comment after the ten bytes of the header, which a zero ends: it fills up.
    comment = b" " * (size - len(stream) - 1) + b"\0"
    return stream[:3] + b"\x10" + stream[4:10] + comment + stream[10:]


def measure(bench: Bench) -> Result:
    b3sum = bench.peer("b3sum")
    experiment = Experiment(bench.program, bench.folder / "experiment")
    experiment.make(bench)
    listing = Place(bench.folder / "b3sum")
    # Relative paths: the arguments of a thousand absolute ones would be long.
    names = [os.path.relpath(path, listing.folder) for path in experiment.files]

    def ours() -> Sample:
        experiment.forget()
        return checked(experiment.plan(), "clinicadl plan")

    def theirs() -> Sample:
        sample = listing.run([str(b3sum), "--num-threads", str(CPUS), *names]).expect_success("b3sum")
        if len(sample.stdout.splitlines()) != FILES:
            raise BenchError("b3sum: not every file was hashed")
        return told(sample, "b3sum")

    def checked(sample: Sample, what: str) -> Sample:
        if experiment.action(sample)["state"] != "run":
            raise BenchError("with an empty store the action was expected to run")
        if sample.read_bytes is not None and sample.read_bytes < TOTAL:
            raise BenchError(f"{what} read {sample.read_bytes} of {TOTAL} bytes")
        return told(sample, what)

    def told(sample: Sample, what: str) -> Sample:
        bench.log(f"{what}: {sample.seconds:.4f} s")
        return sample

    # Once without timing: afterwards every page is in memory.
    theirs()
    ours()
    samples = in_turns({"clinicadl": ours, "b3sum": theirs}, {"clinicadl": bench.runs, "b3sum": bench.runs})
    check_content_counts(experiment)
    no_op = [told(sample, "no-op run") for sample in no_ops(experiment, bench)]
    details: dict[str, object] = {name: summary(found) for name, found in samples.items()}
    details["no_op_after"] = {**summary(no_op), "median_ms": median(no_op) * 1e3}
    return Result(median(samples["clinicadl"]) * 1e3, median(samples["b3sum"]) * 1e3, "ms", "b3sum", details)


def check_content_counts(experiment: Experiment) -> None:
    """Another byte in any of a few files is another key; with the old byte back, so is the old key."""
    experiment.forget()
    before = experiment.action(experiment.plan())["key"]
    for number in (1, FILES // 2, FILES - 1):
        path = experiment.files[number]
        flip(path)
        changed = experiment.action(experiment.plan())["key"]
        flip(path)
        if changed == before or experiment.action(experiment.plan())["key"] != before:
            raise BenchError(f"clinicadl: the key does not follow the content of {path.name}")


def flip(path: pathlib.Path) -> None:
    """Changes the byte in the middle of a file, or changes it back."""
    with open(path, "r+b") as file:
        file.seek(path.stat().st_size // 2)
        byte = file.read(1)[0]
        file.seek(-1, os.SEEK_CUR)
        file.write(bytes([byte ^ 0xFF]))


def no_ops(experiment: Experiment, bench: Bench) -> list[Sample]:
    """Runs without changes after one that ran: none may read the images."""
    experiment.forget()
    experiment.run().expect_success("clinicadl run")
    experiment.run().expect_success("clinicadl run")
    samples = []
    for _ in range(bench.runs):
        sample = experiment.run().expect_success("clinicadl run")
        if "up to date: all 1 actions were hits" not in sample.said:
            raise BenchError(f"clinicadl: a run without changes was not a no-op:\n{sample.said}")
        if sample.read_bytes is not None and sample.read_bytes > TOTAL // 100:
            raise BenchError(f"clinicadl: a run without changes read {sample.read_bytes} bytes")
        samples.append(sample)
    return samples


CASE = Case("the first hash of 2 GiB in 1,000 files; peer: b3sum; also the no-op run after it", measure)
