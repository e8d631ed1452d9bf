"""Tests of the harness's own logic: none measures the program or needs a peer."""

from __future__ import annotations

import gzip
import json
import os
import pathlib
import re
import stat
import struct
import sys
import tempfile
import unittest
import xml.etree.ElementTree
from functools import partial
from typing import Any
from unittest import mock

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

import chart  # noqa: E402
import extraction  # noqa: E402
import learning  # noqa: E402
import measure  # noqa: E402
import noop  # noqa: E402
import peers  # noqa: E402
import run  # noqa: E402
from cases import (  # noqa: E402
    Bench,
    Case,
    Result,
    augmentation,
    caps_10000,
    experiment,
    hash_2gib,
    predict,
    scaling_epoch,
    split_10000,
    table,
    train_bf16,
    train_fp32,
    train_patch,
)
from engines import Graph, chain, fan  # noqa: E402
from engines.clinicadl import Clinicadl  # noqa: E402
from engines.dvc import Dvc  # noqa: E402
from engines.snakemake import Snakemake  # noqa: E402
from measure import BenchError, Place, Sample  # noqa: E402


def sample(
    seconds: float = 1.0, code: int = 0, stdout: str = "", stderr: str = "", peak: float | None = None
) -> Sample:
    return Sample(seconds, seconds, 0.0, peak, None, code, stdout, stderr)


class InFolder(unittest.TestCase):
    def setUp(self) -> None:
        temporary = tempfile.TemporaryDirectory()
        self.addCleanup(temporary.cleanup)
        self.folder = pathlib.Path(temporary.name)

    def replace(self, where: Any, name: str, value: object) -> None:
        patch = mock.patch.object(where, name, value)
        patch.start()
        self.addCleanup(patch.stop)

    def script(self, name: str, text: str) -> pathlib.Path:
        path = self.folder / name
        path.write_text("#!/bin/sh\n" + text)
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
        return path


class Measuring(InFolder):
    def test_a_run_has_its_output_code_time_and_folder(self) -> None:
        program = self.script("p", "echo out; echo err >&2; pwd >&2; sleep 0.05; exit 3\n")
        found = Place(self.folder / "place").run([str(program)])
        self.assertEqual((found.stdout, found.code), ("out\n", 3))
        self.assertEqual(found.stderr.splitlines(), ["err", str((self.folder / "place").resolve())])
        self.assertGreaterEqual(found.seconds, 0.05)

    def test_the_peak_is_that_of_the_program_and_not_of_the_harness(self) -> None:
        ballast = bytearray(b"x") * (200 << 20)
        place = Place(self.folder)
        small = place.run(["true"])
        self.assertLess(small.peak_mib or 0, 50, f"{len(ballast)} bytes here are not its own")
        large = place.run([sys.executable, "-c", "len(bytearray(b'x') * (100 << 20))"])
        self.assertIsNotNone(large.peak_mib)
        self.assertGreater(large.peak_mib or 0, 100)

    @unittest.skipUnless(pathlib.Path("/proc/self/io").exists(), "the kernel does not count")
    def test_bytes_read_are_those_of_the_program(self) -> None:
        (self.folder / "data").write_bytes(bytes(3 << 20))
        found = Place(self.folder).run(["cat", "data"]).read_bytes or 0
        self.assertTrue(3 << 20 <= found < 4 << 20, found)

    def test_nothing_of_the_users_settings_is_seen(self) -> None:
        with mock.patch.dict("os.environ", {"CLINICADL_X": "1", "DVC_HOME": "1", "XDG_CONFIG_HOME": "/x"}):
            seen = Place(self.folder).run(["env"]).stdout
        names = {line.split("=")[0] for line in seen.splitlines()}
        self.assertTrue(names.isdisjoint({"CLINICADL_X", "DVC_HOME", "XDG_CONFIG_HOME"}), names)
        self.assertIn(f"HOME={self.folder}/home", seen)

    def test_what_takes_too_long_is_ended_with_its_children(self) -> None:
        program = self.script("p", "sleep 30 & wait\n")
        found = Place(self.folder).run([str(program)], limit_s=1)
        self.assertEqual(found.code, -9)

    def test_a_program_that_is_not_there_is_an_error(self) -> None:
        with self.assertRaises(BenchError):
            Place(self.folder).run(["/nowhere/at/all"])

    def test_ways_take_turns_until_each_had_its_number(self) -> None:
        order: list[str] = []

        def one(name: str) -> Sample:
            order.append(name)
            return sample()

        found = measure.in_turns({"a": partial(one, "a"), "b": partial(one, "b")}, {"a": 3, "b": 1})
        self.assertEqual(order, ["a", "b", "a", "a"])
        self.assertEqual({name: len(samples) for name, samples in found.items()}, {"a": 3, "b": 1})

    def test_turns_that_would_not_end_in_time_are_left_out_but_never_the_first(self) -> None:
        # The clock is read once before, and twice a turn: turns of 10 s begin at 10, 30, 50, 70 and 90.
        for budget_s, turns in ((None, 5), (0.0, 1), (39.0, 1), (40.0, 2), (79.0, 3), (100.0, 5)):
            clock = iter(range(0, 1000, 10))
            self.replace(measure.time, "monotonic", lambda: float(next(clock)))
            found = measure.in_turns({"a": sample}, {"a": 5}, budget_s)
            self.assertEqual(len(found["a"]), turns, budget_s)

    def test_a_summary_has_every_sample_and_the_largest_peak(self) -> None:
        found = measure.summary([sample(3.0), sample(1.0, peak=5.0), sample(2.0, peak=7.0)])
        self.assertEqual((found["median_s"], found["min_s"], found["max_s"]), (2.0, 1.0, 3.0))
        self.assertEqual((found["peak_mib"], len(found["samples"])), (7.0, 3))  # type: ignore[arg-type]
        json.dumps(found)

    def test_a_failure_tells_the_end_of_what_was_said(self) -> None:
        with self.assertRaisesRegex(BenchError, "(?s)tool: exit code 2.*the reason"):
            sample(code=2, stderr="\n".join(["noise"] * 50) + "\nthe reason").expect_success("tool")


