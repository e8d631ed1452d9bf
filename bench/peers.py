"""The programs compared with: installed once in the user's cache, in the versions named here.

They stay outside of the checkout, in `$XDG_CACHE_HOME/clinicadl/bench-peers`. All requirements of theirs
are pinned in `constraints.txt`, so that the peer measured tomorrow is the one measured today.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import pathlib
import shutil
import subprocess
import sys
from collections.abc import Iterator
from typing import Callable

HERE = pathlib.Path(__file__).resolve().parent
CONSTRAINTS = HERE / "constraints.txt"
VERSIONS = {"snakemake": "9.27.1", "dvc": "3.67.1", "b3sum": "1.8.7", "ClinicaDL-1.6.1": "1.6.1"}
PYTHON_PEERS = ("snakemake", "dvc")
# The comparison with it installs it; a bench uses the same environment.
INSTALL_CLINICADL = HERE.parent / "tests" / "peer" / "run.py"
OLDEST_PYTHON = (3, 11)

Log = Callable[[str], None]


class PeerError(Exception):
    """A peer cannot be had."""


def cache_folder() -> pathlib.Path:
    """Where the peers live, for every checkout."""
    base = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    return pathlib.Path(base) / "clinicadl" / "bench-peers"


def program(name: str, log: Log) -> pathlib.Path:
    """The program of a peer, after installing it if need be."""
    folder = cache_folder()
    with _lock(folder):
        if name in PYTHON_PEERS:
            return _python_peers(folder / "python", log) / name
        if name == "ClinicaDL-1.6.1":
            return _clinicadl()
        return _from_crate(name, folder / f"{name}-{VERSIONS[name]}", log)


@contextlib.contextmanager
def _lock(folder: pathlib.Path) -> Iterator[None]:
    """Two benches at once install once."""
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / "lock", "w", encoding="ascii") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _python_peers(folder: pathlib.Path, log: Log) -> pathlib.Path:
    """A virtual environment with the Python peers; one interrupted, or of other versions, is made again."""
    wanted = [f"{name}=={VERSIONS[name]}" for name in PYTHON_PEERS]
    stamp = hashlib.sha256(" ".join(wanted).encode() + CONSTRAINTS.read_bytes()).hexdigest()
    done = folder / "installed"
    if done.exists() and done.read_text(encoding="ascii") == stamp:
        return folder / "bin"
    if sys.version_info[:2] < OLDEST_PYTHON:
        oldest = ".".join(map(str, OLDEST_PYTHON))
        raise PeerError(f"snakemake needs Python {oldest} or newer\nhint: make bench PYTHON=python{oldest}")
    log(f"installing {', '.join(wanted)} in {folder}")
    shutil.rmtree(folder, ignore_errors=True)
    # Without a pip of its own: Debian's python3 cannot make one, but its pip can serve the environment.
    _call([sys.executable, "-m", "venv", "--without-pip", str(folder)])
    pip = [sys.executable, "-m", "pip", "--python", str(folder / "bin" / "python"), "install", "-qq"]
    _call([*pip, "--constraint", str(CONSTRAINTS), *wanted])
    done.write_text(stamp, encoding="ascii")
    return folder / "bin"


def _from_crate(name: str, folder: pathlib.Path, log: Log) -> pathlib.Path:
    """A program built from crates.io; cargo moves it into place when it is whole."""
    path = folder / "bin" / name
    if not path.exists():
        log(f"installing {name} {VERSIONS[name]} in {folder}")
        command = ["cargo", "install", "--quiet", "--locked", "--version", VERSIONS[name]]
        # From here, so that the settings of a checkout's `.cargo` play no part.
        _call([*command, "--root", str(folder), name], cwd=folder.parent)
    return path


def _clinicadl() -> pathlib.Path:
    """ClinicaDL 1.6.1, in the environment of `make peer-test`."""
    command = [sys.executable, str(INSTALL_CLINICADL), "--install"]
    try:
        result = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    except OSError as error:
        raise PeerError(f"`{command[0]}`: {error}") from error
    if result.returncode != 0:
        raise PeerError(f"`{' '.join(command)}`: exit code {result.returncode}")
    return pathlib.Path(result.stdout.splitlines()[-1]).parent / "clinicadl"


def _call(command: list[str], cwd: pathlib.Path | None = None) -> None:
    try:
        result = subprocess.run(command, cwd=cwd, stdout=sys.stderr.fileno(), check=False)
    except OSError as error:
        raise PeerError(f"`{command[0]}`: {error}") from error
    if result.returncode != 0:
        raise PeerError(f"`{' '.join(command)}`: exit code {result.returncode}")
