"""What the cases of learning share: the same images, weights and batches for both programs, and what each did.

The images are those of `extraction.anatomy`, at full size. Both have extracted them before anything is
timed: ours in a store, ClinicaDL 1.6.1 in a CAPS of its own. Ours is then asked to do one stage again
(`run --force`), and the peer runs one command. Initial weights and the order of images are those of seed 0
on both sides, so that both compute the same numbers, which is checked before a time counts.

**An epoch** is what lies between the ends of two: batches, the evaluation of both sets, and what is written.
The first epoch, and with it the start of both programs, is never part of it. Ours has ended an epoch when its
checkpoint is written, the peer when it calls its own hook (`timed_peer.py`).
"""

from __future__ import annotations

import csv
import itertools
import json
import os
import pathlib
import shutil
import statistics
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

import extraction
from cases import Bench, Result
from measure import CPUS, BenchError, Place, Sample, in_turns, summary

HERE = pathlib.Path(__file__).resolve().parent
TIMED_PEER, SAME_MAPS = HERE / "timed_peer.py", HERE / "same_maps.py"
PEER = extraction.PEER
OURS, THEIRS = "clinicadl", "clinicadl-1.6.1"
# Both sessions of the first participants are learnt, the first session of the next validates, and what is
# left of the images is new to the models. Batches of 2 divide all three.
TRAINING, VALIDATION, UNSEEN = range(4), range(4, 8), range(8, 13)
SESSIONS = ("ses-M000", "ses-M012")
WITH_ONE_SESSION = 11
TRAIN_IMAGES, VALIDATION_IMAGES, TEST_IMAGES = 8, 4, 8
BATCH = 2
PATCH = 50
GROUP = "unseen"
# Kernels and threads differ between the two builds of PyTorch, and updates amplify the rounding.
LOSS_TOLERANCE = 1e-4
# Adam divides gradients by their size, those of rounding too: where there are many steps, or maxima of equal
# voxels, a training differs from itself as soon as sums are added up in another order. Two programs may then
# differ by twice what one thread instead of two does to ours.
TIMES_ROUNDING = 2.0
# Most runs of trainings, which take half a minute to minutes each.
OUR_RUNS, THEIR_RUNS = 3, 3

Row = tuple[str, str, str]


@dataclass(frozen=True)
class Training:
    """One training, as each program is told of it."""

    ours: Mapping[str, object]
    """Parameters of `train`, without those that are the same everywhere."""
    theirs: Sequence[str]
    """Options of the peer."""
    task: str = "classification"
    patches: bool = False
    batch: int = BATCH
    epochs: int = 2
    no_dropout: bool = False
    """Tells the peer's network to drop nothing, which ours is told by a parameter."""
    half: bool = False
    """Half of the images, where whole ones would take the peer longer than anybody waits."""
    tolerance: float = LOSS_TOLERANCE
    """Greatest relative difference of the losses of the last epoch."""

    def images(self) -> tuple[int, int]:
        """Those that are learnt, and those that validate."""
        part = 2 if self.half else 1
        return TRAIN_IMAGES // part, VALIDATION_IMAGES // part


@dataclass(frozen=True)
class Done:
    """What a program did, once."""

    sample: Sample
    """Of the whole command."""
    work: float
    """Seconds of the work alone: our action, the peer's `MapsManager.train` and its like."""
    epochs: Sequence[float] = ()
    """Seconds of each epoch but the first."""
    losses: Sequence[tuple[float, float]] = ()
    """Mean losses per image of both sets after each epoch: training, validation."""


@dataclass
class Side:
    """All that one program did."""

    done: list[Done] = field(default_factory=list)

    def epoch(self) -> float:
        """The median of all its epochs."""
        return statistics.median(seconds for done in self.done for seconds in done.epochs)

    def work(self) -> float:
        return statistics.median(done.work for done in self.done)

    def peak_mib(self) -> float:
        """The largest of its processes; whatever trains is far above what cannot be told."""
        return max(done.sample.peak_mib or 0.0 for done in self.done)

    def details(self) -> dict[str, object]:
        """Everything of it that is kept."""
        samples = [done.sample for done in self.done]
        kept: dict[str, object] = {"peak_mib": self.peak_mib(), "work_s": self.work()}
        kept["whole_command"] = summary(samples)
        if self.done[0].epochs:
            kept |= {"epoch_s": self.epoch(), "epochs_s": [list(done.epochs) for done in self.done]}
        if self.done[0].losses:
            kept["losses"] = [list(losses) for losses in self.done[-1].losses]
        return kept