class Rows(unittest.TestCase):
    def test_a_row_is_case_ours_peer_ratio_unit(self) -> None:
        row = Result(20.0, 1000.0, "ms", "other").row("noop")
        self.assertEqual(row.split("\t"), ["noop", "20", "1000", "50", "ms"])

    def test_without_a_peer_there_is_no_ratio(self) -> None:
        self.assertEqual(Result(20.0, None, "ms", "-").row("x").split("\t"), ["x", "20", "-", "-", "ms"])

    def test_a_time_of_nothing_is_no_measure(self) -> None:
        with self.assertRaises(BenchError):
            Result(0.0, 1.0, "ms", "other").row("x")

    def test_every_case_is_a_file_and_documented(self) -> None:
        document = (HERE.parent / "docs" / "bench.md").read_text()
        files = {path.stem for path in (HERE / "cases").glob("*.py")} - {"__init__"}
        self.assertEqual({name.replace("-", "_") for name in table()}, files)
        for name in table():
            self.assertIn(f"`{name}`", document)


class Harness(InFolder):
    def main(self, cases: dict[str, Case]) -> tuple[int, list[str]]:
        program = self.script("clinicadl", "echo clinicadl 0.0.0\n")
        said: list[str] = []
        self.replace(run, "table", lambda: cases)
        self.replace(run, "log", lambda _: None)
        self.replace(run, "RESULTS", self.folder / "results")
        self.replace(sys, "argv", ["run.py", "--work", str(self.folder / "work"), str(program)])
        with mock.patch("builtins.print", lambda *text, **_: said.extend(text)):
            return run.main(), said

    def test_a_case_becomes_a_row_and_a_file(self) -> None:
        code, said = self.main({"a": Case("s", lambda _: Result(1.0, 2.0, "ms", "other", {"x": 1}))})
        self.assertEqual((code, said), (0, ["case\tours\tpeer\tratio\tunit", "a\t1\t2\t2\tms"]))
        document = json.loads((self.folder / "results" / "a.json").read_text())
        self.assertGreater(document["machine"]["sync_ms"], 0)
        self.assertEqual((document["ratio"], document["details"]), (2.0, {"x": 1}))
        self.assertEqual(document["versions"], {"clinicadl": "clinicadl 0.0.0"})

    def test_a_case_that_is_not_what_it_claims_has_no_row_and_others_go_on(self) -> None:
        def fails(_: Bench) -> Result:
            raise BenchError("it ran something")

        code, said = self.main({"bad": Case("s", fails), "good": Case("s", lambda _: Result(1.0, None, "ms", "-"))})
        self.assertEqual(code, 1)
        self.assertEqual(said[1:], ["good\t1\t-\t-\tms"])


