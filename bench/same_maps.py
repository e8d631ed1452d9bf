"""Whether our attribution maps are those of ClinicaDL 1.6.1. Run with the Python that has it.

usage: same_maps.py OURS THEIRS MAPS CAPS NODE

OURS and THEIRS are folders of `.pt` files; MAPS has the model (Conv5_FC3, split 0, best loss), CAPS the images,
NODE is the output that was explained.

Prints as JSON how many maps there are; the greatest difference of two maps, as the length of the difference in
parts of the length of the peer's; the share of all voxels that differ by more than 1e-5 of the greatest of their
map; and of the map that differs most, both of each program and the gradient computed in 64 bits, by the peer's own
network. Fails if the folders do not have the same files.
"""

import json
import pathlib
import sys

import torch

SAME = 1e-5


def in_64_bits(name, maps, caps, node):
    """The gradient for the image of a map."""
    from clinicadl.utils.network.cnn.models import Conv5_FC3

    participant, session = name.split("_")[:2]
    (image,) = caps.glob(f"subjects/{participant}/{session}/deeplearning_prepare_data/image_based/t1_linear/*.pt")
    voxels = torch.load(image, weights_only=True).float()
    # As MinMaxNormalization does, in 32 bits.
    voxels = (voxels - voxels.min()) / (voxels.max() - voxels.min())
    weights = torch.load(maps / "split-0" / "best-loss" / "model.pth.tar", weights_only=True)["model"]
    network = Conv5_FC3(list(voxels.shape), gpu=False, output_size=len(weights["fc.6.bias"]), dropout=0)
    network.load_state_dict(weights)
    network = network.double().eval()
    voxels = voxels.double().unsqueeze(0).requires_grad_()
    network(voxels)[0, node].backward()
    return voxels.grad.squeeze(0)


def main():
    if len(sys.argv) != 6:
        sys.exit(__doc__)
    ours, theirs = ({path.name: path for path in pathlib.Path(folder).glob("*.pt")} for folder in sys.argv[1:3])
    if not ours or ours.keys() != theirs.keys():
        sys.exit(f"{sorted(ours)} and {sorted(theirs)} are not the same maps")
    lengths, voxels, different = {}, 0, 0
    for name in sorted(ours):
        our, their = (torch.load(path[name], weights_only=True).detach().double() for path in (ours, theirs))
        if our.shape != their.shape:
            sys.exit(f"{name} has shape {tuple(our.shape)}, the peer's {tuple(their.shape)}")
        difference = (our - their).abs()
        lengths[name] = float(difference.norm() / their.norm())
        if not lengths[name] >= 0:
            sys.exit(f"{name} has no numbers")
        voxels += difference.numel()
        different += int((difference > SAME * their.abs().max()).sum())
    of_images = {name: length for name, length in lengths.items() if not name.startswith("mean")}
    worst = max(of_images, key=of_images.get)
    truth = in_64_bits(worst, pathlib.Path(sys.argv[3]), pathlib.Path(sys.argv[4]), int(sys.argv[5]))
    off = {}
    for who, path in (("ours", ours), ("theirs", theirs)):
        difference = (torch.load(path[worst], weights_only=True).detach().double() - truth).abs()
        off[f"{who}_off"] = float(difference.norm() / truth.norm())
        off[f"{who}_different"] = int((difference > SAME * truth.abs().max()).sum()) / truth.numel()
    found = {"maps": len(ours), "difference": max(lengths.values()), "different_voxels": different / voxels}
    print(json.dumps({**found, "worst": worst, **off}))


if __name__ == "__main__":
    main()
