#!/usr/bin/env python3
"""Installs the official validators once, and has them check what the built program publishes.

usage: run.py PROGRAM           PROGRAM is the built `clinicadl`

The environment is kept in the user's cache; CLINICADL_PROVENANCE names another one.
"""

import pathlib
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

from environments import environment  # noqa: E402

REQUIREMENTS = ["roc-validator==0.13.0", "prov==3.2.3"]
# For the JSON-LD context of RO-Crate 1.1 that it carries, so that the test needs no web site. Later
# versions carry the context of another version of RO-Crate.
CONTEXT = "rocrate==0.13.0"


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    program = pathlib.Path(sys.argv[1]).resolve()
    installs = [REQUIREMENTS, ["--no-deps", CONTEXT]]
    python = environment("provenance", "CLINICADL_PROVENANCE", "roc-validator and prov", *installs)
    result = subprocess.run([str(python), str(HERE / "check.py"), str(program)], check=False)
    sys.exit(result.returncode)


if __name__ == "__main__":
    main()
