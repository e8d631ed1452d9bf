"""Models of every mode and task: each program trains one, and both say the same of either.

Where ClinicaDL 1.6.1 is wrong, the claim is of what is right, and names what it does:

- its loss of a group is a sum over batches of their means, ours a mean over images;
- its mean attribution map is divided by images times parts, ours by images;
- it does not explain networks of single parts (NotImplementedError) and models of slices of which some are discarded
  (IndexError); neither program explains reconstructions;
- the numbers that a regression is compared with are rounded to 32 bits.
"""

import dataclasses
import json

import nibabel
import numpy
from make_caps import make_caps, template

import peer
from pair import CLASSIFICATION, TASKS, Pair

PARTICIPANTS, STEP = 12, 6
# So large that a few updates are enough for parts to be right unequally often: their votes differ.
LESION_MM = 30


@dataclasses.dataclass
class Mode:
    """What samples are, and networks that both programs have for them."""

    name: str
    parameters: dict
    parts: int
    # Divides the parts of all tested sessions: the peer's loss, a sum over batches, is then comparable.
    batch_size: int
    networks: tuple
    title: str = ""
    # The number of the first part: the peer counts slices from the first of the image, we from the first that is
    # kept. It looks for its own numbers among those that are kept, and explains no such model.
    first: int = 0

    @property
    def is_part(self):
        return self.name != "image"

    @property
    def extraction(self):
        return (self.title or self.name).replace(", ", "-").replace(" ", "-")


MODES = [
    Mode("image", {}, 1, 3, ("Conv5_FC3", "Conv4_FC3", "AE_Conv5_FC3")),
    Mode("patch", {"patch_size": 18, "stride_size": 12}, 4, 4, ("Conv4_FC3", "Conv5_FC3", "AE_Conv4_FC3")),
    Mode("roi", {"roi_list": ["left", "right"]}, 2, 2, ("Conv5_FC3", "Conv4_FC3", "AE_Conv5_FC3")),
    Mode("slice", {}, 29, 29, ("resnet18", "Conv5_FC3", "AE_Conv5_FC3")),
    Mode("slice", {"discarded_slices": [13, 11]}, 5, 5, ("Conv5_FC3",), "slice, others discarded", 13),
]


def compare(comparison):
    """Every mode and task, and networks of single parts."""
    work = comparison.work / "models"
    work.mkdir()
    caps = work / "caps"
    make_caps(caps, PARTICIPANTS, STEP, LESION_MM)
    masks(caps)
    folds = ["--input", f"labels={caps / 'labels.tsv'}", "--with", f"n_splits={peer.N_SPLITS}"]
    comparison.ours("exec", "kfold", *folds, "--output", caps / "folds")
    with peer.small():
        for mode in MODES:
            extract(comparison, work, mode)
            for task, network in zip(TASKS, mode.networks):
                Pair(comparison, work, mode, task, network).compare()
            if mode.name == "patch":
                Pair(comparison, work, mode, CLASSIFICATION, mode.networks[0], multi_network=True).compare()


def masks(caps):
    """Two regions that mirror one another: the peer stacks them, so that their boxes must be of one size."""
    volume, affine = template(STEP)
    x, y, z = numpy.meshgrid(*map(numpy.arange, volume.shape), indexing="ij")
    left = ((x - 6) / 6.2) ** 2 + ((y - 17) / 9.2) ** 2 + ((z - 14) / 8.2) ** 2 <= 1
    folder = caps / "masks" / "tpl-MNI152NLin2009cSym"
    folder.mkdir(parents=True)
    for name, mask in (("left", left), ("right", left[::-1])):
        file = folder / f"tpl-MNI152NLin2009cSym_desc-Crop_res-1x1x1_roi-{name}_mask.nii.gz"
        nibabel.save(nibabel.Nifti1Image(mask.astype(numpy.uint8), affine), file)


def extract(comparison, work, mode):
    """Both make the samples of a mode; those of parts are cut when they are read."""
    peer.extract(work / "caps", {"mode": mode.name, "preprocessing": "t1-linear", **mode.parameters}, mode.extraction)
    arguments = ["--input", f"caps={work / 'caps'}", "--output", work / f"tensors-{mode.extraction}"]
    for field, value in {"mode": mode.name, **mode.parameters}.items():
        arguments += ["--with", f"{field}={json.dumps(value)}"]
    comparison.ours("exec", "prepare-data", *arguments)