class Engines(InFolder):
    def test_manifests_have_the_edges_of_their_graph(self) -> None:
        for graph, sources in [
            (chain(3), ["labels", "s0.train", "s1.train"]),
            (fan(3), ["labels", "labels", "labels"]),
            (Graph(4, 2), ["labels", "s0.train", "labels", "s2.train"]),
        ]:
            ours = Clinicadl(self.folder / "p", self.folder / "c", graph)
            ours.write()
            text = (self.folder / "c" / "experiment.yaml").read_text()
            self.assertEqual(re.findall(r"labels: ([\w.]+) \}", text)[1:], sources)
            self.assertEqual(len(set(re.findall(r"with: .*?\}", text))), graph.stages, "no two stages are one action")

    def test_a_chain_has_enough_participants_for_its_last_stage(self) -> None:
        Clinicadl(self.folder / "p", self.folder / "c", chain(10)).write()
        self.assertEqual(len((self.folder / "c" / "labels.tsv").read_text().splitlines()), 1 + 12)

    def test_a_no_op_is_taken_at_its_word_only_if_it_is_of_every_stage(self) -> None:
        ours = Clinicadl(self.folder / "p", self.folder, fan(10))
        ours.check_ran_nothing(sample(stdout="up to date: all 10 actions were hits\n"))
        for bad in [
            sample(stdout="up to date: all 1 actions were hits\n"),
            sample(stdout="10 actions: 1 ran, 9 hits, 0.1 s\n"),
            sample(code=1, stdout="up to date: all 10 actions were hits\n"),
        ]:
            with self.assertRaises(BenchError):
                ours.check_ran_nothing(bad)

    def test_a_first_run_of_snakemake_counts_only_with_all_outputs(self) -> None:
        peer = Snakemake(self.folder / "p", self.folder / "s", chain(2))
        peer.write()
        said = sample(stderr="3 of 3 steps (100%) done\n")
        with self.assertRaisesRegex(BenchError, "2 outputs are missing"):
            peer.check_ran_all(said)
        (self.folder / "s" / "out").mkdir()
        for i in range(2):
            (self.folder / "s" / "out" / f"{i}.txt").touch()
        peer.check_ran_all(said)
        with self.assertRaises(BenchError):
            peer.check_ran_all(sample(stderr="2 of 2 steps (100%) done\n"))

    def test_the_wildcard_rule_reads_what_the_graph_says(self) -> None:
        class Wildcards:
            i = ""

        for graph in (chain(4), fan(4), Graph(4, 2)):
            rule = Snakemake(self.folder / "p", self.folder, graph)._wildcard()
            written = re.search("input: (.*)", rule)
            assert written is not None
            read = eval(written.group(1))
            for stage in range(4):
                Wildcards.i = str(stage)
                source = graph.source(stage)
                expected = "input.txt" if source is None else f"out/{source}.txt"
                self.assertEqual(read(Wildcards) if callable(read) else read, expected)

    def test_explicit_rules_are_the_same_graph(self) -> None:
        peer = Snakemake(self.folder / "p", self.folder, chain(3), explicit=True)
        inputs = re.findall(r'input: "(.*)"', peer._explicit())
        self.assertEqual(inputs, ["input.txt", "out/0.txt", "out/1.txt"])

    def test_what_dvc_is_told_it_did_is_what_its_manifest_says(self) -> None:
        program = self.script("dvc", "exit 0\n")
        peer = Dvc(program, self.folder / "d", chain(2))
        peer.write()
        (self.folder / "d" / ".dvc").mkdir()
        peer.pretend()
        lock = json.loads((self.folder / "d" / "dvc.lock").read_text())["stages"]
        manifest = (self.folder / "d" / "dvc.yaml").read_text()
        self.assertEqual([lock[s]["cmd"] for s in ("s0", "s1")], re.findall("cmd: (.*)", manifest))
        self.assertEqual(lock["s1"]["deps"][0]["md5"], lock["s0"]["outs"][0]["md5"])

    def test_long_first_runs_of_peers_are_not_waited_for_and_ours_always_are(self) -> None:
        self.assertLess(noop.longest_first_run("dvc"), 1000)
        self.assertGreaterEqual(noop.longest_first_run("clinicadl"), 10_000)


