#!/usr/bin/env python3
"""Installs the official validators once, and has them check what the built program publishes.

usage: run.py PROGRAM           PROGRAM is the built `clinicadl`

The environment is kept in the user's cache; CLINICADL_PROVENANCE names another one.
"""

import os
import pathlib
import shutil
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
REQUIREMENTS = ["roc-validator==0.13.0", "prov==3.2.3"]
# For the JSON-LD context of RO-Crate 1.1 that it carries, so that the test needs no web site. Later
# versions carry the context of another version of RO-Crate.
CONTEXT = "rocrate==0.13.0"


def install(folder):
    """Makes the virtual environment; one that was interrupted is made again."""
    python = folder / "bin" / "python"
    done = folder / "installed"
    if done.exists():
        return python
    print(f"installing roc-validator and prov in {folder}", flush=True)
    shutil.rmtree(folder, ignore_errors=True)
    # Without a pip of its own: Debian's python3 cannot make one, but its pip can serve the environment.
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    pip = [sys.executable, "-m", "pip", "--python", str(python), "install", "-qq"]
    subprocess.run([*pip, *REQUIREMENTS], check=True)
    subprocess.run([*pip, "--no-deps", CONTEXT], check=True)
    done.touch()
    return python


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    program = pathlib.Path(sys.argv[1]).resolve()
    if os.environ.get("CLINICADL_PROVENANCE"):
        folder = pathlib.Path(os.environ["CLINICADL_PROVENANCE"])
    else:
        cache = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
        folder = pathlib.Path(cache) / "clinicadl" / "provenance"
    python = install(folder)
    result = subprocess.run([str(python), str(HERE / "check.py"), str(program)], check=False)
    sys.exit(result.returncode)


if __name__ == "__main__":
    main()
