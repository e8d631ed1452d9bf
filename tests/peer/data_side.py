"""The data side of the comparison: tensors of every mode, as files and as the peer's datasets read them."""

import contextlib
import io
import json
import pathlib
import shutil

import pandas
import torch
from clinicadl.utils.caps_dataset.data import return_dataset
from clinicadl.utils.preprocessing import read_preprocessing

import peer

# Two sessions with cropped and whole T1, FLAIR, PET and grey-matter images, and masks of regions.
CAPS = pathlib.Path(__file__).resolve().parents[1] / "reference" / "prepare_data" / "modes"
GREY = "graymatter_space-Ixi549Space_modulated-off_probability.nii.gz"
NAME = "extract"

T1, FLAIR = {"preprocessing": "t1-linear"}, {"preprocessing": "flair-linear"}
PET = {"preprocessing": "pet-linear", "tracer": "18FFDG", "suvr_reference_region": "pons2"}
CUSTOM = {"preprocessing": "custom", "custom_suffix": GREY}
WHOLE = {"use_uncropped_image": True}
SAVED = {"save_features": True}
SINGLE = {"slice_mode": "single"}
MASKS = {"roi_custom_template": "Ixi549Space", "roi_custom_mask_pattern": "Ixi549"}

# Parameters as ours has them; those of the peer follow from them.
CASES = {
    "image": {"mode": "image", **T1},
    "image, uncropped": {"mode": "image", **T1, **WHOLE},
    "image, FLAIR": {"mode": "image", **FLAIR},
    "image, PET": {"mode": "image", **PET},
    "image, custom": {"mode": "image", **CUSTOM},
    "patch": {"mode": "patch", **T1, **SAVED, "patch_size": 2, "stride_size": 2},
    "patch, overlapping": {"mode": "patch", **T1, **SAVED, "patch_size": 3, "stride_size": 1},
    "patch, uncropped": {"mode": "patch", **T1, **SAVED, **WHOLE, "patch_size": 2, "stride_size": 2},
    "patch, cut later": {"mode": "patch", **T1, "patch_size": 2, "stride_size": 2},
    "slice, rgb": {"mode": "slice", **T1, **SAVED},
    "slice, rgb, cut later": {"mode": "slice", **T1, "slice_direction": 2},
    "slice, single": {"mode": "slice", **T1, **SAVED, **SINGLE, "slice_direction": 1, "discarded_slices": [1, 2]},
    "slice, single, axial": {"mode": "slice", **FLAIR, **SAVED, **SINGLE, "slice_direction": 2, "discarded_slices": [1]},
    "roi": {"mode": "roi", **T1, **SAVED, "roi_list": ["left", "right"]},
    "roi, cut later": {"mode": "roi", **T1, "roi_list": ["left", "right"]},
    "roi, not cropped": {"mode": "roi", **T1, **SAVED, "roi_list": ["right"], "roi_uncrop_output": True},
    "roi of uncropped images": {"mode": "roi", **T1, **SAVED, **WHOLE, "roi_list": ["left"]},
    "roi, PET": {"mode": "roi", **PET, **SAVED, "roi_list": ["left"]},
    "roi, custom": {"mode": "roi", **CUSTOM, **SAVED, **MASKS, "roi_list": ["left"]},
}
# The peer's dataset asks for a mask of cropped images where it itself extracted with another.
UNREADABLE = ("roi, custom",)
MASK_KEYS = ("roi_template", "roi_mask_pattern", "masks_location")


