"""A model of each program for one mode and task, and what both say of either."""

import json
import shutil
import subprocess

import numpy
import outcomes
import pandas

import peer

LEARNING_RATE = 3e-4
GROUP = "test"
THRESHOLDS = (0.0, 0.5)
# One pass in float32, there and back.
TOLERANCE = 1e-5
# The same formula of the same numbers.
FORMULA = 1e-9
CLASSIFICATION, REGRESSION, RECONSTRUCTION = TASKS = ("classification", "regression", "reconstruction")


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
        # See `models` for what the peer cannot explain.
        self.is_explained = mode.first == 0 and task != RECONSTRUCTION and not multi_network
        self.is_joined = mode.is_part and task != RECONSTRUCTION
        self.levels = [mode.name, "image"] if self.is_joined else [mode.name]

    def compare(self):
        """Both ways."""
        self.they_train()
        self.they_say_of(self.theirs)
        read = self.we_predict(self.theirs, "read")
        if self.is_explained:
            self.we_explain(self.theirs, read)
        self.same(f"{self.name}, their model", self.theirs, read)
        self.formulas(read)
        self.we_train()
        copy = self.folder / "copied-maps"
        shutil.copytree(self.ours, copy)
        shutil.rmtree(outcomes.folder(copy, GROUP))
        shutil.rmtree(copy / "groups" / GROUP)
        self.they_say_of(copy)
        self.same(f"{self.name}, our model", copy, self.ours)

    def they_train(self):
        """The peer trains."""
        options = {"architecture": self.network, "batch_size": self.mode.batch_size}
        options |= {"epochs": self.epochs, "learning_rate": LEARNING_RATE}
        if self.multi_network:
            options["multi_network"] = True
        extraction = f"{self.mode.extraction}.json"
        peer.train_task(self.theirs, self.task, self.caps, extraction, self.caps / "folds", **options)

    def run_ours(self, *arguments):
        """Runs our program with one thread, as the peer: for tiny networks a second one costs more than it brings."""
        self.comparison.ours(*arguments, "--cpus", 1)

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
        self.run_ours("exec", "predict", *self.inputs(maps), *save, *options, "--output", output)
        return output

    def we_explain(self, maps, output):
        """We explain; the maps are put beside the predictions."""
        explained = self.folder / "explained"
        self.run_ours("exec", "interpret", *self.inputs(maps), "--output", explained)
        shutil.copytree(explained, output, dirs_exist_ok=True)

    def inputs(self, maps):
        """What our stages read."""
        inputs = {"model": maps, "images": self.work / f"tensors-{self.mode.extraction}", "participants": self.table}
        return [argument for port, path in inputs.items() for argument in ("--input", f"{port}={path}")]

    def we_train(self):
        """We train, predict and explain: one manifest. Parts vote as the peer's do, by their accuracy."""
        voting = {"voting": "accuracy"} if self.is_joined and self.task == CLASSIFICATION else {}
        train = {
            "task": self.task,
            "network": {"name": self.network},
            "optimizer": {"name": "Adam", "learning_rate": LEARNING_RATE},
            "epochs": self.epochs,
            "batch_size": self.mode.batch_size,
            "multi_network": self.multi_network,
            **voting,
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
        images = self.work / f"tensors-{self.mode.extraction}"
        inputs = {"images": str(images), "folds": str(self.caps / "folds"), "unseen": str(self.table)}
        manifest = {"clinicadl": 1, "name": "pair", "inputs": inputs, "stages": stages, "maps": self.ours.name}
        file = self.folder / "experiment.yaml"
        file.write_text(json.dumps(manifest, indent=2))
        self.run_ours("run", file)

    def same(self, of, theirs, ours):
        """What the two say of one model: predictions, metrics, images, attribution maps."""
        for level in self.levels:
            numbered = (self.mode.name, self.mode.first if level == self.mode.name else 0)
            first = outcomes.predictions(theirs, GROUP, level, *numbered)
            second = outcomes.predictions(ours, GROUP, level)
            text = f"{of}: {len(first)} predictions of level `{level}` agree"
            self.claim(text, outcomes.apart(first, second, self.task), TOLERANCE)
        if not self.multi_network:
            samples = len(pandas.read_csv(self.table, sep="\t")) * self.mode.parts
            batches, rest = divmod(samples, self.mode.batch_size)
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
        """The peer's metrics and votes, made of our predictions of its model, are ours, and our metrics of its
        predictions are its own: what differs is then a formula, not the rounding of a network."""
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
        value = float(table[1][place])
        table[1][place] = repr(value + max(value, 1) * (1e-5 if self.task == RECONSTRUCTION else 1e-8))
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
