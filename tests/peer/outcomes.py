"""What a MAPS says: its tables and attribution maps, and how far two of them are apart.

Differences are not a number where the two are not of the same sessions and parts.
"""

import pandas
import torch

from peer import SPLIT

PARTICIPANT = ["participant_id", "session_id"]


def folder(maps, group):
    """Where what a model says of a group is."""
    return maps / f"split-{SPLIT}" / "best-loss" / group


def predictions(maps, group, level, own_level=None, first=0):
    """A table of predictions by session and part. The peer names the column of images after its parts, and counts
    them from `first`."""
    table = pandas.read_csv(folder(maps, group) / f"{group}_{level}_level_prediction.tsv", sep="\t")
    return by_part(table, own_level or level, first)


def by_part(table, level, first=0):
    """The rows of a table in order, with parts that are counted from 0."""
    table = table.rename(columns={f"{level}_id": "part"})
    return table.assign(part=table.part - first).set_index([*PARTICIPANT, "part"]).sort_index()


def metrics(maps, group, level):
    """The values of a table of metrics; the peer's tables of images have them in one row without a name."""
    table = pandas.read_csv(folder(maps, group) / f"{group}_{level}_level_metrics.tsv", sep="\t")
    return table.drop(columns="Metrics", errors="ignore").iloc[0].astype(float)


def apart(theirs, ours, task):
    """The greatest difference of two tables of predictions, with the truth that they were compared with (the
    peer's numbers are rounded to 32 bits); classes must be the same ones."""
    if not (len(theirs) and theirs.index.equals(ours.index)):
        return float("nan")
    first, second = (table.astype(float) for table in (theirs, ours))
    classes = ["true_label", "predicted_label"] if task == "classification" else []
    return relative(first, second) if first[classes].equals(second[classes]) else float("nan")


def relative(theirs, ours):
    """The greatest difference, in units of the larger of a value and 1: a float32 has seven digits."""
    difference = (theirs - ours[theirs.keys()]).abs() / theirs.abs().clip(lower=1)
    return difference.to_numpy().max() if not difference.isna().to_numpy().any() else float("nan")


def saved(maps, group, level):
    """The images that a model made of the samples of a level, by file name."""
    files = sorted((folder(maps, group) / "tensors").glob(f"*_{level}-*_output.pt"))
    return {file.name: torch.load(file, weights_only=True) for file in files}


def maps_of(maps, group, level):
    """Attribution maps by file name: those of single samples, and the means over the group."""
    files = sorted((folder(maps, group) / "interpret-gradients").glob(f"*_{level}-*_map.pt"))
    read = {file.name: torch.load(file, weights_only=True) for file in files}
    means = {name: tensor for name, tensor in read.items() if name.startswith("mean_")}
    return {name: tensor for name, tensor in read.items() if name not in means}, means


def tensors_apart(theirs, ours, scale=None):
    """The greatest difference of two sets of tensors, in units of the greatest value of each or of `scale`."""
    if not theirs or theirs.keys() != ours.keys():
        return float("nan")
    if any(tensor.shape != ours[name].shape for name, tensor in theirs.items()):
        return float("nan")
    greatest = [(tensor - ours[name]).abs().max() / (scale or tensor.abs().max()) for name, tensor in theirs.items()]
    return torch.stack(greatest).max().item()
