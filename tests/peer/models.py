"""Models of every mode and task: each program trains one, and both say the same of either.

Where ClinicaDL 1.6.1 is wrong, the claim is of what is right, and names what it does:

- its loss of a group is a sum over batches of their means, ours a mean over images;
- its mean attribution map is divided by images times parts, ours by images;
- it explains neither networks of single parts nor, for want of an output, autoencoders, nor models of slices of
  which some are discarded;
- the numbers that a regression is compared with are rounded to 32 bits.
"""

import dataclasses
import json
import shutil
import subprocess

import nibabel
import numpy
import outcomes
import pandas
from make_caps import make_caps, template

import peer

PARTICIPANTS, STEP = 12, 6
# So large that a few updates are enough for parts to be right unequally often: their votes differ.
LESION_MM = 30
LEARNING_RATE = 3e-4
GROUP = "test"
THRESHOLDS = (0.0, 0.5)
# One pass in float32, there and back.
TOLERANCE = 1e-5
# The same formula of the same numbers.
FORMULA = 1e-9
CLASSIFICATION, REGRESSION, RECONSTRUCTION = TASKS = ("classification", "regression", "reconstruction")


@dataclasses.dataclass
class Mode:
    """What samples are, and networks that both programs have for them."""

    name: str
    parameters: dict
    parts: int
    # Divides the sessions of every group, times `parts`: the peer's losses are then comparable.
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
    ours(comparison, "exec", "kfold", *folds, "--output", caps / "folds")
    with peer.small():
        for mode in MODES:
            extract(comparison, work, mode)
            for task, network in zip(TASKS, mode.networks):
                Pair(comparison, work, mode, task, network).compare()
            if mode.name == "patch":
                Pair(comparison, work, mode, CLASSIFICATION, mode.networks[0], multi_network=True).compare()


def ours(comparison, *arguments):
    """Runs our program with one thread, as the peer: for tiny networks a second one costs more than it brings."""
    comparison.ours(*arguments, "--cpus", 1)


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
    ours(comparison, "exec", "prepare-data", *arguments)