# ---- data ----------------------------------------------------------------------------------------------


def rows(participants: Iterable[int], sessions: Sequence[str] = SESSIONS) -> list[Row]:
    """Sessions with their diagnoses, as `make_caps.py` gives them."""
    return [
        (f"sub-{number:03}", session, ("CN", "AD")[number % 2])
        for number in participants
        for session in (sessions if number < WITH_ONE_SESSION else sessions[:1])
    ]


def write_table(path: pathlib.Path, sessions: Sequence[Row]) -> None:
    """A table that both programs read."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = ["participant_id\tsession_id\tdiagnosis", *("\t".join(row) for row in sessions)]
    path.write_text("\n".join(lines) + "\n")


class Data:
    """The images of all cases of learning, extracted once by both programs, and their tables."""

    def __init__(self, bench: Bench):
        self.bench = bench
        self.images = extraction.anatomy(bench)
        self.folder = bench.folder.parent / "learning"
        self.place = Place(self.folder)
        self.caps = self.folder / "peer" / "caps"
        self.store = self.folder / "store"
        self.folds, self.half, self.unseen = (self.folder / name for name in ("folds", "half", "unseen.tsv"))
        self.participants = self.folder / "participants.tsv"
        groups = [rows(TRAINING), rows(VALIDATION, SESSIONS[:1]), rows(UNSEEN)]
        if [len(group) for group in groups] != [TRAIN_IMAGES, VALIDATION_IMAGES, TEST_IMAGES]:
            raise BenchError("the groups are not as large as they should be")
        for folds, part in ((self.folds, 1), (self.half, 2)):
            training, validation = (group[: len(group) // part] for group in (TRAINING, VALIDATION))
            # The peer reads all splits and has at least two, of which only the first is trained.
            for split in (folds / "split-0", folds / "split-1"):
                write_table(split / "train.tsv", rows(training))
                write_table(split / "train_baseline.tsv", rows(training, SESSIONS[:1]))
                write_table(split / "validation_baseline.tsv", rows(validation, SESSIONS[:1]))
        # Where the peer looks for everybody that its models have seen.
        write_table(self.folder / "train.tsv", [*groups[0], *groups[1]])
        write_table(self.unseen, groups[2])
        write_table(self.participants, [row for group in groups for row in group])

    def ready(self, patches: bool) -> None:
        """Extracts, unless it is done, and has every tensor in memory that will be read."""
        mode = "patch" if patches else "image"
        done = self.caps.parent / f"made-{mode}"
        if not done.exists():
            if not self.caps.exists():
                extraction.linked(self.images, self.caps)
            command = ["prepare-data", mode, str(self.caps), "t1-linear"]
            command += ["--subjects_sessions_tsv", str(self.participants)]
            command += ["--save_features", "-ps", str(PATCH), "-ss", str(PATCH)] if patches else []
            command += ["-np", str(CPUS), "--extract_json", f"{mode}.json"]
            self.place.run([str(self.bench.peer(PEER)), *command]).expect_success("prepare-data of ClinicaDL 1.6.1")
            done.touch()
        manifest = self.manifest(f"extract-{mode}", patches, {})
        self.run(manifest).expect_success("extraction")
        os.sync()
        for path in [*self.caps.rglob("*.pt"), *self.store.rglob("*")]:
            if path.is_file():
                path.read_bytes()

    def manifest(
        self, name: str, patches: bool, stages: Mapping[str, object], inputs: Mapping[str, str] | None = None
    ) -> pathlib.Path:
        """Writes an experiment of the extraction and some stages. JSON is YAML too."""
        extract: dict[str, object] = {"mode": "image"}
        if patches:
            extract = {"mode": "patch", "patch_size": PATCH, "stride_size": PATCH, "save_features": True}
        own = {"caps": str(self.images), "participants": str(self.participants)}
        document = {
            "clinicadl": 1,
            "name": name,
            "inputs": {**own, "folds": str(self.folds), "unseen": str(self.unseen), **(inputs or {})},
            "stages": {
                "extract": {
                    "uses": "prepare-data",
                    "inputs": {"caps": "caps", "participants": "participants"},
                    "with": extract,
                },
                **stages,
            },
            "maps": str(self.maps(name).relative_to(self.folder)),
        }
        if not stages:
            for unused in ("folds", "unseen"):
                del document["inputs"][unused]  # type: ignore[attr-defined]
            del document["maps"]
        path = self.folder / f"{name}.yaml"
        path.write_text(json.dumps(document, indent=1))
        return path

    def folds_of(self, training: Training) -> pathlib.Path:
        """The splits of a training."""
        return self.half if training.half else self.folds

    def maps(self, name: str) -> pathlib.Path:
        """Where ours publishes."""
        return self.folder / "maps" / name

    def run(self, manifest: pathlib.Path, *options: str, cpus: int = CPUS) -> Sample:
        """Our program on an experiment."""
        command = [str(self.bench.program), "--json", "run", "--cpus", str(cpus), "--store", str(self.store)]
        return self.place.run([*command, *options, str(manifest)])

    def again(self, manifest: pathlib.Path, stage: str, cpus: int = CPUS) -> tuple[Sample, float]:
        """Does one stage anew; returns the whole command, and the seconds of its action."""
        os.sync()
        sample = self.run(manifest, "--force", stage, cpus=cpus).expect_success(f"clinicadl run --force {stage}")
        return sample, action_seconds(sample.stdout, stage)

    def peer(self, *arguments: str, no_dropout: bool = False) -> tuple[Sample, list[dict[str, float | str]]]:
        """A command of the peer, and what its hooks told."""
        os.sync()
        python, marks = self.bench.peer(PEER).parent / "python", self.folder / "peer" / "marks"
        options = ["--no-dropout"] if no_dropout else []
        command = [str(python), "-W", "ignore", str(TIMED_PEER), *options, str(marks), *arguments]
        sample = self.place.run(command).expect_success(f"{arguments[0]} of ClinicaDL 1.6.1")
        return sample, [json.loads(line) for line in marks.read_text().splitlines()]

    def model(self) -> pathlib.Path:
        """A MAPS of the peer, made once, that both apply."""
        maps = self.folder / "peer" / "model"
        done = self.folder / "peer" / "made-model"
        if not done.exists():
            self.bench.log("training a model with ClinicaDL 1.6.1, once")
            shutil.rmtree(maps, ignore_errors=True)
            self.peer(*peer_training(self, Training({}, CONV5, epochs=1), maps))
            done.touch()
        return maps

    def copied_model(self) -> pathlib.Path:
        """A copy of it that the peer may write to."""
        copy = self.folder / "peer" / "applied"
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(self.model(), copy)
        return copy


def action_seconds(stdout: str, stage: str) -> float:
    """How long an action took, as `run --json` tells."""
    found = [action for action in json.loads(stdout)["run"]["actions"] if action["stage"] == stage]
    if len(found) != 1:
        raise BenchError(f"one action of `{stage}` was expected, not {len(found)}")
    return float(found[0]["elapsed_s"])


# ---- trainings -----------------------------------------------------------------------------------------

CONV5 = ("--architecture", "Conv5_FC3")


def peer_training(data: Data, training: Training, maps: pathlib.Path) -> list[str]:
    """The peer's command."""
    mode = "patch" if training.patches else "image"
    command = ["train", training.task, str(data.caps), f"{mode}.json", str(data.folds_of(training)), str(maps)]
    command += ["--n_splits", "2", "--split", "0", "--seed", "0", "--no-gpu", "--n_proc", str(CPUS)]
    command += ["--epochs", str(training.epochs), "--batch_size", str(training.batch)]
    return [*command, *training.theirs]


