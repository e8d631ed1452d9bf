#!/usr/bin/env python3
"""Installs ClinicaDL 1.6.1 once, and runs the comparison with it.

usage: run.py PROGRAM           PROGRAM is the built `clinicadl`
       run.py --install         only installs, and prints the Python that has it

The environment (about 6 GB, most of it PyTorch) is kept in the user's cache; CLINICADL_PEER names another
one. Needs Python 3.9 to 3.11, for which the old versions of the peer's requirements have wheels.
"""

import os
import pathlib
import shutil
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
# A plain installation of the peer no longer runs: it needs `pkg_resources`, which setuptools 80 dropped,
# and calls of scipy that 1.12 dropped. The other versions are those that were seen working together.
REQUIREMENTS = ["clinicadl==1.6.1", "torch==2.13.0", "torchvision==0.28.0", "setuptools<80", "scipy==1.11.4"]


def install(folder):
    """Makes the virtual environment; one that was interrupted is made again."""
    python = folder / "bin" / "python"
    done = folder / "installed"
    if done.exists():
        return python
    if not (3, 9) <= sys.version_info[:2] <= (3, 11):
        found = ".".join(map(str, sys.version_info[:2]))
        sys.exit(f"error: ClinicaDL 1.6.1 needs Python 3.9 to 3.11, this is {found}\nhint: make peer-test PYTHON=python3.11")
    print(f"installing ClinicaDL 1.6.1 in {folder}", flush=True)
    shutil.rmtree(folder, ignore_errors=True)
    # Without a pip of its own: Debian's python3 cannot make one, but its pip can serve the environment.
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    pip = [sys.executable, "-m", "pip", "--python", str(python), "install", "-qq"]
    subprocess.run([*pip, "--constraint", str(HERE / "constraints.txt"), *REQUIREMENTS], check=True)
    done.touch()
    return python


def environment():
    """The Python of the environment that is named, or of the one in the cache."""
    if os.environ.get("CLINICADL_PEER"):
        return pathlib.Path(os.environ["CLINICADL_PEER"]) / "bin" / "python"
    cache = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    return install(pathlib.Path(cache) / "clinicadl" / "peer-1.6.1")


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    python = environment()
    if sys.argv[1] == "--install":
        print(python)
        return
    program = pathlib.Path(sys.argv[1]).resolve()
    work = HERE.parents[1] / "target" / "peer"
    result = subprocess.run([str(python), "-W", "ignore", str(HERE / "compare.py"), str(program), str(work)], check=False)
    sys.exit(result.returncode)


if __name__ == "__main__":
    main()