def compare(comparison):
    """Every mode: the same files, and the same samples."""
    for number, (name, parameters) in enumerate(CASES.items()):
        folder = comparison.work / f"mode-{number:02}"
        theirs, ours = folder / "peer-caps", folder / "caps"
        for caps in (theirs, ours):
            shutil.copytree(CAPS, caps)
        if parameters["mode"] in ("patch", "slice") and "save_features" in parameters:
            # The peer's dataset looks at a whole image too, to count its parts.
            whole = {field: value for field, value in parameters.items() if field in (*T1, *WHOLE)}
            extract(comparison, folder, {"mode": "image", **whole}, "whole")
        extract(comparison, folder, parameters, NAME)
        files = tensors(theirs)
        text = f"{name}: {len(files)} tensors are equal bit for bit"
        comparison.claim(text, differing_files(files, tensors(ours)))
        record = extraction(ours)
        if parameters["mode"] == "roi" and "save_features" not in parameters:
            # The peer does not say where the masks are unless it has used them; ours always does.
            record = {key: value for key, value in record.items() if key not in MASK_KEYS}
        comparison.claim(f"{name}: extraction files are equal", differing_keys(extraction(theirs), record))
        if name not in UNREADABLE:
            count, differing = differing_samples(theirs, ours)
            comparison.claim(f"{name}: {count} samples of the peer's dataset are equal", differing)


def extract(comparison, folder, parameters, name):
    """Both programs extract; what ours writes for the peer belongs beside the images."""
    peer.extract(folder / "peer-caps", parameters, name)
    output = folder / f"output-{name}"
    arguments = ["--input", f"caps={folder / 'caps'}", "--output", output]
    for field, value in {**parameters, "write_caps": True, "extract_json": f"{name}.json"}.items():
        arguments += ["--with", f"{field}={json.dumps(value)}"]
    comparison.ours("exec", "prepare-data", *arguments)
    shutil.copytree(output / "caps", folder / "caps", dirs_exist_ok=True)


def tensors(caps):
    """The tensors of a CAPS by their path."""
    return {path.relative_to(caps): path for path in caps.glob("subjects/*/*/deeplearning_prepare_data/*/*/*.pt")}


def differing_files(theirs, ours):
    """How many tensors only one side has, or differ; infinite if there are none."""
    if not theirs:
        return float("inf")
    both = theirs.keys() & ours.keys()
    only = len(theirs.keys() ^ ours.keys())
    return only + sum(differ(*(torch.load(side[path], weights_only=True) for side in (theirs, ours))) for path in both)


def differ(first, second):
    """Whether tensors differ in type, shape or a bit (a NaN equals itself)."""
    same = first.dtype == second.dtype and first.shape == second.shape
    return not same or first.numpy().tobytes() != second.numpy().tobytes()


def extraction(caps):
    """The extraction file of a CAPS, with paths that are relative to it."""
    text = (caps / "tensor_extraction" / f"{NAME}.json").read_text()
    return json.loads(text.replace(f"{caps}/", ""))


def differing_keys(theirs, ours):
    """How many keys only one file has, or have other values."""
    keys = theirs.keys() | ours.keys()
    return sum(key not in theirs or key not in ours or theirs[key] != ours[key] for key in keys)


def differing_samples(theirs, ours):
    """How many samples the peer's dataset reads from both, and how many of them differ."""
    first, second = dataset(theirs), dataset(ours)
    differing = abs(len(first) - len(second))
    for theirs_sample, ours_sample in zip(first, second):
        places = {key for key in theirs_sample if key.endswith("path")}
        same = theirs_sample.keys() == ours_sample.keys()
        same = same and not differ(theirs_sample["image"], ours_sample["image"])
        rest = theirs_sample.keys() - places - {"image"}
        differing += not (same and all(theirs_sample[key] == ours_sample[key] for key in rest))
    return len(first), differing


class Samples:
    """A dataset as a list: the peer's have no end that a loop would see."""

    def __init__(self, dataset):
        self.dataset = dataset

    def __len__(self):
        return len(self.dataset)

    def __iter__(self):
        return (self.dataset[index] for index in range(len(self.dataset)))


def dataset(caps):
    """The dataset that the peer trains on, made from what a CAPS says of its tensors."""
    places = sorted(caps.glob("subjects/*/*"))
    rows = [(place.parent.name, place.name, "single", "CN") for place in places]
    table = pandas.DataFrame(rows, columns=["participant_id", "session_id", "cohort", "diagnosis"])
    record = read_preprocessing(caps / "tensor_extraction" / f"{NAME}.json")
    with contextlib.redirect_stdout(io.StringIO()):
        return Samples(return_dataset(caps, table, record, None, label="diagnosis", label_code={"CN": 0}))
