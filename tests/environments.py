"""Virtual environments of the tests that need other people's programs, made once and kept in the user's cache."""

import os
import pathlib
import shutil
import subprocess
import sys


def environment(name, variable, what, *installs, check=lambda: None):
    """The Python of the environment that `variable` names, or of the one in the cache, which is made if need be.

    `what` is told while it is installed; each of `installs` is what one call of pip is given. `check` may refuse
    before.
    """
    if os.environ.get(variable):
        return pathlib.Path(os.environ[variable]) / "bin" / "python"
    cache = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    folder = pathlib.Path(cache) / "clinicadl" / name
    python = folder / "bin" / "python"
    # One that was interrupted lacks this file and is made again.
    done = folder / "installed"
    if done.exists():
        return python
    check()
    print(f"installing {what} in {folder}", flush=True)
    shutil.rmtree(folder, ignore_errors=True)
    # Without a pip of its own: Debian's python3 cannot make one, but its pip can serve the environment.
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    pip = [sys.executable, "-m", "pip", "--python", str(python), "install", "-qq"]
    for requirements in installs:
        subprocess.run([*pip, *requirements], check=True)
    done.touch()
    return python