class Hashing(InFolder):
    def test_the_image_is_a_nifti_of_exactly_the_size(self) -> None:
        data = hash_2gib.image(2_147_483)
        self.assertEqual(len(data), 2_147_483)
        content = gzip.decompress(data)
        dimensions = struct.unpack_from("<4h", content, 40)
        self.assertEqual(struct.unpack_from("<i", content), (348,))
        self.assertEqual(len(content), 352 + dimensions[1] * dimensions[2] * dimensions[3])
        self.assertLess(data.index(b"\0", 10) - 10, 65_535, "readers limit the length of a comment")

    def test_a_flipped_byte_is_flipped_back(self) -> None:
        path = self.folder / "f"
        path.write_bytes(b"abc")
        hash_2gib.flip(path)
        self.assertEqual([a != b for a, b in zip(path.read_bytes(), b"abc")], [False, True, False])
        hash_2gib.flip(path)
        self.assertEqual(path.read_bytes(), b"abc")


class Cohorts(InFolder):
    def test_every_session_has_an_image_of_its_own(self) -> None:
        caps_10000.make(self.folder / "e", 3)
        images = sorted((self.folder / "e").glob("caps/subjects/sub-*/ses-M0*/t1_linear/*_T1w.nii.gz"))
        self.assertEqual([image.parts[-3] for image in images], ["ses-M000", "ses-M012", "ses-M000"])
        contents = [gzip.decompress(image.read_bytes()) for image in images]
        self.assertEqual([len(content) for content in contents], [352 + 12**3] * 3)
        self.assertEqual(len(set(contents)), 3)

    def test_a_split_counts_only_if_it_is_one_and_balanced(self) -> None:
        split_10000.make(self.folder / "e")
        rows = split_10000.read(self.folder / "e" / "labels.tsv")
        held_out = split_10000.HELD_OUT
        # Of pairs of neighbours in age and of one sex, one in five is held out: no parts could be more alike.
        rows.sort(key=lambda row: (row["sex"], float(row["age"])))
        train, test = [r for i, r in enumerate(rows) if i % 5 != 2], rows[2::5]
        split_10000.check(train, test)
        by_age = sorted(rows, key=lambda row: float(row["age"]))
        for train, test in [
            (rows[held_out:], rows[:held_out]),
            (by_age[held_out:], by_age[:held_out]),
            (train[1:], test),
            (train[1:] + test[:1], test),
        ]:
            with self.assertRaises(BenchError):
                split_10000.check(train, test)

    def test_the_peer_works_in_a_caps_of_links(self) -> None:
        image = self.folder / "caps" / "subjects" / "sub-1" / "ses-1" / "t1_linear" / "i.nii.gz"
        image.parent.mkdir(parents=True)
        image.write_bytes(b"x")
        own = extraction.linked(self.folder / "caps", self.folder / "own")
        self.assertTrue((own / "subjects" / "sub-1" / "ses-1" / "t1_linear" / "i.nii.gz").samefile(image))


