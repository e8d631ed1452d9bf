"""Compares a CAPS extracted by ClinicaDL 1.6.1 with the output of stage `prepare-data`, bit for bit. Run with
a Python that has numpy and torch.

usage: compare.py CAPS IMAGES   (IMAGES: the folder with images.tsv)
"""
import csv, glob, json, os, struct, sys
import numpy as np, torch

caps, images = sys.argv[1:]

def read(path):
    with open(path, "rb") as f:
        head = json.loads(f.read(struct.unpack("<Q", f.read(8))[0]))
        start, end = head["image"]["data_offsets"]
        assert head["image"]["dtype"] == "F32" and start == 0
        return np.frombuffer(f.read(end), "<f4").reshape(head["image"]["shape"])

with open(os.path.join(images, "images.tsv")) as f:
    rows = list(csv.DictReader(f, delimiter="\t"))
theirs = glob.glob(f"{caps}/subjects/*/*/deeplearning_prepare_data/image_based/*/*.pt")
assert rows and len(rows) == len(theirs), (len(rows), len(theirs))
for row in rows:
    sub, ses = row["participant_id"], row["session_id"]
    [path] = glob.glob(f"{caps}/subjects/{sub}/{ses}/deeplearning_prepare_data/image_based/*/*.pt")
    expected = torch.load(path, weights_only=True).numpy()
    got = read(os.path.join(images, row["file"]))
    assert got.shape == expected.shape, (sub, ses, got.shape, expected.shape)
    assert np.array_equal(got.view(np.uint32), np.ascontiguousarray(expected).view(np.uint32)), (sub, ses)
print(f"{len(rows)} tensors are equal bit for bit")
