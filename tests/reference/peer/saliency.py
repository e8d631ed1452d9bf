"""Writes `saliency/` with ClinicaDL 1.6.1: the gradients that its `interpret` finds for the model in `maps/`.

usage: saliency.py      with the Python of an environment that has ClinicaDL 1.6.1 (see tests/peer/run.py)

The gradient of node 1 with respect to each image of `test.tsv`, and their mean, as `torch.save` writes them;
versions are those of `versions.json`.
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

GROUP, NAME, NODE = "explained", "saliency", 1


def main():
    wanted = json.loads((HERE / "versions.json").read_text())
    found = {name: version(name) for name in wanted}
    if found != wanted:
        sys.exit(f"versions differ: {found}")
    with tempfile.TemporaryDirectory() as folder:
        work = pathlib.Path(folder).resolve()
        caps, maps = work / "caps", work / "maps"
        shutil.copytree(HERE / "caps", caps)
        shutil.copytree(HERE / "maps", maps)
        peer.prepare_data(caps)
        arguments = ["--caps_directory", caps, "--participants_tsv", HERE / "test.tsv", "--target_node", NODE]
        arguments += ["--selection_metrics", "loss", "--save_individual", "--no-gpu", "--n_proc", 0]
        peer.run("interpret", maps, GROUP, NAME, "gradients", *arguments, folder=work)
        shutil.rmtree(HERE / NAME, ignore_errors=True)
        (HERE / NAME).mkdir()
        for tensor in (maps / f"split-0/best-loss/{GROUP}/interpret-{NAME}").glob("*.pt"):
            shutil.copy(tensor, HERE / NAME)


if __name__ == "__main__":
    if len(sys.argv) != 1:
        sys.exit(__doc__)
    main()