def our_training(training: Training) -> dict[str, object]:
    """Our stage."""
    own = {"epochs": training.epochs, "batch_size": training.batch, "weights_seed": 0, "sampler_seed": 0}
    parameters = {"task": training.task, "n_proc": CPUS, **own, **training.ours}
    return {
        "uses": "train",
        "inputs": {"images": "extract", "splits": "folds"},
        "splits": [0],
        "with": parameters,
    }


class Watch(threading.Thread):
    """Notes when checkpoints of trainings in a store were written; `with` starts and ends it."""

    def __init__(self, store: pathlib.Path, every_s: float = 0.05):
        super().__init__(daemon=True)
        self.scratch, self.every_s = store / "scratch", every_s
        self.seen: set[int] = set()
        self.ended = threading.Event()

    def run(self) -> None:
        while not self.ended.wait(self.every_s):
            self.look()

    def look(self) -> None:
        for state in self.scratch.glob("*/state.json"):
            try:
                self.seen.add(state.stat().st_mtime_ns)
            except OSError:
                # It was replaced, or its training has ended.
                pass

    def __enter__(self) -> Watch:
        # What an interrupted training left is no checkpoint of this one, which would go on from there.
        shutil.rmtree(self.scratch, ignore_errors=True)
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.ended.set()
        self.join()

    def epochs(self, expected: int) -> list[float]:
        """Seconds of each epoch but the first."""
        if len(self.seen) != expected:
            raise BenchError(f"{len(self.seen)} checkpoints were seen of {expected} epochs")
        return differences([at / 1e9 for at in sorted(self.seen)])