class Pair:
    """A model of each program for one mode and task, in folders of their own."""

    def __init__(self, comparison, work, mode, task, network, multi_network=False):
        self.comparison, self.work, self.mode, self.task = comparison, work, mode, task
        self.network, self.multi_network = network, multi_network
        # Enough for parts to be right unequally often; the numbers of an untrained network serve the others.
        self.epochs = 3 if (mode.name, task, multi_network) == ("patch", CLASSIFICATION, False) else 1
        self.name = f"{mode.title or mode.name}, {task}{', a network each' if multi_network else ''}"
        self.folder = work / self.name.replace(", ", "-").replace(" ", "-")
        self.folder.mkdir()
        self.caps, self.table = work / "caps", work / "caps" / "test.tsv"
        self.theirs, self.ours = self.folder / "peer-maps", self.folder / "maps"
        # An autoencoder has no output to explain, and the peer explains no networks of single parts.
        self.is_explained = mode.first == 0 and task != RECONSTRUCTION and not multi_network
        self.is_joined = mode.is_part and task != RECONSTRUCTION
        self.levels = [mode.name, "image"] if self.is_joined else [mode.name]

    def compare(self):
        """Both ways."""
        options = {"architecture": self.network, "batch_size": self.mode.batch_size, "learning_rate": LEARNING_RATE}
        if self.multi_network:
            options["multi_network"] = True
        folds = self.caps / "folds"
        peer.train_task(self.theirs, self.task, self.caps, f"{self.mode.extraction}.json", folds, epochs=self.epochs, **options)
        self.they_say_of(self.theirs)
        read = self.we_predict(self.theirs, "read")
        if self.is_explained:
            self.we_explain(self.theirs, read)
        self.same(f"{self.name}, their model", self.theirs, read)
        self.formulas(read)
        self.run()
        copy = self.folder / "copied-maps"
        shutil.copytree(self.ours, copy)
        shutil.rmtree(outcomes.folder(copy, GROUP))
        shutil.rmtree(copy / "groups" / GROUP)
        self.they_say_of(copy)
        self.same(f"{self.name}, our model", copy, self.ours)

    def claim(self, text, measured, tolerance=0.0):
        self.comparison.claim(text, measured, tolerance)

    def they_say_of(self, maps):
        """The peer predicts and explains."""
        flags = ["--save_tensor"] if self.task == RECONSTRUCTION else []
        peer.predict_group(maps, GROUP, self.caps, self.table, self.mode.batch_size, *flags)
        if self.is_explained:
            peer.interpret(maps, GROUP)

    def we_predict(self, maps, name, *options):
        """We predict; returns the folder."""
        output = self.folder / name
        save = ["--with", "save=[tensors]"] if self.task == RECONSTRUCTION else []
        ours(self.comparison, "exec", "predict", *self.inputs(maps), *save, *options, "--output", output)
        return output

    def we_explain(self, maps, output):
        """We explain; the maps are put beside the predictions."""
        explained = self.folder / "explained"
        ours(self.comparison, "exec", "interpret", *self.inputs(maps), "--output", explained)
        shutil.copytree(explained, output, dirs_exist_ok=True)

    def inputs(self, maps):
        """What our stages read."""
        inputs = {"model": maps, "images": self.work / f"tensors-{self.mode.extraction}", "participants": self.table}
        return [argument for port, path in inputs.items() for argument in ("--input", f"{port}={path}")]

    def run(self):
        """We train, predict and explain: one manifest. Parts vote as the peer's do, by their accuracy."""
        images, part = f"tensors-{self.mode.extraction}", {}
        if self.is_joined and self.task == CLASSIFICATION:
            part["voting"] = "accuracy"
        train = {
            "task": self.task,
            "network": {"name": self.network},
            "optimizer": {"name": "Adam", "learning_rate": LEARNING_RATE},
            "epochs": self.epochs,
            "batch_size": self.mode.batch_size,
            "multi_network": self.multi_network,
            **part,
        }
        tested = {"model": "train", "images": "images", "participants": "unseen"}
        save = {"save": ["tensors"]} if self.task == RECONSTRUCTION else {}
        stages = {
            "train": {
                "uses": "train",
                "inputs": {"images": "images", "splits": "folds"},
                "splits": [peer.SPLIT],
                "with": train,
            },
            "test": {"uses": "predict", "inputs": tested, "with": {"data_group": GROUP, **save}},
        }
        if self.is_explained:
            stages["explain"] = {"uses": "interpret", "inputs": tested, "with": {"data_group": GROUP}}
        inputs = {"images": str(self.work / images), "folds": str(self.caps / "folds"), "unseen": str(self.table)}
        manifest = {"clinicadl": 1, "name": "pair", "inputs": inputs, "stages": stages, "maps": self.ours.name}
        file = self.folder / "experiment.yaml"
        file.write_text(json.dumps(manifest, indent=2))
        ours(self.comparison, "run", file)

    def same(self, of, theirs, ours):
        """What the two say of one model: predictions, loss, images, attribution maps."""
        for level in self.levels:
            numbered = (self.mode.name, self.mode.first if level == self.mode.name else 0)
            first = outcomes.predictions(theirs, GROUP, level, *numbered)
            second = outcomes.predictions(ours, GROUP, level)
            text = f"{of}: {len(first)} predictions of level `{level}` agree"
            self.claim(text, outcomes.apart(first, second, self.task), TOLERANCE)
        if not self.multi_network:
            count = PARTICIPANTS // 4 * self.mode.parts
            batches, rest = divmod(count, self.mode.batch_size)
            assert rest == 0, "the peer's sum over batches is comparable only if all are equal"
            first, second = (outcomes.metrics(maps, GROUP, self.mode.name) for maps in (theirs, ours))
            first["loss"] /= batches
            text = f"{of}: metrics agree, loss too (the peer adds up {batches} batches)"
            self.claim(text, outcomes.relative(first, second), TOLERANCE)
        if self.task == RECONSTRUCTION:
            first, second = (outcomes.saved(maps, GROUP, self.mode.name) for maps in (theirs, ours))
            text = f"{of}: {len(first)} reconstructions agree voxel by voxel"
            self.claim(text, outcomes.tensors_apart(first, second, scale=1), TOLERANCE)
        if self.is_explained:
            (first, means), (second, our_means) = (
                outcomes.maps_of(maps, GROUP, self.mode.name) for maps in (theirs, ours)
            )
            text = f"{of}: {len(first)} maps of gradients agree, in units of their maximum"
            self.claim(text, outcomes.tensors_apart(first, second), TOLERANCE)
            means = {name: tensor * self.mode.parts for name, tensor in means.items()}
            text = f"{of}: mean maps agree (the peer's are divided by {self.mode.parts} parts)"
            self.claim(text, outcomes.tensors_apart(means, our_means), TOLERANCE)

    def formulas(self, read):
        """The peer's metrics and votes, made of our predictions of its model, are ours; and the other way round."""
        manager = peer.task_manager(self.theirs)
        for level in self.levels if not self.multi_network else ["image"]:
            table = pandas.read_csv(outcomes.folder(read, GROUP) / f"{GROUP}_{level}_level_prediction.tsv", sep="\t")
            theirs = pandas.Series(manager.compute_metrics(table, report_ci=False), dtype=float)
            ours = outcomes.metrics(read, GROUP, level)
            text = f"{self.name}: {len(theirs)} metrics of level `{level}` follow by the peer's formulas"
            self.claim(text, outcomes.relative(theirs, ours), FORMULA)
        self.validated()
        if self.is_joined:
            self.votes(manager, read)

    def validated(self):
        """The peer's metrics follow from its predictions by our formulas, to 1e-9; those of reconstructions, which
        it adds up in 32 bits, to 1e-6. One that does not follow is told."""
        self.claim(f"{self.name}: their metrics follow by our formulas, so many do not", self.problems())
        file = outcomes.folder(self.theirs, GROUP) / f"{GROUP}_{self.mode.name}_level_metrics.tsv"
        text = file.read_text()
        column = "MAE" if self.task != CLASSIFICATION else "accuracy"
        table = [line.split("\t") for line in text.splitlines()]
        place = table[0].index(column)
        table[1][place] = repr(float(table[1][place]) * (1 + 1e-5 if self.task == RECONSTRUCTION else 1 + 1e-8))
        file.write_text("".join("\t".join(line) + "\n" for line in table))
        self.claim(f"{self.name}: of one that is changed a little it is told", abs(self.problems() - 1))
        file.write_text(text)

    def problems(self):
        """What `maps validate` finds wrong with the peer's MAPS: so many lines."""
        command = [str(self.comparison.program), "maps", "validate", str(self.theirs)]
        result = subprocess.run(command, capture_output=True, text=True, check=False)
        said = (result.stdout + result.stderr).splitlines()
        return 0 if result.returncode == 0 else sum("follows from the predictions" in line for line in said) or 1000

    def votes(self, manager, read):
        """The peer's vote of our predictions of parts is our prediction of their image.

        In a classification parts vote by their accuracy on the validation set, where they reach a threshold. For
        this claim the classes of that table are drawn: parts of a hardly trained network are right equally often.
        """
        file = f"{self.mode.name}_level_prediction.tsv"
        place = outcomes.folder(self.theirs, "validation") / f"validation_{file}"
        validation = pandas.read_csv(place, sep="\t")
        tables = {None: read}
        if self.task == CLASSIFICATION:
            validation["predicted_label"] = numpy.random.default_rng(0).integers(0, 2, len(validation))
            validation.to_csv(place, sep="\t", index=False)
            options = {value: ["--with", f"selection_threshold={value}"] for value in THRESHOLDS}
            tables = {value: self.we_predict(self.theirs, f"read-{value}", *each) for value, each in options.items()}
        for threshold, read in tables.items():
            parts = pandas.read_csv(outcomes.folder(read, GROUP) / f"{GROUP}_{file}", sep="\t")
            joined, _ = manager.ensemble_prediction(parts, validation.copy(), selection_threshold=threshold)
            theirs, ours = outcomes.by_part(joined, self.mode.name), outcomes.predictions(read, GROUP, "image")
            above = f" above an accuracy of {threshold:g}" if threshold else ""
            text = f"{self.name}: {len(theirs)} votes of the same parts agree{above}"
            self.claim(text, outcomes.apart(theirs, ours, self.task), FORMULA)
