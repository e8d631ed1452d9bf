"""DVC, with stages that copy a file."""

from __future__ import annotations

import hashlib
import json
import pathlib
import shutil

from engines import Graph
from measure import BenchError, Place, Sample

CONTENT = b"input\n"


class Dvc:
    """A graph as one `dvc.yaml`; DVC runs one stage at a time."""

    name = "dvc"

    def __init__(self, program: pathlib.Path, folder: pathlib.Path, graph: Graph):
        self.program, self.place, self.graph = program, Place(folder), graph

    def write(self) -> None:
        shutil.rmtree(self.place.folder, ignore_errors=True)
        self.place.folder.mkdir(parents=True)
        self._dvc("init", "--no-scm", "--quiet")
        for name, value in [
            ("core.analytics", "false"),
            ("core.check_update", "false"),
            # Its database of stats is otherwise in a folder of the whole system.
            ("core.site_cache_dir", str(self.place.folder / "site-cache")),
        ]:
            self._dvc("config", name, value)
        (self.place.folder / "input.txt").write_bytes(CONTENT)
        lines = ["stages:"]
        for stage in range(self.graph.stages):
            lines.append(f"  s{stage}:\n    cmd: {self._command(stage)}")
            lines.append(f"    deps: [{self._source(stage)}]\n    outs: [out/{stage}.txt]")
        (self.place.folder / "dvc.yaml").write_text("\n".join(lines) + "\n")
        (self.place.folder / "out").mkdir()

    def _source(self, stage: int) -> str:
        source = self.graph.source(stage)
        return "input.txt" if source is None else f"out/{source}.txt"

    def _command(self, stage: int) -> str:
        return f"cp {self._source(stage)} out/{stage}.txt"

    def _dvc(self, *arguments: str) -> Sample:
        return self.place.run([str(self.program), *arguments]).expect_success(f"dvc {arguments[0]}")

    def run(self) -> Sample:
        return self.place.run([str(self.program), "repro"])

    def pretend(self) -> None:
        """Makes outputs, lock and cache as a run leaves them: for 1,000 stages that run takes many minutes."""
        md5 = hashlib.md5(CONTENT).hexdigest()
        cached = self.place.folder / ".dvc" / "cache" / "files" / "md5" / md5[:2] / md5[2:]
        cached.parent.mkdir(parents=True)
        cached.write_bytes(CONTENT)
        cached.chmod(0o444)

        def file(path: str) -> dict[str, object]:
            return {"path": path, "hash": "md5", "md5": md5, "size": len(CONTENT)}

        stages = {}
        for stage in range(self.graph.stages):
            (self.place.folder / "out" / f"{stage}.txt").write_bytes(CONTENT)
            stages[f"s{stage}"] = {
                "cmd": self._command(stage),
                "deps": [file(self._source(stage))],
                "outs": [file(f"out/{stage}.txt")],
            }
        # JSON is YAML.
        lock = json.dumps({"schema": "2.0", "stages": stages}, indent=1)
        (self.place.folder / "dvc.lock").write_text(lock)

    def check_ran_all(self, sample: Sample) -> None:
        sample.expect_success("dvc repro")
        ran = sample.said.count("Running stage '")
        present = sum((self.place.folder / "out" / f"{i}.txt").exists() for i in range(self.graph.stages))
        if (ran, present) != (self.graph.stages, self.graph.stages):
            raise BenchError(f"dvc: a first run of {self.graph.stages} stages ran {ran} and made {present} outputs")

    def check_ran_nothing(self, sample: Sample) -> None:
        sample.expect_success("dvc repro")
        if "Data and pipelines are up to date." not in sample.said:
            raise BenchError(f"dvc: a run without changes was not a no-op:\n{sample.said[-2000:]}")