def differences(at: Sequence[float]) -> list[float]:
    """From each moment to the next."""
    return [later - earlier for earlier, later in itertools.pairwise(at)]


def our_losses(history: pathlib.Path) -> list[tuple[float, float]]:
    """Losses after each epoch, of the table of a training."""
    with open(history, encoding="utf-8", newline="") as file:
        return [(float(row["loss_train"]), float(row["loss_valid"])) for row in csv.DictReader(file, delimiter="\t")]


def peer_losses(marks: Sequence[Mapping[str, float | str]]) -> list[tuple[float, float]]:
    """The same of the peer, whose losses are sums over batches of their means: batches are all of one size."""
    found = []
    for mark in marks:
        if mark["what"] == "epoch":
            batches = float(mark["batches"])
            of_validation = batches * VALIDATION_IMAGES / TRAIN_IMAGES
            found.append((float(mark["train"]) / batches, float(mark["valid"]) / of_validation))
    return found


def moments(marks: Sequence[Mapping[str, float | str]], what: str) -> list[float]:
    """When something happened."""
    return [float(mark["at"]) for mark in marks if mark["what"] == what]


def work_seconds(marks: Sequence[Mapping[str, float | str]]) -> float:
    """How long the peer's work took, without its start."""
    (begin,), (end,) = moments(marks, "begin"), moments(marks, "end")
    return end - begin


def relative(one: Done, other: Done) -> list[float]:
    """The relative differences of the last losses."""
    return [abs(left / right - 1) for left, right in zip(one.losses[-1], other.losses[-1])]


def check_losses(ours: Done, theirs: Done, training: Training, allowed: float | None = None) -> float:
    """The greatest relative difference of the last losses; an error if it is too great."""
    if not len(ours.losses) == len(theirs.losses) == training.epochs:
        raise BenchError(f"{len(ours.losses)} and {len(theirs.losses)} epochs were told, not {training.epochs}")
    last = f"the last losses, {ours.losses[-1]} and {theirs.losses[-1]}"
    return greatest(relative(ours, theirs), allowed or training.tolerance, last)


def greatest(differences: Iterable[float], allowed: float, what: str) -> float:
    """The greatest difference; an error if it is too great, or one is no number."""
    found = list(differences)
    if not all(difference <= allowed for difference in found):
        raise BenchError(f"{what} differ by {max(found):.2g}, {allowed:g} are allowed")
    return max(found)


def train(data: Data, name: str, training: Training, cpus: int = CPUS) -> Done:
    """Our training."""
    folds = {"folds": str(data.folds_of(training))}
    manifest = data.manifest(name, training.patches, {"train": our_training(training)}, folds)
    with Watch(data.store) as watch:
        sample, work = data.again(manifest, "train", cpus)
    losses = our_losses(data.maps(name) / "split-0" / "training_logs" / "training.tsv")
    return told(data.bench, OURS, Done(sample, work, watch.epochs(training.epochs), losses))


def train_peer(data: Data, name: str, training: Training) -> Done:
    """That of the peer."""
    maps = data.folder / "peer" / name
    shutil.rmtree(maps, ignore_errors=True)
    sample, marks = data.peer(*peer_training(data, training, maps), no_dropout=training.no_dropout)
    shutil.rmtree(maps)
    epochs = differences(moments(marks, "epoch"))
    return told(data.bench, THEIRS, Done(sample, work_seconds(marks), epochs, peer_losses(marks)))


def told(bench: Bench, who: str, done: Done) -> Done:
    """Says what something took, and gives it back."""
    epochs = f"epochs {', '.join(f'{seconds:.2f}' for seconds in done.epochs)} s; " if done.epochs else ""
    whole = f"work {done.work:.2f} of {done.sample.seconds:.2f} s, peak {done.sample.peak_mib or 0:.0f} MiB"
    bench.log(f"{who}: {epochs}{whole}")
    return done


