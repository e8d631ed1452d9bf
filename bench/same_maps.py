"""Whether our attribution maps are those of ClinicaDL 1.6.1. Run with the Python that has it.

usage: same_maps.py OURS THEIRS          folders of `.pt` files

Prints as JSON how many there are; the greatest difference of two maps, as the length of the difference in parts
of the length of the peer's; and the share of all voxels that differ by more than 1e-5 of the greatest of their
map. Fails if the folders do not have the same files.
"""

import json
import pathlib
import sys

import torch

SAME = 1e-5


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    ours, theirs = ({path.name: path for path in pathlib.Path(folder).glob("*.pt")} for folder in sys.argv[1:])
    if not ours or ours.keys() != theirs.keys():
        sys.exit(f"{sorted(ours)} and {sorted(theirs)} are not the same maps")
    length, voxels, different = 0.0, 0, 0
    for name in sorted(ours):
        our, their = (torch.load(path[name], weights_only=True).detach().double() for path in (ours, theirs))
        if our.shape != their.shape:
            sys.exit(f"{name} has shape {tuple(our.shape)}, the peer's {tuple(their.shape)}")
        difference = (our - their).abs()
        found = float(difference.norm() / their.norm())
        if not found >= 0:
            sys.exit(f"{name} has no numbers")
        length = max(length, found)
        voxels += difference.numel()
        different += int((difference > SAME * their.abs().max()).sum())
    print(json.dumps({"maps": len(ours), "difference": length, "different_voxels": different / voxels}))


if __name__ == "__main__":
    main()
