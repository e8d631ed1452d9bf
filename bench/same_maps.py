"""Whether our attribution maps are those of ClinicaDL 1.6.1. Run with the Python that has it.

usage: same_maps.py OURS THEIRS          folders of `.pt` files

Prints as JSON how many there are, and the greatest difference of a voxel in parts of the greatest voxel of
its map; fails if the folders do not have the same files.
"""

import json
import pathlib
import sys

import torch


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    ours, theirs = ({path.name: path for path in pathlib.Path(folder).glob("*.pt")} for folder in sys.argv[1:])
    if not ours or ours.keys() != theirs.keys():
        sys.exit(f"{sorted(ours)} and {sorted(theirs)} are not the same maps")
    greatest = 0.0
    for name in sorted(ours):
        our, their = (torch.load(path[name], weights_only=True).detach() for path in (ours, theirs))
        if our.shape != their.shape:
            sys.exit(f"{name} has shape {tuple(our.shape)}, the peer's {tuple(their.shape)}")
        found = float((our - their).abs().max() / their.abs().max())
        if not found >= 0:
            sys.exit(f"{name} has no numbers")
        greatest = max(greatest, found)
    print(json.dumps({"maps": len(ours), "difference": greatest}))


if __name__ == "__main__":
    main()