def both(bench: Bench, ours: Callable[[], Done], theirs: Callable[[], Done]) -> dict[str, Side]:
    """Both in turns."""
    sides = {OURS: Side(), THEIRS: Side()}

    def one(side: Side, way: Callable[[], Done]) -> Sample:
        done = way()
        side.done.append(done)
        return done.sample

    ways = {OURS: partial(one, sides[OURS], ours), THEIRS: partial(one, sides[THEIRS], theirs)}
    in_turns(ways, {OURS: bench.slow(OUR_RUNS), THEIRS: bench.slow(THEIR_RUNS)}, bench.budget_s)
    return sides


@dataclass(frozen=True)
class Compared:
    """One training of both programs."""

    sides: Mapping[str, Side]
    difference: float
    """The greatest relative difference of the losses."""

    def details(self, training: Training) -> dict[str, object]:
        train_images, validation_images = training.images()
        sizes = {"train_images": train_images, "validation_images": validation_images, "batch_size": training.batch}
        kept: dict[str, object] = {**sizes, "epochs": training.epochs, "difference_of_losses": self.difference}
        return kept | {name: side.details() for name, side in self.sides.items()}


# Several rows can be of one training: it is done once.
_compared: dict[str, Compared] = {}


def compare(bench: Bench, name: str, training: Training) -> Compared:
    """Both programs do a training, in turns; each time with the same losses."""
    if name not in _compared:
        data = Data(bench)
        data.ready(training.patches)
        ours, theirs = partial(train, data, name, training), partial(train_peer, data, name, training)
        sides = both(bench, ours, theirs)
        pairs = [(our, their) for our in sides[OURS].done for their in sides[THEIRS].done]
        allowed = training.tolerance
        if max(max(relative(*pair)) for pair in pairs) > allowed:
            # Where rounding grows from step to step, the same program with one thread tells how far.
            alone = train(data, name, training, cpus=1)
            allowed = max(allowed, TIMES_ROUNDING * max(max(relative(our, alone)) for our in sides[OURS].done))
            bench.log(f"losses of our training with one thread: {alone.losses}; {allowed:.2g} are allowed")
        _compared[name] = Compared(sides, max(check_losses(*pair, training, allowed) for pair in pairs))
    return _compared[name]


def measure(bench: Bench, name: str, training: Training) -> Result:
    """The row of a training: an epoch."""
    compared = compare(bench, name, training)
    ours, theirs = compared.sides[OURS].epoch(), compared.sides[THEIRS].epoch()
    return Result(ours, theirs, "s", PEER, compared.details(training))


# ---- models that are applied ---------------------------------------------------------------------------


def apply(
    bench: Bench,
    name: str,
    stage: Mapping[str, object],
    options: Sequence[str],
    check: Callable[[Data, pathlib.Path, pathlib.Path], Mapping[str, object]],
) -> Result:
    """Both apply one model of the peer to images that are new to it: the row is the work without the start.

    The case has the name of the peer's command; `options` follow its MAPS and the group. `check` gets both
    MAPS, and raises unless they hold the same.
    """
    data = Data(bench)
    data.ready(patches=False)
    model = data.model()
    inputs = {"model": "model", "images": "extract", "participants": "unseen"}
    whole = {"inputs": inputs, "splits": [0], **stage}
    manifest = data.manifest(name, False, {name: whole}, {"model": str(model)})

    def ours() -> Done:
        return told(bench, OURS, Done(*data.again(manifest, name)))

    def theirs() -> Done:
        common = ["--caps_directory", str(data.caps), "--participants_tsv", str(data.unseen)]
        common += ["--no-gpu", "--n_proc", str(CPUS), "--batch_size", str(BATCH)]
        sample, marks = data.peer(name, str(data.copied_model()), GROUP, *options, *common)
        return told(bench, THEIRS, Done(sample, work_seconds(marks)))

    # What of an image is unknown to our store is looked up once, and not timed.
    data.again(manifest, name)
    sides = both(bench, ours, theirs)
    found = check(data, data.maps(name), data.folder / "peer" / "applied")
    details: dict[str, object] = {"images": TEST_IMAGES, **found}
    details |= {who: side.details() for who, side in sides.items()}
    return Result(sides[OURS].work(), sides[THEIRS].work(), "s", PEER, details)
