#!/usr/bin/env python3
"""Installs MLflow once, and has the built program tell its server of trainings.

usage: run.py PROGRAM           PROGRAM is the built `clinicadl`

The environment (about 0.8 GB) is kept in the user's cache; CLINICADL_MLFLOW names another one. Needs Python 3.11
or later.
"""

import pathlib
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

from environments import environment  # noqa: E402

REQUIREMENTS = ["mlflow==3.17.2"]


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    program = pathlib.Path(sys.argv[1]).resolve()
    pinned = ["--constraint", str(HERE / "constraints.txt"), *REQUIREMENTS]
    python = environment("mlflow", "CLINICADL_MLFLOW", "MLflow", pinned)
    result = subprocess.run([str(python), str(HERE / "track.py"), str(program)], check=False)
    sys.exit(result.returncode)


if __name__ == "__main__":
    main()
