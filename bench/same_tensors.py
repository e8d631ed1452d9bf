"""Whether our tensors are those of ClinicaDL 1.6.1, bit for bit. Run with the Python that has it.

usage: same_tensors.py OURS CAPS FOLDER          FOLDER is `image_based`, `patch_based`, …

OURS is an output of `prepare-data`; CAPS has the peer's tensors. Prints how many there are, or fails.
"""

import pathlib
import re
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "tests" / "peer"))

import torch  # noqa: E402
from safetensors_file import read_tensors  # noqa: E402


def number(path):
    """The number of a part, by the name that the peer gives to its file; 0 for a whole image."""
    found = re.search(r"_(?:patch|slice|axi|cor|sag)-(\d+)_", path.name)
    return int(found.group(1)) if found else 0


def main():
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    ours, caps, folder = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]), sys.argv[3]
    files = sorted((ours / "images").glob("*.safetensors"))
    sessions = sorted(caps.glob("subjects/*/*"))
    if [file.stem for file in files] != [f"{session.parent.name}_{session.name}" for session in sessions]:
        sys.exit(f"{len(files)} images were extracted of {len(sessions)} sessions")
    count = 0
    for file, session in zip(files, sessions):
        tensors = list(read_tensors(file).values())
        paths = sorted(session.glob(f"deeplearning_prepare_data/{folder}/*/*.pt"), key=number)
        if len(tensors) != len(paths) or not paths:
            sys.exit(f"{file.name} has {len(tensors)} tensors, the peer has {len(paths)}")
        for tensor, path in zip(tensors, paths):
            theirs = torch.load(path, weights_only=True).numpy()
            if theirs.shape != tensor.shape or theirs.tobytes() != tensor.tobytes():
                sys.exit(f"{path.name} differs")
            count += 1
    print(count)


if __name__ == "__main__":
    main()
