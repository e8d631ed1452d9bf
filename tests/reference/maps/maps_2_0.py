"""A MAPS trained by ClinicaDL 2.0.0, for the import: writes the folder peer_2_0/ beside this file.

Needs clinicadl 2.0.0 in an environment of its own. Ten participants with images of 18x18x18 voxels that
a formula makes (that of ../learning/maps.py); a regression of the age, two epochs on two splits, one test
group. `predictions_2_0.json` has what the best models say of the test group, which a MAPS of 2.0 does not
hold. What tells of the machine is shortened.
"""

import json
import re
import shutil
import tempfile
from pathlib import Path

import nibabel
import numpy
import pandas
import torch
from clinicadl.callbacks import ModelCheckpointCallback
from clinicadl.data.dataloader import DataLoader
from clinicadl.data.datasets import BidsDataset
from clinicadl.io.bids import BidsFileType
from clinicadl.losses.config import MSELossConfig
from clinicadl.metrics.config import LossMetricConfig, MAEMetricConfig
from clinicadl.models import SupervisedModel
from clinicadl.networks.config import CNNConfig
from clinicadl.optim import OptimizationConfig
from clinicadl.optim.optimizers.config import AdamConfig
from clinicadl.split import KFold, make_kfold
from clinicadl.train import ComputationalConfig, Trainer

SIDE = 18
NETWORK = CNNConfig(
    in_shape=(1, SIDE, SIDE, SIDE),
    num_outputs=1,
    conv_args={"channels": [2, 3], "stride": 2},
    mlp_args={"hidden_dims": [4]},
)


def image(number):
    """Noise, with a dark half in even ones; exact in float32 whatever computes it."""
    count = SIDE**3
    index = numpy.arange(count, dtype=numpy.int64)
    noise = ((index * 7919 + number * 104729) % 1009).astype(numpy.float32) / numpy.float32(1009)
    dark = (index < count // 2) & (number % 2 == 0)
    voxels = numpy.where(dark, numpy.float32(0.2) * noise, noise) + numpy.float32(100)
    return voxels.astype(numpy.float32).reshape(SIDE, SIDE, SIDE)


def main():
    target = Path(__file__).parent / "peer_2_0"
    work = Path(tempfile.mkdtemp())
    bids = work / "bids"
    bids.mkdir()
    description = {"Name": "noise", "BIDSVersion": "1.7.0", "DatasetType": "raw"}
    (bids / "dataset_description.json").write_text(json.dumps(description))
    rows = []
    for n in range(10):
        folder = bids / f"sub-{n:02}" / "ses-M000" / "anat"
        folder.mkdir(parents=True)
        nifti = nibabel.Nifti1Image(image(n), numpy.eye(4))
        nifti.to_filename(folder / f"sub-{n:02}_ses-M000_T1w.nii.gz")
        rows.append((f"sub-{n:02}", "ses-M000", 60.0 + n))
    table = pandas.DataFrame(rows, columns=["participant_id", "session_id", "age"])

    def dataset(data):
        kind = BidsFileType(suffix="T1w", data_type="anat")
        return BidsDataset(bids, kind, data=data.reset_index(drop=True), columns=["age"])

    table[:8].to_csv(work / "known.tsv", sep="\t", index=False)
    folds = make_kfold(work / "known.tsv", n_splits=2, seed=0)
    model = SupervisedModel(NETWORK, MSELossConfig(), AdamConfig(lr=1e-3), label_key="age")
    metrics = {
        "loss": LossMetricConfig(loss_name="loss", label_key="age"),
        "mae": MAEMetricConfig(label_key="age"),
    }
    trainer = Trainer(
        work / "maps",
        model,
        metrics,
        OptimizationConfig(num_epochs=2),
        [ModelCheckpointCallback(metric="loss", epochs=[1]), ModelCheckpointCallback(metric="mae")],
    )
    computational = ComputationalConfig(gpu=False, amp=False, seed=0)
    for split in KFold(folds).get_splits(dataset(table[:8])):
        split.build_train_loader(batch_size=2)
        split.build_val_loader(batch_size=2)
        trainer.train(split, computational)
    loader = DataLoader(dataset(table[8:]), batch_size=2, shuffle=False)
    for split in range(2):
        name = f"split-{split}_best-loss"
        trainer.test(name, "test", dataloader=loader, computational=computational)

    shutil.rmtree(target, ignore_errors=True)
    shutil.move(work / "maps", target)
    predictions = {}
    for split in range(2):
        network = NETWORK.get_object()
        path = target / f"training/split-{split}/models/best_models/best-loss/model.pt"
        state = torch.load(path, weights_only=True)
        network.load_state_dict({name.removeprefix("network."): x for name, x in state.items()})
        network.eval()
        with torch.no_grad():
            images = torch.from_numpy(numpy.stack([image(8), image(9)]))[:, None]
            predictions[f"split-{split}"] = network(images).flatten().tolist()
    for path in target.rglob("*"):
        if path.suffix in [".json", ".log", ".txt"]:
            text = path.read_text().replace(str(work) + "/", "")
            path.write_text(re.sub(r"\d{4} \w{3} \d\d, [\d:]{8}", "2026 Jan 01, 00:00:00", text))
    for run in sorted((target / "exec").iterdir())[1:]:
        shutil.rmtree(run)
    (target / "exec").rename(target / "exec.old")
    (target / "exec/run-train_2026_01_01_00_00_00").mkdir(parents=True)
    shutil.copyfile(
        next((target / "exec.old").iterdir()) / "error.log",
        target / "exec/run-train_2026_01_01_00_00_00/error.log",
    )
    shutil.rmtree(target / "exec.old")
    (target / "env/environment.txt").write_text("clinicadl==2.0.0\n")
    (Path(__file__).parent / "predictions_2_0.json").write_text(json.dumps(predictions) + "\n")


main()