class Learning(InFolder):
    def data(self) -> learning.Data:
        self.replace(extraction, "anatomy", lambda _: self.folder / "anatomy")
        return learning.Data(Bench(self.folder / "p", self.folder / "case", 1, lambda _: self.folder, lambda _: None))

    def test_nobody_is_in_two_groups_and_batches_are_full(self) -> None:
        data = self.data()
        folder = data.folder
        groups = {
            path.stem: {line.split("\t")[0] for line in path.read_text().splitlines()[1:]}
            for path in (*folder.glob("folds/split-0/*.tsv"), folder / "unseen.tsv")
        }
        self.assertEqual(groups["train"], groups["train_baseline"])
        separate = [groups[name] for name in ("train", "validation_baseline", "unseen")]
        self.assertEqual(len(set.union(*separate)), sum(map(len, separate)))
        for images in (learning.TRAIN_IMAGES, learning.VALIDATION_IMAGES, learning.TEST_IMAGES):
            self.assertEqual(images % learning.BATCH, 0)
            self.assertEqual(images * 36 % train_patch.BATCH, 0)
        seen = {line.split("\t")[0] for line in (folder / "train.tsv").read_text().splitlines()[1:]}
        self.assertEqual(seen, separate[0] | separate[1])

    def test_half_of_the_images_are_half_of_every_table_and_full_batches(self) -> None:
        data, half = self.data(), learning.Training({}, [], half=True)
        self.assertEqual(data.folds_of(learning.Training({}, [])), data.folds)
        for table, images in zip(("train", "validation_baseline"), half.images()):
            of_all, of_half = (
                (folds / "split-0" / f"{table}.tsv").read_text().splitlines()[1:]
                for folds in (data.folds, data.folds_of(half))
            )
            self.assertEqual((len(of_half), 2 * len(of_half)), (images, len(of_all)))
            self.assertEqual(of_half, of_all[:images])
            self.assertEqual(images % learning.BATCH, 0)

    def test_the_groups_are_images_that_there_are(self) -> None:
        everybody = [*learning.TRAINING, *learning.VALIDATION, *learning.UNSEEN]
        self.assertLess(max(everybody), extraction.PARTICIPANTS - 1, "the last one's image is not kept")
        self.assertEqual(len(learning.rows([10, 11])), 3, "from the eleventh on there is one session")

    def test_both_train_on_the_same_from_the_same(self) -> None:
        data = self.data()
        command = learning.peer_training(data, train_fp32.TRAINING, self.folder / "maps")
        options = {name: value for name, value in zip(command, command[1:]) if name.startswith("--")}
        ours = learning.our_training(train_fp32.TRAINING)["with"]
        assert isinstance(ours, dict)
        self.assertEqual((options["--epochs"], options["--batch_size"]), (str(ours["epochs"]), str(ours["batch_size"])))
        self.assertEqual((options["--seed"], ours["weights_seed"], ours["sampler_seed"]), ("0", 0, 0))
        self.assertEqual(options["--architecture"], ours["network"]["name"])

    def test_a_manifest_has_the_inputs_of_its_stages(self) -> None:
        data = self.data()
        bare = json.loads(data.manifest("extract", True, {}).read_text())
        self.assertEqual((set(bare["inputs"]), "maps" in bare), ({"caps", "participants"}, False))
        self.assertTrue(bare["stages"]["extract"]["with"]["save_features"])
        whole = json.loads(data.manifest("t", False, {"train": learning.our_training(train_bf16.TRAINING)}).read_text())
        self.assertEqual((whole["maps"], set(whole["stages"])), ("maps/t", {"extract", "train"}))
        self.assertEqual(whole["stages"]["train"]["with"]["precision"], "bfloat16")

    def test_losses_of_the_peer_are_sums_over_batches(self) -> None:
        marks = [
            {"at": 1.0, "what": "begin"},
            {"at": 3.0, "what": "training"},
            {"at": 5.0, "what": "epoch", "train": 4.0, "valid": 1.5, "batches": 4},
            {"at": 6.5, "what": "epoch", "train": 2.0, "valid": 1.0, "batches": 4},
            {"at": 9.0, "what": "end"},
        ]
        self.assertEqual(learning.peer_losses(marks), [(1.0, 0.75), (0.5, 0.5)])
        self.assertEqual(learning.differences(learning.moments(marks, "epoch")), [1.5])
        self.assertEqual(learning.work_seconds(marks), 8.0)

    def test_losses_of_ours_are_those_of_its_history(self) -> None:
        history = self.folder / "training.tsv"
        history.write_text("epoch\titeration\tloss_train\tloss_valid\n0\t3\t1.0\t0.75\n1\t3\t0.5\t0.5\n")
        self.assertEqual(learning.our_losses(history), [(1.0, 0.75), (0.5, 0.5)])

    def test_a_training_counts_only_with_the_same_losses(self) -> None:
        def done(*losses: tuple[float, float]) -> learning.Done:
            return learning.Done(sample(), 1.0, [1.0], losses)

        training = train_fp32.TRAINING
        ours = done((9.0, 9.0), (0.5, 0.25))
        self.assertAlmostEqual(learning.check_losses(ours, done((1.0, 1.0), (0.5, 0.250_01)), training), 4e-5, 6)
        for other in [
            done((9.0, 9.0), (0.5, 0.251)),
            done((9.0, 9.0), (0.5, float("nan"))),
            done((0.5, 0.25)),
        ]:
            with self.assertRaises(BenchError):
                learning.check_losses(ours, other, training)

    def test_epochs_lie_between_checkpoints(self) -> None:
        store = self.folder / "store"
        with learning.Watch(store, every_s=0.001) as watch:
            state = store / "scratch" / "key" / "state.json"
            state.parent.mkdir(parents=True)
            for at in (1_000_000_000, 3_500_000_000, 4_000_000_000):
                new = state.with_suffix(".new")
                new.touch()
                os.utime(new, ns=(at, at))
                new.rename(state)
                watch.look()
        self.assertEqual(watch.epochs(3), [2.5, 0.5])
        with self.assertRaisesRegex(BenchError, "3 checkpoints were seen of 4 epochs"):
            watch.epochs(4)

    def test_a_side_is_the_median_of_all_epochs_and_the_largest_peak(self) -> None:
        side = learning.Side(
            [
                learning.Done(sample(30.0, peak=5.0), 20.0, [1.0, 9.0], [(1.0, 1.0)]),
                learning.Done(sample(31.0, peak=7.0), 22.0, [2.0], [(1.0, 1.0)]),
            ]
        )
        self.assertEqual((side.epoch(), side.work(), side.peak_mib()), (2.0, 21.0, 7.0))
        kept = side.details()
        self.assertEqual((kept["epoch_s"], kept["work_s"], kept["epochs_s"]), (2.0, 21.0, [[1.0, 9.0], [2.0]]))
        json.dumps(kept)

    def test_a_training_of_two_rows_is_done_once(self) -> None:
        sides = {who: learning.Side() for who in (learning.OURS, learning.THEIRS)}
        for side, peak in zip(sides.values(), (100.0, 400.0)):
            side.done.append(learning.Done(sample(peak=peak), 1.0, [peak], [(1.0, 1.0)]))
        self.replace(learning, "_compared", {train_fp32.NAME: learning.Compared(sides, 0.0)})
        bench = Bench(self.folder, self.folder, 1, lambda _: self.folder, lambda _: None)
        found = {name: table()[name].measure(bench) for name in ("train-fp32", "memory-train")}
        self.assertEqual([(r.ours, r.peer, r.unit) for r in found.values()], [(100, 400, "s"), (100, 400, "MiB")])

    def test_the_time_of_a_stage_is_that_of_its_one_action(self) -> None:
        actions = [{"stage": "extract", "elapsed_s": 1.0}, {"stage": "train", "elapsed_s": 2.5}]
        told = json.dumps({"run": {"actions": actions}})
        self.assertEqual(learning.action_seconds(told, "train"), 2.5)
        with self.assertRaises(BenchError):
            learning.action_seconds(told, "test")

    def test_predictions_count_only_if_they_are_the_same(self) -> None:
        ours = {(f"sub-{i}", "ses-M000"): [0.25, 0.75] for i in range(learning.TEST_IMAGES)}
        near = {key: [0.250_001, 0.749_999] for key in ours}
        self.assertAlmostEqual(predict.difference(ours, near), 1e-6)
        far = {key: [0.2501, 0.7499] for key in ours}
        for other in (far, dict(list(ours.items())[1:])):
            with self.assertRaises(BenchError):
                predict.difference(ours, other)

    def test_both_experiments_have_the_same_steps(self) -> None:
        steps = experiment.commands(self.folder / "caps")
        self.assertEqual(list(steps), list(experiment.STAGES))
        train = experiment.STAGES["train"]["with"]
        assert isinstance(train, dict)
        self.assertEqual(steps["train"][steps["train"].index("--epochs") + 1], str(train["epochs"]))

    def test_commands_one_after_the_other_are_one(self) -> None:
        whole = experiment.together([sample(1.0, peak=3.0), sample(2.5), sample(0.5, peak=2.0)])
        self.assertEqual((whole.seconds, whole.user, whole.peak_mib), (4.0, 4.0, 3.0))

    def test_small_images_are_as_many_as_are_learnt(self) -> None:
        scaling_epoch.make(self.folder / "e", 10)
        images = list((self.folder / "e").glob("caps/subjects/*/*/t1_linear/*.nii.gz"))
        self.assertEqual(len(images), 12)
        self.assertEqual(len(gzip.decompress(images[0].read_bytes())), 352 + scaling_epoch.EDGE**3)
        tables = (self.folder / "e" / "folds" / "split-0").glob("*.tsv")
        self.assertEqual(sorted(len(t.read_text().splitlines()) for t in tables), [3, 11, 11])

    def test_cargo_tells_where_the_example_is(self) -> None:
        messages = [
            {"reason": "compiler-artifact", "target": {"name": "stages"}, "executable": None},
            {"reason": "compiler-artifact", "target": {"name": augmentation.EXAMPLE}, "executable": "/t/examples/x"},
            {"reason": "build-finished", "success": True},
        ]
        lines = "\n".join(map(json.dumps, messages))
        self.assertEqual(augmentation.executable(lines), pathlib.Path("/t/examples/x"))
        with self.assertRaises(BenchError):
            augmentation.executable(json.dumps(messages[0]))


