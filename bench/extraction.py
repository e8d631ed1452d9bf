"""What the cases of `prepare-data` share: real anatomy, both programs on it, and whether they agree.

The images are the ICBM152 template deformed per participant, at full size; `tests/peer/make_caps.py` makes
them, with the Python of ClinicaDL 1.6.1. Every run starts from nothing: ours with a new store, the peer's in
a new CAPS of links to the same images. Before a time counts, both have computed the same tensors.
"""

from __future__ import annotations

import os
import pathlib
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from cases import Bench, Result
from measure import CPUS, BenchError, Place, Sample, in_turns, median, summary

HERE = pathlib.Path(__file__).resolve().parent
MAKE_CAPS = HERE.parent / "tests" / "peer" / "make_caps.py"
SAME_TENSORS = HERE / "same_tensors.py"
PEER = "ClinicaDL-1.6.1"
IMAGES = 24
# `make_caps` gives three quarters of them two sessions: one image more than is wanted.
PARTICIPANTS = 14
PATTERN = "subjects/*/*/t1_linear/*.nii.gz"


@dataclass(frozen=True)
class Mode:
    """One way of extracting, as each program is told of it."""

    ours: Sequence[str]
    """Parameters, `NAME=VALUE`."""
    theirs: Sequence[str]
    """The mode and its options."""
    folder: str
    """Where the peer writes its tensors, below `deeplearning_prepare_data`."""


def anatomy(bench: Bench) -> pathlib.Path:
    """A CAPS of 24 images of 169×208×179 voxels, float32 and int16, made once for all cases."""
    caps = bench.folder.parent / "anatomy" / "caps"
    done = caps.parent / f"made-{IMAGES}"
    if not done.exists():
        bench.log(f"making {IMAGES} images, once")
        shutil.rmtree(caps.parent, ignore_errors=True)
        python = bench.peer(PEER).parent / "python"
        command = [str(python), "-W", "ignore", str(MAKE_CAPS), str(caps), str(PARTICIPANTS), "1"]
        Place(caps.parent).run(command).expect_success("make_caps.py")
        for image in sorted(caps.glob(PATTERN))[IMAGES:]:
            image.unlink()
        done.touch()
    found = len(list(caps.glob(PATTERN)))
    if found != IMAGES:
        raise BenchError(f"{caps} has {found} images, {IMAGES} were expected")
    return caps


def linked(caps: pathlib.Path, folder: pathlib.Path) -> pathlib.Path:
    """A CAPS of its own with the same images, as links."""
    for image in caps.glob(PATTERN):
        link = folder / image.relative_to(caps)
        link.parent.mkdir(parents=True)
        os.link(image, link)
    return folder


def measure(bench: Bench, mode: Mode) -> Result:
    """Both programs in turns, each run from nothing."""
    caps, peer = anatomy(bench), bench.peer(PEER)
    place = Place(bench.folder)
    folders = {name: bench.folder / name for name in ("clinicadl", "peer")}

    def ours() -> Sample:
        folder = folders["clinicadl"]
        shutil.rmtree(folder, ignore_errors=True)
        command = [str(bench.program), "--quiet", "exec", "prepare-data", "--cpus", str(CPUS)]
        command += ["--input", f"caps={caps}", "--store", str(folder / "store"), "--output", str(folder / "images")]
        command += [argument for parameter in mode.ours for argument in ("--with", parameter)]
        folder.mkdir(parents=True)
        return timed(bench, place, command, "clinicadl exec prepare-data")

    def theirs() -> Sample:
        shutil.rmtree(folders["peer"], ignore_errors=True)
        own = linked(caps, folders["peer"] / "caps")
        kind, *options = mode.theirs
        command = [str(peer), "prepare-data", kind, str(own), "t1-linear", "-np", str(CPUS), *options]
        return timed(bench, place, [*command, "--extract_json", "extract.json"], "ClinicaDL 1.6.1")

    try:
        # Once without timing: afterwards every page that is read is in memory, and there is something to compare.
        ours()
        theirs()
        tensors = same_tensors(bench, place, folders, mode)
        bench.log(f"{tensors} tensors are equal bit for bit")
        ways: dict[str, Callable[[], Sample]] = {"clinicadl": ours, "clinicadl-1.6.1": theirs}
        samples = in_turns(ways, {"clinicadl": bench.runs, "clinicadl-1.6.1": bench.slow(3)})
    finally:
        for folder in folders.values():
            shutil.rmtree(folder, ignore_errors=True)
    details: dict[str, object] = {"images": IMAGES, "equal_tensors": tensors}
    for name, found in samples.items():
        details[name] = {**summary(found), "images_per_s": IMAGES / median(found)}
    return Result(median(samples["clinicadl"]), median(samples["clinicadl-1.6.1"]), "s", PEER, details)


def timed(bench: Bench, place: Place, command: Sequence[str], what: str) -> Sample:
    """Runs a program after everything written before is on the disk, and tells what it took."""
    os.sync()
    sample = place.run(command).expect_success(what)
    peak = "unknown" if sample.peak_mib is None else f"{sample.peak_mib:.0f} MiB"
    bench.log(f"{what}: {sample.seconds:.3f} s, {sample.user + sample.system:.3f} s of processor, peak {peak}")
    return sample


def same_tensors(bench: Bench, place: Place, folders: dict[str, pathlib.Path], mode: Mode) -> int:
    """How many tensors both wrote; an error if not all are equal bit for bit."""
    python = bench.peer(PEER).parent / "python"
    arguments = [folders["clinicadl"] / "images", folders["peer"] / "caps", mode.folder]
    command = [str(python), "-W", "ignore", str(SAME_TENSORS), *map(str, arguments)]
    return int(place.run(command).expect_success("the tensors of both programs").stdout)
