"""Tests of the harness's own logic: none measures the program or needs a peer."""

from __future__ import annotations

import gzip
import json
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
import measure  # noqa: E402
import noop  # noqa: E402
import peers  # noqa: E402
import run  # noqa: E402
from cases import Bench, Case, Result, caps_10000, hash_2gib, split_10000, table  # noqa: E402
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
                "machine": machine,
                "versions": {"snakemake": "9"},
                "details": {"dvc": {"no_op": {"median_s": 20.0}}},
            },
            "hash-2gib": {"ours": 300.0, "peer": None, "machine": machine, "versions": {}, "details": {}},
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