class Peers(InFolder):
    def test_every_peer_is_pinned_to_one_version(self) -> None:
        pinned = dict(re.findall(r"^([\w.-]+)==(\S+)$", peers.CONSTRAINTS.read_text(), re.MULTILINE))
        for name in peers.PYTHON_PEERS:
            self.assertEqual(pinned[name], peers.VERSIONS[name])

    def test_an_installation_is_made_once_and_again_for_other_versions(self) -> None:
        calls: list[list[str]] = []

        def call(command: list[str], cwd: pathlib.Path | None = None) -> None:
            calls.append(command)
            (self.folder / "python").mkdir(exist_ok=True)

        self.replace(peers, "_call", call)
        self.replace(peers, "cache_folder", lambda: self.folder)
        self.replace(peers, "OLDEST_PYTHON", (3, 0))
        peers.program("dvc", lambda _: None)
        peers.program("snakemake", lambda _: None)
        self.assertEqual(len(calls), 2, "one environment and one installation, for both")
        with mock.patch.dict(peers.VERSIONS, {"dvc": "0.0.0"}):
            peers.program("dvc", lambda _: None)
        self.assertEqual(len(calls), 4)

    def test_a_failing_installer_is_named(self) -> None:
        with self.assertRaisesRegex(peers.PeerError, "exit code 1"):
            peers._call(["false"])


