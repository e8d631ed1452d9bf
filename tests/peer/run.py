#!/usr/bin/env python3
"""Installs ClinicaDL 1.6.1 once, and runs the comparison with it.

usage: run.py PROGRAM           PROGRAM is the built `clinicadl`
       run.py --install         only installs, and prints the Python that has it

The environment (about 6 GB, most of it PyTorch) is kept in the user's cache; CLINICADL_PEER names another
one. Needs Python 3.9 to 3.11, for which the old versions of the peer's requirements have wheels.
"""

import pathlib
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

from environments import environment  # noqa: E402

# A plain installation of the peer no longer runs: it needs `pkg_resources`, which setuptools 80 dropped,
# and calls of scipy that 1.12 dropped. The other versions are those that were seen working together.
REQUIREMENTS = ["clinicadl==1.6.1", "torch==2.13.0", "torchvision==0.28.0", "setuptools<80", "scipy==1.11.4"]


def check():
    """Refuses a Python that the peer does not run on."""
    if not (3, 9) <= sys.version_info[:2] <= (3, 11):
        found = ".".join(map(str, sys.version_info[:2]))
        sys.exit(f"error: ClinicaDL 1.6.1 needs Python 3.9 to 3.11, this is {found}\nhint: make peer-test PYTHON=python3.11")


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    pinned = ["--constraint", str(HERE / "constraints.txt"), *REQUIREMENTS]
    python = environment("peer-1.6.1", "CLINICADL_PEER", "ClinicaDL 1.6.1", pinned, check=check)
    if sys.argv[1] == "--install":
        print(python)
        return
    program = pathlib.Path(sys.argv[1]).resolve()
    work = HERE.parents[1] / "target" / "peer"
    result = subprocess.run([str(python), "-W", "ignore", str(HERE / "compare.py"), str(program), str(work)], check=False)
    sys.exit(result.returncode)


if __name__ == "__main__":
    main()
