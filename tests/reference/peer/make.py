"""Writes everything beside this file with ClinicaDL 1.6.1: a tiny CAPS, and what the peer made of it.

usage: make.py          with the Python of an environment that has ClinicaDL 1.6.1 (see tests/peer/run.py)

- `caps/`, `labels.tsv`, `test.tsv`: 10 participants of 17×21×18 voxels (tests/peer/make_caps.py)
- `tensors/`: what `prepare-data` extracted from the first images
- `folds/`: what `tsvtools kfold` made of `labels.tsv`
- `maps/`: what `train` and `predict` wrote, with the commands of tests/peer/peer.py; without logs, absolute
  paths and event files
- `saliency/` is of saliency.py, which explains the model in `maps/`: run it after this

Weights depend on the CPU in their last bits: a new run replaces all files of `maps/` together.
"""

import json
import pathlib
import shutil
import sys
import tempfile
from importlib.metadata import version

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[1] / "peer"))
import peer
from make_caps import make_caps

PARTICIPANTS, STEP, TENSORS = 10, 10, 6
KEPT = ["maps.json", "groups/**/*.tsv", "groups/**/maps.json", "split-0/best-loss/**/*.tsv"]
KEPT += ["split-0/best-loss/model.pth.tar", "split-0/training_logs/training.tsv"]
PACKAGES = ["clinicadl", "torch", "numpy", "pandas", "scipy", "scikit-learn", "nibabel"]


def copy(source, target, prefix):
    """Copies a file; `prefix` is taken off the paths in it."""
    target.parent.mkdir(parents=True, exist_ok=True)
    content = source.read_bytes()
    target.write_bytes(content.replace(prefix, b"") if target.suffix == ".json" else content)


def main():
    for old in ("caps", "tensors", "folds", "maps"):
        shutil.rmtree(HERE / old, ignore_errors=True)
    with tempfile.TemporaryDirectory() as folder:
        work = pathlib.Path(folder).resolve()
        caps = work / "caps"
        make_caps(caps, PARTICIPANTS, STEP)
        peer.prepare_data(caps)
        folds = peer.kfold(caps / "labels.tsv")
        maps = work / "maps"
        peer.train(caps, folds, maps)
        peer.predict(maps, "test", caps, caps / "test.tsv")
        prefix = f"{work}/".encode()
        for table in ("labels.tsv", "test.tsv"):
            copy(caps / table, HERE / table, prefix)
        for image in caps.glob("subjects/**/*.nii.gz"):
            copy(image, HERE / "caps" / image.relative_to(caps), prefix)
        for tensor in sorted(caps.glob(f"subjects/*/*/{peer.IMAGES}/*.pt"))[:TENSORS]:
            copy(tensor, HERE / "tensors" / tensor.name, prefix)
        for table in folds.glob("*/*.tsv"):
            copy(table, HERE / "folds" / table.relative_to(folds), prefix)
        for pattern in KEPT:
            for file in maps.glob(pattern):
                copy(file, HERE / "maps" / file.relative_to(maps), prefix)
    versions = {name: version(name) for name in PACKAGES}
    (HERE / "versions.json").write_text(json.dumps(versions, indent=1) + "\n")


if __name__ == "__main__":
    if len(sys.argv) != 1:
        sys.exit(__doc__)
    main()