class Chart(unittest.TestCase):
    def test_the_picture_is_an_svg_with_a_bar_for_each_value(self) -> None:
        machine = {"date": "2026", "processor": "a <b> & c", "processors_used": 2}
        documents: dict[str, dict[str, Any]] = {
            "noop-chain-1000": {
                "ours": 20.0,
                "peer": 1100.0,
                "unit": "ms",
                "machine": machine,
                "versions": {"snakemake": "9"},
                "details": {"dvc": {"no_op": {"median_s": 20.0}}},
            },
            "train-ae": {"ours": 0.3, "unit": "s", "peer": None, "machine": machine, "versions": {}, "details": {}},
        }
        shown = chart.groups(documents)
        self.assertEqual([bar.milliseconds for bar in shown[0].bars], [20.0, 1100.0, 20000.0])
        picture = xml.etree.ElementTree.fromstring(chart.draw(shown, chart.footer(documents)))
        space = "{http://www.w3.org/2000/svg}"
        bars = [float(bar.attrib["width"]) for bar in picture.iter(f"{space}rect")]
        self.assertEqual(len(bars), 4)
        self.assertTrue(0 < bars[0] < bars[3] < bars[1] < bars[2], bars)
        self.assertIn("20 s", [text.text for text in picture.iter(f"{space}text")])


if __name__ == "__main__":
    unittest.main()
