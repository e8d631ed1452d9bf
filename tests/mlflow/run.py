#!/usr/bin/env python3
"""Installs MLflow once, and has the built program tell its server of trainings.

usage: run.py PROGRAM           PROGRAM is the built `clinicadl`

The environment (about 0.8 GB) is kept in the user's cache; CLINICADL_MLFLOW names another one. Needs Python 3.11
or later.
"""

import os
import pathlib
import shutil
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
REQUIREMENTS = ["mlflow==3.17.2"]


def install(folder):
    """Makes the virtual environment; one that was interrupted is made again."""
    python = folder / "bin" / "python"
    done = folder / "installed"
    if done.exists():
        return python
    print(f"installing MLflow in {folder}", flush=True)
    shutil.rmtree(folder, ignore_errors=True)
    # Without a pip of its own: Debian's python3 cannot make one, but its pip can serve the environment.
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    pip = [sys.executable, "-m", "pip", "--python", str(python), "install", "-qq"]
    subprocess.run([*pip, "--constraint", str(HERE / "constraints.txt"), *REQUIREMENTS], check=True)
    done.touch()
    return python


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    program = pathlib.Path(sys.argv[1]).resolve()
    if os.environ.get("CLINICADL_MLFLOW"):
        python = pathlib.Path(os.environ["CLINICADL_MLFLOW"]) / "bin" / "python"
    else:
        cache = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
        python = install(pathlib.Path(cache) / "clinicadl" / "mlflow")
    result = subprocess.run([str(python), str(HERE / "track.py"), str(program)], check=False)
    sys.exit(result.returncode)


if __name__ == "__main__":
    main()
